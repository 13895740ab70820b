"""A shard in memory: the contract in its smallest form, for tests and for the simulator.

Permitted faults: none of its own. The simulator drops, delays, repeats or answers falsely around `claim`, `apply` and
`existing`, and takes back committed transactions with `rewind`; whatever it does, a transaction is applied whole or
not at all.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from decimal import Decimal
from itertools import count, takewhile
from typing import Any

import attrs

from billing.credit_rows import CreditRow
from billing.cursor import Claim, Standing
from billing.dedupe import PartKey
from billing.event import Rejected
from billing.exact import EXACT, pico_of
from billing.fold import Transaction
from billing.moment import day_text
from billing.ports import Applied, Outcome, Reaction, Refused
from billing.tail import Tail
from billing.tiers import TierKey, used_of
from billing.voids import Known, KnownLine


@attrs.define
class Cursor:
    """One cursor row."""

    next_offset: int
    map_version: int
    book_version: int
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0


@attrs.define
class Tables:
    """The rows of a shard, by primary key."""

    cursors: dict[tuple[str, int], Cursor] = attrs.Factory(dict)
    records: dict[tuple[int, str, str, str, int], tuple[int, Decimal, Decimal]] = attrs.Factory(dict)
    tails: dict[tuple[int, str, str, str, int], Tail] = attrs.Factory(dict)  # what else a record says
    rollups: dict[tuple[int, str, str, int, str], tuple[int, Decimal, Decimal, int]] = attrs.Factory(dict)
    balances: dict[tuple[int, str, str], tuple[int, Decimal, int]] = attrs.Factory(dict)
    tiers: dict[TierKey, tuple[Decimal, int, Decimal]] = attrs.Factory(dict)
    credits: dict[tuple[int, str, str, str, int], CreditRow] = attrs.Factory(dict)
    quarantine: dict[tuple[str, int, int], Rejected] = attrs.Factory(dict)


class MemoryShard:
    """The tables of one shard and the three calls that change or read them, without I/O."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tables = Tables()

    def claim(self, claim: Claim) -> Standing:
        """Create missing cursors, take over older versions, return where every cursor stands."""
        cursors = self.tables.cursors
        for partition, start in claim.starts.items():
            fresh = Cursor(start, claim.map_version, claim.book_version)
            cursors.setdefault((claim.log, partition), fresh)
        of_log = [cursor for (log, _), cursor in cursors.items() if log == claim.log]
        standing = Standing(
            {partition: cursors[claim.log, partition].next_offset for partition in claim.starts},
            max(cursor.map_version for cursor in of_log),
            max(cursor.book_version for cursor in of_log),
        )
        for cursor in of_log:
            cursor.map_version = max(cursor.map_version, claim.map_version)
            cursor.book_version = max(cursor.book_version, claim.book_version)
        return standing

    def apply(self, transaction: Transaction) -> Outcome:
        """Write a transaction: all of it or nothing."""
        tables = self.tables
        fence = self._fence(transaction)
        if fence is not None:
            return Refused(Reaction.FENCED, f"{self.name}: {fence}")
        transaction = self._settled(transaction)
        rows = list(transaction.records.tuples())
        keys = [row[:5] for row in rows]
        if len(set(keys)) < len(keys) or any(key in tables.records for key in keys):
            return Refused(Reaction.DUPLICATES, f"{self.name}: a record exists already")
        for move in transaction.moves:
            cursor = tables.cursors[transaction.log, move.partition]
            cursor.next_offset = move.stop
            cursor.accepted += move.accepted
            cursor.duplicates += move.duplicates
            cursor.quarantined += move.quarantined
        for row in rows:
            tables.records[row[:5]] = row[6], Decimal(row[8]), Decimal(row[9])
            tables.tails[row[:5]] = transaction.records.tails[row[7]]
        _upsert(
            tables.rollups,
            ((row[:5], (row[5], Decimal(row[6]), Decimal(row[7]), row[8])) for row in transaction.rollups.tuples()),
        )
        _upsert(
            tables.balances,
            ((row[:3], (row[3], Decimal(row[4]), row[5])) for row in transaction.balances.tuples()),
        )
        for *key, quantity, events, amount in transaction.tiers.tuples():
            tables.tiers[tuple(key)] = Decimal(quantity), events, Decimal(amount)
        for credit in transaction.credits:
            tables.credits.setdefault(credit.key, credit)
        for reject in transaction.quarantine:
            tables.quarantine.setdefault((transaction.log, reject.partition, reject.offset), reject)
        return Applied(transaction)

    def roll_back(self, transaction: Transaction) -> None:
        """Do what `apply` does up to its first write, and no more: the transaction has begun, and is rolled back."""
        if self._fence(transaction) is None:
            self._settled(transaction)

    def _fence(self, transaction: Transaction) -> str | None:
        """Return what keeps the transaction from being written, if anything does."""
        versions = transaction.map_version, transaction.book_version
        cursors = self.tables.cursors
        for move in transaction.moves:
            cursor = cursors.get((transaction.log, move.partition))
            if cursor is None or (cursor.next_offset, cursor.map_version, cursor.book_version) != (
                move.start,
                *versions,
            ):
                return f"cursor of partition {move.partition} does not match"
        for cursor in cursors.values() if not transaction.moves else ():
            if cursor.map_version > versions[0] or cursor.book_version > versions[1]:
                return "a cursor has a newer map or book"
        return None

    def existing(self, keys: Sequence[PartKey]) -> Mapping[PartKey, Known]:
        """Return what there is of those parts that have records."""
        return {key: known for key in keys if (known := self._known(key)) is not None}

    def _known(self, key: PartKey) -> Known | None:
        place = key.slot, key.account, day_text(key.day), key.key
        records = self.tables.records
        if (*place, 0) not in records:
            return None
        if not key.void:
            return Known(records[*place, 0][0])
        rows = []
        lines = takewhile(lambda line: (*place, line) in records, count())
        for line in (*lines, *(line for line in (-1,) if (*place, line) in records)):
            (digest, quantity, amount), tail = records[*place, line], self.tables.tails[*place, line]
            numbers = pico_of(quantity), pico_of(amount)
            rows.append((line, digest, KnownLine(tail.product, tail.rule, tail.currency, tail.book_version, *numbers)))
        return Known.of_rows(rows)

    def _settled(self, transaction: Transaction) -> Transaction:
        if transaction.counters is None:
            return transaction
        keys = transaction.counters.tuples()
        state = [self.tables.tiers.get(key, (Decimal(0), 0, Decimal(0))) for key in keys]
        quantities, events, amounts = zip(*state, strict=True)
        return transaction.settled(used_of(list(map(pico_of, quantities)), events, list(map(pico_of, amounts))))

    def snapshot(self) -> Tables:
        """Return a copy of all tables."""
        return deepcopy(self.tables)

    def rewind(self, tables: Tables) -> None:
        """Become what a snapshot was: a failover to a copy that lacks the last transactions."""
        self.tables = deepcopy(tables)


