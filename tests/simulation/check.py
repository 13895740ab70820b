"""Checks: what must hold after every committed transaction, and what must be true at the end.

Owns the invariants of exactly-once and conservation, and the comparison with the independent oracle.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from billing.adapters.memory import MemoryShard
from billing.charge import FOREIGN_SEPARATOR
from billing.cursor import CursorRow
from billing.digest import line_checksums
from billing.fold import CursorMove, Transaction
from billing.moment import day_number
from billing.reads.balance import as_of
from billing.tail import Tail
from billing.voids import VOIDED_RULE
from billing.wire import Reason
from generators import oracle, oracle_book, oracle_files
from rules.columns import PICO_PLACES, Decimals
from tests.simulation.log import Place
from tests.simulation.plan import CUMULATIVE, Fact, Identity, Plan, Spreading, pricer

_UNREADABLE = b"refused by its shard"  # stands, for the oracle, where a shard cannot store an event
_Sums = dict[tuple[int, str], tuple[int, Decimal, int]]  # by slot and account: events, amount, checksum


Row = tuple[Any, ...]
Count = tuple[Decimal, int, Decimal]  # quantity, lines, amount
Counts = Mapping[tuple[int, str, str], Count]  # by slot, account and rule


class SimulationError(AssertionError):
    """Something happened that must never happen."""


class Freshness:
    """What readers are told of how fresh a balance is: it never goes back, unless a rollback was announced."""

    def __init__(self) -> None:
        self._last: dict[int, int] | None = None

    def check(self, shards: Sequence[MemoryShard], changed: Collection[int]) -> None:
        """Check what a reader of an account that is on all of these shards would be told now.

        changed: the partitions of which a cursor may have moved since the last check; what is told of one of them
        depends on no other. After a rollback that is all of them.
        """
        told = as_of({shard.name: _cursor_rows(shard, None if self._last is None else changed) for shard in shards})
        now = {int(one["partition"]): int(one["position"]) for one in told}
        if self._last is None:
            self._last = now
            return
        for partition in changed:
            position = self._last.get(partition)
            if position is not None and now.get(partition, -1) < position:
                raise SimulationError(f"as_of of p{partition} goes back from {position} to {now.get(partition)}")
        self._last.update(now)

    def forget(self) -> None:
        """Take what comes next as new: some writes were rolled back."""
        self._last = None


def _cursor_rows(shard: MemoryShard, partitions: Collection[int] | None) -> list[CursorRow]:
    """Return a shard's cursors, of all partitions or of some."""
    return [
        CursorRow(log, partition, cursor.next_offset, 0, 0, 0, 0, 0, 0, 0)
        for (log, partition), cursor in shard.tables.cursors.items()
        if partitions is None or partition in partitions
    ]


def expect(what: str, found: object, expected: object) -> None:
    """Raise SimulationError unless both are equal."""
    if found != expected:
        raise SimulationError(f"{what}: {_difference(found, expected)}")


def check_move(shard: str, move: CursorMove, position: int | None, at_home: int) -> None:
    """Check that a cursor moves on from what was applied, and accounts for each event in between exactly once."""
    where = f"{shard} p{move.partition}[{move.start}, {move.stop})"
    expect(f"{where}: start", move.start, position)
    expect(f"{where}: moves forward", move.stop > move.start, expected=True)
    settled = move.accepted + move.duplicates + move.quarantined
    expect(f"{where}: events accepted, dropped and in quarantine", settled, at_home)


