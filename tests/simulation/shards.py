"""A simulated shard: a `MemoryShard` behind sessions, with the faults of a database server, checked at every write.

Permitted faults (see `faults`): being down, being slow, refusing large packets, refusing events that it cannot store,
and a failover: all sessions end and the last writes are lost, acknowledged or not. A request that was sent over a
session to the old server never reaches the new one. A transaction is applied whole or not at all, and one at a time.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final

import attrs

from billing.adapters.memory import MemoryShard, Tables
from billing.cursor import Claim, Standing
from billing.dedupe import PartKey
from billing.effects import Apply, ClaimCursors, Look
from billing.fold import CursorMove, Transaction
from billing.moment import DAY_US, day_number
from billing.ports import Applied, Outcome, Reaction, Refused
from billing.voids import Known
from tests.simulation.check import (
    Count,
    SimulationError,
    add_records,
    check_counters,
    check_move,
    check_sums,
    check_transaction,
    expect,
)
from tests.simulation.faults import Fault
from tests.simulation.plan import Identity, Plan, Versions

Answer = Standing | Refused | Applied | Mapping[PartKey, Known]
SPARSE: Final = 16  # transactions between two checks of all sums: the cheap checks see every one of them


@attrs.define(eq=False)
class Session:
    """A connection; it belongs to the server that it was opened to, and ends with it."""

    generation: int | None = None


class Shard:
    """One shard and everything that was committed to it, in order; `on_write` hears of every write: its partitions."""

    def __init__(
        self, index: int, plan: Plan, counts: Counter[Fault], on_write: Callable[[Collection[int]], None]
    ) -> None:
        self.name = plan.shardmap.shards[index]
        self.memory = MemoryShard(self.name)
        self.positions: dict[int, int] = {}  # what the cursors must say
        self.generation = 0
        self.down = False
        self.delay_factor = 1
        self.packet_events_max: int | None = None
        self.committed = 0
        self._index = index
        self._plan = plan
        self._faults = counts
        self._on_write = on_write
        self._homes: dict[int, list[int]] = {}  # by partition, the offsets of the records that this shard accounts for
        for (partition, offset), fact in sorted(plan.facts.items()):
            if fact.home == index:
                self._homes.setdefault(partition, []).append(offset)
        self._journal: list[Claim | Transaction] = []
        self._counts: dict[tuple[int, str, str], Count] = {}
        self._newest = Versions(0, 0)  # the highest that any worker has claimed with

    def serve(self, session: Session, call: ClaimCursors | Look | Apply) -> Answer:
        """Do what a call asks for, in one instant."""
        if not self._is_connected(session):
            return Refused(Reaction.RECONNECT, f"{self.name}: no connection")
        match call:
            case Look():
                return self.memory.existing(call.keys)
            case ClaimCursors():
                answer: Answer = self._claim(call.claim)
                self._on_write(call.claim.starts)
            case Apply():
                answer = self._apply(call.transaction)
                self._on_write([move.partition for move in call.transaction.moves])
        return answer

    def roll_back(self, session: Session, call: ClaimCursors | Look | Apply, reaction: Reaction) -> Refused:
        """Begin what a call asks for and roll it back."""
        if isinstance(call, Apply) and self._is_connected(session):
            self._faults[Fault.ROLLED_BACK] += 1
            self.memory.roll_back(call.transaction)
        return Refused(reaction, f"{self.name}: rolled back")

    def _is_connected(self, session: Session) -> bool:
        if session.generation is None and not self.down:
            session.generation = self.generation
        return not self.down and session.generation == self.generation

    def fail_over(self, lost: int) -> list[str]:
        """Become a copy that lacks the last writes; returns what was lost, in words."""
        keep = max(len(self._journal) - lost, 0)
        journal, gone = self._journal[:keep], self._journal[keep:]
        self._journal, self.positions, self._counts, self._newest = [], {}, {}, Versions(0, 0)
        self.generation += 1
        self.memory.rewind(Tables())
        for write in journal:
            answer = self._claim(write) if isinstance(write, Claim) else self._commit(write)
            if isinstance(answer, Refused):
                raise SimulationError(f"{self.name}: history does not repeat itself: {answer.detail}")
        check_sums(self.memory, self._plan.book)
        self._faults[Fault.FAILOVER] += bool(gone)
        return [_words(write) for write in gone]

    def _claim(self, claim: Claim) -> Standing:
        standing = self.memory.claim(claim)
        for partition, start in claim.starts.items():
            self.positions.setdefault(partition, start)
        self._journal.append(claim)
        newest = self._newest
        self._newest = Versions(max(newest.map, claim.map_version), max(newest.book, claim.book_version))
        self._check_cursors()
        return standing

    def _apply(self, transaction: Transaction) -> Outcome:
        in_order = all(self.positions.get(move.partition) == move.start for move in transaction.moves)
        if in_order and self._plan.cursed and self._plan.cursed & _identities(transaction):
            self._faults[Fault.POISON] += 1
            return Refused(Reaction.BISECT, f"{self.name}: a value is out of range")
        if self.packet_events_max is not None:
            events = len(_identities(transaction)) + len(transaction.quarantine)
            if events > self.packet_events_max:
                self._faults[Fault.SMALL_PACKETS] += 1
                return Refused(Reaction.SPLIT, f"{self.name}: {events} events are too much for a packet")
        return self._commit(transaction)

    def _commit(self, transaction: Transaction) -> Outcome:
        outcome = self.memory.apply(transaction)
        if isinstance(outcome, Applied):
            self._journal.append(transaction)
            self.committed += 1
            versions = Versions(transaction.map_version, transaction.book_version)
            expect(f"{self.name}: versions that may write", versions, self._newest)
            for move in transaction.moves:
                check_move(self.name, move, self.positions.get(move.partition), self._at_home(move))
                self.positions[move.partition] = move.stop
            written = outcome.written or transaction
            rows = list(written.records.tuples())
            check_transaction(self.name, written, rows, self._plan.book)
            add_records(self._counts, written, rows)
            check_counters(self.memory, self._plan.book, self._counts)
            self._check_cursors()
            if self.committed % SPARSE == 0:
                check_sums(self.memory, self._plan.book)
        return outcome

    def _at_home(self, move: CursorMove) -> int:
        """Return how many records of a move's span this shard accounts for."""
        homes = self._homes.get(move.partition, ())
        return bisect_left(homes, move.stop) - bisect_left(homes, move.start)

    def _check_cursors(self) -> None:
        found = {partition: cursor.next_offset for (_, partition), cursor in self.memory.tables.cursors.items()}
        if found != self.positions:
            raise SimulationError(f"{self.name}: cursors are {found}, but {self.positions} was applied")


def _identities(transaction: Transaction) -> set[Identity]:
    """Return what a transaction writes; one whose amounts are not known yet has no rows."""
    if transaction.draft is not None:
        charges = transaction.draft.charges
        days = (charges.time_us // DAY_US).tolist()
        return set(zip(charges.account.rows(), days, charges.key.to_pylist(), strict=True))
    rows = transaction.records.tuples()
    return {(account, day_number(day), event) for _, account, day, event, *_ in rows}


def _words(write: Claim | Transaction) -> str:
    if isinstance(write, Claim):
        return f"claim of {sorted(write.starts)}"
    return ", ".join(f"p{move.partition}[{move.start}, {move.stop})" for move in write.moves)
