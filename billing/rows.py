"""Rows: what a batch writes to each table, added up exactly and sorted by primary key.

Owns the sums of a batch and the order of its rows. Must not know SQL text.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property, lru_cache
from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.charge import Charges
from billing.digest import UInt64s
from billing.lines import ACCOUNT, DAY, DIGEST, KEPT, LINE, PART, SLOT, TAIL, TIME_US, lines_of
from billing.order import Order, part_order, ranked
from billing.sums import DAILY, EVER, HOURLY, MONTHLY, added_up
from billing.tail import Tail
from billing.texts import NO_TEXTS, Pool, Texts, pool_of
from rules.book import Book, Every, Rollup
from rules.columns import Decimals, Dictionary, Int32s, Int64s, texts_of

_EVERY: Final = {Every.HOUR: HOURLY, Every.DAY: DAILY, Every.MONTH: MONTHLY}
_FIRST_DAY, _LAST_DAY = 7_305, 51_134  # 1990 to 2109: more than events may have; since 1970-01-01
_TEXTS_MAX: Final = 100_000  # amounts whose text is remembered, about 15 MB; prices repeat far more than that
Rows = tuple[tuple[Any, ...], ...]  # made once, by who needs them, which servers do not


@attrs.frozen(eq=False)
class RecordColumns:
    """Rows of `records`, sorted by primary key; columns of equal length.

    slot, account, day (YYYY-MM-DD), event, line, time_us, digest uint64, tail (into tails),
    quantity and amount decimals (at most 12 places), kept (JSON text).
    """

    slot: NDArray[np.uint16]
    account: Texts
    day: Texts
    event: Texts
    line: Int32s
    time_us: Int64s
    digest: UInt64s
    tail: Int32s
    tails: Dictionary[Tail]
    quantity: Decimals
    amount: Decimals
    kept: Texts

    def __len__(self) -> int:
        return len(self.slot)

    @cached_property
    def _tuples(self) -> Rows:
        columns = (self.slot, self.account, self.day, self.event, self.line, self.time_us, self.digest, self.tail)
        return tuple(zipped(*columns, self.quantity, self.amount, self.kept))

    def tuples(self) -> Rows:
        """Return slot, account, day, event, line, time_us, digest, tail, quantity, amount, kept; decimals as text."""
        return self._tuples


@attrs.frozen(eq=False)
class RollupColumns:
    """Rows of `rollups`, sorted by primary key: sums over the lines of a batch.

    slot, account, rollup, bucket int64 (start, seconds since 1970-01-01 UTC), dims (JSON array), events int64,
    quantity and amount decimals, checksum uint64.
    """

    slot: NDArray[np.uint16]
    account: Texts
    rollup: Texts
    bucket: Int64s
    dims: Texts
    events: Int64s
    quantity: Decimals
    amount: Decimals
    checksum: UInt64s

    def __len__(self) -> int:
        return len(self.slot)

    @cached_property
    def _tuples(self) -> Rows:
        columns = (self.slot, self.account, self.rollup, self.bucket, self.dims, self.events)
        return tuple(zipped(*columns, self.quantity, self.amount, self.checksum))

    def tuples(self) -> Rows:
        """Return slot, account, rollup, bucket, dims, events, quantity text, amount text, checksum of each row."""
        return self._tuples


@attrs.frozen(eq=False)
class BalanceColumns:
    """Rows of `balances`, sorted by primary key: sums over the lines of a batch.

    slot, account, currency, events int64, amount decimals, checksum uint64.
    """

    slot: NDArray[np.uint16]
    account: Texts
    currency: Texts
    events: Int64s
    amount: Decimals
    checksum: UInt64s

    def __len__(self) -> int:
        return len(self.slot)

    @cached_property
    def _tuples(self) -> Rows:
        return tuple(zipped(self.slot, self.account, self.currency, self.events, self.amount, self.checksum))

    def tuples(self) -> Rows:
        """Return slot, account, currency, events, amount text, checksum of each row."""
        return self._tuples


def _no_rows() -> tuple[RecordColumns, RollupColumns, BalanceColumns]:
    zeros, none = np.zeros(0, dtype=np.int64), Decimals(np.zeros(0, dtype=np.int64), 0)
    slot, line, hashes = zeros.astype(np.uint16), zeros.astype(np.int32), zeros.astype(np.uint64)
    text = NO_TEXTS
    return (
        RecordColumns(slot, text, text, text, line, zeros, hashes, line, Dictionary(), none, none, text),
        RollupColumns(slot, text, text, zeros, text, zeros, none, none, hashes),
        BalanceColumns(slot, text, text, zeros, none, hashes),
    )


NO_ROWS: Final = _no_rows()  # of a batch without parts, or one whose amounts are not known yet


def table_rows(
    charges: Charges, slot: NDArray[np.uint16], book: Book, order: Order | None = None
) -> tuple[RecordColumns, RollupColumns, BalanceColumns]:
    """Build the rows of a batch whose parts are all new; slot: uint16[n], one a part; order: theirs, where known."""
    if not len(charges):
        return NO_ROWS
    order = part_order(charges, slot) if order is None else order
    lines = lines_of(charges, slot, order)
    facts: _Facts = charges.tails.derived_of_all(_facts_of(book.rollups))
    sums, totals = added_up(lines, facts.every, facts.ranks)
    accounts = charges.account.values.derived_of_all(pool_of)
    columns = lines.columns
    days = columns[DAY] - _FIRST_DAY
    assert days.view(np.uint64).max() < len(_days()), "events are of days that are known"
    slots, codes = columns[SLOT], columns[ACCOUNT]
    records = RecordColumns(
        slot=slots,
        account=Texts(accounts, codes),
        day=Texts(_days(), days),
        event=Texts(order.keys, columns[PART]),
        line=columns[LINE],
        time_us=columns[TIME_US],
        digest=columns[DIGEST].view(np.uint64),
        tail=columns[TAIL],
        tails=charges.tails,
        quantity=lines.quantity,
        amount=lines.amount,
        kept=Texts(_with_none(Pool.of(charges.kept)), columns[KEPT]),  # once an event, not once a line
    )
    rollups = RollupColumns(
        slot=slots[sums.line],
        account=Texts(accounts, codes[sums.line]),
        rollup=Texts(facts.names, sums.way),
        bucket=sums.start,
        dims=Texts(facts.dims, sums.rank),
        events=sums.events,
        quantity=sums.quantity,
        amount=sums.amount,
        checksum=sums.checksum,
    )
    balances = BalanceColumns(
        slot=slots[totals.line],
        account=Texts(accounts, codes[totals.line]),
        currency=Texts(facts.currencies, totals.rank),
        events=totals.events,
        amount=totals.amount,
        checksum=totals.checksum,
    )
    return records, rollups, balances


@cache
def _days() -> Pool:
    """Return the text of every day that events may have: fewer bytes than one batch, and never made again."""
    return Pool.of_list(np.arange(_FIRST_DAY, _LAST_DAY).astype("datetime64[D]").astype(str).tolist())


def _with_none(texts: Pool) -> Pool:
    """Return the texts and an empty one."""
    bounds = np.append(texts.bounds, texts.bounds[-1:])
    bounds.flags.writeable = False
    return Pool(texts.letters, bounds)


def decimal_texts(column: Decimals) -> list[str]:
    """Render decimals as plain text: digits, and a point where the column's scale is above 0."""
    return list(map(_texts(column.scale).__getitem__, column.units.tolist()))