def check_transaction(shard: str, transaction: Transaction, records: Sequence[Row], book: Path) -> None:
    """Check that what a transaction adds to balances and to each rollup is what its records add up to.

    And that the rows of each table come in the order of its primary key, in which everybody locks them. records: its
    rows as tuples.
    """
    balances, rollups = list(transaction.balances.tuples()), list(transaction.rollups.tuples())
    tiers = list(transaction.tiers.tuples()) if len(transaction.tiers) else []
    for table, rows, width in (
        ("records", records, 5),
        ("tiers", tiers, 4),
        ("rollups", rollups, 5),
        ("balances", balances, 3),
    ):
        if len(rows) > 1:
            keys = [row[:width] for row in rows]
            expect(f"{shard}: the order of rows in {table}", keys, sorted(keys))
    expected = _sums_of_lines(
        [row[:2] for row in records],
        [row[4] for row in records],
        [row[6] for row in records],
        [Decimal(row[9]) for row in records],
        [_events(row[4], transaction.records.tails[row[7]]) for row in records],
    )
    added = [(row[0], row[1], row[3], row[4], row[5]) for row in balances]
    expect(f"{shard}: a transaction's balances", _added(added), expected)
    by_rollup: dict[str, list[tuple[int, str, int, str, int]]] = {one.name: [] for one in pricer(book).book.rollups}
    for row in rollups:
        by_rollup[row[2]].append((row[0], row[1], row[5], row[7], row[8]))
    for name, of_rollup in by_rollup.items():
        expect(f"{shard}: a transaction's rollup {name}", _added(of_rollup), expected)


def check_sums(shard: MemoryShard, book: Path) -> None:
    """Check that a shard's records add up to its balances, to each rollup, and to what its cursors count."""
    tables = shard.tables
    keys, rows = list(tables.records), list(tables.records.values())
    places = [key[:2] for key in keys]
    events = [_events(key[4], tables.tails[key]) for key in keys]
    lines, digests, amounts = [key[4] for key in keys], [row[0] for row in rows], [row[2] for row in rows]
    expected = _sums_of_lines(places, lines, digests, amounts, events)
    balances = [(slot, account, *sums) for (slot, account, _), sums in tables.balances.items()]
    expect(f"{shard.name}: balances", _added(balances), expected)
    for name in [rollup.name for rollup in pricer(book).book.rollups]:
        of_rollup = [
            (key[0], key[1], events, amount, checksum)
            for key, (events, _, amount, checksum) in tables.rollups.items()
            if key[2] == name
        ]
        expect(f"{shard.name}: rollup {name}", _added(of_rollup), expected)
    cursors = tables.cursors.values()
    home = sum(line in {0, -1} and FOREIGN_SEPARATOR not in event for _, _, _, event, line in keys)
    expect(f"{shard.name}: accepted events", sum(cursor.accepted for cursor in cursors), home)
    expect(f"{shard.name}: quarantine", sum(cursor.quarantined for cursor in cursors), len(tables.quarantine))


def check_end(plan: Plan, shards: Sequence[MemoryShard]) -> None:
    """Check every shard, and all of them together against the oracle, to the last place."""
    for shard in shards:
        check_sums(shard, plan.book)
        stands = {partition: cursor.next_offset for (_, partition), cursor in shard.tables.cursors.items()}
        expect(f"{shard.name}: cursors", stands, plan.log.ends)
    billed = _billed(shards)
    payloads = plan.log.payloads()
    cursed = {place for place, fact in plan.facts.items() if fact.identity in plan.cursed}
    order = plan.log.order
    if plan.spreading is Spreading.ANYWHERE_WITH_CONFLICTS:
        winners = _winners(order, plan.facts, billed)
        order = sorted(order, key=lambda place: place not in winners)
    expected = oracle.run(
        [_UNREADABLE if place in cursed else payloads[place] for place in order], _oracle_book(plan.book), _reading
    )
    cursors = [cursor for shard in shards for cursor in shard.tables.cursors.values()]
    accepted, duplicates = (sum(getattr(cursor, name) for cursor in cursors) for name in ("accepted", "duplicates"))
    if plan.voids and plan.spreading is not Spreading.BY_ACCOUNT:  # an event that comes after its void is a repeat
        expect("events accepted or dropped", accepted + duplicates, expected.accepted + expected.duplicates)
    else:
        expect("events accepted", accepted, expected.accepted)
        expect("duplicates dropped", duplicates, expected.duplicates)
    reasons = {order[row]: reason for row, reason in expected.rejects.items()}
    reasons |= dict.fromkeys(cursed, Reason.STORE_REJECTED.value)
    quarantined = [(place[1:], reject) for shard in shards for place, reject in shard.tables.quarantine.items()]
    held = dict(quarantined)
    expect("events in quarantine are there once", len(quarantined), len(held))
    expect("quarantine", {place: reject.reason.value for place, reject in held.items()}, reasons)
    kept = {place: reject.payload for place, reject in held.items()}
    expect("payloads in quarantine", kept, {place: payloads[place] for place in reasons})
    expect("balances", _balances(shards), {account: amount for account, amount in expected.balances.items() if amount})
    expect("credits", _credits(shards), _expected_credits(expected))
    found, wanted = _rollups(shards), _expected_rollups(expected)
    if plan.book == CUMULATIVE:  # which event crosses a tier is a matter of order: the amounts agree over all buckets
        expect("quantities in rollups", *({key: both[0] for key, both in one.items()} for one in (found, wanted)))
        found, wanted = _over_buckets(found), _over_buckets(wanted)
    expect("rollups", found, wanted)
    counting = _counting(plan.book)
    used = {
        (account, rule): (total.quantity, total.lines, total.amount)
        for (account, rule), total in expected.rules.items()
        if rule in counting
    }
    expect("counters", _counters(shards, lambda _, account, rule: (account, rule)), used)


