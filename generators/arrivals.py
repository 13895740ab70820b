"""Arrivals: when events happen, as the inverse of a cumulative rate.

Owns the shapes of traffic over time. Must not know accounts, products or the wall clock.
"""

import math
from enum import StrEnum
from functools import lru_cache
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from generators.errors import ArrivalsError

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

SECOND_US: Final = 1_000_000
DEFAULT_START_US: Final = 1_767_225_600 * SECOND_US  # 2026-01-01T00:00:00Z
END_US: Final = 4_102_444_800 * SECOND_US  # 2100-01-01, where valid event times end
_HALF_HOURS: Final = 48
_PEAK_HALF_HOUR: Final = 32  # 16:00 UTC: afternoon in Europe, morning in America
_SWING: Final = 0.8  # the busiest half-hour carries nine times the quietest
_BURST_SHARES: Final = (12.0, *([1.0] * 9))  # more than half of ten minutes' events fall into the first minute


class Shape(StrEnum):
    """How the rate changes over time."""

    STEADY = "steady"
    DIURNAL = "diurnal"
    BURST = "burst"


def shape_named(name: str) -> Shape:
    """Return the shape of that name.

    Raises: ArrivalsError when there is none.
    """
    try:
        return Shape(name)
    except ValueError:
        raise ArrivalsError(f'arrivals: "{name}" is not known; write one of {", ".join(Shape)}') from None


@attrs.frozen
class Arrivals:
    """Event times of a mean rate, repeating its shape every period (one second, one day or ten minutes).

    Raises: ArrivalsError when the rate is not positive or the start is outside 2000 to 2099.
    """

    shape: Shape
    start_us: int = attrs.field(default=DEFAULT_START_US)
    rate_per_second: float = attrs.field(default=10.0)

    @start_us.validator
    def _check_start(self, _: object, value: int) -> None:
        if not 946_684_800 * SECOND_US <= value < END_US:
            raise ArrivalsError(f"start: {value} us is outside the years 2000 to 2099; write a time within them")

    @rate_per_second.validator
    def _check_rate(self, _: object, value: float) -> None:
        if not (0 < value < math.inf):
            raise ArrivalsError(f"rate_per_second: {value} is not a positive number; write one such as 10")

    def times_us(self, ordinals: Int64s, draws: Float64s) -> Int64s:
        """Return the time of each event in microseconds since 1970-01-01 UTC.

        ordinals: int64[n], the events' running numbers; draws: float64[n], uniform in [0, 1), the place within the mean
        gap between two events. Times never decrease while ordinals increase.

        Raises: ArrivalsError when a time would pass the year 2099.
        """
        period_seconds, shares = _profile(self.shape)
        events_per_period = self.rate_per_second * period_seconds
        place = ordinals + draws
        period = np.floor(place / events_per_period)
        share = np.clip(place / events_per_period - period, 0.0, 1.0)
        within = np.interp(share, shares, np.linspace(0.0, period_seconds * SECOND_US, len(shares)))
        if len(period) and self.start_us + (float(period[-1]) + 1) * period_seconds * SECOND_US >= END_US:
            raise ArrivalsError(f"event {ordinals[-1]} would happen after 2099; raise rate_per_second or start earlier")
        return self.start_us + period.astype(np.int64) * (period_seconds * SECOND_US) + within.astype(np.int64)


@lru_cache(maxsize=len(Shape))
def _profile(shape: Shape) -> tuple[int, Float64s]:
    """Return a period in seconds and the cumulative share of its events at the ends of equal cells: 0 first, 1 last."""
    match shape:
        case Shape.STEADY:
            period_seconds, weights = 1, [1.0]
        case Shape.DIURNAL:
            angles = [2 * math.pi * (cell - _PEAK_HALF_HOUR) / _HALF_HOURS for cell in range(_HALF_HOURS)]
            period_seconds, weights = 86_400, [1 + _SWING * math.cos(angle) for angle in angles]
        case Shape.BURST:
            period_seconds, weights = 600, list(_BURST_SHARES)
    cumulative = np.concatenate([[0.0], np.cumsum(weights)])
    return period_seconds, cumulative / cumulative[-1]
