"""Ledger: what the tables of a shard say of its accounts, each read in order of slot and account, a page at a time.

Owns how rows become sums, and which sums a server adds up itself. Must not know what should agree with what.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any, Final, Generic, TypeVar

import attrs
import numpy as np
from sqlalchemy import ColumnElement, Connection, Table, func, select, type_coerce
from sqlalchemy.types import NULLTYPE

from billing.charge import FOREIGN_SEPARATOR
from billing.digest import UINT64_MASK, UInt64s, line_checksums
from billing.keyset import pages
from billing.schema import balances, records, rollups, tiers
from billing.voids import VOIDED_RULE
from rules.columns import PICO_PLACES, Decimals

PAGE_ROWS: Final = 10_000  # of a table at a time: more make nothing faster, and take memory
EXACT: Final = Context(prec=80)
_T = TypeVar("_T")

RawText = str | bytes  # a key as the driver gives it: text from SQLite, else bytes; one or the other on a connection
Account = tuple[int, RawText]  # slot, account; what is compared a million times is not made text first


@attrs.frozen
class Sum:
    """Events, amount (currency units) and checksum of some lines."""

    events: int
    amount: Decimal
    checksum: int

    def plus(self, other: "Sum") -> "Sum":
        """Add exactly."""
        return Sum(
            self.events + other.events,
            EXACT.add(self.amount, other.amount),
            (self.checksum + other.checksum) & UINT64_MASK,
        )


@attrs.frozen
class Counter:
    """A row of `tiers`: lines, amount and quantity of a rule in the period from `period` (seconds since 1970)."""

    rule: str
    period: int
    lines: int
    amount: Decimal
    quantity: Decimal


@attrs.frozen
class Run:
    """Records of an account in one currency that follow one another in a page.

    home_events: events that the account itself was sent, and voids, once each; amounts, rules, times_us, quantities and
    lines: one a record.
    """

    currency: str
    total: Sum
    home_events: int
    amounts: Sequence[Decimal]
    rules: Sequence[RawText]
    times_us: Sequence[int]
    quantities: Sequence[Decimal | str]
    lines: Sequence[int]


class ByAccount(Generic[_T]):
    """Items in order of slot and account, of which the next one's account is known: what a merge needs."""

    def __init__(self, items: Iterator[tuple[Account, _T]]) -> None:
        self._items = items
        self._next = next(items, None)

    @property
    def account(self) -> Account | None:
        """The account of the next item; None after the last one."""
        return self._next and self._next[0]

    def take(self, account: Account) -> Iterator[_T]:
        """Yield the next items as long as they are this account's."""
        while self._next is not None and self._next[0] == account:
            yield self._next[1]
            self._next = next(self._items, None)


def read_runs(connection: Connection, page_rows: int, on_lines: Callable[[int], None]) -> Iterator[tuple[Account, Run]]:
    """Yield the records of a shard; on_lines: told how many were added up since the last call."""
    columns = _Raw(records)
    key = columns("slot", "account", "day", "event", "line")
    query = select(*key, *columns("currency", "digest", "amount", "rule", "time_us", "quantity"))
    for rows in pages(connection, query, key, page_rows):
        yield from _runs(rows)
        on_lines(len(rows))


