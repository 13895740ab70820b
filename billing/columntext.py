"""Column texts: a column as one literal, and the expression that takes row n's value out of it.

A server spends more on reading a literal for each value than on storing the row. Here all values of a column stand in
one literal, each as wide as the others, and `SUBSTR` takes out the one of a row. Owns this form; `billing.literal` has
the same for single values and for rows. Values enter the text only as digits, as harmless text within quotes or in
hexadecimal. Must not know tables.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.hash64 import Bytes
from billing.literal import HARMLESS
from billing.rows import decimal_texts
from billing.rowtext import INT64_PLACES
from billing.texts import Texts
from rules.columns import Decimals, Int64s
from rules.compiled import compiled, item, put

Expression = tuple[bytes | memoryview, ...]  # pieces of SQL; large ones are copied once, when the packet is made

_FILLER: Final = 48  # "0"
_PAIRS: Final = np.frombuffer("".join(f"{pair:02}" for pair in range(100)).encode(), dtype=np.uint8)
_ARE_HARMLESS: Final = np.isin(np.arange(256), list(HARMLESS))


def row_numbers(count: int) -> bytes:
    """Return the table `k` of the numbers n = 1 to count, in order: it is made of nothing, so no right is needed to it.

    MariaDB has a table for each length as well, which a user who may write to seven tables may not read.
    """
    return b"JSON_TABLE('[" + b",".join([b"0"] * count) + b"]','$[*]' COLUMNS(n FOR ORDINALITY)) k"


def integers_at(column: NDArray[np.integer[Any]]) -> Expression:
    """Encode integers of any width."""
    if column.dtype == np.uint64:
        return _numbers(column.view(np.int64), len(str(column.max())), sign=0, scale=0)
    return _signed(column.astype(np.int64, copy=False), 0)


def decimals_at(column: Decimals) -> Expression:
    """Encode decimals as digits, a point and digits."""
    if column.units.dtype == object or column.scale > INT64_PLACES:
        return literals_at(pa.array(decimal_texts(column), type=pa.string()))
    return _signed(column.units, column.scale)


def literals_at(column: Texts | pa.StringArray | pa.DictionaryArray) -> Expression:
    """Encode a column of text, whatever is in it.

    Of several widths: where each begins and how long it is are columns of numbers; a text that stands in consecutive
    rows is sent once.
    """
    texts = Texts.of(column)
    letters, bounds, rows = texts.pool.letters, texts.pool.bounds, texts.rows
    start = bounds[rows].astype(np.int64)
    width = bounds[rows + 1] - start
    widest = int(width.max())
    if (width == widest).all():
        filler = max(widest - 1, 0)
        out = np.full(filler + len(rows) * widest, _FILLER, dtype=np.uint8)
        _copy(out, filler, letters, start, widest)
        return _taken(out, b"n*%d,%d" % (widest, widest))
    out, first = np.empty(int(width.sum()), dtype=np.uint8), np.empty(len(rows), dtype=np.int64)
    out = out[: _copy_runs(out, letters, start, width, first)]
    return _taken(out, *integers_at(first), b",", *integers_at(width))


def _signed(column: Int64s, scale: int) -> Expression:
    low, high = int(column.min()), int(column.max())
    digits = max(len(str(max(-low, high))), scale + 1)
    return _numbers(column, digits, sign=int(low < 0), scale=scale)


def _numbers(column: Int64s, digits: int, *, sign: int, scale: int) -> Expression:
    """Write each number with so many digits. sign: 1 where a place is kept for it, 0 where numbers are unsigned."""
    width = sign + digits + int(scale > 0)
    letters = np.full(width - 1 + len(column) * width, _FILLER, dtype=np.uint8)
    _write_numbers(letters, width, column, sign, scale)
    return _taken(letters, b"n*%d,%d" % (width, width))


def _taken(letters: Bytes, *where: bytes | memoryview) -> Expression:
    """Return the expression of a part of a literal; before the first row is one byte less than a row, since n is 1."""
    if _all_in(letters, _ARE_HARMLESS):
        return b"SUBSTR(_binary '", letters.data, b"',", *where, b")"
    return b"SUBSTR(_binary x'", letters.tobytes().hex().encode(), b"',", *where, b")"


@compiled
def _write_numbers(out: Bytes, width: int, column: Int64s, sign: int, scale: int) -> None:
    """Fill `out` from its byte `width - 1` on, number after number."""
    power = np.uint64(1)
    for _ in range(scale):
        power *= np.uint64(10)
    at = width - 1
    for row in range(len(column)):
        number = column[row]
        if sign and number < 0:
            put(out, at, 45)  # "-"
            number = -number  # the least int64 stays as it is, and is right as uint64
        digits, stop = np.uint64(number), at + width
        if scale:
            whole = digits // power
            put(out, stop - scale - 1, 46)  # "."
            _write_digits(out, stop - scale, stop, digits - whole * power)
            digits, stop = whole, stop - scale - 1
        _write_digits(out, at + sign, stop, digits)
        at += width


@compiled
def _copy(out: Bytes, at: int, pool: Bytes, start: Int64s, width: int) -> None:
    """Copy texts of one width to `out[at:]`."""
    for row in range(len(start)):
        for letter in range(width):
            put(out, at + letter, item(pool, start[row] + letter))
        at += width


@compiled
def _copy_runs(out: Bytes, pool: Bytes, start: Int64s, width: Int64s, first: Int64s) -> int:
    """Copy texts, repeats in consecutive rows once; first: set to each one's place, from 1 on; returns the bytes."""
    at = 0
    for row in range(len(start)):
        if row and start[row] == start[row - 1] and width[row] == width[row - 1]:
            first[row] = first[row - 1]
            continue
        first[row] = at + 1
        for letter in range(width[row]):
            put(out, at + letter, item(pool, start[row] + letter))
        at += width[row]
    return at


@compiled
def _write_digits(out: Bytes, start: int, stop: int, number: Any) -> None:  # noqa: ANN401 - uint64
    """Fill `out[start:stop]` with the last digits of a number, two at a time, since each pair takes one division."""
    while stop - start > 1:
        rest = number // np.uint64(100)
        pair = np.uint64(2) * (number - rest * np.uint64(100))
        put(out, stop - 2, _PAIRS[pair])
        put(out, stop - 1, _PAIRS[pair + np.uint64(1)])
        number = rest
        stop -= 2
    if stop > start:
        put(out, start, np.uint8(np.uint64(48) + number % np.uint64(10)))


@compiled
def _all_in(letters: Bytes, chosen: NDArray[np.bool_]) -> bool:
    for at in range(len(letters)):  # noqa: SIM110 - compiled, which generators are not
        if not chosen[letters[at]]:
            return False
    return True
