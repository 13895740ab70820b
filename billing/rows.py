"""Rows: what a batch writes to each table, added up exactly and sorted by primary key.

Owns the sums of a batch and the order of its rows. Must not know SQL text.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from billing.charge import Charges
from billing.digest import UInt64s, line_checksums
from billing.moment import DAY_US, HOUR_US, bucket_seconds, day_text
from billing.order import coded, first_rows, line_order, part_order, ranked, ranks, stable_order
from billing.sums import added, added_decimals, numbered
from billing.tail import Tail
from rules.book import Book
from rules.columns import Decimals, Dictionary, Int32s, Int64s, texts_of
from sharding.key import SLOTS

_TEXTS_MAX: Final = 100_000  # amounts whose text is remembered, about 15 MB; prices repeat far more than that


@attrs.frozen(eq=False)
class RecordColumns:
    """Rows of `records`, sorted by primary key; columns of equal length.

    slot uint16, account, day (YYYY-MM-DD), event, line int32, time_us int64, digest uint64, tail int32 (into tails),
    quantity and amount decimals (at most 12 places), kept (JSON text).
    """

    slot: NDArray[np.uint16]
    account: pa.DictionaryArray
    day: pa.DictionaryArray
    event: pa.DictionaryArray
    line: Int32s
    time_us: Int64s
    digest: UInt64s
    tail: Int32s
    tails: Dictionary[Tail]
    quantity: Decimals
    amount: Decimals
    kept: pa.DictionaryArray

    def __len__(self) -> int:
        return len(self.slot)

    def tuples(self) -> Iterator[tuple[Any, ...]]:
        """Yield slot, account, day, event, line, time_us, digest, tail, quantity, amount and kept, decimals as text."""
        columns = (self.slot, self.account, self.day, self.event, self.line, self.time_us, self.digest, self.tail)
        return zipped(*columns, self.quantity, self.amount, self.kept)


@attrs.frozen(eq=False)
class RollupColumns:
    """Rows of `rollups`, sorted by primary key: sums over the lines of a batch.

    slot uint16, account, rollup, bucket int64 (start, seconds since 1970-01-01 UTC), dims (JSON array), events int64,
    quantity and amount decimals, checksum uint64.
    """

    slot: NDArray[np.uint16]
    account: pa.DictionaryArray
    rollup: pa.DictionaryArray
    bucket: Int64s
    dims: pa.DictionaryArray
    events: Int64s
    quantity: Decimals
    amount: Decimals
    checksum: UInt64s

    def __len__(self) -> int:
        return len(self.slot)

    def tuples(self) -> Iterator[tuple[Any, ...]]:
        """Yield slot, account, rollup, bucket, dims, events, quantity text, amount text, checksum of each row."""
        columns = (self.slot, self.account, self.rollup, self.bucket, self.dims, self.events)
        return zipped(*columns, self.quantity, self.amount, self.checksum)


@attrs.frozen(eq=False)
class BalanceColumns:
    """Rows of `balances`, sorted by primary key: sums over the lines of a batch.

    slot uint16, account, currency, events int64, amount decimals, checksum uint64.
    """

    slot: NDArray[np.uint16]
    account: pa.DictionaryArray
    currency: pa.DictionaryArray
    events: Int64s
    amount: Decimals
    checksum: UInt64s

    def __len__(self) -> int:
        return len(self.slot)

    def tuples(self) -> Iterator[tuple[Any, ...]]:
        """Yield slot, account, currency, events, amount text, checksum of each row."""
        return zipped(self.slot, self.account, self.currency, self.events, self.amount, self.checksum)


def _no_rows() -> tuple[RecordColumns, RollupColumns, BalanceColumns]:
    zeros, none = np.zeros(0, dtype=np.int64), Decimals(np.zeros(0, dtype=np.int64), 0)
    slot, line, hashes = zeros.astype(np.uint16), zeros.astype(np.int32), zeros.astype(np.uint64)
    text = picked(pa.array([], type=pa.string()), zeros)
    return (
        RecordColumns(slot, text, text, text, line, zeros, hashes, line, Dictionary(), none, none, text),
        RollupColumns(slot, text, text, zeros, text, zeros, none, none, hashes),
        BalanceColumns(slot, text, text, zeros, none, hashes),
    )


def table_rows(
    charges: Charges, slot: NDArray[np.uint16], book: Book
) -> tuple[RecordColumns, RollupColumns, BalanceColumns]:
    """Build the rows of a batch whose parts are all new; slot: uint16[n], one a part."""
    if not len(charges):
        return NO_ROWS
    groups, group = _groups(charges, slot)
    hours, hour = coded(charges.time_us // HOUR_US, 1)
    days, day_of = np.unique(hours // (DAY_US // HOUR_US), return_inverse=True)
    day = day_of[hour]
    owner = group * len(days) + day
    order = part_order(owner, len(groups) * len(days), charges.key)
    if charges.void.any():  # a void has its event's key, and lines below 0
        texts = charges.key.dictionary_encode()
        order = np.lexsort((~charges.void, ranks(texts.dictionary)[texts.indices.to_numpy()], owner))
    lines = line_order(charges.part, order)
    part, line = charges.part[lines], charges.line[lines]
    quantity, amount = charges.quantity.take(lines), charges.amount.take(lines)
    digest = charges.digest[part]
    first = (line == 0).astype(np.int64)
    if charges.void.any():  # what is taken back counts as an event less, a void without an event yet not at all
        first = ((line == 0) & ~charges.void[part]).astype(np.int64) - (line == -1)
    sums = _Sums(
        groups=groups,
        group=group[part],
        hours=hours,
        hour=hour[part],
        tail=charges.tail[lines],
        tails=charges.tails,
        events=first,
        quantity=quantity,
        amount=amount,
        checksum=line_checksums(digest, line, amount),
    )
    day_names = pa.array([day_text(one) for one in days.tolist()], type=pa.string())
    records = RecordColumns(
        slot=slot[part],
        account=picked(groups.account, sums.group),
        day=picked(day_names, day[part]),
        event=picked(charges.key, part),
        line=line,
        time_us=charges.time_us[part],
        digest=digest,
        tail=sums.tail,
        tails=charges.tails,
        quantity=quantity,
        amount=amount,
        kept=picked(
            pa.concat_arrays([charges.kept, pa.array([""])]),
            np.where(line == 0, part, len(charges)),  # once an event, not once a line
        ),
    )
    return records, _rollups(book, sums), _balances(sums)


def picked(texts: pa.StringArray, rows: NDArray[np.integer[Any]]) -> pa.DictionaryArray:
    """Return `texts[rows]` without copying a text: few distinct ones stand in many rows."""
    return pa.DictionaryArray.from_arrays(pa.array(rows.astype(np.int32, copy=False)), texts)


NO_ROWS: Final = _no_rows()  # of a batch without parts, or one whose amounts are not known yet


def decimal_texts(column: Decimals) -> list[str]:
    """Render decimals as plain text: digits, and a point where the column's scale is above 0."""
    return list(map(_texts(column.scale).__getitem__, column.units.tolist()))


