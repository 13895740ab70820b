"""Sums: lines with equal keys are added up exactly, in one pass over each column.

Owns the numbering of keys and the additions. Must not know what is added.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.columns import Decimals, Int64s, widened
from rules.compiled import compiled, item, put


def numbered(group: Int64s, key: Int64s) -> tuple[Int64s, Int64s]:
    """Give the distinct (group, key) of n lines ascending numbers; groups ascend already.

    Returns int64[n], the number of each line, and a line of each number.
    """
    row, first, label, place_of = np.empty((4, len(key)), dtype=np.int64)
    count = _number_rows(group, key, row, first, label, place_of)
    return row, first[:count]


def added_decimals(column: Decimals, row: Int64s, count: int) -> Decimals:
    """Add value i of the column to row `row[i]` of `count`, exactly."""
    return Decimals(added(widened(column.units, column.magnitude() * len(row)), row, count), column.scale)


def added(column: NDArray[Any], row: Int64s, count: int) -> NDArray[Any]:
    """Add value i of the column to row `row[i]` of `count`."""
    sums = np.zeros(count, dtype=column.dtype)
    if column.dtype == object:
        np.add.at(sums, row, column)
    else:
        _add(sums, row, column)
    return sums


@compiled
def _add(sums: NDArray[Any], row: Int64s, column: NDArray[Any]) -> None:
    for line in range(len(row)):
        put(sums, row[line], item(sums, row[line]) + column[line])


@compiled
def _number_rows(group: Int64s, key: Int64s, row: Int64s, first: Int64s, label: Int64s, place_of: Int64s) -> int:
    """Give the distinct (group, key) of n lines ascending numbers; groups ascend already, each with few keys.

    row: int64[n], the number of each line; first: its leading elements become a line of each number; label, place_of:
    room for n. Returns how many there are.
    """
    count, line = 0, 0
    while line < len(group):
        begin, base = line, count
        while line < len(group) and group[line] == group[begin]:
            low, high = base, count
            while low < high:
                middle = (low + high) // 2
                if item(key, item(first, middle)) < key[line]:
                    low = middle + 1
                else:
                    high = middle
            if low == count or item(key, item(first, low)) != key[line]:
                for place in range(count, low, -1):
                    first[place], label[place] = first[place - 1], label[place - 1]
                first[low], label[low] = line, count
                count += 1
            row[line] = item(label, low)  # the order in which keys came, until all of the group are known
            line += 1
        for place in range(base, count):
            put(place_of, label[place], place)
        for done in range(begin, line):
            row[done] = item(place_of, row[done])
    return count
