"""Texts: columns of them, copied out of bytes or out of other columns.

Must not know what they say.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rules.columns import Int32s
from rules.compiled import compiled, item, put, text_buffers

Bytes = NDArray[np.uint8]


def gathered(data: Bytes, start: NDArray[Any], stop: NDArray[Any]) -> pa.StringArray:
    """Return the texts `data[start[i]:stop[i]]`."""
    ends = np.empty(len(start) + 1, dtype=np.int32)
    pool = np.empty(_measure(start, stop, ends), dtype=np.uint8)
    _gather(data, start, stop, pool)
    return pa.StringArray.from_buffers(len(start), pa.py_buffer(ends), pa.py_buffer(pool))


def texts_at(texts: pa.StringArray, rows: NDArray[np.integer[Any]]) -> pa.StringArray:
    """Return `texts[rows]`."""
    letters, bounds = text_buffers(texts)
    return gathered(letters, bounds[:-1][rows], bounds[1:][rows])


@compiled
def _measure(start: NDArray[Any], stop: NDArray[Any], ends: Int32s) -> int:
    total = 0
    ends[0] = 0
    for row in range(len(start)):
        total += stop[row] - start[row]
        ends[row + 1] = total
    return total


@compiled
def _gather(data: Bytes, start: NDArray[Any], stop: NDArray[Any], pool: Bytes) -> None:
    into = 0
    for row in range(len(start)):
        for at in range(start[row], stop[row]):
            put(pool, into, item(data, at))
            into += 1