_reading = lru_cache(maxsize=2**16)(oracle.read)  # logs are cut out of the same 32,768 events, but for the voids


@lru_cache(maxsize=2)
def _oracle_book(book: Path) -> oracle_book.Book:
    return oracle_files.load(book)


def check_counters(shard: MemoryShard, book: Path, records: Counts) -> None:
    """Check that counters say what the records of their rules add up to: quantity, lines and amount."""
    counting = _counting(book)
    expected = {key: counts for key, counts in records.items() if key[2] in counting} if counting else {}
    expect(f"{shard.name}: counters", _counters([shard], lambda *key: key), expected)


@lru_cache(maxsize=2)
def _counting(book: Path) -> frozenset[str]:
    """Return the rules that count."""
    return frozenset(rule.id for rule in pricer(book).book.rules if rule.per is not None)


def add_records(counts: dict[tuple[int, str, str], Count], transaction: Transaction, records: Iterable[Row]) -> None:
    """Add one more transaction, whose records these are, to what records add up to, by slot, account and rule."""
    for row in records:
        key = row[0], row[1], transaction.records.tails[row[7]].rule
        lines = 1 if row[4] >= 0 else -1
        counts[key] = _plus(counts.get(key), (Decimal(row[8]), lines, Decimal(row[9])))


def _counters(shards: Iterable[MemoryShard], key: Callable[[int, str, str], Any]) -> dict[Any, Count]:
    total: dict[Any, Count] = {}
    for shard in shards:
        for (slot, account, rule, _), count in shard.tables.tiers.items():
            place = key(slot, account, rule)
            total[place] = _plus(total.get(place), count)
    return total


def _plus(left: Count | None, right: Count) -> Count:
    return right if left is None else (left[0] + right[0], left[1] + right[1], left[2] + right[2])


def _over_buckets(rollups: Mapping[Any, tuple[Decimal, Decimal]]) -> dict[Any, Decimal]:
    sums: dict[Any, Decimal] = {}
    for (account, rollup, _, _), (_, amount) in rollups.items():
        sums[account, rollup] = sums.get((account, rollup), Decimal(0)) + amount
    return {key: amount for key, amount in sums.items() if amount}


def _sums_of_lines(
    places: Sequence[tuple[int, str]],
    lines: Sequence[int],
    digests: Sequence[int],
    amounts: Sequence[Decimal],
    events: Sequence[int],
) -> _Sums:
    if not places:
        return {}
    pico = [int(amount.scaleb(PICO_PLACES)) for amount in amounts]
    checksums = line_checksums(
        np.array(digests, dtype=np.uint64), np.array(lines, dtype=np.int32), Decimals.of_integers(pico, PICO_PLACES)
    )
    rows = zip(places, events, amounts, checksums.tolist(), strict=True)
    return _added((*place, count, amount, checksum) for place, count, amount, checksum in rows)


