"""Properties of routing that hold for every valid map and every column of accounts."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sharding.key import SLOTS
from sharding.mapfile import dump, parse
from sharding.route import route
from sharding.shardmap import ShardMap, SlotRange, Spread
from tests.examples import examples

ACCOUNTS = [f"acct-{number}" for number in range(12)]
NAMES = [f"shard-{number}" for number in range(6)]
spreads = st.builds(
    Spread,
    by=st.just("event") | st.sampled_from([("country",), ("country", "carrier")]),
    ways=st.integers(2, 256),
)
values = st.none() | st.text(max_size=4)


@st.composite
def shardmaps(draw: st.DrawFn) -> ShardMap:
    """Draw any valid map: uneven ranges, shards with several or none, some accounts pinned, others spread."""
    bounds = [0, *sorted(draw(st.sets(st.integers(1, SLOTS - 1), max_size=8))), SLOTS]
    ranges = tuple(SlotRange(start, stop, draw(st.sampled_from(NAMES))) for start, stop in pairwise(bounds))
    pins = draw(st.dictionaries(st.sampled_from(ACCOUNTS[:6]), st.sampled_from(NAMES)))
    spread = draw(st.dictionaries(st.sampled_from(ACCOUNTS[6:10]), spreads))
    return ShardMap(draw(st.integers(1, 2**31 - 1)), tuple(NAMES), ranges, pins, spread)


rows = st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.text(max_size=6), values, values), max_size=40)
Row = tuple[str, str, str | None, str | None]


def places(shardmap: ShardMap, batch: list[Row]) -> list[tuple[int, int]]:
    """Route a batch as the engine does: distinct accounts and codes; returns (slot, shard) a row."""
    distinct = list(dict.fromkeys(row[0] for row in batch))
    codes = np.array([distinct.index(row[0]) for row in batch], dtype=np.int32)
    columns = {"country": [row[2] for row in batch], "carrier": [row[3] for row in batch]}
    routed = route(shardmap, shardmap.homes(distinct), codes, [row[1] for row in batch], columns)
    return list(zip(routed.slot.tolist(), routed.shard.tolist(), strict=True))


@examples(100)
@given(shardmaps())
def test_a_map_covers_the_space_once(shardmap: ShardMap) -> None:
    """A slot with no shard loses its accounts' charges; a slot with two bills them twice."""
    holders = np.zeros(SLOTS, dtype=np.int64)
    for each in shardmap.ranges:
        holders[each.start : each.stop] += 1
        assert (shardmap.shard_of_slot[each.start : each.stop] == NAMES.index(each.shard)).all()
    assert (holders == 1).all()


@examples(100)
@given(shardmaps(), rows)
def test_routing_is_total_and_depends_on_the_row_alone(shardmap: ShardMap, batch: list[Row]) -> None:
    """The place of a row would depend on its neighbours in the batch, so that a repeat misses the first one."""
    together = places(shardmap, batch)
    alone = [places(shardmap, [row])[0] for row in batch]
    assert together == alone
    assert all(0 <= slot < SLOTS and 0 <= shard < len(NAMES) for slot, shard in together)


@examples(100)
@given(shardmaps(), rows)
def test_reads_look_everywhere_writes_can_go(shardmap: ShardMap, batch: list[Row]) -> None:
    """A balance would be shown without some of its charges."""
    for row, place in zip(batch, places(shardmap, batch), strict=True):
        assert place in shardmap.shards_of(row[0])


@examples(100)
@given(shardmaps(), st.lists(st.sampled_from(ACCOUNTS)))
def test_many_accounts_are_where_each_is(shardmap: ShardMap, accounts: list[str]) -> None:
    """Balances of many accounts at once would miss what one alone has."""
    assert shardmap.places_of(accounts) == [shardmap.shards_of(account) for account in accounts]


@examples(100)
@given(shardmaps(), st.sampled_from(ACCOUNTS))
def test_an_account_has_as_many_distinct_slots_as_parts(shardmap: ShardMap, account: str) -> None:
    """Two parts in one slot would be one part: added twice by a read that gathers both."""
    slots = [slot for slot, _ in shardmap.shards_of(account)]
    assert len(slots) == len(set(slots)) == (shardmap.spreads[account].ways if account in shardmap.spreads else 1)


@examples(100)
@given(st.integers(1, 300))
def test_even_is_balanced_within_one_slot(count: int) -> None:
    """One shard of an even map would carry more than its share."""
    sizes = np.bincount(ShardMap.even([f"s{number}" for number in range(count)]).shard_of_slot, minlength=count)
    assert sizes.sum() == SLOTS
    assert sizes.max() - sizes.min() <= 1


@examples(100)
@given(shardmaps())
def test_a_dumped_map_reads_back_equal(shardmap: ShardMap) -> None:
    """A map that a tool rewrites would silently move accounts."""
    assert parse(dump(shardmap), "map.yaml") == shardmap
