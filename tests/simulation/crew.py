"""A simulated worker: executes the engine's effects as `billing.worker` does, with calls and reads that take time.

Owns one process's view: its engine, its readers, its sessions, its clock. Must not know what goes wrong: `havoc` and
`network` decide that.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol

import attrs

from billing.batch import Slice, Span
from billing.cursor import check_within
from billing.effects import Apply, Check, ClaimCursors, CloseReader, Effect, Halt, Look, Seek, Settled, Troubled
from billing.engine import MAIN, Engine
from billing.errors import BillingError, LogChangedError
from billing.fold import CursorMove
from billing.ports import Records, Refused
from tests.simulation.check import SimulationError, expect
from tests.simulation.clock import Clock
from tests.simulation.faults import Fault
from tests.simulation.log import LOG_NAME, Read
from tests.simulation.plan import Plan, Versions, pricer_at
from tests.simulation.shards import Answer, Session
from tests.simulation.shares import told

Call = ClaimCursors | Look | Apply

_PARTS_MAX: Final = 2  # an event of either book charges its account and perhaps a reseller


class Surroundings(Protocol):
    """What a worker needs of its world."""

    clock: Clock
    counts: Counter[Fault]

    def call(self, worker: "Worker", call: Call) -> None:
        """Send a call to its shard; the answer comes to `Worker.answer` later."""
        ...

    def start_reading(self, worker: "Worker", reader: int) -> None:
        """Read for this reader from now on, until it is closed."""
        ...

    def halted(self, worker: "Worker", error: BillingError) -> None:
        """Hear that a worker has stopped by itself, and why."""
        ...


@attrs.define
class Reader:
    """A position in the log; what was read across a change of generation is void."""

    positions: dict[int, int]
    generation: int = 0


class _Engine(Engine):
    """The engine as it is, which is told what most of its reads come to; those that it does itself must agree."""

    def __init__(self, plan: Plan, versions: Versions) -> None:
        pricer = pricer_at(plan.book, versions.book)
        super().__init__(LOG_NAME, plan.map_of(versions), pricer, plan.limits)
        self._shares = plan.shares
        self._known = plan.shares.by(pricer)

    def slices(self, records: Records) -> list[Slice]:
        known = [share.within(records.spans) for share in self._known]
        if not self._shares.is_afresh():
            return known
        afresh = super().slices(records.records() if isinstance(records, Read) else records)
        expect("what a record comes to wherever it is read", list(map(told, afresh)), list(map(told, known)))
        return afresh


class Worker:
    """One process, from its start to its end; a restarted worker is another one."""

    def __init__(self, name: str, plan: Plan, versions: Versions, skew_ms: int, world: Surroundings) -> None:
        self.name = name
        self.versions = versions
        self.skew_ms = skew_ms  # how far its clock is ahead of the world's
        self.alive = True
        self.paused = False
        self.stopping = False
        self.owned: frozenset[int] = frozenset()  # what it takes for its own
        self.owned_epoch = -1
        self.engine = _Engine(plan, versions)
        self.readers: dict[int, Reader] = {}
        self.sessions = [Session() for _ in plan.shardmap.shards]
        self._plan = plan
        self._world = world
        self._postponed: list[Callable[[], None]] = []

    @property
    def now_ms(self) -> int:
        """Return what its clock says."""
        return self._world.clock.now_ms + self.skew_ms

    def hear(self, action: Callable[[], None]) -> None:
        """Do something now; after the pause if there is one, never if the worker is gone."""
        if self.paused:
            self._postponed.append(action)
        elif self.alive:
            action()

    def resume(self) -> None:
        """Do what came during the pause, in order."""
        self.paused = False
        postponed, self._postponed = self._postponed, []
        for action in postponed:
            self.hear(action)

    def own(self, partitions: Iterable[int], epoch: int) -> None:
        """Learn of an assignment; an older one than the last is no news."""
        if epoch > self.owned_epoch and not self.stopping:
            self.owned_epoch, self.owned = epoch, frozenset(partitions)
            starts = {partition: self._plan.log.starts[partition] for partition in sorted(self.owned)}
            self._world.clock.say(self.name, "owns", sorted(starts))
            self.execute(self.engine.own(starts, self.now_ms))

    def tick(self) -> None:
        """Let time pass."""
        effects = self.engine.tick(self.now_ms)
        if effects:
            self.execute(effects)
        for lane in self.engine.lanes:
            self.engine.ahead(lane.shard)

    def stop(self) -> None:
        """Begin a graceful stop."""
        self.stopping = True
        self.execute(self.engine.stop(self.now_ms))

    def answer(self, call: Call, answer: Answer) -> None:
        """Take the answer to a call."""
        now_ms = self.now_ms
        if isinstance(call, ClaimCursors):
            self.execute(self.engine.claimed(call.shard, answer, now_ms))  # type: ignore[arg-type]
        elif isinstance(call, Look):
            self.execute(self.engine.looked(call.shard, answer, now_ms))  # type: ignore[arg-type]
        else:
            self.execute(self.engine.applied(call.shard, answer, now_ms))  # type: ignore[arg-type]

    def take(self, number: int, generation: int, records: Records) -> None:
        """Take what a reader has read, unless the reader was moved or closed in the meantime."""
        reader = self.readers.get(number)
        if reader is None or reader.generation != generation or not records.spans:
            return
        reader.positions.update({partition: span.stop for partition, span in records.spans.items()})
        self._world.clock.say(self.name, "reads", number, partial(_spans, records.spans.items()))
        self.execute(self.engine.records(number, records, self.now_ms))
        if self.alive:
            self._check_buffers()

    def execute(self, effects: Iterable[Effect]) -> None:
        """Do what the engine wants, unless something of it has ended the worker."""
        for effect in effects:
            if not self.alive:
                return
            match effect:
                case ClaimCursors() | Look() | Apply():
                    self._world.call(self, effect)
                case Seek(reader=number, positions=positions):
                    self._seek(number, positions)
                case Check(positions=positions):
                    self._check(positions)
                case CloseReader(reader=number):
                    self._world.clock.say(self.name, "closes reader", number)
                    del self.readers[number]
                case Halt(error=error):
                    self._world.halted(self, error)
                    return
                case Settled(shard=shard, transaction=transaction):
                    moves = [(move.partition, move) for move in transaction.moves]
                    self._world.clock.say(self.name, "settled on shard", shard, partial(_spans, moves))
                case Troubled(shard=shard, reaction=reaction, detail=detail):
                    self._world.clock.say(self.name, "is refused by shard", shard, f"({reaction.value}: {detail})")

    def disconnect(self, shard: int, session: Session, answer: Answer) -> None:
        """Drop a session after an answer that says that it is of no more use."""
        if isinstance(answer, Refused) and self.sessions[shard] is session:
            self.sessions[shard] = Session()

    def _seek(self, number: int, positions: Mapping[int, int]) -> None:
        self._world.clock.say(self.name, "seeks reader", number, dict(positions))
        if not self._check(positions):
            return
        reader = self.readers.get(number)
        if reader is None:
            self.readers[number] = Reader(dict(positions))
            self._world.counts[Fault.DETACHED] += number != MAIN
            self._world.start_reading(self, number)
        else:
            reader.positions = dict(positions)
            reader.generation += 1
        others = len(self.readers) - (MAIN in self.readers)
        if others > self._plan.limits.catchup_readers_max:
            raise SimulationError(f"{self.name} has {others} catch-up readers")

    def _check(self, positions: Mapping[int, int]) -> bool:
        """Ask the log whether it still has what cursors ask for; a worker that hears that it has not halts."""
        try:
            check_within(LOG_NAME, positions, self._plan.log.bounds(positions, self._world.clock.now_ms))
        except LogChangedError as error:
            self._world.halted(self, error)
            return False
        return True

    def _check_buffers(self) -> None:
        limits = self._plan.limits
        for lane in self.engine.lanes:
            self._world.counts[Fault.FULL_BUFFER] += lane.full
            # Full, then one poll of each of two readers that were already reading, and a batch that came back.
            most = limits.buffer_events_max + _PARTS_MAX * (2 * limits.poll_events_max + limits.batch_events_max)
            if lane.pending_events > most:
                raise SimulationError(f"{self.name}: {lane.pending_events} events wait for {lane.name}; {most} may")


def _spans(spans: Iterable[tuple[int, Span | CursorMove]]) -> str:
    by_partition = sorted(spans, key=lambda one: one[0])
    return " ".join(f"p{partition}[{span.start}, {span.stop})" for partition, span in by_partition)
