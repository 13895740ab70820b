"""Interning: equal texts of a column get one number, which they keep from batch to batch.

Owns the table from a text to its number. Must not know what the texts mean.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.eights import Bytes, are_same, copy
from rules.columns import MISSING, Coded, Dictionary, Int32s, Int64s
from rules.compiled import compiled, item, put, step

TEXTS_MAX: Final = 1 << 14  # remembered a column, about 3 MB; past it a new dictionary is begun
_ROOM: Final = 1 << 10  # texts that there is room for at first; most columns have few


class Interner:
    """The dictionaries of some columns, and the way from a text to its number in one of them.

    dictionary_of: of each column, the number of its dictionary, which it may share with others. All dictionaries have
    as much room as the largest: rows of arrays, whose memory is only taken once it is written to.
    """

    def __init__(self, dictionary_of: Sequence[int] = (0,)) -> None:
        count = max(dictionary_of) + 1
        self.dictionaries: list[Dictionary[str]] = [Dictionary() for _ in range(count)]
        self._dictionary_of = np.array(dictionary_of, dtype=np.int64)
        self._sharing = int(np.bincount(self._dictionary_of).max())  # columns that share one dictionary, at most
        self._counts: Int64s = np.zeros(count, dtype=np.int64)
        self._used = [0] * count  # bytes of each dictionary's texts
        self._table: Int32s = np.zeros((count, 2 * _ROOM), dtype=np.int32)  # code + 1, 0 where it is free
        self._hashes: NDArray[np.uint64] = np.empty((count, _ROOM), dtype=np.uint64)
        self._bounds: Int64s = np.zeros((count, _ROOM + 1), dtype=np.int64)
        self._pool: Bytes = np.empty((count, 16 * _ROOM), dtype=np.uint8)

    def renew(self) -> None:
        """Begin a new dictionary in place of each that is full; columns made before keep theirs."""
        for number, dictionary in enumerate(self.dictionaries):
            if len(dictionary) >= TEXTS_MAX:
                self.dictionaries[number] = Dictionary()
                self._counts[number] = self._used[number] = 0
                self._table[number].fill(0)

    def coded(self, data: Bytes, start: Int64s, stop: Int64s, hashes: NDArray[np.uint64]) -> list[Coded]:
        """Encode columns: texts `data[start:stop]` (start -1: missing) with their XXH64, of shape (columns, n)."""
        columns, rows = start.shape
        lengths = np.bincount(self._dictionary_of, (stop - start).sum(axis=1))
        self._reserve(self._sharing * rows, int(lengths.max()))
        codes = np.empty((columns, rows), dtype=np.int32)
        _intern(
            data,
            start,
            stop,
            hashes,
            self._dictionary_of,
            self._table,
            self._hashes,
            self._bounds,
            self._pool,
            self._counts,
            codes,
        )
        for number, count in enumerate(self._counts.tolist()):
            dictionary = self.dictionaries[number]
            before = len(dictionary)
            if count > before:
                bounds = self._bounds[number, before : count + 1]
                offsets = (bounds - bounds[0]).astype(np.int32)
                self._used[number] = int(bounds[-1])
                letters = self._pool[number, bounds[0] : bounds[-1]].copy()  # the pool is filled anew, batches may wait
                texts = pa.StringArray.from_buffers(count - before, pa.py_buffer(offsets), pa.py_buffer(letters))
                dictionary.extend(texts)
        return [Coded(codes[column], self.dictionaries[at]) for column, at in enumerate(self._dictionary_of.tolist())]

    def _reserve(self, texts: int, size_bytes: int) -> None:
        """Make room in every dictionary for so many more texts, of so many bytes in all."""
        counts = [len(dictionary) for dictionary in self.dictionaries]
        self._pool = _grown(self._pool, self._used, max(self._used) + size_bytes)
        if max(counts) + texts > self._hashes.shape[1]:
            self._hashes = _grown(self._hashes, counts, max(counts) + texts)
            room = self._hashes.shape[1]
            self._bounds = _grown(self._bounds, [count + 1 for count in counts], room + 1)
            self._table = np.zeros((len(counts), 2 * room), dtype=np.int32)
            for number, count in enumerate(counts):
                _index(self._table[number], self._hashes[number], count)


def _grown(rows: NDArray[Any], used: Sequence[int], size: int) -> NDArray[Any]:
    """Return rows with room for `size` values each: by powers of two, so that they are seldom copied."""
    if size <= rows.shape[1]:
        return rows
    grown = np.empty((len(rows), 1 << (size - 1).bit_length()), dtype=rows.dtype)
    for number, count in enumerate(used):
        grown[number, :count] = rows[number, :count]
    return grown


@compiled
def _index(table: Int32s, hashes: Any, count: int) -> None:  # noqa: ANN401 - uint64, which mypy would mix with int
    mask = np.uint64(len(table) - 1)
    for code in range(count):
        place = hashes[code] & mask
        while table[place]:
            place = (place + np.uint64(1)) & mask
        table[place] = code + 1


@compiled
def _intern(
    data: Bytes,
    start: Int64s,
    stop: Int64s,
    hashes: Any,  # noqa: ANN401
    dictionary_of: Int64s,
    tables: Int32s,
    known: Any,  # noqa: ANN401
    bounds: Int64s,
    pools: Bytes,
    counts: Int64s,
    codes: Int32s,
) -> None:
    """Look up the texts of all columns and add what is new to their dictionaries."""
    for column in range(len(start)):
        number = dictionary_of[column]
        counts[number] = _intern_column(
            data,
            start[column],
            stop[column],
            hashes[column],
            tables[number],
            known[number],
            bounds[number],
            pools[number],
            counts[number],
            codes[column],
        )


@step
def _intern_column(
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
    """Look up the texts of one column; returns the number of texts known then."""
    mask = np.uint64(len(table) - 1)
    for row in range(len(start)):
        first, length = start[row], stop[row] - start[row]
        if first < 0:
            codes[row] = MISSING
            continue
        place = hashes[row] & mask
        while True:
            code = table[place] - 1
            if code < 0:
                code = count
                table[place] = count + 1
                put(known, count, hashes[row])
                end = copy(pool, item(bounds, count), data, first, first + length)
                count += 1
                put(bounds, count, end)
                break
            begin = item(bounds, code)
            is_as_long = item(known, code) == hashes[row] and item(bounds, code + 1) - begin == length
            if is_as_long and are_same(pool, begin, data, first, length):
                break
            place = (place + np.uint64(1)) & mask
        codes[row] = code
    return count
