"""A lane: what one shard has applied, what is on the way to it and what waits for it.

Owns the shard's side of exactly-once. Everything that can go wrong leads through `claim`, which reads the cursors
again:

    CLOSED --open--> CLAIMING --claimed--> READY --send--> APPLYING --applied--> READY
                        ^  |                 |                |  ^
                        |  refused           +--look--> LOOKING--+  (which records exist?)
                        |  v                               |
                     WAITING <---------- refused ----------+------- refused (from APPLYING)

A record of the log is taken only if it is the next one that the lane lacks; what lies below is trimmed, what leaves a
gap is ignored. That one rule makes starting, rewinding, detaching, catching up and handing over the same thing.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum

import attrs

from billing.batch import Slice
from billing.limits import Limits
from billing.policy import backoff_ms, is_due, is_unsure
from billing.ports import Reaction

LOOKS_MAX = 8  # rounds of "which exist?" for one batch: each loses a race against another writer of the same event
LOOK_AHEAD_BATCHES = 16  # after a batch with duplicates, ask before sending: repeats come in storms


class State(Enum):
    """Where a lane is in its life."""

    CLOSED = "closed"
    WAITING = "waiting"
    CLAIMING = "claiming"
    READY = "ready"
    LOOKING = "looking"
    APPLYING = "applying"


@attrs.define(eq=False)
class Lane:
    """One shard's lane; `positions`: the cursors as last read or written; `buffered`: the next offsets it takes."""

    shard: int
    name: str
    limits: Limits
    state: State = State.CLOSED
    positions: dict[int, int] = attrs.Factory(dict)
    buffered: dict[int, int] = attrs.Factory(dict)
    pending: deque[Slice] = attrs.Factory(deque)
    pending_events: int = 0
    pending_bytes: int = 0
    pending_since_ms: int = 0
    inflight: Slice | None = None
    poison: dict[tuple[int, int], str] = attrs.Factory(dict)
    batch_events: int = 0  # how many the next batch may have: halved when refused for its size or content
    ceiling: int = 0  # what batch_events may grow back to: lowered when a packet was too large, raised slowly
    failures: int = 0
    retry_at_ms: int = 0
    applied_at_ms: int = 0
    confirmed_at_ms: int = 0  # when the shard last said where its cursors stand
    looks: int = 0
    look_ahead: int = 0
    reclaim: bool = False
    trouble: str = ""

    def __attrs_post_init__(self) -> None:
        self.batch_events = self.ceiling = self.limits.batch_events_max

    @property
    def claimed(self) -> bool:
        """Tell whether the lane knows where its shard stands."""
        return self.state in (State.READY, State.LOOKING, State.APPLYING) and not self.reclaim

    @property
    def busy(self) -> bool:
        """Tell whether the store is working for this lane."""
        return self.state in (State.CLAIMING, State.LOOKING, State.APPLYING)

    @property
    def full(self) -> bool:
        """Tell whether no more may wait for this shard."""
        return (
            self.pending_events >= self.limits.buffer_events_max or self.pending_bytes >= self.limits.buffer_bytes_max
        )

    def behind(self, positions: Mapping[int, int]) -> set[int]:
        """Return the partitions whose next record the lane will not get from a reader at these positions."""
        buffered = self.buffered
        if buffered == positions:  # as most lanes are most of the time
            return set()
        return {partition for partition, position in positions.items() if buffered.get(partition, -1) < position}

    def take(self, piece: Slice, now_ms: int) -> None:
        """Buffer what the lane lacks of a slice."""
        fitting = piece.since(self.buffered)
        if fitting is None:
            return
        if self.pending_events == 0:
            self.pending_since_ms = now_ms
        if self.pending and not len(fitting) and not len(self.pending[-1]):
            self.pending[-1] = Slice.concat([self.pending[-1], fitting])
        else:
            self.pending.append(fitting)
        self.pending_events += len(fitting)
        self.pending_bytes += fitting.payload_bytes
        self.buffered.update({partition: span.stop for partition, span in fitting.spans.items()})

    def due(self, now_ms: int, *, hurry: bool) -> bool:
        """Tell whether to send now; in a hurry anything that waits is due."""
        if self.state is not State.READY or not self.pending:
            return False
        waiting_ms = now_ms - self.pending_since_ms
        return hurry or is_due(
            self.pending_events, waiting_ms, now_ms - self.applied_at_ms, self.batch_events, self.limits
        )

    def looks_first(self) -> bool:
        """Tell whether to ask what exists before the batch in flight is sent, since it would hardly get through."""
        return self.look_ahead > 0 or (self.inflight is not None and bool(self.inflight.charges.void.any()))

    def unsure(self, now_ms: int) -> bool:
        """Tell whether to ask again where the shard stands: it has been silent, and nothing waits that would tell."""
        return self.state is State.READY and not self.pending and is_unsure(now_ms - self.confirmed_at_ms, self.limits)

    def set_back(self, now_ms: int) -> None:
        """Begin every wait anew, none longer than the longest: the clock was set back to now."""
        self.pending_since_ms = self.applied_at_ms = self.confirmed_at_ms = now_ms
        self.retry_at_ms = min(self.retry_at_ms, now_ms + self.limits.retry_backoff_max_ms)

    def ahead(self) -> Slice | None:
        """Join the next batch into one piece, which goes on waiting; None unless the shard is busy and it is whole."""
        if self.state is not State.APPLYING or self.reclaim or self.pending_events < self.batch_events:
            return None
        batch = self._joined()
        self.pending.appendleft(batch)
        return batch

    def next_batch(self, now_ms: int) -> Slice:
        """Move the next batch from pending to inflight."""
        batch = self._joined()
        self._count()
        self.pending_since_ms = now_ms
        self.inflight = batch
        self.looks = 0
        return batch

    def _joined(self) -> Slice:
        """Take from pending what fits one batch; of what was joined once and still fits alone, the same slice."""
        pieces: list[Slice] = []
        room = self.batch_events
        while self.pending and (room >= len(self.pending[0]) or 2 * room >= self.batch_events):
            piece, rest = self.pending.popleft().split(room)  # whole if it can be, since cutting copies
            pieces.append(piece)
            room -= len(piece)
            if rest is not None:
                self.pending.appendleft(rest)
                break
        return Slice.concat(pieces)

    def applied(self, now_ms: int) -> Slice:
        """Settle the batch in flight; returns it."""
        assert self.inflight is not None, "only a batch in flight can be applied"
        batch, self.inflight = self.inflight, None
        self.positions.update({partition: span.stop for partition, span in batch.spans.items()})
        for place in [place for place in self.poison if place[1] < self.positions.get(place[0], 0)]:
            del self.poison[place]
        self.ceiling = min(self.ceiling + 1 + self.ceiling // 64, self.limits.batch_events_max)
        self.batch_events = min(self.batch_events * 2, self.ceiling)
        self.failures = 0
        self.trouble = ""
        self.applied_at_ms = self.confirmed_at_ms = now_ms
        self.state = State.READY
        return batch

    def refused(self, reaction: Reaction, detail: str, now_ms: int) -> None:
        """Note a refusal and wait before the cursors are read again."""
        batch, smaller = self.inflight, False
        if batch is not None and reaction in {Reaction.SPLIT, Reaction.BISECT}:
            places = batch.places()
            if len(places) > 1:
                self.batch_events = max(1, min(len(places), self.batch_events) // 2)
                self.ceiling = self.batch_events if reaction is Reaction.SPLIT else self.ceiling
                smaller = True
            elif places - self.poison.keys():
                self.poison[places.pop()] = detail
                smaller = True
        self.failures += 1
        self.trouble = detail
        wait_ms = (
            self.limits.retry_backoff_max_ms if reaction is Reaction.PAUSE else backoff_ms(self.failures, self.limits)
        )
        if smaller or (reaction is Reaction.FENCED and self.failures <= 1):
            wait_ms = 0  # nothing is overloaded: try again at once, differently
        self.retry_at_ms = now_ms + wait_ms
        self.state = State.WAITING

    def stand(self, positions: Mapping[int, int], now_ms: int) -> None:
        """Continue from where the shard says it stands: keep of the buffer what follows without a gap."""
        pieces = [self.inflight, *self.pending] if self.inflight is not None else list(self.pending)
        first: dict[int, int] = {}
        for piece in pieces:
            for partition, span in piece.spans.items():
                first.setdefault(partition, span.start)
        usable = {
            partition: position
            for partition, position in positions.items()
            if first.get(partition, position + 1) <= position <= self.buffered.get(partition, -1)
        }
        self.pending.clear()
        self.inflight = None
        for piece in pieces:
            starts = {
                partition: max(usable[partition], span.start)
                for partition, span in piece.spans.items()
                if partition in usable
            }
            fitting = piece.since(starts)
            if fitting is not None:
                self.pending.append(fitting)
        self._count()
        self.positions = dict(positions)
        self.buffered = {
            partition: self.buffered[partition] if partition in usable else position
            for partition, position in positions.items()
        }
        self.pending_since_ms = self.confirmed_at_ms = now_ms
        self.state = State.READY

    def detach(self) -> None:
        """Forget what waits: the shard's cursor stays, and a reader of its own brings the records again."""
        self.pending.clear()
        self._count()
        self.buffered = dict(self.positions)
        if self.inflight is not None:
            self.buffered.update({partition: span.stop for partition, span in self.inflight.spans.items()})

    def forget(self) -> None:
        """Drop everything buffered and all knowledge of cursors: the set of partitions changes."""
        self.pending.clear()
        self._count()
        self.buffered = {}
        self.positions = {}
        self.reclaim = self.busy
        if not self.busy:
            self.inflight = None
            self.retry_at_ms = 0
            self.state = State.WAITING

    def _count(self) -> None:
        self.pending_events = sum(map(len, self.pending))
        self.pending_bytes = sum(piece.payload_bytes for piece in self.pending)