def decimal_text(units: int, scale: int) -> str:
    """Render one decimal as `decimal_texts` does."""
    whole, fraction = divmod(abs(units), 10**scale)
    return f"{'-' if units < 0 else ''}{whole}" + (f".{fraction:0{scale}d}" if scale else "")


class _Texts(dict[int, str]):
    """The texts of numbers of units, made when first asked for."""

    def __init__(self, scale: int) -> None:
        self._scale = scale

    def __missing__(self, units: int) -> str:
        if len(self) >= _TEXTS_MAX:
            self.clear()
        text = self[units] = decimal_text(units, self._scale)
        return text


@lru_cache(maxsize=32)  # scales are 0 to 24
def _texts(scale: int) -> _Texts:
    return _Texts(scale)


def zipped(*columns: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - Arrow arrays, numpy arrays or decimals
    """Yield rows of columns as plain values, decimals as text."""
    lists = (decimal_texts(column) if isinstance(column, Decimals) else column.tolist() for column in columns)
    return zip(*lists, strict=True)


@attrs.frozen(eq=False)
class _Facts:
    """What the rollups of a book, by name, and at last balances make of some tails.

    every: int64[s] and ranks: int64[s, tails], as `added_up` takes them; ranks of rollups are places in dims, those of
    balances in currencies; names: of the rollups.
    """

    every: Int64s
    ranks: Int64s
    names: Pool
    dims: Pool
    currencies: Pool


@lru_cache(maxsize=256)  # the same function each time, by which a dictionary knows what it has computed
def _facts_of(rollups: tuple[Rollup, ...]) -> Callable[[Sequence[Tail]], _Facts]:
    by_name = sorted(enumerate(rollups), key=lambda one: one[1].name)
    every = np.array([*(_EVERY[rollup.every] for _, rollup in by_name), EVER], dtype=np.int64)
    names = Pool.of_list([rollup.name for _, rollup in by_name])

    def facts(tails: Sequence[Tail]) -> _Facts:
        dims, ranks, first = [texts_of([])], [], 0
        for position, _ in by_name:
            texts, rank = ranked(texts_of([tail.rollup_dims[position] for tail in tails]))
            dims.append(texts)
            ranks.append(rank + first)
            first += len(texts)
        currencies, rank = ranked(texts_of([tail.currency for tail in tails]))
        return _Facts(every, np.stack([*ranks, rank]), names, Pool.of(pa.concat_arrays(dims)), Pool.of(currencies))

    return facts
