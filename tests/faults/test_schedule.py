"""The schedule of a campaign, without a server."""

import shlex

from tests.faults.campaign import KINDS, Plan
from tests.faults.schedule import schedule
from tests.faults.test_campaign import plan_of


def test_every_kind_comes_once_before_any_comes_twice():
    """A short campaign would leave kinds of faults out."""
    rounds = schedule(7, list(KINDS), len(KINDS), at_once=4, rate_max=500)
    assert sorted(fault.kind for one in rounds for fault in one.faults) == sorted(KINDS)


def test_a_seed_draws_the_same_rounds_again_and_a_longer_schedule_begins_with_them():
    """A campaign that failed could not be run again, nor be continued."""
    short, long = (schedule(7, list(KINDS), faults, at_once=1, rate_max=500) for faults in (10, 30))
    assert long[:10] == short
    assert schedule(8, list(KINDS), 10, at_once=1, rate_max=500) != short


def test_the_line_that_a_campaign_prints_runs_it_again():
    """Whoever sees a failure would run another campaign than the one that failed."""
    for plan in (
        Plan("mariadb", seed=3, faults=4, events=5),
        Plan("mysql", seed=1, faults=2, events=9, at_once=6, rate_max=300, shards=3, kinds=("failover", "read-only")),
    ):
        make, target, *pairs = shlex.split(plan.command())
        assert (make, target) == ("make", "campaign")
        assert plan_of(dict(pair.split("=") for pair in pairs)) == plan
