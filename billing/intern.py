"""Interning: equal texts of a column get one number, which they keep from batch to batch.

Owns the table from a text to its number. Must not know what the texts mean.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.hash64 import Bytes
from rules.columns import MISSING, Coded, Dictionary, Int32s, Int64s
from rules.compiled import compiled, item, put

TEXTS_MAX: Final = 1 << 14  # remembered a column, about 3 MB; past it a new dictionary is begun
_ROOM: Final = 1 << 10  # texts that there is room for at first; most columns have few


class Interner:
    """One column's dictionary, and the way from a text to its number in it."""

    def __init__(self) -> None:
        self.dictionary: Dictionary[str] = Dictionary()
        self._table: Int32s = np.full(4 * _ROOM, MISSING, dtype=np.int32)
        self._hashes: NDArray[np.uint64] = np.zeros(_ROOM, dtype=np.uint64)
        self._bounds: Int64s = np.zeros(_ROOM + 1, dtype=np.int64)
        self._pool: Bytes = np.zeros(16 * _ROOM, dtype=np.uint8)

    def renew(self) -> None:
        """Begin a new dictionary if the present one is full; columns made before keep theirs."""
        if len(self.dictionary) >= TEXTS_MAX:
            self.dictionary = Dictionary()
            self._table.fill(MISSING)  # its size stays, since as many texts will come again; theirs may be shorter
            self._pool = np.zeros(16 * _ROOM, dtype=np.uint8)

    def coded(self, data: Bytes, start: Int64s, stop: Int64s, hashes: NDArray[np.uint64]) -> Coded:
        """Encode a column: n texts `data[start:stop]` (start -1: missing) with their XXH64."""
        before = len(self.dictionary)
        self._reserve(before + len(start), int(self._bounds[before]) + int((stop - start).sum()))
        codes = np.empty(len(start), dtype=np.int32)
        count = _intern(data, start, stop, hashes, self._table, self._hashes, self._bounds, self._pool, before, codes)
        if count > before:
            bounds = self._bounds[before : count + 1]
            offsets = (bounds - bounds[0]).astype(np.int32)
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._pool[bounds[0] : bounds[-1]])]
            self.dictionary.extend(pa.StringArray.from_buffers(count - before, *buffers[1:]).to_pylist())
        return Coded(codes, self.dictionary)

    def _reserve(self, texts: int, size_bytes: int) -> None:
        """Make room for so many texts of so many bytes in all."""
        self._pool = _grown(self._pool, size_bytes)
        if texts > len(self._hashes):
            self._hashes = _grown(self._hashes, texts)
            self._bounds = _grown(self._bounds, len(self._hashes) + 1)
            self._table = np.full(4 * len(self._hashes), MISSING, dtype=np.int32)
            _index(self._table, self._hashes, len(self.dictionary))


def _grown(column: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the column with room for `size` values: by powers of two, so that it is seldom copied."""
    if size <= len(column):
        return column
    grown = np.zeros(1 << (size - 1).bit_length(), dtype=column.dtype)
    grown[: len(column)] = column
    return grown


@compiled
def _index(table: Int32s, hashes: Any, count: int) -> None:  # noqa: ANN401 - uint64, which mypy would mix with int
    mask = np.uint64(len(table) - 1)
    for code in range(count):
        place = hashes[code] & mask
        while table[place] >= 0:
            place = (place + np.uint64(1)) & mask
        table[place] = code


@compiled
def _intern(
    data: Bytes,
    start: Int64s,
    stop: Int64s,
    hashes: Any,  # noqa: ANN401
    table: Int32s,
    known: Any,  # noqa: ANN401
    bounds: Int64s,
    pool: Bytes,
    count: int,
    codes: Int32s,
) -> int:
    """Look up n texts and add what is new; returns the number of texts known then."""
    mask = np.uint64(len(table) - 1)
    for row in range(len(start)):
        first, length = start[row], stop[row] - start[row]
        if first < 0:
            codes[row] = MISSING
            continue
        place = hashes[row] & mask
        while True:
            code = table[place]
            if code < 0:
                code = table[place] = count
                put(known, count, hashes[row])
                begin = item(bounds, count)
                for at in range(length):
                    put(pool, begin + at, item(data, first + at))
                count += 1
                put(bounds, count, begin + length)
                break
            begin = item(bounds, code)
            if item(known, code) == hashes[row] and item(bounds, code + 1) - begin == length:
                same = True
                for at in range(length):
                    if item(pool, begin + at) != item(data, first + at):
                        same = False
                        break
                if same:
                    break
            place = (place + np.uint64(1)) & mask
        codes[row] = code
    return count
