"""What a plan must withstand."""

from math import inf

import numpy as np
import pytest

from bench.planning.law import Estimate
from bench.planning.placement import Placement
from bench.planning.target import PlanError, Target, doubling_months, needs


def placement(*share):
    return Placement(np.array(share), np.ones(len(share)), np.array(share))


def test_headroom_and_growth_multiply_the_peak():
    """Else a plan would hold today only: 40 % a year for two years is 1.96 times."""
    target = Target(10, 100, headroom=2.5, growth=0.4, months=24, loses_one=False)
    assert target.grown == pytest.approx(1.96)
    assert needs(target, placement(0.5, 0.3, 0.2)) == pytest.approx([245, 147, 98])


def test_the_rest_carry_the_peak_when_the_hottest_cluster_is_lost():
    """Else the loss of one would take the others with it: each of two gets half of the 60 that the hottest had."""
    target = Target(10, 100, headroom=1, loses_one=True)
    assert needs(target, placement(0.6, 0.3, 0.1)) == pytest.approx([60 + 15, 30 + 30, 10 + 30])
    roomy = Target(10, 100, headroom=2.5, loses_one=True)
    assert needs(roomy, placement(0.6, 0.3, 0.1)) == pytest.approx([150, 75, 40])


def test_a_shrinking_load_is_planned_as_it_is_now():
    """Else a plan would be too small on its first day."""
    assert Target(10, 100, growth=-0.5).grown == 1


def test_the_next_doubling_is_due_when_what_is_spare_has_grown_away():
    """Else it would come too late: at 100 % a year, twice the load at the end of the plan is a year after it."""
    target = Target(10, 100, growth=1.0, months=12)
    found, by = doubling_months(target, [1.0, 2.0, 4.0], {"disk": 100.0, "memory": inf})
    assert (found.low, found.mid, found.high) == pytest.approx((12, 24, 36))
    assert by == "load"
    found, by = doubling_months(target, [1.0, 2.0, 4.0], {"disk": 1.0, "memory": inf})
    assert (found.low, found.mid, found.high) == pytest.approx((12, 12, 12))
    assert by == "disk"
    never, _ = doubling_months(Target(10, 100), [1.0, 2.0, 4.0], {"disk": 9.0})
    assert never == Estimate(inf, inf, inf)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"average_per_second": 0}, "an average of 0 events/s is no load"),
        ({"average_per_second": inf}, "is no load"),
        ({"peak_per_second": 5}, "a peak of 5 events/s lies below the average of 10"),
        ({"headroom": 0.5}, "a headroom of 0.5 cannot carry the peak itself; write 1 or more"),
        ({"growth": -1}, "a growth of -1 a year leaves nothing"),
        ({"months": -1}, "months must be 0 or more"),
        ({"retention_days": 0}, "retention more than 0 days"),
        ({"readers": -1}, "readers and days in memory"),
    ],
)
def test_an_impossible_target_says_what_to_write(values, words):
    """Else a typing error would cost a month of servers."""
    with pytest.raises(PlanError, match=words):
        Target(**{"average_per_second": 10, "peak_per_second": 100, **values})
