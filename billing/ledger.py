"""Ledger: what the tables of a shard say of its accounts, each read in order of slot and account, a page at a time.

Owns how rows become sums, and which sums a server adds up itself. Must not know what should agree with what.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from typing import Any, Final, Generic, TypeVar

import attrs
import msgspec
import numpy as np
from sqlalchemy import ColumnElement, Connection, Table, case, func, select, type_coerce
from sqlalchemy.types import NULLTYPE

from billing.charge import FOREIGN_SEPARATOR
from billing.credit import Credit
from billing.digest import UINT64_MASK, UInt64s, line_checksums
from billing.exact import EXACT, pico_of
from billing.keyset import pages
from billing.schema import balances, records, rollups, tiers
from billing.schema import credits as credit_table
from billing.tail import CREDIT_RULE
from billing.voids import VOIDED_RULE
from rules.columns import PICO_PLACES, Decimals

PAGE_ROWS: Final = 10_000  # of a table at a time: more make nothing faster, and take memory
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
    lines: one a record; credits: those of them that are credits.
    """

    currency: str
    total: Sum
    home_events: int
    amounts: Sequence[Decimal]
    rules: Sequence[RawText]
    times_us: Sequence[int]
    quantities: Sequence[Decimal | str]
    lines: Sequence[int]
    credits: Sequence["CreditEntry"]


@attrs.frozen
class CreditEntry:
    """A credit, or a void of one, as its record or as its row of `credits` says; the key is within its account.

    terms: as JSON, "" of a void; amount: in currency units, None where a record only has the terms.
    """

    day: str
    event: str
    line: int
    digest: int
    currency: str
    terms: str
    amount: Decimal | None = attrs.field(default=None, eq=False)

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what is left of the primary key."""
        return self.day, self.event, self.line


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
    terms = type_coerce(case((records.c.rule == CREDIT_RULE, records.c.kept), else_=""), NULLTYPE)
    query = select(*key, *columns("currency", "digest", "amount", "rule", "time_us", "quantity"), terms)
    for rows in pages(connection, query, key, page_rows):
        yield from _runs(rows)
        on_lines(len(rows))


def _runs(rows: Sequence[Any]) -> Iterator[tuple[Account, Run]]:
    slots, accounts, days, events, lines, currencies, digests, raw_amounts, *more, terms = zip(*rows, strict=True)
    owners = list(zip(slots, accounts, currencies, strict=True))
    starts = [0, *(row for row in range(1, len(rows)) if owners[row] != owners[row - 1])]
    foreign = FOREIGN_SEPARATOR.encode() if isinstance(events[0], bytes) else FOREIGN_SEPARATOR
    line = np.array(lines, dtype=np.int32)
    mark, credit = (rule.encode() if isinstance(foreign, bytes) else rule for rule in (VOIDED_RULE, CREDIT_RULE))
    is_charged = (line == 0) & np.fromiter((rule != mark for rule in more[0]), np.bool_, len(rows))
    counted = is_charged.astype(np.int64) - (line == -1)  # a void takes its event back, if there was one
    is_home = ((line == 0) | (line == -1)) & np.fromiter(
        (foreign not in event for event in events), np.bool_, len(rows)
    )
    amounts = list(map(Decimal, raw_amounts))
    credited = [row for row, rule in enumerate(more[0]) if rule == credit]
    sums = zip(
        np.add.reduceat(counted, starts).tolist(),
        np.add.reduceat(is_home, starts, dtype=np.int64).tolist(),
        np.add.reduceat(_checksums(digests, lines, amounts), starts).tolist(),  # uint64: mod 2^64 by itself
        strict=True,
    )
    for start, stop, (of_run, home_events, checksum) in zip(starts, [*starts[1:], len(rows)], sums, strict=True):
        slot, account, currency = owners[start]
        total = Sum(of_run, _added(amounts[start:stop]), checksum)
        rules, times_us, quantities = (column[start:stop] for column in more)
        entries = [
            CreditEntry(
                *(str(days[row]), text_of(events[row]), lines[row], digests[row] & UINT64_MASK),
                *(text_of(currency), text_of(terms[row])),
            )
            for row in credited[bisect_left(credited, start) : bisect_left(credited, stop)]
        ]
        yield (slot, account), Run(
            text_of(currency), total, home_events, amounts[start:stop], rules, times_us, quantities, lines[start:stop],
            entries,
        )  # fmt: skip


def _added(amounts: Sequence[Decimal]) -> Decimal:
    if len(amounts) == 1:
        return amounts[0]
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))


def _checksums(digests: Sequence[int], lines: Sequence[int], amounts: Sequence[Decimal]) -> UInt64s:
    digest = np.array([one & UINT64_MASK for one in digests], dtype=np.uint64)
    line = np.array(lines, dtype=np.int32)
    pico = Decimals.of_integers(list(map(pico_of, amounts)), PICO_PLACES)
    return line_checksums(digest, line, pico)


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


def read_credits(connection: Connection, page_rows: int) -> Iterator[tuple[Account, CreditEntry]]:
    """Yield the credits of a shard, voided ones too."""
    raw, table = _Raw(credit_table), credit_table.c
    key = raw("slot", "account", "day", "event", "line")
    terms = (table.kind, table.currency, table.amount, table.cost, table.priority, table.expires_us, table.products)
    for rows in pages(connection, select(*key, table.digest, *terms), key, page_rows):
        for slot, account, day, event, line, digest, kind, currency, amount, cost, priority, expires_us, scope in rows:
            products = tuple(msgspec.json.decode(scope)) if scope else ()
            text = Credit(kind, currency, amount, cost, priority, expires_us, products).text if line >= 0 else ""
            yield (slot, account), CreditEntry(str(day), text_of(event), line, digest, currency, text, amount)


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