class _Texts(dict[int, str]):
    """The texts of numbers of units, made when first asked for."""

    def __init__(self, scale: int) -> None:
        self._scale = scale

    def __missing__(self, units: int) -> str:
        if len(self) >= _TEXTS_MAX:
            self.clear()
        whole, fraction = divmod(abs(units), 10**self._scale)
        text = f"{'-' if units < 0 else ''}{whole}" + (f".{fraction:0{self._scale}d}" if self._scale else "")
        self[units] = text
        return text


@lru_cache(maxsize=32)  # scales are 0 to 24
def _texts(scale: int) -> _Texts:
    return _Texts(scale)


def zipped(*columns: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - Arrow arrays, numpy arrays or decimals
    """Yield rows of columns as plain values, decimals as text."""
    lists = (decimal_texts(column) if isinstance(column, Decimals) else column.tolist() for column in columns)
    return zip(*lists, strict=True)


@attrs.frozen(eq=False)
class _Groups:
    """The leading columns of every primary key, in key order: slot uint16, account."""

    slot: NDArray[np.uint16]
    account: pa.StringArray

    def __len__(self) -> int:
        return len(self.slot)


def _groups(charges: Charges, slot: NDArray[np.uint16]) -> tuple[_Groups, Int64s]:
    """Return the groups of some parts, and each part's place among them."""
    account = charges.account
    first, code = first_rows(account.codes, len(account.values))
    used, slots = account.codes[first], slot[first]
    if (slots[code] != slot).any():  # an account that is spread over slots
        pairs, code = np.unique(account.codes.astype(np.int64) * SLOTS + slot, return_inverse=True)
        used, slots = pairs // SLOTS, (pairs % SLOTS).astype(np.uint16)
    texts = account.values.derived(texts_of).take(pa.array(used))
    order = pc.array_sort_indices(texts).to_numpy()
    order = order[stable_order(slots[order], SLOTS)]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return _Groups(slots[order], texts.take(pa.array(order))), place[code]


@attrs.frozen(eq=False)
class _Sums:
    """What rollups and balances add up: one value a line, ordered as records.

    group: int64[m], into groups; hours: distinct hours since 1970-01-01 UTC, ascending; hour: int64[m], into them.
    """

    groups: _Groups
    group: Int64s
    hours: Int64s
    hour: Int64s
    tail: Int32s
    tails: Dictionary[Tail]
    events: Int64s
    quantity: Decimals
    amount: Decimals
    checksum: UInt64s

    def over(self, key: Int64s) -> "tuple[Int64s, Int64s, Decimals, Decimals, UInt64s]":
        """Add up lines with equal groups and keys; returns a line of each in order of group and key, then the sums."""
        row, first = numbered(self.group, key)
        count = len(first)
        return (
            first,
            added(self.events, row, count),
            added_decimals(self.quantity, row, count),
            added_decimals(self.amount, row, count),
            added(self.checksum, row, count),
        )


def _rollups(book: Book, sums: _Sums) -> RollupColumns:
    """Add up every rollup; the rows of each come in key order, so a stable sort by group merges them."""
    pieces, texts, texts_count = [], [], 0
    if not book.rollups:
        return NO_ROWS[1]
    by_name = sorted(enumerate(book.rollups), key=lambda one: one[1].name)
    for number, (position, rollup) in enumerate(by_name):
        buckets, bucket_of = np.unique(bucket_seconds(sums.hours * HOUR_US, rollup.every), return_inverse=True)
        bucket = bucket_of[sums.hour]
        by_rank, rank_of = sums.tails.derived_of_all(_dims_of(position))
        rank = rank_of[sums.tail]
        first, *totals = sums.over(bucket * len(by_rank) + rank)
        starts = buckets[bucket[first]]
        name = np.full(len(first), number, dtype=np.int64)
        pieces.append((sums.group[first], name, starts, rank[first] + texts_count, *totals))
        texts.append(by_rank)
        texts_count += len(by_rank)
    group, name, starts, dims_code, events, quantity, amount, checksum = map(_joined, zip(*pieces, strict=True))
    order = stable_order(group, len(sums.groups))
    owner = group[order]
    return RollupColumns(
        slot=sums.groups.slot[owner],
        account=picked(sums.groups.account, owner),
        rollup=picked(pa.array([rollup.name for _, rollup in by_name], type=pa.string()), name[order]),
        bucket=starts[order],
        dims=picked(pa.concat_arrays(texts), dims_code[order]),
        events=events[order],
        quantity=quantity.take(order),
        amount=amount.take(order),
        checksum=checksum[order],
    )


@lru_cache(maxsize=256)  # the same function each time, by which a dictionary knows what it has computed
def _dims_of(position: int) -> Callable[[Sequence[Tail]], tuple[pa.StringArray, Int64s]]:
    """Return what makes the dimension values of one rollup, in key order, with each tail's place among them."""
    return lambda tails: ranked(texts_of([tail.rollup_dims[position] for tail in tails]))


def _currencies_of(tails: Sequence[Tail]) -> tuple[pa.StringArray, Int64s]:
    return ranked(texts_of([tail.currency for tail in tails]))


def _joined(columns: Sequence[Any]) -> Any:  # noqa: ANN401 - columns of one kind
    if isinstance(columns[0], Decimals):
        return Decimals.concat(columns)
    return np.concatenate(columns)


def _balances(sums: _Sums) -> BalanceColumns:
    currencies, currency_of = sums.tails.derived_of_all(_currencies_of)
    currency = currency_of[sums.tail]
    first, events, _, amount, checksum = sums.over(currency)
    group = sums.group[first]
    return BalanceColumns(
        slot=sums.groups.slot[group],
        account=picked(sums.groups.account, group),
        currency=picked(currencies, currency[first]),
        events=events,
        amount=amount,
        checksum=checksum,
    )
