"""What each shard gets, and which accounts should have places of their own."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.planning.accounts import learned, synthetic
from bench.planning.placement import Advice, advise, even_map, place
from sharding.route import route
from sharding.shardmap import ShardMap


def test_shares_are_those_of_events_that_are_routed():
    """Else a plan would not be one for the router: 40,000 events go through the real one, with a pin and a spread."""
    counts = {f"acct-{number}": 400 - number for number in range(150)}
    shardmap = even_map(7, Advice({"acct-3": 5}, {"acct-0": 8}))
    names = [*counts]
    codes = np.repeat(np.arange(len(names), dtype=np.int32), [*counts.values()])
    routed = route(shardmap, shardmap.homes(names), codes, events=[f"e-{row}" for row in range(len(codes))])
    seen = np.bincount(routed.shard, minlength=7) / len(codes)
    assert place(learned(counts), shardmap, 1_000).share == pytest.approx(seen, abs=0.001)


def test_rows_and_the_biggest_account_are_told_by_shard():
    """Else a shard with one hot account would be sized as one with many small ones."""
    shardmap = even_map(2, Advice({"hot": 0, "a": 1, "b": 1}, {}))
    placement = place(learned({"hot": 60, "a": 20, "b": 20}), shardmap, 2)
    assert placement.share.tolist() == pytest.approx([0.6, 0.4])
    assert placement.rows.tolist() == pytest.approx([0.5, 0.75])  # of two events of a or b, half are of both
    assert placement.biggest.tolist() == pytest.approx([0.6, 0.2])
    assert placement.hottest == 0


@given(
    st.integers(1, 60),
    st.floats(0, 2),
    st.one_of(st.none(), st.floats(0.01, 0.9)),
    st.integers(1, 3_000),
    st.booleans(),
)
def test_advice_never_makes_the_hottest_shard_hotter(shards, exponent, hot_share, count, may_spread):
    """Else an operator would move accounts and be worse off."""
    accounts = synthetic(count, exponent, hot_share)
    before = place(accounts, even_map(shards), 1_000)
    after = place(accounts, even_map(shards, advise(accounts, shards, may_spread=may_spread)), 1_000)
    assert before.share.sum() == pytest.approx(1)
    assert after.share.sum() == pytest.approx(1)
    assert after.share.max() <= before.share.max() * (1 + 1e-9)


def test_an_account_above_a_shards_part_is_spread_and_a_smaller_one_pinned():
    """Else one customer would decide how many shards all need."""
    accounts = synthetic(10_000, 1.1, 0.39)
    advice = advise(accounts, 10)
    assert advice.spreads["acct-000000"] == 16  # parts of 2.5 %, a quarter of a tenth
    assert advice.pins
    before, after = (place(accounts, even_map(10, one), 1_000).share.max() for one in (Advice({}, {}), advice))
    assert before > 0.39
    assert after < 0.12


def test_without_spreading_only_pins_are_advised():
    """Else an account with a cumulative price would be torn apart."""
    assert advise(synthetic(1_000, 1.1, 0.4), 10, may_spread=False).spreads == {}


def test_an_even_load_needs_no_exceptions():
    """Else operators would keep lists for nothing."""
    assert not advise(synthetic(200_000, 0), 4)


def test_an_even_map_is_the_one_that_init_makes():
    """Else the plan would be for other ranges than those that are set up."""
    names = [f"shard-{number:04d}" for number in range(5)]
    assert even_map(5) == ShardMap.even(names)
    assert Counter(even_map(5).shard_of_slot.tolist())[0] == 13_107
