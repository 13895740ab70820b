"""Steps: prices that count started increments, whose length and price change along the quantity.

Owns the exact arithmetic of such prices for whole columns. Must not know how a book states them.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

import attrs
import numpy as np

from rules.columns import Decimals, Int32s, Units, widened
from rules.price.quantity import Scaled


@attrs.frozen
class Interval:
    """A part of the quantity: it begins at `after`; each started `increment` in it is charged in full.

    rate: currency units a unit of quantity; after, increment: in units of quantity, increment above 0.
    """

    after: Fraction
    rate: Fraction
    increment: Fraction


@attrs.frozen
class Step:
    """From a quantity above `start` on: `base` and, for each increment started since `start`, `cost`."""

    start: Fraction
    increment: Fraction
    base: Fraction
    cost: Fraction

    @property
    def denominator(self) -> int:
        """A common denominator of base and cost."""
        return lcm(self.base.denominator, self.cost.denominator)


def steps_of(connect: Fraction, intervals: Sequence[Interval]) -> list[Step]:
    """Return what intervals come to; the first begins at 0, the others where they say or a little later.

    The last increment of an interval is charged in full although the next interval may begin within it; the next one
    counts from its end, and an interval that ends before it begins does not count.
    """
    steps: list[Step] = []
    start, base = Fraction(0), connect
    for interval, following in zip(intervals, [*intervals[1:], None], strict=True):
        if following is not None and following.after <= start:
            continue
        cost = interval.rate * interval.increment
        steps.append(Step(start, interval.increment, base, cost))
        if following is not None:
            increments = -((start - following.after) // interval.increment)
            start += increments * interval.increment
            base += increments * cost
    return steps


@attrs.frozen(eq=False)
class Plans:
    """p prices of k steps each, as columns.

    starts, increments: k columns of p integers of 10**-scale; bases, costs: k columns of p integers of 1/denominator;
    all of them int64[p], or object[p] where they would not fit.
    """

    starts: Sequence[Units]
    increments: Sequence[Units]
    scale: int
    bases: Sequence[Units]
    costs: Sequence[Units]
    denominator: int

    @classmethod
    def of(cls, plans: Sequence[Sequence[Step]]) -> "Plans":
        """Put prices of equally many steps into columns."""
        columns = list(zip(*plans, strict=True))
        scale = max(_places(part) for plan in plans for step in plan for part in (step.start, step.increment))
        denominator = lcm(*(step.denominator for plan in plans for step in plan))
        return cls(
            starts=[_integers([step.start * 10**scale for step in column]) for column in columns],
            increments=[_integers([step.increment * 10**scale for step in column]) for column in columns],
            scale=scale,
            bases=[_integers([step.base * denominator for step in column]) for column in columns],
            costs=[_integers([step.cost * denominator for step in column]) for column in columns],
            denominator=denominator,
        )

    def amounts(self, plan: Int32s, quantity: Scaled) -> Scaled:
        """Return the exact amount of each quantity; plan: int32[m]. A quantity of 0 costs nothing."""
        # Quantities, starts and increments as integers of the same tiny unit.
        ticks = quantity.ratio * 10**self.scale
        q = Decimals(quantity.units, 0).times(ticks.numerator).units
        total: Units = np.zeros(len(q), dtype=np.int64)
        for start, increment, base, cost in zip(self.starts, self.increments, self.bases, self.costs, strict=True):
            begun = np.flatnonzero(q > _taken(start, plan, ticks.denominator))
            if not len(begun):
                break  # later steps start later
            here = plan[begun]
            counted, length = (
                q[begun] - _taken(start, here, ticks.denominator),
                _taken(increment, here, ticks.denominator),
            )
            increments = -(-counted // length)
            costs, bases = cost[here], base[here]
            bound = _magnitude(increments) * _magnitude(costs) + _magnitude(bases)
            amounts = widened(bases, bound) + widened(increments, bound) * widened(costs, bound)
            if amounts.dtype == object:
                total = total.astype(object)
            total[begun] = amounts
        return Scaled(total, Fraction(1, self.denominator))


def _taken(units: Units, plan: Int32s, factor: int) -> Units:
    taken = units[plan]
    return taken if factor == 1 else Decimals(taken, 0).times(factor).units


def _integers(values: Sequence[Fraction]) -> Units:
    assert all(value.denominator == 1 for value in values), "the scale is fine enough"
    return Decimals.of_integers([value.numerator for value in values]).units


def _magnitude(units: Units) -> int:
    return Decimals(units, 0).magnitude()


def _places(value: Fraction) -> int:
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    return places
