"""Texts: columns of text as bytes and numbers, which compiled loops read without an object for any of them.

Owns how a column refers to texts that many rows, or many batches, share. Must not know what the texts mean.
"""

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
import pyarrow as pa

from billing.hash64 import Bytes
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
        letters = self.pool.letters.data
        return [str(letters[start:stop], "utf-8") for start, stop in zip(starts, stops, strict=True)]


def pool_of(values: Dictionary[str]) -> Pool:
    """Return the texts of a dictionary; to be asked by `Dictionary.derived_of_all`, so that it is made once."""
    return Pool.of(values.derived(texts_of))


NO_TEXTS: Final = Texts(Pool.of_list([]), np.zeros(0, dtype=np.int64))


def reordered(texts: pa.StringArray, rows: Int64s) -> pa.StringArray:
    """Return all texts of a column in another order; rows: int64[n]."""
    pool = Pool.of(texts)
    bounds = np.empty(len(rows) + 1, dtype=np.int32)
    letters = np.empty(pool.bounds[-1] - pool.bounds[0], dtype=np.uint8)
    _copy(pool.letters, pool.bounds, rows, letters, bounds)
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(bounds), pa.py_buffer(letters))


@compiled
def _copy(letters: Bytes, bounds: Int32s, rows: Int64s, to_letters: Bytes, to_bounds: Int32s) -> None:
    at = to_bounds[0] = 0
    for place in range(len(rows)):
        for letter in range(item(bounds, rows[place]), item(bounds, rows[place] + 1)):
            put(to_letters, at, item(letters, letter))
            at += 1
        put(to_bounds, place + 1, at)
