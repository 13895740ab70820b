"""The search for a plan."""

from collections import defaultdict

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.planning.accounts import Accounts, synthetic
from bench.planning.plan import Count, Planner, recommended
from bench.planning.prices import Instance
from bench.planning.sizing import factor_of, sizing
from bench.planning.target import PlanError, Target
from sharding.key import SLOTS
from tests.planned import GIB, capacity, measurements, prices

EVEN = synthetic(20_000, 0)
SMALL = synthetic(300, 1.0)


def planner(accounts: Accounts, *instances: Instance, may_spread: bool = True, rate: float = 10_000.0) -> Planner:
    found, table = measurements(capacity(one=rate)), prices(*instances)
    one = sizing(found, table)
    factor = factor_of(found, table, one.cores)
    return Planner(accounts, one, {each.name: factor(each) for each in table.instances}, table, may_spread)


KEPT = {accounts: planner(accounts, Instance("one", 1, 64, 1.0)) for accounts in (EVEN, SMALL)}


def test_a_small_plan_is_the_one_made_by_hand():
    """Else nobody could trust a larger one.

    10,000 events/s times 2.5 by 10,000 a shard are three shards; a lost one leaves 5,000 for each of the others. Three
    writers and three readers at 1 an hour are 4,380 a month; 1,000 events/s of 500 bytes for 10 days are 402.3 GiB.
    """
    target = Target(1_000, 10_000, 2.5, retention_days=10, days_in_memory=0)
    option = recommended(planner(EVEN).options(target))
    assert (option.instance, option.storage, option.shards, option.advised) == ("one", "plain", Count(3, 3, 3), False)
    assert option.hottest_share == pytest.approx(1 / 3, rel=0.03)
    assert option.utilisation.mid == pytest.approx(1 / 3, rel=0.03)
    assert option.capacity_events_per_second.mid == pytest.approx(10_000, rel=1e-6)
    assert option.catch_up_minutes == pytest.approx(5, rel=0.05)  # ten minutes' work at u / (1 - u)
    assert option.stored_bytes == pytest.approx(1_000 * 86_400 * 10 * 500)
    assert option.cost.instances == pytest.approx(4_380)
    assert option.cost.storage == pytest.approx(1_000 * 86_400 * 10 * 500 / GIB * 0.1)
    assert option.cost.io == pytest.approx(1_000 * 86_400 * 365 / 12 * 500 / 4_096 / 1e6 * 0.2)
    assert option.doubling_months.mid == float("inf")


@settings(max_examples=20)
@given(
    peak=st.floats(1_000, 200_000),
    headroom=st.floats(1, 4),
    accounts=st.sampled_from([EVEN, SMALL]),
    lose=st.booleans(),
)
def test_the_fewest_shards_are_those_that_trying_finds(peak, headroom, accounts, lose):
    """Else a plan would be too small, or dearer than it must be: every number is tried, account by account."""
    target = Target(peak / 10, peak, headroom, loses_one=lose, days_in_memory=0, retention_days=1)
    try:
        options = KEPT[accounts].options(target)
    except PlanError:
        options = []
    plain = [option.shards.mid for option in options if not option.advised]
    tried = next((n for n in range(2 if lose else 1, 65) if carries(accounts, n, peak, headroom, lose)), None)
    assert plain[:1] == ([tried] if tried is not None else plain[:1])
    if tried is None and plain:
        assert plain[0] > 64


def carries(accounts, shards, peak, headroom, lose):
    """Say whether shards of 10,000 events/s do, in plain Python."""
    load = defaultdict(float)
    bounds = [number * SLOTS // shards for number in range(shards + 1)]
    for slot, share in zip(accounts.slots.tolist(), accounts.shares.tolist(), strict=True):
        guess = slot * shards // SLOTS
        guess += (slot >= bounds[guess + 1]) - (slot < bounds[guess])
        load[guess] += share * peak
    loads = sorted((load[number] for number in range(shards)), reverse=True)
    needed = loads[0] * headroom
    if lose and shards > 1:
        needed = max(needed, loads[1] + loads[0] / (shards - 1), loads[0] + loads[1] / (shards - 1))
    return needed <= 10_000


def test_one_hot_account_is_spread_and_the_plan_is_possible_by_that():
    """Else the one big customer would make every plan impossible."""
    hot = synthetic(50_000, 0, 0.5)
    target = Target(10_000, 40_000, 2.5, days_in_memory=0)
    option = recommended(planner(hot).options(target))
    assert option.advised
    assert option.instance == "one"
    assert 10 <= option.shards.mid <= 13  # 100,000 by 10,000, and the parts of the hash's luck
    advice, _ = planner(hot).placed(option.shards.mid, advised=True)
    assert [*advice.spreads] == ["acct-000000"]


def test_a_skew_that_one_shard_can_never_carry_says_what_would_help():
    """Else an operator would be left with a no: half of 100,000 events/s on one shard of at most 40,000."""
    hot = planner(synthetic(1_000, 0, 0.5), may_spread=False)
    with pytest.raises(PlanError) as caught:
        hot.options(Target(10_000, 100_000, 1.5, days_in_memory=0))
    said = str(caught.value)
    assert "the account acct-000000 alone has 50.0% of the events" in said
    assert "possible with" in said
    assert "acct-000000 spread over several slots (leave --no-spread out)" in said
    assert "larger instances in --prices" in said
    assert "\n" not in said
    with pytest.raises(PlanError, match=r"a headroom of 1\.[0-9]"):
        hot.options(Target(10_000, 50_000, 2.5, days_in_memory=0))


def test_more_than_a_thousand_shards_are_no_plan():
    """Else the planner would name a number that no map can hold."""
    with pytest.raises(PlanError, match="1000 shards are too few"):
        planner(EVEN, Instance("one", 1, 64, 1.0)).options(Target(1e6, 1e8, 2.5, days_in_memory=0))


def test_records_of_a_day_must_fit_in_memory_and_all_on_disk():
    """Else shards would be planned that read a page from disk for every row they write."""
    target = Target(1_000, 1_000, 2.5, retention_days=10, days_in_memory=1)
    small = planner(EVEN, Instance("one", 1, 4, 1.0))  # 40.2 GiB a day by 3 GiB of buffer pool
    assert recommended(small.options(target)).shards.mid in (14, 15)  # and the hash's luck
    assert recommended(small.options(attrs.evolve(target, days_in_memory=0))).shards.mid == 2
    with pytest.raises(PlanError, match="a shorter --retention-days, a smaller --days-in-memory"):
        KEPT[SMALL].options(attrs.evolve(target, days_in_memory=1e6, retention_days=1e6))


def test_fewer_shards_are_taken_where_they_cost_little_more():
    """Else a plan would have hundreds of small clusters for the last per cent of a price."""
    target = Target(1_000, 80_000, 2.5, days_in_memory=0)
    near = Instance("one", 1, 64, 1.0), Instance("four", 4, 256, 4.0)
    assert recommended(planner(EVEN, *near).options(target)).instance == "four"
    far = Instance("one", 1, 64, 1.0), Instance("four", 4, 256, 8.0)
    assert recommended(planner(EVEN, *far).options(target)).instance == "one"


def test_a_thousand_shards_and_billions_of_events_are_planned():
    """Else large systems could not be planned at all: 86 billion events a day."""
    many = synthetic(100_000, 0)
    options = planner(many, Instance("one", 1, 640, 1.0)).options(Target(1e6, 3e6, 2.5, retention_days=1))
    assert 750 < options[0].shards.mid <= 1_000
