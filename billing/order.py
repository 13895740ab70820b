"""Orders: the places of rows by primary key, found without sorting what is in order already.

Owns the order of parts, lines and texts, and which texts are equal; text compares as VARBINARY does, byte by byte.
Must not know tables.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from billing.charge import Bools
from billing.digest import UInt64s
from billing.hash64 import Bytes, hash64
from rules.columns import Int32s, Int64s
from rules.compiled import compiled, item, put, text_buffers


def stable_order(codes: NDArray[np.integer[Any]], stop: int) -> NDArray[np.intp]:
    """Return the rows in the order of their codes, which are all from 0 to below `stop`; equal ones as they stand."""
    if stop <= 1 << 16:
        codes = codes.astype(np.uint16, copy=False)  # numpy sorts 16 bits by counting
    return np.argsort(codes, kind="stable")


def part_order(owner: Int64s, owners: int, keys: pa.StringArray) -> NDArray[np.intp]:
    """Return the parts in the order of their owner (account and day, below `owners`), then of their key."""
    order = stable_order(owner, owners)
    if _are_ascending(*text_buffers(keys), owner, order):
        return order  # ids often count up, or an account has one event in a batch
    return np.lexsort((ranks(keys), owner))


def repeated(texts: pa.StringArray) -> Bools:
    """Return which texts stand more than once, bool[n]; by chance (2^-64 a pair) also one that does not."""
    size = 1 << (2 * len(texts)).bit_length()
    mask = np.zeros(len(texts), dtype=np.bool_)
    table, hashes = np.full(size, -1, dtype=np.int32), np.empty(len(texts), dtype=np.uint64)
    _mark_repeated(*text_buffers(texts), table, hashes, mask)
    return mask


@compiled
def _mark_repeated(data: Bytes, bounds: Int32s, table: Int32s, hashes: UInt64s, mask: Bools) -> None:
    """Look each text's hash up in an open-addressing table of rows, -1 where it is free."""
    wrap = np.uint64(len(table) - 1)
    for row in range(len(mask)):
        hashes[row] = hash64(data, bounds[row], bounds[row + 1])
        place = hashes[row] & wrap
        while table[place] >= 0:
            other = table[place]
            if item(hashes, other) == hashes[row]:
                mask[row] = True
                put(mask, other, True)  # noqa: FBT003 - an element
                break
            place = (place + np.uint64(1)) & wrap
        if table[place] < 0:
            table[place] = row


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
        while at < length and item(data, first + at) == item(data, second + at):
            at += 1
        if at < length:
            if item(data, first + at) > item(data, second + at):
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


def first_rows(codes: Int32s, stop: int) -> tuple[Int64s, Int64s]:
    """Give distinct codes, all from 0 to below `stop`, numbers as they come.

    Returns a row of each distinct code, and each row's number.
    """
    first, number = np.empty((2, len(codes)), dtype=np.int64)
    count = _number(codes, np.full(stop, -1, dtype=np.int32), first, number)
    return first[:count], number


@compiled
def _number(codes: Int32s, known: Int32s, first: Int64s, number: Int64s) -> int:
    count = 0
    for row in range(len(codes)):
        code = item(codes, row)
        if item(known, code) < 0:
            put(known, code, count)
            put(first, count, row)
            count += 1
        put(number, row, item(known, code))
    return count


def ranked(texts: pa.StringArray) -> tuple[pa.StringArray, Int64s]:
    """Return the distinct texts in byte order, and each text's place among them."""
    known = texts.dictionary_encode()
    order = pc.array_sort_indices(known.dictionary)
    place = np.empty(len(order), dtype=np.int64)
    place[order.to_numpy()] = np.arange(len(order))
    return known.dictionary.take(order), place[known.indices.to_numpy()]


def ranks(texts: pa.StringArray) -> Int64s:
    """Return each text's place in byte order, the order of VARBINARY keys."""
    ranks = np.empty(len(texts), dtype=np.int64)
    ranks[pc.array_sort_indices(texts).to_numpy()] = np.arange(len(texts))
    return ranks
