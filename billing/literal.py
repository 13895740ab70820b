"""Literals: columns as the text of SQL values, the one place where a value becomes part of a statement.

Values enter the text only through the encoders here: integers as digits, decimals as digits and a point, everything
else quoted when harmless and as a hex literal otherwise. Must not know tables.
"""

from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.hash64 import Bytes
from billing.rows import decimal_texts
from rules.columns import Decimals, Int64s
from rules.compiled import compiled, item, put, text_buffers

# Printable ASCII that means nothing inside single quotes, under every sql_mode.
_HARMLESS: Final = bytes(set(range(0x20, 0x7F)) - set(b"'\\"))
INT64_PLACES: Final = 18  # 10**18 still fits int64
_NUMBER_LENGTH_MAX: Final = 22  # of an int64 with a sign, a point and a zero before it
_TEXT, _QUOTED, _SIGNED, _UNSIGNED = range(4)  # numbers last
_POWERS: Final = np.array([10**exponent for exponent in range(20)], dtype=np.uint64)
_PAIRS: Final = np.frombuffer("".join(f"{pair:02}" for pair in range(100)).encode(), dtype=np.uint8)
_NONE: Final = np.zeros(0, dtype=np.int64)
_NO_LETTERS: Final = np.zeros(0, dtype=np.uint8)
_ARE_HARMLESS: Final = np.isin(np.arange(256), list(_HARMLESS))


@attrs.frozen(eq=False)
class Field:
    """A column of n values as a row of SQL text holds them.

    kind: how it is written; numbers: int64[n], whose last `scale` digits stand after a point; or texts: text i is
    `pool[start[i]:stop[i]]`.
    """

    kind: int
    numbers: Int64s = _NONE
    scale: int = 0
    pool: Bytes = _NO_LETTERS
    start: Int64s = _NONE
    stop: Int64s = _NONE


def literal(text: str) -> str:
    """Encode one text."""
    data = text.encode()
    return hexadecimal(data) if data.translate(None, _HARMLESS) else f"'{text}'"


def hexadecimal(data: bytes) -> str:
    """Encode bytes."""
    return f"x'{data.hex()}'"


def literals(texts: pa.StringArray | pa.DictionaryArray) -> Field:
    """Encode a column of text: one look at all of it, and at each only when something in it could do harm."""
    if isinstance(texts, pa.DictionaryArray):
        field, rows = literals(texts.dictionary), texts.indices.to_numpy()
        return attrs.evolve(field, start=field.start[rows], stop=field.stop[rows])
    field = verbatim(texts)
    if not are_harmless(field.pool):
        return verbatim(pa.array([literal(text) for text in texts.to_pylist()], type=pa.string()))
    return attrs.evolve(field, kind=_QUOTED)


def verbatim(texts: pa.StringArray, rows: NDArray[Any] | None = None) -> Field:
    """Take texts as they are, which are SQL already; rows: which text each value is (default: one after another)."""
    letters, bounds = text_buffers(texts)
    start, stop = bounds[:-1], bounds[1:]
    if rows is not None:
        start, stop = start[rows], stop[rows]
    begin = int(bounds[0])
    pool = letters[begin : bounds[-1]]  # as they stand, one after another, in the array's buffer
    return Field(_TEXT, pool=pool, start=start.astype(np.int64) - begin, stop=stop.astype(np.int64) - begin)


def integers(column: NDArray[np.integer[Any]]) -> Field:
    """Encode integers of any width."""
    if column.dtype == np.uint64:
        return Field(_UNSIGNED, numbers=column.view(np.int64))
    return Field(_SIGNED, numbers=column.astype(np.int64, copy=False))


def decimals(column: Decimals) -> Field:
    """Encode decimals as digits, a point and digits: never with an exponent, which SQL would read as a float."""
    if column.units.dtype == object or column.scale > INT64_PLACES:
        return verbatim(pa.array(decimal_texts(column), type=pa.string()))
    return Field(_SIGNED, numbers=column.units, scale=column.scale)


