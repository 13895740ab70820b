"""Orders: the places of rows by primary key, found without sorting what is in order already.

Owns the order of parts, lines and texts; text compares as VARBINARY does, byte by byte. Must not know tables.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from billing.compiled import compiled
from billing.hash64 import Bytes
from rules.columns import Int32s, Int64s


def part_order(owner: Int64s, keys: pa.StringArray) -> NDArray[np.intp]:
    """Return the parts in the order of their owner (account and day), then of their key."""
    order = np.argsort(owner, kind="stable")
    _, bounds, data = keys.buffers()
    bounds = np.frombuffer(bounds, dtype=np.int32)[keys.offset : keys.offset + len(keys) + 1]
    if data is None or _are_ascending(np.frombuffer(data, dtype=np.uint8), bounds, owner, order):
        return order  # ids often count up, or an account has one event in a batch
    return np.lexsort((ranks(keys), owner))


@compiled
def _are_ascending(data: Bytes, bounds: Int32s, owner: Int64s, order: Int64s) -> bool:
    """Tell whether the texts of each owner ascend in byte order."""
    for place in range(1, len(order)):
        here, before = order[place], order[place - 1]
        if owner[here] != owner[before]:
            continue
        first, second = bounds[before], bounds[here]
        length = min(bounds[before + 1] - first, bounds[here + 1] - second)
        at = 0
        while at < length and data[first + at] == data[second + at]:
            at += 1
        if at < length:
            if data[first + at] > data[second + at]:
                return False
        elif bounds[before + 1] - first > bounds[here + 1] - second:
            return False
    return True


def line_order(part: Int32s, parts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the lines in the order of their parts; part: int32[m], ascending, of each line; parts: their order."""
    if len(part) == len(parts):
        return parts
    counts = np.bincount(part, minlength=len(parts))
    firsts = (np.cumsum(counts) - counts)[parts]
    counts = counts[parts]
    places = np.cumsum(counts) - counts
    return np.repeat(firsts - places, counts) + np.arange(len(part))


def coded(values: Int64s, step: int) -> tuple[Int64s, Int64s]:
    """Return the distinct values, ascending, and the place of each row's among them; all are multiples of `step`."""
    if not len(values):
        return values, values
    least = int(values.min())
    code = (values - least) // step
    if int(code.max()) > 4 * len(values):  # too sparse to count
        return np.unique(values, return_inverse=True)
    present = np.bincount(code) > 0
    return np.flatnonzero(present) * step + least, (np.cumsum(present) - 1)[code]


def ranks(texts: pa.StringArray) -> Int64s:
    """Return each text's place in byte order, the order of VARBINARY keys."""
    ranks = np.empty(len(texts), dtype=np.int64)
    ranks[pc.array_sort_indices(texts).to_numpy()] = np.arange(len(texts))
    return ranks
