import numpy as np
import pytest

from sharding.key import SLOTS
from sharding.route import attribute_key, route, route_bytes
from sharding.shardmap import ShardMap, SlotRange, Spread

HALVES = (SlotRange(0, 32768, "a"), SlotRange(32768, SLOTS, "b"))
EVEN = ShardMap(1, ("a", "b"), HALVES)


def codes(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def test_plain_rows_go_where_their_account_lives() -> None:
    """Charges would be added to balances on the wrong shard."""
    routed = route(EVEN, EVEN.homes(["alice", "bob"]), codes(1, 0, 0, 1))
    assert routed.slot.tolist() == [47333, 5808, 5808, 47333]
    assert routed.shard.tolist() == [1, 0, 0, 1]
    assert (routed.slot.dtype, routed.shard.dtype) == (np.uint16, np.int16)


def test_nothing_routes_to_nothing() -> None:
    """A poll of rejects only would stop the worker."""
    routed = route(EVEN, EVEN.homes([]), codes())
    assert (routed.slot.tolist(), routed.shard.tolist()) == ([], [])


def test_pinned_rows_keep_their_slot_on_another_shard() -> None:
    """A pinned customer's rows would be split between two shards."""
    shardmap = ShardMap(1, ("a", "b"), HALVES, pins={"alice": "b"})
    routed = route(shardmap, shardmap.homes(["alice", "bob"]), codes(0, 1))
    assert routed.slot.tolist() == [5808, 47333]
    assert routed.shard.tolist() == [1, 1]
    assert shardmap.shard_of_slot[5808] == 0


def test_rows_spread_by_event_follow_the_event_id() -> None:
    """A repeat would land in another part than the first one and be billed again."""
    shardmap = ShardMap(1, ("a", "b"), HALVES, spreads={"alice": Spread("event", 4)})
    routed = route(
        shardmap, shardmap.homes(["alice", "bob"]), codes(0, 0, 1, 0, 0, 0), ["e1", "e2", "e1", "e3", "e4", "e1"]
    )
    assert routed.slot.tolist() == [54960, 5808, 47333, 22192, 5808, 54960]
    assert routed.shard.tolist() == [1, 0, 1, 0, 0, 1]


def test_rows_spread_by_attributes_follow_the_values() -> None:
    """Rows that must stay together, such as the uses of one tier, would be split."""
    shardmap = ShardMap(1, ("a", "b"), HALVES, spreads={"alice": Spread(("country", "carrier"), 4)})
    columns = {"country": ["US", "US", None, "DE", "US"], "carrier": ["att", "att", "att", None, "tmo"]}
    routed = route(shardmap, shardmap.homes(["alice"]), codes(0, 0, 0, 0, 0), None, columns)
    assert routed.slot.tolist() == [54960, 54960, 22192, 22192, 54960]
    assert routed.shard.tolist() == [1, 1, 0, 0, 1]


def test_attribute_values_are_encoded_without_ambiguity() -> None:
    """The encoding is part of the map's meaning: a change moves rows of spread accounts away from their repeats."""
    assert attribute_key(["US", None, "", "客"]) == b"2:US-0:3:\xe5\xae\xa2"
    assert attribute_key(["1:a", "b"]) != attribute_key(["1", "a1:b"])
    assert attribute_key([None]) != attribute_key(["-"])


def test_a_column_that_a_spread_needs_must_be_there() -> None:
    """Rows would be spread by nothing, and differently in a worker that has the column."""
    shardmap = ShardMap(1, ("a", "b"), HALVES, spreads={"alice": Spread("event", 4), "bob": Spread(("country",), 4)})
    with pytest.raises(AssertionError, match="needs the event ids"):
        route(shardmap, shardmap.homes(["alice"]), codes(0))
    with pytest.raises(KeyError, match="country"):
        route(shardmap, shardmap.homes(["bob"]), codes(0), ["e1"])


def test_a_row_without_account_is_not_given_somebody_elses() -> None:
    """The last account of a poll would pay for events that name nobody."""
    with pytest.raises(AssertionError, match="routed by its bytes"):
        route(EVEN, EVEN.homes(["alice"]), codes(0, -1))


def test_bytes_are_routed_by_their_hash() -> None:
    """Garbage would have no shard to be quarantined on, or a retry would look for it on another one."""
    shardmap = ShardMap(1, ("a", "b"), HALVES, pins={"alice": "b"}, spreads={"bob": Spread("event", 2)})
    assert route_bytes(shardmap, b"") == (1, 38082)
    assert route_bytes(shardmap, b"\xff\x00") == (0, 6631)
    assert route_bytes(shardmap, b"alice") == (0, 5808)
