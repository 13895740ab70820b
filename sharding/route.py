"""Routing: columns of accounts -> columns of shards and slots.

Owns the write side of the map: where each row goes. Must not know what the rows are (charges, records, rejects).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from sharding.key import SLOTS, Slots, hash64, slot_of_one
from sharding.shardmap import BY_EVENT, Homes, ShardMap, Spread

Attributes = Mapping[str, Sequence[str | None]]
NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})


@attrs.frozen(eq=False)
class Routed:
    """Where n rows go. shard: int16[n], index into `ShardMap.shards`; slot: uint16[n]."""

    shard: NDArray[np.int16]
    slot: Slots


def route(
    shardmap: ShardMap,
    homes: Homes,
    codes: NDArray[np.int32],
    events: Sequence[str] | None = None,
    attributes: Attributes = NO_ATTRIBUTES,
) -> Routed:
    """Route n rows by their account.

    homes: int32[k, 3], `shardmap.homes` of the distinct accounts; codes: int32[n], row i belongs to account codes[i],
    never missing; events: event ids of the rows (n), read only for accounts spread by event; attributes: for each
    name in `shardmap.spread_attributes()` a column of n values (None = absent), read only for accounts spread by
    attributes.
    """
    assert not len(codes) or codes.min() >= 0, "a row without an account is routed by its bytes"
    slot, shard, spread_of_row = homes[codes].T
    routed = Routed(shard.astype(np.int16), slot.astype(np.uint16))
    if shardmap.spreads:
        for number, spread in enumerate(shardmap.spreads.values()):
            rows = np.flatnonzero(spread_of_row == number)
            if len(rows):
                parts = _parts(spread, rows, events, attributes)
                _place(shardmap, routed, rows, int(slot[rows[0]]), parts * (SLOTS // spread.ways))
    return routed


def route_bytes(shardmap: ShardMap, payload: bytes) -> tuple[int, int]:
    """Route something that names no account by its bytes; returns (shard index, slot)."""
    slot = slot_of_one(payload)
    return int(shardmap.shard_of_slot[slot]), slot


def _place(shardmap: ShardMap, routed: Routed, rows: NDArray[Any], first_slot: int, steps: NDArray[np.int64]) -> None:
    slots = ((first_slot + steps) % SLOTS).astype(np.uint16)
    routed.slot[rows] = slots
    routed.shard[rows] = shardmap.shard_of_slot[slots]


def _parts(
    spread: Spread, rows: NDArray[Any], events: Sequence[str] | None, attributes: Attributes
) -> NDArray[np.int64]:
    """Return int64[len(rows)]: the part of the spread account that each row belongs to, 0..ways-1."""
    if spread.by == BY_EVENT:
        assert events is not None, "an account is spread by event: route needs the event ids"
        keys: list[str] | list[bytes] = [events[row] for row in rows.tolist()]
    else:
        columns = [attributes[name] for name in spread.by]
        keys = [attribute_key([column[row] for column in columns]) for row in rows.tolist()]
    return (hash64(keys) % np.uint64(spread.ways)).astype(np.int64)


def attribute_key(values: Sequence[str | None]) -> bytes:
    """Encode the values of a spread's attributes, in the order in which the map names them, as the bytes to hash.

    A value is its length in bytes, a colon and its UTF-8; an absent one is a hyphen: no two lists of values look alike.
    """
    encoded = [None if value is None else value.encode() for value in values]
    return b"".join(b"-" if value is None else b"%d:%b" % (len(value), value) for value in encoded)
