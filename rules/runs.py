"""Runs: uses sorted by their counter, and running sums within each counter's run.

Owns that arithmetic of columns. Must not know prices.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rules.columns import Decimals, Int32s, Int64s, Units, widened
from rules.measure import narrowed

_DIVISORS: Final = (12, 9, 6, 3)  # powers of ten: the store keeps 12 places, and whole numbers are usual


class Runs:
    """k uses of g counters, in an order in which those of one counter stand together, as they came.

    order: that order; back: how to return from it; counter: the counter of each use in it; number: of each use in its
    run, from 0; counts: int64[g], the length of each run.
    """

    def __init__(self, counter: Int32s, count: int) -> None:
        self.counts: Int64s = np.bincount(counter, minlength=count).astype(np.int64)
        self._starts = np.cumsum(self.counts) - self.counts
        self.order: NDArray[Any] = np.argsort(counter, kind="stable")
        self.back = np.empty(len(counter), dtype=np.int64)
        self.back[self.order] = np.arange(len(counter))
        self.counter = counter[self.order]
        self.number: Int64s = np.arange(len(counter)) - self._starts[self.counter]

    def running(self, held: Decimals, added: Decimals) -> Decimals:
        """Return what each counter holds after each use; held: g of them, added: k in this order, of one scale."""
        assert held.scale == added.scale, "only numbers of one scale can be added"
        bound = held.magnitude() + len(added) * added.magnitude()
        units, held_units = widened(added.units, bound), widened(held.units, bound)
        sums = np.concatenate([np.zeros(1, dtype=units.dtype), np.cumsum(units, dtype=units.dtype)])
        return Decimals(sums[1:] + (held_units - sums[self._starts])[self.counter], held.scale)

    def previous(self, held: Decimals, running: Decimals) -> Decimals:
        """Return what each counter held before each use."""
        units = running.units if held.units.dtype != object else running.units.astype(object)
        shifted: Units = np.concatenate([units[:0], units[:1], units[:-1]])
        first = self.number == 0
        shifted[first] = held.units[self.counter[first]]
        return Decimals(shifted, running.scale)

    def last(self, held: Decimals, running: Decimals) -> Decimals:
        """Return what each counter holds in the end: unchanged where it has no use."""
        units = held.units.astype(running.units.dtype if held.units.dtype != object else object)
        used = self.counts > 0
        units[used] = running.units[(self._starts + self.counts - 1)[used]]
        return Decimals(narrowed(units) if units.dtype == object else units, held.scale)


def coarsened(column: Decimals) -> Decimals:
    """Return the same values at a coarser scale if all have the zeros for it, so that int64 goes further."""
    for places in _DIVISORS:
        if column.scale >= places and not (column.units % 10**places).any():
            units = column.units // 10**places
            return Decimals(narrowed(units) if units.dtype == object else units, column.scale - places)
    return column
