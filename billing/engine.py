"""The engine: decides what is read, what is sent to which shard and when, without doing any of it.

A sans-IO state machine. In: ownership of partitions, records, answers of stores, the time. Out: effects for the
worker to execute. Owns every decision about progress; one transaction is in flight per shard and set of partitions.
Each shard has a lane (see `billing.lane`); the main reader feeds all lanes, and a lane that is not where the main
reader is has a reader of its own.
"""

from collections.abc import Mapping
from typing import Final

from billing.batch import Slice, route_charges
from billing.cursor import Claim, Standing
from billing.dedupe import PartKey, Place, part_keys
from billing.effects import (
    Apply,
    Check,
    ClaimCursors,
    CloseReader,
    Effect,
    Halt,
    Look,
    Seek,
    Settled,
    Troubled,
)
from billing.errors import VersionFencedError
from billing.event import Decoder
from billing.fold import Transaction, fold
from billing.lane import LOOK_AHEAD_BATCHES, LOOKS_MAX, Lane, State
from billing.limits import Limits
from billing.policy import main_start
from billing.ports import Applied, Outcome, Reaction, Records, Refused
from billing.pricing import Pricer, charge
from billing.voids import Known
from sharding.shardmap import ShardMap

MAIN: Final = 0  # the reader that feeds all lanes; others are numbered as they are opened


