"""Kept attributes: those that a book keeps for statements, as the JSON text that stands on an event's first line.

Owns the text. Must not know prices.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from billing.eights import EIGHT, HIGHS, Bytes, below, copy, eight, eightfold, equal
from billing.event import Events
from rules.columns import Int32s, Int64s, stacked, texts_of
from rules.compiled import compiled, item, put, text_buffers

KEPT_BYTES_MAX: Final = 4_096  # width of records.kept
_BLANK, _QUOTE, _BACKSLASH = map(ord, ' "\\')
_BLANKS, _QUOTES, _BACKSLASHES = map(eightfold, ' "\\')
_NOTHING: Final = pa.array([], type=pa.string())


def kept_texts(events: Events, names: Sequence[str]) -> pa.StringArray:
    """Render the attributes that a book keeps as JSON text, one string an event ("" where it has none of them)."""
    columns = [events.attributes[name] for name in names]
    members = [
        column.values.derived(_labelled(name)) for name, column in zip(names, columns, strict=True) if column.values
    ]
    firsts, first = [], 0
    for column in columns:
        firsts.append(first)
        first += len(column.values)
    letters, bounds = text_buffers(members[0] if len(members) == 1 else pa.concat_arrays([_NOTHING, *members]))
    codes = stacked([column.codes for column in columns], len(events))
    ends = np.empty(len(events) + 1, dtype=np.int32)
    out = np.empty(_measure(bounds, codes, np.array(firsts, dtype=np.int64), ends), dtype=np.uint8)
    _write_objects(letters, bounds, codes, np.array(firsts, dtype=np.int64), out)
    return pa.StringArray.from_buffers(len(events), pa.py_buffer(ends), pa.py_buffer(out))


@compiled
def _measure(bounds: Int32s, codes: Int32s, firsts: Int64s, ends: Int32s) -> int:
    """Write where each row's object ends; returns the length of all of them."""
    total = 0
    ends[0] = 0
    for row in range(codes.shape[1]):
        before = total
        for column in range(codes.shape[0]):
            code = codes[column, row]
            if code >= 0:
                code += firsts[column]
                total += item(bounds, code + 1) - item(bounds, code)
        if total > before:
            total += 1  # the comma of the first member makes room for one of the braces
        ends[row + 1] = total
    return total


@compiled
def _write_objects(letters: Bytes, bounds: Int32s, codes: Int32s, firsts: Int64s, out: Bytes) -> None:
    """Write each row's object: its members, of which each begins with a comma, in braces; nothing without members."""
    at = 0
    for row in range(codes.shape[1]):
        begin = at
        for column in range(codes.shape[0]):
            code = codes[column, row]
            if code >= 0:
                code += firsts[column]
                at = copy(out, at, letters, item(bounds, code), item(bounds, code + 1))
        if at > begin:
            put(out, begin, 123)  # "{" for the first comma
            put(out, at, 125)  # "}"
            at += 1


@lru_cache(maxsize=1_024)  # the same function each time, by which a dictionary knows what it has computed
def _labelled(name: str) -> Callable[[Sequence[str]], pa.StringArray]:
    """Return what renders values of one attribute as members of a JSON object, each with a comma in front."""
    label = np.frombuffer(b"," + msgspec.json.encode(name) + b':"', dtype=np.uint8)

    def members(values: Sequence[str]) -> pa.StringArray:
        letters, bounds = text_buffers(texts_of(values))
        if not _are_as_in_json(letters[bounds[0] : bounds[-1]]):
            escaped = [msgspec.json.encode(value)[1:-1].decode() for value in values]
            letters, bounds = text_buffers(pa.array(escaped, type=pa.string()))
        out = np.empty(bounds[-1] - bounds[0] + len(values) * (len(label) + 1), dtype=np.uint8)
        ends = np.zeros(len(values) + 1, dtype=np.int32)
        _write_members(letters, bounds, label, out, ends)
        return pa.StringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer(out))

    return members


@compiled
def _are_as_in_json(letters: Bytes) -> bool:
    """Tell whether no byte has to be escaped between the quotes of a JSON text."""
    marks, at = np.uint64(0), 0
    while at + EIGHT <= len(letters):
        some = eight(letters, at)
        marks |= below(some, _BLANKS) | equal(some, _QUOTES) | equal(some, _BACKSLASHES)
        at += EIGHT
    while at < len(letters):
        letter = item(letters, at)
        marks |= HIGHS if letter < _BLANK or letter in (_QUOTE, _BACKSLASH) else np.uint64(0)
        at += 1
    return bool(marks & HIGHS == 0)


@compiled
def _write_members(letters: Bytes, bounds: Int32s, label: Bytes, out: Bytes, ends: Int32s) -> None:
    """Write the label, each text and the quote that ends it."""
    at = 0
    for row in range(len(ends) - 1):
        at = copy(out, at, label, 0, len(label))
        at = copy(out, at, letters, item(bounds, row), item(bounds, row + 1))
        put(out, at, _QUOTE)
        at += 1
        ends[row + 1] = at


def too_long(kept: pa.StringArray) -> list[int]:
    """Return the rows whose text is wider than the column of records that keeps it."""
    letters, bounds = text_buffers(kept)
    if len(letters) <= KEPT_BYTES_MAX:
        return []
    return np.flatnonzero(bounds[1:] - bounds[:-1] > KEPT_BYTES_MAX).tolist()