def _runs(rows: Sequence[Any]) -> Iterator[tuple[Account, Run]]:
    slots, accounts, _, events, lines, currencies, digests, raw_amounts, *more = zip(*rows, strict=True)
    owners = list(zip(slots, accounts, currencies, strict=True))
    starts = [0, *(row for row in range(1, len(rows)) if owners[row] != owners[row - 1])]
    foreign = FOREIGN_SEPARATOR.encode() if isinstance(events[0], bytes) else FOREIGN_SEPARATOR
    line, mark = np.array(lines, dtype=np.int32), VOIDED_RULE.encode() if isinstance(foreign, bytes) else VOIDED_RULE
    is_charged = (line == 0) & np.fromiter((rule != mark for rule in more[0]), np.bool_, len(rows))
    counted = is_charged.astype(np.int64) - (line == -1)  # a void takes its event back, if there was one
    is_home = ((line == 0) | (line == -1)) & np.fromiter(
        (foreign not in event for event in events), np.bool_, len(rows)
    )
    amounts = list(map(Decimal, raw_amounts))
    sums = zip(
        np.add.reduceat(counted, starts).tolist(),
        np.add.reduceat(is_home, starts, dtype=np.int64).tolist(),
        np.add.reduceat(_checksums(digests, lines, amounts), starts).tolist(),  # uint64: mod 2^64 by itself
        strict=True,
    )
    for start, stop, (of_run, home_events, checksum) in zip(starts, [*starts[1:], len(rows)], sums, strict=True):
        slot, account, currency = owners[start]
        total = Sum(of_run, _added(amounts[start:stop]), checksum)
        details = (column[start:stop] for column in (amounts, *more, lines))
        yield (slot, account), Run(text_of(currency), total, home_events, *details)


def _added(amounts: Sequence[Decimal]) -> Decimal:
    if len(amounts) == 1:
        return amounts[0]
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))


def _checksums(digests: Sequence[int], lines: Sequence[int], amounts: Sequence[Decimal]) -> UInt64s:
    digest = np.array([one & UINT64_MASK for one in digests], dtype=np.uint64)
    line = np.array(lines, dtype=np.int32)
    pico = [int(amount.scaleb(PICO_PLACES, EXACT)) for amount in amounts]
    return line_checksums(digest, line, Decimals.of_integers(pico, PICO_PLACES))


def read_balances(connection: Connection, page_rows: int) -> Iterator[tuple[Account, tuple[str, Sum]]]:
    """Yield the balances of a shard by currency."""
    columns = _Raw(balances)
    key = columns("slot", "account", "currency")
    query = select(*key, *columns("events", "amount", "checksum"))
    for rows in pages(connection, query, key, page_rows):
        for slot, account, currency, events, amount, checksum in rows:
            yield (slot, account), (text_of(currency), _sum(events, amount, checksum))


def read_rollups(connection: Connection, page_rows: int) -> Iterator[tuple[Account, tuple[str, Sum]]]:
    """Yield parts of the sums of each rollup: the whole sum where the server adds exactly, else row by row.

    DECIMAL adds exactly, and so do sums of integers, which are DECIMAL; SQLite has neither.
    """
    columns = _Raw(rollups)
    sums = columns("events", "amount", "checksum")
    if connection.dialect.name == "sqlite":
        key = columns("slot", "account", "rollup", "bucket", "dims")
        query = select(*key, *sums)
    else:
        key = columns("slot", "account", "rollup")
        query = select(*key, *map(func.sum, sums)).group_by(*key)
    for rows in pages(connection, query, key, page_rows):
        for slot, account, rollup, *_, events, amount, checksum in rows:
            yield (slot, account), (text_of(rollup), _sum(events, amount, checksum))


def read_counters(connection: Connection, page_rows: int) -> Iterator[tuple[Account, Counter]]:
    """Yield the counters of a shard by rule and period."""
    columns = _Raw(tiers)
    key = columns("slot", "account", "rule", "period")
    for rows in pages(connection, select(*key, *columns("events", "amount", "quantity")), key, page_rows):
        for slot, account, rule, period, lines, amount, quantity in rows:
            yield (slot, account), Counter(text_of(rule), period, lines, Decimal(amount), Decimal(quantity))


def text_of(key: RawText) -> str:
    """Return a key as text."""
    return key.decode() if isinstance(key, bytes) else key


def _sum(events: Any, amount: Any, checksum: Any) -> Sum:  # noqa: ANN401 - the driver's types
    return Sum(int(events), Decimal(amount), int(checksum) & UINT64_MASK)


class _Raw:
    """Columns whose values come as the driver has them: converting each of them would take half of all time."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __call__(self, *names: str) -> list[ColumnElement[Any]]:
        return [type_coerce(self._table.c[name], NULLTYPE) for name in names]
