"""Usage: rows of a rollup made coarser: longer buckets, fewer dimensions, gaps filled.

Owns which rollup answers a question. Must not know where rows come from.
"""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

import attrs
import msgspec
import numpy as np
from sqlalchemy import select

from billing.exact import EXACT
from billing.moment import SECOND_US, bucket_seconds
from billing.reads.balance import UsageRow
from billing.reads.question import Question
from billing.schema import rollups
from rules.book import Book, Every, Rollup

_LENGTH: Final = {Every.HOUR: 0, Every.DAY: 1, Every.MONTH: 2}
_SECONDS: Final = {Every.HOUR: 3_600, Every.DAY: 86_400, Every.MONTH: 28 * 86_400}  # at least
_ROWS: Final = select(rollups.c.bucket, rollups.c.dims, rollups.c.events, rollups.c.quantity, rollups.c.amount)
Dims = tuple[str | None, ...]


class UsageSum(msgspec.Struct, frozen=True):
    """Usage in one bucket (start, seconds since 1970-01-01 UTC) with these values of the dimensions asked for."""

    bucket: int
    dims: Dims
    events: int
    quantity: Decimal
    amount: Decimal


@attrs.define
class _Total:
    """What rows add up to, exactly, so far."""

    events: int = 0
    quantity: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)

    def add(self, row: UsageRow | UsageSum) -> None:
        self.events += row.events
        self.quantity = EXACT.add(self.quantity, row.quantity)
        self.amount = EXACT.add(self.amount, row.amount)

    def sum(self, bucket: int, dims: Dims) -> UsageSum:
        return UsageSum(bucket, dims, self.events, self.quantity, self.amount)


def fitting(book: Book, every: Every, by: Sequence[str]) -> Rollup | None:
    """Return the rollup with the fewest rows that add up to what is asked for, or None where none has it."""
    able = [one for one in book.rollups if is_able(one, every, by)]
    return min(able, key=lambda one: (-_LENGTH[one.every], len(one.by)), default=None)


def is_able(rollup: Rollup, every: Every, by: Sequence[str]) -> bool:
    """Tell whether sums of a rollup add up to buckets of `every` by these dimensions."""
    return _LENGTH[rollup.every] <= _LENGTH[every] and {*by} <= {*rollup.by}


def aligned(span: range, every: Every) -> range:
    """Move the start of a span (seconds since 1970) back to its bucket's."""
    return range(_start(span.start, every), span.stop)


def regrouped(rows: Iterable[UsageRow], rollup: Rollup, every: Every, by: Sequence[str]) -> list[UsageSum]:
    """Add rows up to buckets of `every` by these dimensions, exactly, in order of time and dimensions.

    Rows that an older book summed by other dimensions count with none of them.
    """
    places = [rollup.by.index(name) for name in by]
    dims_of: dict[str, Dims] = {}  # rows repeat few texts
    totals: dict[tuple[int, Dims], _Total] = {}
    for row in rows:
        dims = dims_of.get(row.dims)
        if dims is None:
            values = json.loads(row.dims)
            dims = tuple(values[place] for place in places) if len(values) == len(rollup.by) else (None,) * len(places)
            dims_of[row.dims] = dims
        key = row.bucket if every == rollup.every else _start(row.bucket, every), dims
        total = totals.get(key)
        if total is None:
            total = totals[key] = _Total()
        total.add(row)
    return [totals[key].sum(*key) for key in sorted(totals, key=_order)]


def usage_rows_of(account: str, slots: Sequence[int], rollup: str, span: range, limit: int) -> Question[list[UsageRow]]:
    """Ask for an account's rows of a rollup on one shard, of buckets that start within `span` (seconds since 1970)."""
    query = _ROWS.where(rollups.c.slot.in_(slots), rollups.c.account == account, rollups.c.rollup == rollup)
    query = query.where(rollups.c.bucket >= span.start, rollups.c.bucket < span.stop).limit(limit)
    return Question(lambda _: [query], lambda rows: [UsageRow(*row) for row in rows])


def filled_rows(sums: Sequence[UsageSum], every: Every, span: range) -> int:
    """Return about how many rows `filled` makes, never too few by more than one a combination."""
    return max(len({one.dims for one in sums}), 1) * (len(span) // _SECONDS[every])


def filled(sums: Sequence[UsageSum], every: Every, span: range) -> list[UsageSum]:
    """Add a row of zeros for each bucket of the span in which a combination of dimensions has none."""
    found = {(one.bucket, one.dims): one for one in sums}
    series = {one.dims for one in sums} or {()}
    keys = sorted(((bucket, dims) for bucket in buckets(every, span) for dims in series), key=_order)
    return [found.get(key) or _Total().sum(*key) for key in keys]


def buckets(every: Every, span: range) -> list[int]:
    """Return the starts of all buckets that begin within a span that is aligned."""
    if every == Every.MONTH:
        first, last = np.array([span.start, span.stop], dtype="datetime64[s]").astype("datetime64[M]")
        months = np.arange(first, last + 1)
        starts = months.astype("datetime64[s]").astype(np.int64).tolist()
        return [start for start in starts if start in span]
    return list(range(span.start, span.stop, _SECONDS[every]))


def named(dims: str, rollup: Rollup) -> dict[str, str | None]:
    """Name the values of a rollup's row; what an older book summed by differently keeps the places it had."""
    values: list[str | None] = json.loads(dims)
    names = rollup.by if len(rollup.by) == len(values) else tuple(map(str, range(len(values))))
    return dict(zip(names, values, strict=True))


def total_of(sums: Iterable[UsageSum]) -> UsageSum:
    """Add everything."""
    total = _Total()
    for one in sums:
        total.add(one)
    return total.sum(0, ())


@lru_cache(maxsize=100_000)  # hours of a decade
def _start(seconds: int, every: Every) -> int:
    return int(bucket_seconds(np.array([seconds * SECOND_US], dtype=np.int64), every.value)[0])


def _order(key: tuple[int, Dims]) -> tuple[int, list[str]]:
    return key[0], [value or "" for value in key[1]]
