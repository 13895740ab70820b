"""Billed quantities: what is counted, rounded up to increments, in which unit, at least how much.

Owns the exact arithmetic from an event's quantity to the billed one. Must not know prices.
"""

from decimal import Decimal
from fractions import Fraction

import attrs
import numpy as np

from rules.columns import PICO_PLACES, Decimals, Units, widened
from rules.number import places_of, units_of
from rules.price.rounding import Rounding, rounded_product


@attrs.frozen
class QuantitySpec:
    """What a rule counts: the attribute `of` (None: the event's quantity), rounded up, divided, at least `minimum`."""

    of: str | None = None
    round_up_to: Decimal | None = None
    per: Decimal | None = None
    minimum: Decimal | None = None


@attrs.frozen(eq=False)
class Scaled:
    """A column of exact fractions: row i is `units[i] * ratio`; units int64[n] or object[n], ratio positive."""

    units: Units
    ratio: Fraction

    def shown(self) -> Decimals:
        """Return the values as decimals at the coarsest exact scale; half even at 12 places where none is exact."""
        for scale in range(PICO_PLACES + 1):
            factor = self.ratio * 10**scale
            if factor.denominator == 1:
                return Decimals(_times(self.units, factor.numerator), scale)
        one = np.ones(1, dtype=np.int64)
        return Decimals(rounded_product(self.units, one, self.ratio, Rounding()), PICO_PLACES)

    def reaches(self, limit: int) -> Units | None:
        """Return a mask of the rows at or above a limit, or None when there are none."""
        threshold = -int(-limit // self.ratio)
        if not len(self.units) or int(self.units.max()) < threshold:
            return None
        return (self.units >= threshold).astype(bool)


def billed(spec: QuantitySpec, quantity: Decimals) -> Scaled:
    """Return the billed quantities of non-negative quantities: rounded up, divided by `per`, at least `minimum`."""
    per = Fraction(1 if spec.per is None else spec.per)
    if spec.round_up_to is None:
        result = Scaled(quantity.units, Fraction(1, 10**quantity.scale) / per)
    else:
        quantity = quantity.rescaled(max(quantity.scale, places_of(spec.round_up_to)))
        increment = units_of(spec.round_up_to, quantity.scale)
        increments = -(-widened(quantity.units, increment) // increment)
        result = Scaled(increments, Fraction(spec.round_up_to) / per)
    if spec.minimum is None:
        return result
    # The minimum as a whole number of (finer) units, so that it needs no rounding.
    minimum = Fraction(spec.minimum) / result.ratio
    units = widened(_times(result.units, minimum.denominator), minimum.numerator)
    return Scaled(np.maximum(units, minimum.numerator), result.ratio / minimum.denominator)


def _times(units: Units, factor: int) -> Units:
    return Decimals(units, 0).times(factor).units if factor != 1 else units