class MemoryStore:
    """A memory shard behind the contract of `billing.ports.Store`."""

    def __init__(self, shard: MemoryShard) -> None:
        self.name = shard.name
        self.shard = shard

    async def claim(self, claim: Claim) -> Standing | Refused:
        """Answer at once."""
        return self.shard.claim(claim)

    async def apply(self, transaction: Transaction) -> Outcome:
        """Answer at once."""
        return self.shard.apply(transaction)

    def prepare(self, transaction: Transaction) -> None:
        """Leave it as it is."""

    async def existing(self, keys: Sequence[PartKey]) -> Mapping[PartKey, Known] | Refused:
        """Answer at once."""
        return self.shard.existing(keys)

    async def close(self) -> None:
        """Keep the tables: there is nothing to close."""


def _upsert(table: dict[Any, Any], rows: Any) -> None:  # noqa: ANN401 - two tables of different width
    """Add each row to the one that stands: counts and decimals exactly, the checksum (last) mod 2^64."""
    for key, row in rows:
        old = table.get(key)
        if old is None:
            table[key] = row
        else:
            middle = (
                EXACT.add(a, b) if isinstance(a, Decimal) else a + b for a, b in zip(old[:-1], row[:-1], strict=True)
            )
            table[key] = (*middle, (old[-1] + row[-1]) % 2**64)
