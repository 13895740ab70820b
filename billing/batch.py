"""Shard batches: the slice of a span of log that concerns one shard, to be cut, joined and trimmed at any offset.

Owns where each charge goes and which offsets a batch covers. Must not know SQL or stores.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.charge import Charges
from billing.cut import cut
from billing.event import Rejected
from rules.compiled import text_buffers
from sharding.route import NO_ATTRIBUTES, route, route_bytes
from sharding.shardmap import ShardMap


@attrs.frozen
class Span:
    """A half-open range of offsets of one partition: every record in it was read."""

    start: int
    stop: int


Spans = Mapping[int, Span]


@attrs.frozen(eq=False)
class Slice:
    """One shard's share of the records in some spans of the log.

    spans: what was read, by partition, whether or not anything in it concerns this shard; charges: n parts in log
    order; slot: uint16[n], the slot of each part; rejects: events for this shard's
    quarantine, which need no slot.
    """

    spans: Spans
    charges: Charges
    slot: NDArray[np.uint16]
    rejects: Sequence[Rejected]

    def __len__(self) -> int:
        """Return the number of events that the slice holds, as parts or rejects."""
        return len(self.charges) + len(self.rejects)

    @cached_property
    def payload_bytes(self) -> int:
        """Return the size of the payloads."""
        _, bounds = text_buffers(self.charges.payload)
        return int(bounds[-1] - bounds[0]) + sum(len(reject.payload) for reject in self.rejects)

    @property
    def scales(self) -> tuple[int, int]:
        """Return how many decimal places quantities and uses are written with: a column has one number of them."""
        return self.charges.quantity.scale, self.charges.use.scale

    def places(self) -> set[tuple[int, int]]:
        """Return (partition, offset) of every event."""
        charged = zip(self.charges.partition.tolist(), self.charges.offset.tolist(), strict=True)
        return {*charged, *((reject.partition, reject.offset) for reject in self.rejects)}

    def since(self, starts: Mapping[int, int]) -> "Slice | None":
        """Trim to what lies at or after `starts`; drop partitions that it lacks or that begin after it (a gap)."""
        if self.spans and all(starts.get(p) == span.start < span.stop for p, span in self.spans.items()):
            return self  # as it follows what was read before
        spans = {
            partition: Span(max(span.start, starts[partition]), span.stop)
            for partition, span in self.spans.items()
            if partition in starts and span.start <= starts[partition] < span.stop
        }
        return self._within(spans) if spans else None

    def split(self, events_max: int) -> "tuple[Slice, Slice | None]":
        """Cut after about `events_max` events, partition by partition; an event is never cut in two.

        Each partition's share is a prefix of its records, so either piece is a slice like any other; the first is
        never empty.
        """
        if len(self) <= events_max:
            return self, None
        room = max(events_max, 1)
        head: dict[int, Span] = {}
        tail: dict[int, Span] = {}
        for partition, span in sorted(self.spans.items()):
            offsets = self._offsets(partition)
            stop = span.stop if len(offsets) <= room else int(offsets[room])
            room -= min(room, len(offsets))
            if stop > span.start:
                head[partition] = Span(span.start, stop)
            if stop < span.stop:
                tail[partition] = Span(stop, span.stop)
        return self._within(head), self._within(tail) if tail else None

    def _offsets(self, partition: int) -> NDArray[np.int64]:
        """Return the distinct offsets of the partition's events, ascending."""
        rejected = [reject.offset for reject in self.rejects if reject.partition == partition]
        charged = self.charges.offset[self.charges.partition == partition]
        return np.unique(np.concatenate([charged, np.array(rejected, dtype=np.int64)]))

    def _within(self, spans: Spans) -> "Slice":
        if spans == self.spans:
            return self
        mask = np.zeros(len(self.charges), dtype=np.bool_)
        for partition, span in spans.items():
            mask |= (
                (self.charges.partition == partition)
                & (self.charges.offset >= span.start)
                & (self.charges.offset < span.stop)
            )
        rejects = [
            reject
            for reject in self.rejects
            if reject.partition in spans
            and spans[reject.partition].start <= reject.offset < spans[reject.partition].stop
        ]
        return Slice(spans, self.charges.take(mask), self.slot[mask], rejects)

    @classmethod
    def concat(cls, pieces: Sequence["Slice"]) -> "Slice":
        """Join slices whose spans follow one another."""
        if len(pieces) == 1:
            return pieces[0]
        spans: dict[int, Span] = {}
        for piece in pieces:
            for partition, span in piece.spans.items():
                before = spans.get(partition, Span(span.start, span.start))
                assert before.stop == span.start, "slices must follow one another without a gap"
                spans[partition] = Span(before.start, span.stop)
        rejects = [reject for piece in pieces for reject in piece.rejects]
        filled = [piece for piece in pieces if len(piece.charges)] or [pieces[0]]
        if len(filled) == 1 and len({piece.scales for piece in pieces}) == 1:  # as of shards that have little
            return cls(spans, filled[0].charges, filled[0].slot, rejects)
        charges = Charges.concat([piece.charges for piece in pieces])
        return cls(spans, charges, np.concatenate([piece.slot for piece in pieces]), rejects)


def route_charges(spans: Spans, charges: Charges, rejects: Sequence[Rejected], shardmap: ShardMap) -> list[Slice]:
    """Cut charges and rejects into one slice a shard, in the order of `shardmap.shards`."""
    routed = route(
        shardmap,
        charges.account.values.derived(shardmap.homes),
        charges.account.codes,
        charges.key.to_pylist() if shardmap.spreads else None,
        {name: column.rows() for name, column in charges.attributes.items()} if shardmap.spreads else NO_ATTRIBUTES,
    )
    by_shard: list[list[Rejected]] = [[] for _ in shardmap.shards]
    for reject in rejects:
        by_shard[_shard_of(reject, shardmap)].append(reject)
    shares = cut(charges, routed.shard, len(shardmap.shards))
    slot = routed.slot[shares.rows]
    return [
        Slice(spans, shares.share(shard), slot[shares.parts[shard] : shares.parts[shard + 1]], by_shard[shard])
        for shard in range(len(shardmap.shards))
    ]


def _shard_of(reject: Rejected, shardmap: ShardMap) -> int:
    """Route a reject by its account, or by its bytes where no account can be read (or the account is spread)."""
    if reject.account is not None and reject.account not in shardmap.spreads:
        return int(shardmap.homes([reject.account])[0, 1])
    return route_bytes(shardmap, reject.payload)[0]