def _events(line: int, tail: Tail) -> int:
    """Return how many events a record adds to its account: a void takes one back, if it found one."""
    return 0 if tail.rule == VOIDED_RULE else (line == 0) - (line == -1)


def _added(rows: Iterable[tuple[int, str, int, str | Decimal, int]]) -> _Sums:
    sums: _Sums = {}
    for slot, account, events, amount, checksum in rows:
        old = sums.get((slot, account), (0, Decimal(0), 0))
        sums[slot, account] = old[0] + events, old[1] + Decimal(amount), (old[2] + checksum) % 2**64
    return sums


def _billed(shards: Sequence[MemoryShard]) -> dict[Identity, int]:
    """Return the digest billed under each identity, after checking that none is billed in two places."""
    billed: dict[Identity, int] = {}
    for shard in shards:
        for (_, account, day, event, line), (digest, _, _) in shard.tables.records.items():
            if line == 0 and FOREIGN_SEPARATOR not in event:
                identity = account, day_number(day), event
                expect(f"{identity} is billed once", identity in billed, expected=False)
                billed[identity] = digest
    return billed


def _winners(order: Sequence[Place], facts: Mapping[Place, Fact], billed: Mapping[Identity, int]) -> set[Place]:
    """Return for each identity the first record with the body that was billed."""
    winners: dict[Identity, Place] = {}
    for place in order:
        fact = facts[place]
        if fact.identity is not None and billed.get(fact.identity) == fact.digest:
            winners.setdefault(fact.identity, place)
    return set(winners.values())


def _balances(shards: Sequence[MemoryShard]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for shard in shards:
        for (_, account, _), (_, amount, _) in shard.tables.balances.items():
            sums[account] = sums.get(account, Decimal(0)) + amount
    return {account: amount for account, amount in sums.items() if amount}


def _credits(shards: Sequence[MemoryShard]) -> dict[Any, tuple[Decimal, int]]:
    """Return what every credit adds up to with its void, and how many rows say so, where that is not nothing."""
    sums: dict[Any, tuple[Decimal, int]] = {}
    for shard in shards:
        for row in shard.tables.credits.values():
            amount, rows = sums.get((row.account, row.time_us, row.event), (Decimal(0), 0))
            sums[row.account, row.time_us, row.event] = amount + row.amount, rows + 1
    return {key: both for key, both in sums.items() if both != (0, 2)}


def _expected_credits(expected: oracle.Expected) -> dict[Any, tuple[Decimal, int]]:
    given = [(account, one) for account, of_account in expected.credits.items() for one in of_account]
    return {(account, one.time_us, one.id): (one.terms.amount, 1) for account, one in given}


def _rollups(shards: Sequence[MemoryShard]) -> dict[Any, tuple[Decimal, Decimal]]:
    sums: dict[Any, tuple[Decimal, Decimal]] = {}
    for shard in shards:
        for (_, account, rollup, bucket, dims), (_, quantity, amount, _) in shard.tables.rollups.items():
            key = account, rollup, bucket * 1_000_000, tuple(msgspec.json.decode(dims))
            old = sums.get(key, (Decimal(0), Decimal(0)))
            sums[key] = old[0] + quantity, old[1] + amount
    return {key: both for key, both in sums.items() if any(both)}


def _expected_rollups(expected: oracle.Expected) -> dict[Any, tuple[Decimal, Decimal]]:
    sums = {key: (total.quantity, total.amount) for key, total in expected.rollups.items()}
    return {key: both for key, both in sums.items() if any(both)}


def _difference(found: object, expected: object) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = [key for key in (*expected, *found) if found.get(key) != expected.get(key)]
        few = [f"{key}: found {found.get(key)}, expected {expected.get(key)}" for key in dict.fromkeys(keys[:4])]
        return f"{len(set(keys))} differ: {'; '.join(few)}"
    return f"found {found}, expected {expected}"