class Engine:
    """One worker's state: its partitions, a lane a shard, and where its readers are."""

    def __init__(self, log: str, shardmap: ShardMap, pricer: Pricer, limits: Limits) -> None:
        self._log = log
        self._map = shardmap
        self._pricer = pricer
        self._limits = limits
        self._routing_names = tuple(sorted(shardmap.spread_attributes()))
        names = {*pricer.book.attributes, *self._routing_names}
        self.lanes = [Lane(shard, name, limits) for shard, name in enumerate(shardmap.shards)]
        self._decoder = Decoder(names, pricer.book.payers)
        self._starts: dict[int, int] = {}
        self._main: dict[int, int] | None = None  # None: not positioned yet
        self._answered: set[int] = set()  # shards that have answered, one way or the other, since the last change
        self._catchups: dict[int, int] = {}  # shard -> reader
        self._sent: dict[int, Transaction] = {}
        self._ahead: dict[int, tuple[Slice, Transaction]] = {}  # by shard, what was folded before it could be sent
        self._readers_opened = MAIN
        self._blocked_since_ms: int | None = None
        self._now_ms = 0
        self._stopping = False

    # --- what the worker tells ---

    def own(self, starts: Mapping[int, int], now_ms: int) -> list[Effect]:
        """Own exactly these partitions from now on; `starts`: where cursors begin on shards that have none yet."""
        effects: list[Effect] = [CloseReader(reader) for reader in self._catchups.values()]
        effects.append(Seek(MAIN, {}))
        self._catchups.clear()
        self._starts, self._main, self._blocked_since_ms = dict(starts), None, None
        self._answered.clear()
        self._ahead.clear()
        for lane in self.lanes:
            lane.forget()
            if not starts and not lane.busy:
                lane.state = State.CLOSED
        return effects + self.tick(now_ms)

    def claimed(self, shard: int, answer: Standing | Refused, now_ms: int) -> list[Effect]:
        """Take a shard's answer to ClaimCursors."""
        lane = self.lanes[shard]
        if lane.reclaim:
            return self._again(lane, now_ms)
        self._answered.add(shard)
        if isinstance(answer, Refused):
            lane.refused(answer.reaction, answer.detail, now_ms)
            effects: list[Effect] = [Troubled(shard, answer.reaction, answer.detail)]
            return effects + self.tick(now_ms)
        for what, theirs, ours in (
            ("map", answer.map_version, self._map.version),
            ("book", answer.book_version, self._pricer.book.version),
        ):
            if theirs > ours:
                return [
                    Halt(
                        VersionFencedError(
                            f"shard {lane.name} is at {what} version {theirs} and this worker has {ours}; "
                            f"restart it with the newer {what}"
                        )
                    )
                ]
        lane.stand(answer.positions, now_ms)
        return [*self._close_catchup(shard), *self._check_ahead(answer.positions), *self.tick(now_ms)]

    def looked(self, shard: int, answer: Mapping[PartKey, Known] | Refused, now_ms: int) -> list[Effect]:
        """Take a shard's answer to Look."""
        lane = self.lanes[shard]
        if lane.reclaim:
            return self._again(lane, now_ms)
        if isinstance(answer, Refused):
            return self._refuse(lane, answer, now_ms)
        lane.look_ahead = LOOK_AHEAD_BATCHES if answer else lane.look_ahead - 1
        return self._apply(lane, answer)

    def applied(self, shard: int, outcome: Outcome, now_ms: int) -> list[Effect]:
        """Take a shard's answer to Apply."""
        lane = self.lanes[shard]
        transaction = self._sent.pop(shard)
        if isinstance(outcome, Applied) and outcome.written is not None:
            transaction = outcome.written
        if lane.reclaim:
            settled: list[Effect] = [Settled(shard, transaction)] if isinstance(outcome, Applied) else []
            return settled + self._again(lane, now_ms)
        if isinstance(outcome, Applied):
            lane.applied(now_ms)
            return [Settled(shard, transaction), *self.tick(now_ms)]
        if outcome.reaction is Reaction.DUPLICATES and lane.looks < LOOKS_MAX:
            return self._look(lane)
        return self._refuse(lane, outcome, now_ms)

    def records(self, reader: int, records: Records, now_ms: int) -> list[Effect]:
        """Take what a reader read: decode, price, route and buffer it."""
        lanes = self._fed_by(reader)
        if not lanes or not records.spans:
            return []
        if reader == MAIN:
            assert self._main is not None, "the main reader was positioned before it read"
            self._main.update({p: span.stop for p, span in records.spans.items() if p in self._main})
        slices = self.slices(records)
        for lane in lanes:
            lane.take(slices[lane.shard], now_ms)
        return self.tick(now_ms)

    def stop(self, now_ms: int) -> list[Effect]:
        """Read no more; send what waits."""
        self._stopping = True
        return self.tick(now_ms)

    def tick(self, now_ms: int) -> list[Effect]:
        """Do what has become due."""
        if now_ms < self._now_ms:
            self._set_back(now_ms)
        self._now_ms = now_ms
        effects: list[Effect] = []
        for lane in self.lanes:
            if lane.unsure(now_ms) and lane.shard not in self._catchups and not self._stopping:
                lane.state = State.WAITING
            if lane.state is State.WAITING and now_ms >= lane.retry_at_ms and self._starts:
                lane.state = State.CLAIMING
                claim = Claim(self._log, self._starts, self._map.version, self._pricer.book.version)
                effects.append(ClaimCursors(lane.shard, claim))
            elif lane.due(now_ms, hurry=self._stopping):
                lane.next_batch(now_ms)
                effects += self._look(lane) if lane.looks_first() else self._apply(lane, {})
        if self._main is None:
            effects += self._position_main()
        elif not self._stopping:
            effects += self._detach_slow(now_ms)
            effects += self._catch_up()
        return effects

    # --- what the worker asks ---

    def appetite(self, reader: int) -> int:
        """Return how many records a reader may read now; 0 while buffers are full or nothing is positioned."""
        lanes = self._fed_by(reader)
        if self._stopping or not lanes:
            return 0
        if reader != MAIN:
            crowded = lanes[0].pending_events >= 2 * self._limits.batch_events_max or lanes[0].full
            return 0 if crowded else self._limits.poll_events_max
        attached = self._attached()
        hindered = not attached or self._crowded or any(lane.full for lane in attached)
        return 0 if hindered else self._limits.poll_events_max

    def ahead(self, shard: int) -> Transaction | None:
        """Fold what a busy shard will be sent next, so that it need not wait for that; None: nothing, or not yet.

        It is sent only if the batch is then still the same, and nothing has become known of it.
        """
        lane = self.lanes[shard]
        batch = None if lane.poison or lane.look_ahead else lane.ahead()
        if batch is None:
            return None
        known = self._ahead.get(shard)
        if known is None or known[0] is not batch:
            known = self._ahead[shard] = batch, self._fold(batch, {}, {})
        return known[1]

    def progress(self) -> dict[int, int]:
        """Return the offset below which every shard has applied each partition, where all shards are known."""
        return {
            partition: min(lane.positions[partition] for lane in self.lanes)
            for partition in self._starts
            if all(partition in lane.positions for lane in self.lanes)
        }

    @property
    def positioned(self) -> bool:
        """Tell whether every shard has answered where it stands, or that it cannot, so that the main reader reads."""
        return self._main is not None

    def detached(self) -> list[str]:
        """Return the shards that do not follow the main reader."""
        return [lane.name for lane in self.lanes if not lane.claimed or lane.behind(self._main or {})]

    @property
    def _crowded(self) -> bool:
        """Tell whether all shards together have as much waiting as this worker may hold."""
        return sum(lane.pending_events for lane in self.lanes) >= self._limits.waiting_events_max

    @property
    def drained(self) -> bool:
        """Tell whether nothing is in flight and nothing waits for a shard that answers."""
        return not any(lane.busy or (lane.claimed and lane.pending) for lane in self.lanes)

    def slices(self, records: Records) -> list[Slice]:
        """Decode, price and route what was read: a slice for each shard, which depends on nothing but the records."""
        events, undecodable = self._decoder.decode(records.partition, records.offset, records.payload)
        charges, unpriced = charge(events, self._pricer, self._routing_names)
        return route_charges(records.spans, charges, [*undecodable, *unpriced], self._map)

    # --- decisions ---

    def _set_back(self, now_ms: int) -> None:
        """Wait anew for what waits: until the clock has come to where it was, nothing would be due."""
        self._blocked_since_ms = None
        for lane in self.lanes:
            lane.set_back(now_ms)

    def _fed_by(self, reader: int) -> list[Lane]:
        if reader == MAIN:
            return [lane for lane in self.lanes if lane.buffered] if self._main is not None else []
        return [lane for lane in self.lanes if self._catchups.get(lane.shard) == reader]

    def _position_main(self) -> list[Effect]:
        claimed = [lane for lane in self.lanes if lane.claimed]
        if not claimed or len(self._answered) < len(self.lanes):
            return []
        self._main = {
            partition: main_start([lane.positions[partition] for lane in claimed], self._limits.buffer_events_max)
            for partition in self._starts
        }
        furthest = {partition: max(lane.positions[partition] for lane in claimed) for partition in self._starts}
        return [Seek(MAIN, dict(self._main)), *self._check_ahead(furthest)]

    def _check_ahead(self, positions: Mapping[int, int]) -> list[Effect]:
        """Check where cursors stand that the main reader has yet to come to; those behind it are where it has been."""
        main = self._main or {}
        ahead = {partition: at for partition, at in positions.items() if at > main.get(partition, at)}
        return [Check(ahead)] if ahead else []

    def _catch_up(self) -> list[Effect]:
        effects: list[Effect] = []
        for lane in self.lanes:
            behind = lane.behind(self._main or {}) if lane.claimed else set()
            if not behind:
                effects += self._close_catchup(lane.shard)
            elif lane.shard not in self._catchups and len(self._catchups) < self._limits.catchup_readers_max:
                self._readers_opened += 1
                self._catchups[lane.shard] = self._readers_opened
                effects.append(Seek(self._readers_opened, {p: lane.buffered[p] for p in sorted(behind)}))
        return effects

    def _close_catchup(self, shard: int) -> list[Effect]:
        reader = self._catchups.pop(shard, None)
        return [] if reader is None else [CloseReader(reader)]

    def _attached(self) -> list[Lane]:
        """Return the lanes that take at least one partition from the main reader."""
        main = self._main or {}
        return [lane for lane in self.lanes if lane.buffered and len(lane.behind(main)) < len(main)]

    def _detach_slow(self, now_ms: int) -> list[Effect]:
        """Detach a full lane that fails, or that has held up idle lanes for too long."""
        if not self._crowded and not any(lane.full for lane in self.lanes):  # as it is most of the time
            self._blocked_since_ms = None
            return []
        attached = self._attached()
        enough = self._limits.batch_events_max if self._crowded else self._limits.buffer_events_max
        full = [lane for lane in attached if lane.full or lane.pending_events >= enough]
        detached = [lane for lane in (attached if self._crowded else full) if not lane.claimed]
        starving = [lane for lane in attached if lane not in full and lane.inflight is None and not lane.pending_events]
        if not full or not starving or len(starving) + len(full) < len(attached):
            self._blocked_since_ms = None
        elif self._blocked_since_ms is None:
            self._blocked_since_ms = now_ms
        elif now_ms - self._blocked_since_ms >= self._limits.detach_after_ms:
            self._blocked_since_ms = None
            detached = full
        effects: list[Effect] = []
        for lane in detached:
            lane.detach()
            effects += self._close_catchup(lane.shard)  # it may have been behind in some partitions; now it is in all
        return effects

    def _look(self, lane: Lane) -> list[Effect]:
        assert lane.inflight is not None, "a look concerns the batch in flight"
        lane.looks += 1
        lane.state = State.LOOKING
        return [Look(lane.shard, part_keys(lane.inflight))]

    def _apply(self, lane: Lane, existing: Mapping[PartKey, Known]) -> list[Effect]:
        assert lane.inflight is not None, "only a batch in flight can be sent"
        ahead = self._ahead.pop(lane.shard, None)
        if ahead is not None and ahead[0] is lane.inflight and not existing and not lane.poison:
            transaction = ahead[1]
        else:
            transaction = self._fold(lane.inflight, existing, lane.poison)
        self._sent[lane.shard] = transaction
        lane.state = State.APPLYING
        return [Apply(lane.shard, transaction)]

    def _fold(self, batch: Slice, existing: Mapping[PartKey, Known], poison: Mapping[Place, str]) -> Transaction:
        return fold(batch, self._pricer.book, self._log, self._map.version, existing, poison)

    def _refuse(self, lane: Lane, refused: Refused, now_ms: int) -> list[Effect]:
        lane.refused(refused.reaction, refused.detail, now_ms)
        return [Troubled(lane.shard, refused.reaction, refused.detail), *self.tick(now_ms)]

    def _again(self, lane: Lane, now_ms: int) -> list[Effect]:
        """Start a lane over: the partitions changed while its shard was working."""
        lane.reclaim = False
        lane.inflight = None
        lane.retry_at_ms = now_ms
        lane.state = State.WAITING if self._starts else State.CLOSED
        return self.tick(now_ms)
