"""Column texts: a column as one literal, and the expression that takes row n's value out of it.

A server spends more on reading a literal for each value than on storing the row. Here all values of a column stand in
one literal, each as wide as the others, and `SUBSTR` takes out the one of a row; what is the same in all rows stands
there once, and of a few texts a row has the number of its own. Owns these forms; `billing.literal` and
`billing.rowtext` have those of single values and of rows. Values enter the text only as digits, as harmless text within
quotes or in hexadecimal. Must not know tables.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.eights import EIGHT, POWERS, Bytes, copy, put_digits
from billing.literal import HARMLESS, hexadecimal
from billing.rows import decimal_text, decimal_texts
from billing.rowtext import INT64_PLACES, are_harmless
from billing.texts import Texts
from rules.columns import Decimals, Int32s, Int64s
from rules.compiled import compiled, item, put

Expression = tuple[bytes | memoryview, ...]  # pieces of SQL; large ones are copied once, when the packet is made

_FILLER: Final = 48  # "0"
_BLANK: Final = 32
_FEW: Final = 64  # texts to choose from, at most: the server reads them all, once a statement
_ROWS_EACH: Final = 4  # of which each must have so many rows, or reading them costs more than it saves
_REMEMBERED: Final = 255  # texts that a row's is compared with first, less one
_PLACE_DIGITS: Final = 7  # of where a text begins and how long it is, about


def row_numbers(count: int) -> bytes:
    """Return the table `k` of the numbers n = 1 to count, in order: it is made of nothing, so no right is needed to it.

    MariaDB has a table for each length as well, which a user who may write to seven tables may not read. A single row
    needs no number, since nothing in it varies.
    """
    if count == 1:
        return b"DUAL"
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

    A few texts are chosen by their numbers. Others stand one after another: of one width, or of several, padded with
    blanks. Where that would take too many, or a text ends in a blank itself, a column of numbers tells where each text
    begins and another how long it is, and a text of consecutive rows is sent once.
    """
    texts = Texts.of(column)
    letters, bounds, rows = texts.pool.letters, texts.pool.bounds, texts.rows
    numbers, used = np.empty(len(rows), dtype=np.int64), np.empty(_FEW, dtype=np.int64)
    few = _numbered(rows, np.empty((2, _REMEMBERED + 1), dtype=np.int64), used, numbers)
    if few == 1 or 0 < few * _ROWS_EACH <= len(rows):
        choice = _listed(letters, bounds, used[:few])
        return (choice,) if few == 1 else (b"ELT(", *_numbers(numbers, 0), b",", choice, b")")
    least, most, total = _look(bounds, rows)
    if len(rows) * most <= 2 * total + len(rows) * _PLACE_DIGITS:
        out = np.full(max(most - 1, 0) + len(rows) * most, _BLANK, dtype=np.uint8)
        if _copy_padded(out, most, letters, bounds, rows) or least == most:
            taken = _text_taken(out, b"n*%d,%d" % (most, most))
            return taken if least == most else (b"RTRIM(", *taken, b")")
    out, places = np.empty(total, dtype=np.uint8), np.empty((2, len(rows)), dtype=np.int64)
    out = out[: _copy_runs(out, letters, bounds, rows, places)]
    return _text_taken(out, *_numbers(places[0], 0), b",", *_numbers(places[1], 0))


def _numbers(column: NDArray[Any], scale: int) -> Expression:
    """Write each number, int64 or uint64, with as many digits as the longest, and room for a sign if there is one."""
    low, high = _range(column)
    if low == high:
        return (b"_binary '%s'" % decimal_text(int(low), scale).encode(),)
    sign, digits = int(low < 0), max(len(str(max(-low, high))), scale + 1)
    width = sign + digits + int(scale > 0)
    letters = np.empty(width - 1 + len(column) * width + EIGHT, dtype=np.uint8)
    letters[: width - 1] = _FILLER
    _write_numbers(letters, width, column.view(np.int64), sign, scale)
    return _taken(letters[:-EIGHT], b"n*%d,%d" % (width, width))


def _listed(letters: Bytes, bounds: Int32s, rows: Int64s) -> bytes:
    """Return some texts as literals with commas between them."""
    places = zip(bounds[rows].tolist(), bounds[rows + 1].tolist(), strict=True)
    texts = [letters[start:stop].tobytes() for start, stop in places]
    if b"".join(texts).translate(None, HARMLESS):
        return b",".join([hexadecimal(text).encode() for text in texts])
    return b"_binary '" + b"',_binary '".join(texts) + b"'"


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
def _numbered(rows: Int64s, memory: Int64s, used: Int64s, numbers: Int64s) -> int:
    """Give the rows of a pool numbers as they come, from 1 on; returns how many, 0 for none or more than `used` has.

    memory: int64[2, 256], room for rows that were met lately and their numbers; used: set to the row of each number.
    """
    count = 0
    for place in range(memory.shape[1]):
        memory[0, place] = -1
    for at in range(len(rows)):
        row = rows[at]
        place = row & _REMEMBERED
        if item(memory[0], place) != row:
            number = 0
            while number < count and item(used, number) != row:
                number += 1
            if number == len(used):
                return 0
            if number == count:
                put(used, count, row)
                count += 1
            put(memory[0], place, row)
            put(memory[1], place, number + 1)
        numbers[at] = item(memory[1], place)
    return count


@compiled
def _copy_padded(out: Bytes, width: int, pool: Bytes, bounds: Int32s, rows: Int64s) -> bool:
    """Copy each text to a place of its own, from `out[width - 1]` on; returns whether none of them ends in a blank."""
    at, exact = width - 1, True
    for place in range(len(rows)):
        row = rows[place]
        stop = item(bounds, row + 1)
        copy(out, at, pool, item(bounds, row), stop)
        if stop > item(bounds, row) and item(pool, stop - 1) == _BLANK:
            exact = False
        at += width
    return exact


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
