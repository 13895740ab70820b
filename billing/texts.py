"""Texts: columns of text as bytes and numbers, which compiled loops read and copy without an object for any of them.

Owns how a column refers to texts that many rows, or many batches, share. Must not know what the texts mean.
"""

from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.eights import Bytes, copy
from rules.columns import Dictionary, Int32s, Int64s, texts_of
from rules.compiled import compiled, item, put, text_buffers


@attrs.frozen(eq=False)
class Pool:
    """k texts in UTF-8, one behind the other: text i is `letters[bounds[i]:bounds[i + 1]]`.

    letters: uint8, bounds: int32[k + 1]; neither can be written, so that loops are compiled for one kind of them.
    """

    letters: Bytes
    bounds: Int32s

    @classmethod
    def of(cls, texts: pa.StringArray) -> "Pool":
        """Return the texts of an Arrow array, without a copy."""
        letters, bounds = text_buffers(texts)
        letters.flags.writeable = bounds.flags.writeable = False
        return cls(letters, bounds)

    @classmethod
    def of_list(cls, texts: Sequence[str]) -> "Pool":
        """Return a copy of some texts."""
        return cls.of(pa.array(texts, type=pa.string()))

    def __len__(self) -> int:
        return len(self.bounds) - 1


@attrs.frozen(eq=False)
class Texts:
    """n texts out of a pool: text i is the one with the number `rows[i]`, int64[n]."""

    pool: Pool
    rows: Int64s

    @classmethod
    def of(cls, texts: "pa.StringArray | pa.DictionaryArray | Texts") -> "Texts":
        """Return a column of text of any kind as this one."""
        if isinstance(texts, Texts):
            return texts
        if isinstance(texts, pa.DictionaryArray):
            return cls(Pool.of(texts.dictionary), texts.indices.to_numpy().astype(np.int64))
        return cls(Pool.of(texts), np.arange(len(texts)))

    def __len__(self) -> int:
        return len(self.rows)

    def tolist(self) -> list[str]:
        """Return the texts as strings."""
        starts, stops = self.pool.bounds[self.rows].tolist(), self.pool.bounds[self.rows + 1].tolist()
        first, end = min(starts, default=0), max(stops, default=0)
        letters = self.pool.letters[first:end].tobytes()
        if letters.isascii():  # as identifiers are: a character is a byte
            text = letters.decode()
            return [text[start - first : stop - first] for start, stop in zip(starts, stops, strict=True)]
        return [letters[start - first : stop - first].decode() for start, stop in zip(starts, stops, strict=True)]


def pool_of(values: Dictionary[str]) -> Pool:
    """Return the texts of a dictionary; to be asked by `Dictionary.derived_of_all`, so that it is made once."""
    return Pool.of(values.derived(texts_of))


NO_TEXTS: Final = Texts(Pool.of_list([]), np.zeros(0, dtype=np.int64))


def gathered(data: Bytes, start: NDArray[Any], stop: NDArray[Any]) -> pa.StringArray:
    """Return the texts `data[start[i]:stop[i]]`."""
    ends = np.empty(len(start) + 1, dtype=np.int32)
    pool = np.empty(_measure(start, stop, ends), dtype=np.uint8)
    _gather(data, start, stop, pool)
    return pa.StringArray.from_buffers(len(start), pa.py_buffer(ends), pa.py_buffer(pool))


def texts_at(texts: pa.StringArray, rows: NDArray[np.integer[Any]]) -> pa.StringArray:
    """Return `texts[rows]`, of texts or of bytes."""
    letters, bounds = text_buffers(texts)
    ends = np.empty(len(rows) + 1, dtype=np.int32)
    pool = np.empty(_measure_at(bounds, rows, ends), dtype=np.uint8)
    _gather_at(letters, bounds, rows, pool)
    return pa.Array.from_buffers(texts.type, len(rows), [None, pa.py_buffer(ends), pa.py_buffer(pool)])


@compiled
def _measure(start: NDArray[Any], stop: NDArray[Any], ends: Int32s) -> int:
    total = 0
    ends[0] = 0
    for row in range(len(start)):
        total += stop[row] - start[row]
        ends[row + 1] = total
    return total


@compiled
def _measure_at(bounds: Int32s, rows: NDArray[Any], ends: Int32s) -> int:
    total = 0
    ends[0] = 0
    for place in range(len(rows)):
        row = rows[place]
        total += item(bounds, row + 1) - item(bounds, row)
        put(ends, place + 1, total)
    return total


@compiled
def _gather(data: Bytes, start: NDArray[Any], stop: NDArray[Any], pool: Bytes) -> None:
    into = 0
    for row in range(len(start)):
        into = copy(pool, into, data, start[row], stop[row])


@compiled
def _gather_at(letters: Bytes, bounds: Int32s, rows: NDArray[Any], pool: Bytes) -> None:
    into = 0
    for place in range(len(rows)):
        row = rows[place]
        into = copy(pool, into, letters, item(bounds, row), item(bounds, row + 1))
