"""Pools: what is derived from the values of several columns, in one array, for compiled loops.

Owns where each column's numbers stand in it. Must not know what they mean.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.columns import Coded, Dictionary, Int64s

What = Callable[[Sequence[str]], NDArray[Any]]


class Pool:
    """Numbers of columns' values: `numbers[first[k] + code]` of column k, also where code is -1, a missing value.

    wanted: for each column what is derived (as for `Dictionary.derived`), and the number of a missing value.
    """

    def __init__(self, wanted: Sequence[tuple[What, int]]) -> None:
        self._wanted = wanted
        self._values: list[Dictionary[str]] = [Dictionary() for _ in wanted]
        self._done = [0 for _ in wanted]
        self._room = [0 for _ in wanted]
        self.numbers: Int64s = np.zeros(0, dtype=np.int64)
        self.first: Int64s = np.zeros(0, dtype=np.int64)
        self._lay_out()

    def update(self, columns: Sequence[Coded]) -> None:
        """Take up the values that have come since, and other dictionaries."""
        for k, column in enumerate(columns):
            values = column.values
            if values is not self._values[k]:
                self._values[k], self._done[k] = values, 0
            if len(values) > self._done[k]:
                self._take(k)

    def _take(self, k: int) -> None:
        values, done = self._values[k], self._done[k]
        if len(values) > self._room[k]:
            self._room[k] = 1 << len(values).bit_length()
            self._lay_out()
        first = int(self.first[k])
        self.numbers[first + done : first + len(values)] = values.derived(self._wanted[k][0])[done:]
        self._done[k] = len(values)

    def _lay_out(self) -> None:
        """Begin a new array with room for all columns."""
        before, first = self.numbers, self.first
        self.first = np.cumsum([1, *(1 + room for room in self._room)], dtype=np.int64)[:-1]
        self.numbers = np.zeros(sum(self._room) + len(self._room), dtype=np.int64)
        for k, (_, missing) in enumerate(self._wanted):
            at, done = int(self.first[k]), self._done[k]
            self.numbers[at - 1] = missing
            self.numbers[at : at + done] = before[first[k] : first[k] + done] if done else 0