def written(*fields: Field, before: str = "") -> memoryview:
    """Write rows of encoded fields as `(a,b),(c,d)`, each with `before` in front; one pass over all columns.

    Returns the text where it was written, to be joined with others: megabytes of a large batch, copied once.
    """
    texts = [field for field in fields if field.kind in {_TEXT, _QUOTED}]
    numbers = [field for field in fields if field.kind in {_SIGNED, _UNSIGNED}]
    place = {id(field): position for group in (texts, numbers) for position, field in enumerate(group)}
    count = max(len(field.start) + len(field.numbers) for field in fields)
    prefix = f"{before}(".encode()
    pool = b"".join([prefix, *(field.pool.data for field in texts)])
    firsts = np.cumsum([len(prefix), *(len(field.pool) for field in texts)])[:-1]
    start, stop = np.empty((2, len(texts), count), dtype=np.int64)
    for position, (field, first) in enumerate(zip(texts, firsts.tolist(), strict=True)):
        np.add(field.start, first, out=start[position])
        np.add(field.stop, first, out=stop[position])
    columns = np.empty((len(numbers), count), dtype=np.int64)
    for position, field in enumerate(numbers):
        columns[position] = field.numbers
    fixed = len(prefix) + 2 + len(numbers) * _NUMBER_LENGTH_MAX + len(texts) * 3
    out = np.empty(count * fixed + int((stop - start).sum()), dtype=np.uint8)
    kinds = np.array([field.kind for field in fields])
    places = np.array([place[id(field)] for field in fields])
    scales = np.array([field.scale for field in fields])
    letters = np.frombuffer(pool, dtype=np.uint8)
    size = _write_rows(out, len(prefix), kinds, places, scales, letters, start, stop, columns)
    return out[: size - 1].data


@compiled
def _write_rows(
    out: Bytes,
    prefix: int,
    kinds: Int64s,
    places: Int64s,
    scales: Int64s,
    pool: Bytes,
    start: Int64s,
    stop: Int64s,
    numbers: Int64s,
) -> int:
    """Write every row; returns the number of bytes written, with a comma at the end."""
    at = 0
    for row in range(max(start.shape[1], numbers.shape[1])):
        at = _write_text(out, at, pool, 0, prefix)
        for field in range(len(kinds)):
            kind, place = kinds[field], places[field]
            if kind >= _SIGNED:
                number = numbers[place, row]
                if kind == _SIGNED and number < 0:
                    put(out, at, 45)  # "-"
                    at += 1
                    number = -number  # the least int64 stays as it is, and is right as uint64
                at = _write_number(out, at, np.uint64(number), scales[field])
            elif kind == _QUOTED:
                put(out, at, 39)  # "'"
                at = _write_text(out, at + 1, pool, start[place, row], stop[place, row])
                put(out, at, 39)
                at += 1
            else:
                at = _write_text(out, at, pool, start[place, row], stop[place, row])
            put(out, at, 44)  # ","
            at += 1
        put(out, at - 1, 41)  # ")"
        put(out, at, 44)
        at += 1
    return at


@compiled
def _write_text(out: Bytes, at: int, pool: Bytes, start: int, stop: int) -> int:
    """Copy `pool[start:stop]`; returns where it ends."""
    for position in range(stop - start):
        put(out, at + position, item(pool, start + position))
    return at + stop - start


@compiled
def _write_number(out: Bytes, at: int, number: Any, scale: int) -> int:  # noqa: ANN401 - uint64
    """Write digits with a point before the last `scale` of them, if any; returns where they end."""
    digits = scale + 1
    while digits < len(_POWERS) and number >= _POWERS[digits]:
        digits += 1
    if scale:
        whole = number // _POWERS[scale]
        point = at + digits - scale
        write_digits(out, at, point, whole)
        put(out, point, 46)  # "."
        write_digits(out, point + 1, point + 1 + scale, number - whole * _POWERS[scale])
        return point + 1 + scale
    write_digits(out, at, at + digits, number)
    return at + digits


@compiled
def write_digits(out: Bytes, start: int, stop: int, number: Any) -> None:  # noqa: ANN401 - uint64
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


def are_harmless(letters: Bytes) -> bool:
    """Say whether all of these bytes mean nothing inside single quotes, under every sql_mode."""
    return _all_in(letters, _ARE_HARMLESS)


@compiled
def _all_in(letters: Bytes, chosen: NDArray[np.bool_]) -> bool:
    for at in range(len(letters)):  # noqa: SIM110 - compiled, which generators are not
        if not chosen[letters[at]]:
            return False
    return True
