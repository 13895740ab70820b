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

from billing.eights import EIGHT, POWERS, Bytes, copy, put_digits
from billing.rows import decimal_texts
from billing.rowtext import INT64_PLACES, are_harmless
from billing.texts import Texts
from rules.columns import Decimals, Int32s, Int64s
from rules.compiled import compiled, item, put

Expression = tuple[bytes | memoryview, ...]  # pieces of SQL; large ones are copied once, when the packet is made

_FILLER: Final = 48  # "0"


def row_numbers(count: int) -> bytes:
    """Return the table `k` of the numbers n = 1 to count, in order: it is made of nothing, so no right is needed to it.

    MariaDB has a table for each length as well, which a user who may write to seven tables may not read.
    """
    return b"JSON_TABLE('[0" + b",0" * (count - 1) + b"]','$[*]' COLUMNS(n FOR ORDINALITY)) k"


def integers_at(column: NDArray[np.integer[Any]]) -> Expression:
    """Encode integers of any width."""
    return _numbers(column if column.dtype == np.uint64 else column.astype(np.int64, copy=False), 0)


def decimals_at(column: Decimals) -> Expression:
    """Encode decimals as digits, a point and digits."""
    if column.units.dtype == object or column.scale > INT64_PLACES:
        return literals_at(pa.array(decimal_texts(column), type=pa.string()))
    return _numbers(column.units, column.scale)


def literals_at(column: Texts | pa.StringArray | pa.DictionaryArray) -> Expression:
    """Encode a column of text, whatever is in it.

    Of several widths: where each begins and how long it is are columns of numbers; a text that stands in consecutive
    rows is sent once.
    """
    texts = Texts.of(column)
    letters, bounds, rows = texts.pool.letters, texts.pool.bounds, texts.rows
    least, most, total = _look(bounds, rows)
    if least == most:
        filler = max(most - 1, 0)
        out = np.empty(filler + total, dtype=np.uint8)
        out[:filler] = _FILLER
        _copy(out, filler, letters, bounds, rows)
        return _text_taken(out, b"n*%d,%d" % (most, most))
    out, places = np.empty(total, dtype=np.uint8), np.empty((2, len(rows)), dtype=np.int64)
    out = out[: _copy_runs(out, letters, bounds, rows, places)]
    return _text_taken(out, *integers_at(places[0]), b",", *integers_at(places[1]))


def _numbers(column: NDArray[Any], scale: int) -> Expression:
    """Write each number, int64 or uint64, with as many digits as the longest, and room for a sign if there is one."""
    low, high = _range(column)
    sign, digits = int(low < 0), max(len(str(max(-low, high))), scale + 1)
    width = sign + digits + int(scale > 0)
    letters = np.empty(width - 1 + len(column) * width + EIGHT, dtype=np.uint8)
    letters[: width - 1] = _FILLER
    _write_numbers(letters, width, column.view(np.int64), sign, scale)
    return _taken(letters[:-EIGHT], b"n*%d,%d" % (width, width))


def _text_taken(letters: Bytes, *where: bytes | memoryview) -> Expression:
    if are_harmless(letters):
        return _taken(letters, *where)
    return b"SUBSTR(_binary x'", letters.tobytes().hex().encode(), b"',", *where, b")"


def _taken(letters: Bytes, *where: bytes | memoryview) -> Expression:
    """Return the expression of a part of a literal; before the first row is one byte less than a row, since n is 1."""
    return b"SUBSTR(_binary '", letters.data, b"',", *where, b")"


@compiled
def _range(column: NDArray[Any]) -> tuple[int, int]:
    """Return the least and the most of some numbers."""
    low = high = column[0]
    for row in range(1, len(column)):
        low, high = min(low, column[row]), max(high, column[row])
    return low, high


@compiled
def _look(bounds: Int32s, rows: Int64s) -> tuple[int, int, int]:
    """Return the length of the shortest text, of the longest and of all."""
    least = most = item(bounds, rows[0] + 1) - item(bounds, rows[0])
    total = 0
    for place in range(len(rows)):
        row = rows[place]
        length = item(bounds, row + 1) - item(bounds, row)
        least, most = min(least, length), max(most, length)
        total += length
    return least, most, total


@compiled
def _write_numbers(out: Bytes, width: int, column: Int64s, sign: int, scale: int) -> None:
    """Fill `out` from its byte `width - 1` on, number after number; eight bytes behind the last one may change."""
    power = item(POWERS, scale)
    whole_digits = width - sign - scale - (1 if scale else 0)
    at = width - 1
    for row in range(len(column)):
        number = column[row]
        if sign:
            put(out, at, 45 if number < 0 else _FILLER)  # "-"
            number = abs(number)  # the least int64 stays as it is, and is right as uint64
            at += 1
        digits = np.uint64(number)
        if scale:
            whole = digits // power
            at = put_digits(out, at, whole_digits, whole)
            put(out, at, 46)  # "."
            at = put_digits(out, at + 1, scale, digits - whole * power)
        else:
            at = put_digits(out, at, whole_digits, digits)


@compiled
def _copy(out: Bytes, at: int, pool: Bytes, bounds: Int32s, rows: Int64s) -> None:
    """Copy texts to `out[at:]`."""
    for place in range(len(rows)):
        row = rows[place]
        at = copy(out, at, pool, item(bounds, row), item(bounds, row + 1))


@compiled
def _copy_runs(out: Bytes, pool: Bytes, bounds: Int32s, rows: Int64s, places: Int64s) -> int:
    """Copy texts, repeats in consecutive rows once; places: set to where each begins, from 1 on, and how long it is.

    Returns the bytes.
    """
    at = begin = width = 0
    for place in range(len(rows)):
        row = rows[place]
        if place == 0 or row != rows[place - 1]:
            begin, width = at + 1, item(bounds, row + 1) - item(bounds, row)
            at = copy(out, at, pool, item(bounds, row), item(bounds, row + 1))
        places[0, place], places[1, place] = begin, width
    return at
