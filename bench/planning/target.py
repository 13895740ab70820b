"""The target: what a plan must withstand, and when the load outgrows it.

Owns peak with headroom, the loss of a cluster, growth and retention. Must not know instances, prices or measurements.
"""

from collections.abc import Mapping, Sequence
from math import inf, log
from typing import Final

import attrs
import numpy as np

from bench.planning.accounts import Floats
from bench.planning.law import Estimate
from bench.planning.placement import Placement
from billing.errors import BillingError

SECONDS_PER_DAY: Final = 86_400
DAYS_PER_MONTH: Final = 365 / 12
MONTHS: Final = 12


class PlanError(BillingError):
    """A load that no plan can carry. Reaction: the command stops and says what would make it possible."""

    exit_code = 2


@attrs.frozen
class Target:
    """What a plan must withstand.

    average_per_second and peak_per_second: events now; headroom: how many times its share of the peak each shard
    carries; growth: of events a year (0.4 is 40 %); months: for how long the plan must hold; retention_days: how long
    records stay; readers: instances beside the writer of each cluster; days_in_memory: whose records must fit in a
    shard's buffer pool, since writes go all over the present day; loses_one: the others carry the peak when the
    slots of the hottest cluster move to them.

    Raises: PlanError when a value is impossible.
    """

    average_per_second: float
    peak_per_second: float
    headroom: float = 2.5
    growth: float = 0.0
    months: float = 12
    retention_days: float = 90
    readers: int = 1
    loses_one: bool = True
    days_in_memory: float = 1

    def __attrs_post_init__(self) -> None:
        if not 0 < self.average_per_second < inf:
            raise PlanError(f"an average of {self.average_per_second:g} events/s is no load; write more than 0")
        if not self.average_per_second <= self.peak_per_second < inf:
            raise PlanError(
                f"a peak of {self.peak_per_second:g} events/s lies below the average of "
                f"{self.average_per_second:g}; write the highest rate that must be carried"
            )
        if not 1 <= self.headroom < inf:
            raise PlanError(f"a headroom of {self.headroom:g} cannot carry the peak itself; write 1 or more")
        if not -1 < self.growth < inf:
            raise PlanError(f"a growth of {self.growth:g} a year leaves nothing; write more than -1, such as 0.4")
        if not (0 <= self.months < inf and 0 < self.retention_days < inf):
            raise PlanError("months must be 0 or more and retention more than 0 days; correct them")
        if not (self.readers >= 0 and 0 <= self.days_in_memory < inf):
            raise PlanError("readers and days in memory must be 0 or more; correct them")

    @property
    def grown(self) -> float:
        """Return how many times the load of now the plan must carry."""
        return float(max(1.0, (1 + self.growth) ** (self.months / MONTHS)))


def needs(target: Target, placement: Placement) -> Floats:
    """Return the events a second that each shard must be able to carry, at the end of the plan: float64[shards].

    The larger of its peak with headroom, and, when the hottest other cluster is lost and its slots move evenly to the
    rest, its peak with its part of that.
    """
    load = placement.share * target.peak_per_second * target.grown
    need = load * target.headroom
    if target.loses_one and len(load) > 1:
        first, second = np.argsort(load)[[-1, -2]]
        lost = np.full(len(load), load[first])
        lost[first] = load[second]
        need = np.maximum(need, load + lost / (len(load) - 1))
    return np.asarray(need)


def doubling_months(target: Target, spare: Sequence[float], rooms: Mapping[str, float]) -> tuple[Estimate, str]:
    """Return in how many months the shards must be doubled, and what for.

    spare: (slow end, middle, fast end), how many times the load at the end of the plan they carry; rooms: how many
    times their bytes then fit, by what else may end.
    """
    by = min(["load", *rooms], key=lambda name: rooms.get(name, spare[1]))
    if target.growth <= 0:
        return Estimate(inf, inf, inf), by
    speed = log(1 + target.growth) / MONTHS
    low, mid, high = (max(0.0, target.months + log(min([each, *rooms.values()])) / speed) for each in spare)
    return Estimate(low, mid, high), by
