"""Kept attributes: those that a book keeps for statements, as the JSON text that stands on an event's first line.

Owns the text. Must not know prices.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from billing.eights import Bytes, copy
from billing.event import Events
from rules.columns import Int32s, Int64s, stacked
from rules.compiled import compiled, item, put, text_buffers

KEPT_BYTES_MAX: Final = 4_096  # width of records.kept
_LINE_END: Final = 10
_NOTHING: Final = pa.array([], type=pa.string())
_encode_lines = msgspec.json.Encoder().encode_lines


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
    label = np.frombuffer(b"," + msgspec.json.encode(name) + b":", dtype=np.uint8)

    def members(values: Sequence[str]) -> pa.StringArray:
        lines = np.frombuffer(_encode_lines(values), dtype=np.uint8)
        out = np.empty(len(lines) + len(values) * (len(label) - 1), dtype=np.uint8)
        ends = np.zeros(len(values) + 1, dtype=np.int32)
        _write_members(lines, label, out, ends)
        return pa.StringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer(out))

    return members


@compiled
def _write_members(lines: Bytes, label: Bytes, out: Bytes, ends: Int32s) -> None:
    """Write the label and then the text of each line, of which each has an end and no other control character."""
    into, at = 0, 0
    for row in range(1, len(ends)):
        into = copy(out, into, label, 0, len(label))
        while item(lines, at) != _LINE_END:
            put(out, into, item(lines, at))
            into, at = into + 1, at + 1
        at += 1
        ends[row] = into


def too_long(kept: pa.StringArray) -> list[int]:
    """Return the rows whose text is wider than the column of records that keeps it."""
    letters, bounds = text_buffers(kept)
    if len(letters) <= KEPT_BYTES_MAX:
        return []
    return np.flatnonzero(bounds[1:] - bounds[:-1] > KEPT_BYTES_MAX).tolist()
