"""Row texts: columns as the rows of SQL text, written in one pass over all of them.

Owns the encoding of columns; `billing.literal` has the same of single values. Integers become digits, decimals digits
and a point, everything else is quoted when harmless and a hex literal otherwise. Must not know tables.
"""

from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.hash64 import Bytes
from billing.literal import _HARMLESS as HARMLESS
from billing.rows import decimal_texts
from billing.texts import NO_TEXTS, Texts
from rules.columns import Decimals, Int32s, Int64s
from rules.compiled import compiled, item, put

_INT64_PLACES: Final = 18  # 10**18 still fits int64
_NUMBER_LENGTH_MAX: Final = 22  # of an int64 with a sign, a point and a zero before it
_AROUND_TEXT: Final = 4  # x, two quotes and a comma
_TEXTS_MAX: Final = 5  # columns of text in one statement; always as many are given, so that it is compiled once
_FIELD: Final = 3  # numbers that say how a field is written
_TEXT, _QUOTED, _SIGNED, _UNSIGNED = range(4)  # numbers last
_POWERS: Final = np.array([10**exponent for exponent in range(20)], dtype=np.uint64)
_PAIRS: Final = np.frombuffer("".join(f"{pair:02}" for pair in range(100)).encode(), dtype=np.uint8)
_HEXADECIMAL: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_IS_HARMFUL: Final = ~np.isin(np.arange(256), list(HARMLESS))


# A column of n values as a row of SQL text holds them: how it is written; texts, or integers of any width; how many of
# their last digits stand after a point. A tuple, since a small transaction makes dozens.
Field = tuple[int, Any, int]


def literals(texts: Texts | pa.StringArray | pa.DictionaryArray) -> Field:
    """Encode a column of text."""
    return _QUOTED, Texts.of(texts), 0


def verbatim(texts: Texts) -> Field:
    """Take texts as they are, which are SQL already."""
    return _TEXT, texts, 0


def integers(column: NDArray[np.integer[Any]]) -> Field:
    """Encode integers of any width."""
    return _UNSIGNED if column.dtype == np.uint64 else _SIGNED, column, 0


def decimals(column: Decimals) -> Field:
    """Encode decimals as digits, a point and digits: never with an exponent, which SQL would read as a float."""
    if column.units.dtype == object or column.scale > _INT64_PLACES:
        return verbatim(Texts.of(pa.array(decimal_texts(column), type=pa.string())))
    return _SIGNED, column.units, column.scale


def written(*fields: Field, before: str = "") -> memoryview:
    """Write rows of encoded fields as `(a,b),(c,d)`, each with `before` in front; one pass over all columns.

    Returns the text where it was written, to be joined with others: megabytes of a large batch, copied once.
    """
    layout: list[int] = []
    texts: list[tuple[Bytes, Int32s, Int64s]] = []
    numbers = np.empty((len(fields), len(fields[0][1])), dtype=np.int64)
    count = 0
    for kind, value, scale in fields:
        if kind >= _SIGNED:
            layout += kind, count, scale
            numbers[count] = value
            count += 1
        else:
            layout += kind, len(texts), 0
            pool = value.pool
            texts.append((pool.letters, pool.bounds, value.rows))
    columns = (*texts, *_NO_TEXTS[len(texts) :])
    shape, prefix = np.array(layout, dtype=np.int64), _prefix(before)
    out = np.empty(_room(columns, shape, numbers, prefix), dtype=np.uint8)
    return out[: _write_rows(out, prefix, shape, columns, numbers)].data


@cache
def _prefix(before: str) -> Bytes:
    return np.frombuffer(f"{before}(".encode(), dtype=np.uint8)


_NO_TEXTS: Final = ((NO_TEXTS.pool.letters, NO_TEXTS.pool.bounds, NO_TEXTS.rows),) * _TEXTS_MAX


@compiled
def _room(texts: Any, layout: Int64s, numbers: Int64s, prefix: Bytes) -> int:  # noqa: ANN401 - a tuple of columns
    """Return how many bytes the rows may take."""
    rows = numbers.shape[1]
    size = rows * (len(prefix) + 2)
    for field in range(0, len(layout), _FIELD):
        kind, place = layout[field], layout[field + 1]
        if kind >= _SIGNED:
            size += rows * (_NUMBER_LENGTH_MAX + 1)
            continue
        _, bounds, row = texts[place]
        length = 0
        for at in range(rows):
            length += np.int64(item(bounds, row[at] + 1)) - np.int64(item(bounds, row[at]))
        size += (length if kind == _TEXT else 2 * length) + rows * _AROUND_TEXT
    return size


@compiled
def _write_rows(out: Bytes, prefix: Bytes, layout: Int64s, texts: Any, numbers: Int64s) -> int:  # noqa: ANN401
    """Write every row; returns the number of bytes written, without the comma at the end."""
    at = 0
    for row in range(numbers.shape[1]):
        at = _write_text(out, at, prefix, 0, len(prefix))
        for field in range(0, len(layout), _FIELD):
            kind, place = layout[field], layout[field + 1]
            if kind >= _SIGNED:
                number = numbers[place, row]
                if kind == _SIGNED and number < 0:
                    put(out, at, 45)  # "-"
                    at += 1
                    number = -number  # the least int64 stays as it is, and is right as uint64
                at = _write_number(out, at, np.uint64(number), layout[field + 2])
            else:
                letters, bounds, rows = texts[place]
                start, stop = np.int64(item(bounds, rows[row])), np.int64(item(bounds, rows[row] + 1))
                if kind == _TEXT:
                    at = _write_text(out, at, letters, start, stop)
                else:
                    at = _write_literal(out, at, letters, start, stop)
            put(out, at, 44)  # ","
            at += 1
        put(out, at - 1, 41)  # ")"
        put(out, at, 44)
        at += 1
    return max(at - 1, 0)


@compiled
def _write_text(out: Bytes, at: int, letters: Bytes, start: int, stop: int) -> int:
    """Copy `letters[start:stop]`; returns where it ends."""
    for position in range(stop - start):
        put(out, at + position, item(letters, start + position))
    return at + stop - start


@compiled
def _write_literal(out: Bytes, at: int, letters: Bytes, start: int, stop: int) -> int:
    """Write `letters[start:stop]` as a literal; returns where it ends."""
    harmful = False
    put(out, at, 39)  # "'"
    for position in range(stop - start):
        letter = item(letters, start + position)
        harmful |= item(_IS_HARMFUL, letter)
        put(out, at + 1 + position, letter)
    at += 1
    if harmful:
        put(out, at - 1, 120)  # "x"
        put(out, at, 39)
        at += 1
        for position in range(start, stop):
            letter = item(letters, position)
            put(out, at, item(_HEXADECIMAL, letter >> 4))
            put(out, at + 1, item(_HEXADECIMAL, letter & 15))
            at += 2
    else:
        at += stop - start
    put(out, at, 39)
    return at + 1


@compiled
def _write_number(out: Bytes, at: int, number: Any, scale: int) -> int:  # noqa: ANN401 - uint64
    """Write digits with a point before the last `scale` of them, if any; returns where they end."""
    digits = scale + 1
    while digits < len(_POWERS) and number >= _POWERS[digits]:
        digits += 1
    if scale:
        whole = number // _POWERS[scale]
        point = at + digits - scale
        _write_digits(out, at, point, whole)
        put(out, point, 46)  # "."
        _write_digits(out, point + 1, point + 1 + scale, number - whole * _POWERS[scale])
        return point + 1 + scale
    _write_digits(out, at, at + digits, number)
    return at + digits


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
