"""Shares: what every record of a log comes to on every shard, decoded, priced and routed once for all who read it.

Owns the table that the workers of a run are given in place of most decoding and pricing, which is the same whenever a
record is read and by whom; and the comparison that shows that it is. Must not know engines.
"""

from bisect import bisect_left
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.batch import Slice, Spans, route_charges
from billing.charge import Charges
from billing.event import Decoder
from billing.pricing import charge
from billing.rows import decimal_texts
from rules.pricer import Pricer
from sharding.shardmap import ShardMap
from tests.simulation.log import Place

AFRESH: Final = 40  # reads of a run between two that are decoded and priced anew: all of them would be half of the work


@attrs.frozen(eq=False)
class Share:
    """One shard's share of a log: its parts and rejects, in order of partition and offset."""

    whole: Slice
    _taken: dict[tuple[tuple[int, int], ...], tuple[Charges, NDArray[np.uint16]]] = attrs.Factory(dict)

    def within(self, spans: Spans) -> Slice:
        """Return what a worker makes of these spans of the log for this shard."""
        rejects = [
            reject
            for reject in self.whole.rejects
            if reject.partition in spans
            and spans[reject.partition].start <= reject.offset < spans[reject.partition].stop
        ]
        rows = [
            (first, stop)
            for partition, span in spans.items()
            for first in (bisect_left(self._places, (partition, span.start)),)
            for stop in (bisect_left(self._places, (partition, span.stop), first),)
            if first < stop
        ]
        if not rows:
            return Slice(spans, self._nothing.charges, self._nothing.slot, rejects)
        known = self._taken.get(tuple(rows))
        if known is None:
            mask = np.zeros(len(self._places), dtype=np.bool_)
            for first, stop in rows:
                mask[first:stop] = True
            known = self._taken[tuple(rows)] = self.whole.charges.take(mask), self.whole.slot[mask]
        return Slice(spans, *known, rejects)

    @cached_property
    def _places(self) -> list[Place]:
        charges = self.whole.charges
        return list(zip(charges.partition.tolist(), charges.offset.tolist(), strict=True))

    @cached_property
    def _nothing(self) -> Slice:
        none = np.zeros(len(self._places), dtype=np.bool_)
        return Slice({}, self.whole.charges.take(none), self.whole.slot[none], [])


class Shares:
    """The shares of a log on all shards, by the book that prices it."""

    def __init__(self, payloads: Mapping[Place, bytes], shardmap: ShardMap) -> None:
        self._payloads = dict(sorted(payloads.items()))
        self._map = shardmap
        self._known: dict[int, list[Share]] = {}
        self._reads = 0

    def is_afresh(self) -> bool:
        """Tell whether the next read shall be decoded and priced by who reads it, and compared."""
        self._reads += 1
        return self._reads % AFRESH == 1

    def by(self, pricer: Pricer) -> list[Share]:
        """Decode, price and route the log, as an engine would that reads all of it at once; in the order of shards."""
        version = pricer.book.version
        if version not in self._known:
            places = np.array([*self._payloads], dtype=np.int64).reshape(-1, 2)
            routing = sorted(self._map.spread_attributes())
            decoder = Decoder({*pricer.book.attributes, *routing}, pricer.book.payers)
            partition, offset = places[:, 0].astype(np.int32), places[:, 1].copy()
            events, undecodable = decoder.decode(partition, offset, list(self._payloads.values()))
            charges, unpriced = charge(events, pricer, routing)
            self._known[version] = list(map(Share, route_charges({}, charges, [*undecodable, *unpriced], self._map)))
        return self._known[version]


def told(piece: Slice) -> list[Any]:
    """Return all that a slice says in plain values, whatever its dictionaries and scales look like."""
    charges = piece.charges
    columns = (
        charges.partition,
        charges.offset,
        charges.key,
        charges.time_us,
        charges.digest,
        charges.home,
        charges.void,
        charges.kept,
        charges.payload,
        charges.part,
        charges.line,
        piece.slot,
    )
    coded = (charges.account, *(column for _, column in sorted(charges.attributes.items())))
    decimals = (charges.quantity, charges.amount, charges.use)
    tails = [charges.tails[code] for code in charges.tail.tolist()]
    counters = [charges.counters[code] if code >= 0 else None for code in charges.counter.tolist()]
    return [
        piece.spans,
        *(column.tolist() for column in columns),
        *(column.rows() for column in coded),
        *([Decimal(text) for text in decimal_texts(column)] for column in decimals),
        tails,
        counters,
        dict(charges.credits),
        piece.rejects,
    ]
