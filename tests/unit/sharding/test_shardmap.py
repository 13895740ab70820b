from typing import Any

import pytest

from sharding.errors import ShardMapError
from sharding.key import SLOTS, slot_of
from sharding.shardmap import ShardMap, SlotRange, Spread

HALVES = (SlotRange(0, 32768, "a"), SlotRange(32768, SLOTS, "b"))


def test_even_gives_every_shard_its_share() -> None:
    """A new deployment would start unbalanced."""
    shardmap = ShardMap.even(["a", "b", "c"], version=7)
    assert shardmap.version == 7
    assert shardmap.ranges == (SlotRange(0, 21845, "a"), SlotRange(21845, 43690, "b"), SlotRange(43690, SLOTS, "c"))
    assert shardmap.shard_of_slot[[0, 21844, 21845, 43689, 43690, 65535]].tolist() == [0, 0, 1, 1, 2, 2]


def test_one_shard_may_hold_several_ranges_and_another_none() -> None:
    """A shard that was just added, or that holds one big customer only, could not be described."""
    ranges = (SlotRange(0, 10, "b"), SlotRange(10, 20, "a"), SlotRange(20, SLOTS, "b"))
    shardmap = ShardMap(1, ("a", "b", "big"), ranges, pins={"whale": "big"})
    assert shardmap.shard_of_slot[[9, 10, 19, 20]].tolist() == [1, 0, 0, 1]
    assert shardmap.shards_of("whale") == [(int(slot_of(["whale"])[0]), 2)]


def test_plain_account_is_in_one_place() -> None:
    """A read would look where the account never was."""
    assert ShardMap(1, ("a", "b"), HALVES).shards_of("alice") == [(5808, 0)]


def test_spread_account_steps_through_the_space() -> None:
    """Parts of a hot account would share a shard, or a read would miss one of them."""
    shardmap = ShardMap(1, ("a", "b"), HALVES, spreads={"alice": Spread("event", 4), "acct-1": Spread("event", 3)})
    assert shardmap.shards_of("alice") == [(5808, 0), (22192, 0), (38576, 1), (54960, 1)]
    assert shardmap.shards_of("acct-1") == [(57717, 1), (14026, 0), (35871, 1)]


def test_the_attributes_that_routing_needs_are_named() -> None:
    """The decoder would drop the attribute that decides where a row goes."""
    spreads = {"x": Spread(("country", "carrier"), 2), "y": Spread(("carrier",), 2), "z": Spread("event", 2)}
    assert ShardMap(1, ("a", "b"), HALVES, spreads=spreads).spread_attributes() == {"country", "carrier"}


def test_a_map_cannot_be_changed_behind_the_workers_back() -> None:
    """Two parts of one worker would route by different maps of the same version."""
    pins = {"whale": "a"}
    shardmap = ShardMap(1, ("a", "b"), HALVES, pins)
    pins["minnow"] = "b"
    assert dict(shardmap.pins) == {"whale": "a"}
    with pytest.raises(ValueError, match="read-only"):
        shardmap.shard_of_slot[0] = 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"version": 0}, "version: 0 is out of bounds; write a number from 1 to 2147483647"),
    ({"shards": ()}, "shards: names 0 shards; name 1 to 1024"),
    ({"shards": ("a", "b", "a")}, 'shards[2]: "a" is named twice; give every shard its own name'),
    ({"shards": ("a", "")}, "shards[1]: a name has 0 bytes; write 1 to 64"),
    ({"ranges": ()}, "ranges: is empty; write ranges that cover the slots from 0 to 65536"),
    ({"ranges": (SlotRange(5, SLOTS, "a"),)}, "ranges[0].start: is 5, so slot 0 has no shard; write 0"),
    ({"ranges": (SlotRange(0, 9, "a"),)}, "ranges[0].stop: is 9, so slot 65535 has no shard; write 65536"),
    (
        {"ranges": (SlotRange(0, 9, "a"), SlotRange(10, SLOTS, "b"))},
        "ranges[1].start: 10 leaves a gap after the range before it, which stops at 9; write 9",
    ),
    (
        {"ranges": (SlotRange(0, 9, "a"), SlotRange(8, SLOTS, "b"))},
        "ranges[1].start: 8 overlaps the range before it, which stops at 9; write 9",
    ),
    (
        {"ranges": (SlotRange(0, 9, "a"), SlotRange(9, 9, "b"), SlotRange(9, SLOTS, "a"))},
        "ranges[1]: [9, 9) is not a range; write 0 <= start < stop <= 65536",
    ),
    (
        {"ranges": (SlotRange(0, SLOTS + 1, "a"),)},
        "ranges[0]: [0, 65537) is not a range; write 0 <= start < stop <= 65536",
    ),
    ({"ranges": (SlotRange(0, SLOTS, "c"),)}, 'ranges[0].shard: no shard is named "c"; write one of a, b'),
    ({"pins": {"whale": "c"}}, 'pins.whale: no shard is named "c"; write one of a, b'),
    ({"pins": {"w" * 65: "a"}}, f"pins.{'w' * 65}: a name has 65 bytes; write 1 to 64"),
    ({"spreads": {"hot": Spread("event", 1)}}, "spreads.hot.ways: 1 is out of bounds; write a number from 2 to 256"),
    (
        {"spreads": {"hot": Spread("country", 2)}},
        'spreads.hot.by: "country" is not a way to spread; write event, or [country] for an attribute',
    ),
    ({"spreads": {"hot": Spread((), 2)}}, "spreads.hot.by: names 0 attributes; write event, or 1 to 8 attributes"),
    ({"spreads": {"hot": Spread(("a", "a"), 2)}}, 'spreads.hot.by: names "a" twice; write each attribute once'),
    ({"spreads": {"hot": Spread(("a", ""), 2)}}, "spreads.hot.by[1]: a name has 0 bytes; write 1 to 64"),
    (
        {"pins": {"hot": "a"}, "spreads": {"hot": Spread("event", 2)}},
        "spreads.hot: is pinned too; remove it from pins or from spreads",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), BAD)
def test_a_map_that_breaks_a_rule_is_refused(change: dict[str, Any], sentence: str) -> None:
    """A slot without a shard, or with two, loses or doubles money; the operator would not know which line did it."""
    parts = {"version": 1, "shards": ("a", "b"), "ranges": HALVES, "pins": {}, "spreads": {}} | change
    with pytest.raises(ShardMapError) as caught:
        ShardMap(**parts)
    assert str(caught.value) == f"shard map: {sentence}"


def test_too_many_lookups_are_refused() -> None:
    """A map that lists every account would eat the workers' memory."""
    with pytest.raises(ShardMapError, match=r"^shard map: pins: has 100001 accounts; keep it to 100000$"):
        ShardMap(1, ("a", "b"), HALVES, pins={f"acct-{number}": "a" for number in range(100_001)})


def test_even_without_shards_is_refused() -> None:
    """An empty configuration would fail somewhere far from its cause."""
    with pytest.raises(ShardMapError, match=r"^shard map: shards: names 0 shards; name 1 to 1024$"):
        ShardMap.even([])
