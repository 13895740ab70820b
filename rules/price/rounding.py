"""Rounding: one exact product, rounded once.

Owns the integer arithmetic of a line's amount: `round(left * right * ratio)` on int64 where nothing can overflow, on
Python integers for the rows where it could. Must not know rules or events.
"""

from enum import StrEnum
from fractions import Fraction
from typing import Final

import attrs
import numpy as np

from rules.columns import INT64_LIMIT, PICO_PLACES, Units

_SAFE: Final = INT64_LIMIT // 2  # intermediate results stay below half of int64: twice a remainder must fit too


class Mode(StrEnum):
    """What happens to the digits beyond the last place."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    UP = "up"
    DOWN = "down"


@attrs.frozen
class Rounding:
    """How a line's amount is rounded: to `places` (0..12), ties and direction by `mode`."""

    places: int = PICO_PLACES
    mode: Mode = Mode.HALF_EVEN


def rounded_product(left: Units, right: Units, ratio: Fraction, rounding: Rounding) -> Units:
    """Return `round(left * right * ratio)` in units of 1e-12, exactly.

    left, right: int64 or object, equal lengths or one of length 1 (broadcast); ratio: positive. Rows that might
    overflow int64 are computed as Python integers, the others are not slowed; the result is object only if some value
    needs it.
    """
    ratio *= 10**rounding.places
    step = 10 ** (PICO_PLACES - rounding.places)
    limit = product_max(ratio, rounding)
    left_max, right_max = _magnitude(left), _magnitude(right)
    if max(left_max, 1) * max(right_max, 1) <= limit:
        exact: Units = _round(_int64(left) * _int64(right), ratio, rounding.mode) * step
        return exact
    left, right = np.broadcast_arrays(left, right)
    bound = limit // max(right_max, 1) or -1
    narrow = ((left >= -bound) & (left <= bound)).astype(bool)
    wide = _round(left[~narrow].astype(object) * right[~narrow].astype(object), ratio, rounding.mode) * step
    fits = bool((abs(wide) < INT64_LIMIT).all())
    result: Units = np.empty(len(left), dtype=np.int64 if fits else object)
    result[narrow] = (
        _round(_int64(left[narrow]) * _int64(right[narrow]), ratio, rounding.mode) * step if narrow.any() else 0
    )
    result[~narrow] = wide
    return result


def product_max(ratio: Fraction, rounding: Rounding) -> int:
    """Return the largest |left * right| for which all steps of rounding it stay in range of int64, -1 if none does.

    ratio: of the product to units of 10**-places.
    """
    if max(ratio.numerator, ratio.denominator) >= _SAFE:
        return -1  # not even zero: the ratio itself does not fit int64
    step = 10 ** (PICO_PLACES - rounding.places)
    most: int = min(_SAFE // ratio.numerator, (_SAFE // step - 1) * ratio.denominator // ratio.numerator)
    return most


def _magnitude(units: Units) -> int:
    return max(int(units.max()), -int(units.min())) if len(units) else 0


def _int64(units: Units) -> Units:
    return units.astype(np.int64, copy=False)


def _round(product: Units, ratio: Fraction, mode: Mode) -> Units:
    """Round `product * ratio` to integers; the caller has made sure that nothing overflows."""
    numerator: Units = product if ratio.numerator == 1 else product * ratio.numerator
    if ratio.denominator == 1:
        return numerator
    floor = numerator // ratio.denominator
    rest = numerator - floor * ratio.denominator
    rounded: Units = floor + _increment(floor, rest, ratio.denominator, mode)
    return rounded


def _increment(floor: Units, rest: Units, divisor: int, mode: Mode) -> Units:
    """Return 1 where rounding goes up from the floor (towards plus infinity), else 0; 0 <= rest < divisor."""
    # A value is negative exactly when its floor is: away from zero is then the floor itself.
    up: Units
    if mode is Mode.UP:
        up = (rest > 0) & (floor >= 0)
    elif mode is Mode.DOWN:
        up = (rest > 0) & (floor < 0)
    else:
        tie_up = floor % 2 == 1 if mode is Mode.HALF_EVEN else floor >= 0
        twice = rest * 2
        up = (twice > divisor) | ((twice == divisor) & tie_up)
    return up
