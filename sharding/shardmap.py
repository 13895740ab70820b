"""The shard map: slot -> range -> shard, and the accounts that are looked up instead (pinned, spread).

Owns what makes a map valid and where an account's rows can be. Must not know files (`mapfile`) or columns (`route`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from types import MappingProxyType
from typing import Any, Final, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from sharding.errors import Key, ShardMapError
from sharding.key import SLOTS, slot_of, slot_of_one

BY_EVENT: Final = "event"
VERSION_MAX: Final = 2**31 - 1  # the cursors table keeps it in a signed 32-bit column
SHARDS_MAX: Final = 1024  # 30 clusters carry a billion events a day; an int16 index holds this with room
PINS_MAX: Final = 100_000  # every worker holds the pins in memory, and each one is an exception to remember
SPREADS_MAX: Final = 1_000  # rows of a spread account are routed one by one, so only a few accounts may be spread
WAYS_MIN: Final = 2  # one way is no spread
WAYS_MAX: Final = 256  # a read of a spread account gathers from this many places
SPREAD_ATTRIBUTES_MAX: Final = 8  # each one is read and hashed for each event of the account
NAME_BYTES_MAX: Final = 64  # as for every identifier of an event

Homes = NDArray[np.int32]


@attrs.frozen
class SlotRange:
    """The half-open range of slots [start, stop) and the name of the shard that holds them."""

    start: int
    stop: int
    shard: str


@attrs.frozen
class Spread:
    """How one hot account is divided over `ways` slots.

    by: "event" (the event id decides the part) or a tuple of attribute names (their values decide it).

    By attributes, rows that belong together stay together, but an event sent again with the same id and *another* value
    of such an attribute lands in another part, where the first one is not seen: it is billed there again instead of
    being reported as a conflict. An exact repeat is caught either way, a conflicting one only when spread by event.
    """

    by: str | tuple[str, ...]
    ways: int


def _mapping(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(values))


@attrs.frozen
class ShardMap:
    """Which shard holds which slots, with the accounts that are exceptions; valid by construction.

    version: 1..2**31-1, raised with every change; shards: distinct names, whose positions are the shard indexes that
    routing returns; ranges: sorted, half-open, covering [0, SLOTS) exactly once; pins: account -> name of its shard
    (its slot stays, only the shard differs); spreads: account -> Spread. An account is never both pinned and spread.
    shard_of_slot: int16[SLOTS], the ranges as a table; pinned: account -> shard index.

    Part i of a spread account has slot `(slot_of(account) + i * (SLOTS // ways)) mod SLOTS`: equal steps through the
    whole space, so that the parts of one account meet the ranges of different shards. Which part a row belongs to is
    `hash64(key) mod ways`, where the key is the event id or `route.attribute_key` of the attribute values.

    Raises: ShardMapError.
    """

    version: int
    shards: tuple[str, ...]
    ranges: tuple[SlotRange, ...]
    pins: Mapping[str, str] = attrs.field(factory=dict, converter=_mapping)
    spreads: Mapping[str, Spread] = attrs.field(factory=dict, converter=_mapping)
    shard_of_slot: NDArray[np.int16] = attrs.field(init=False, eq=False, repr=False)
    pinned: Mapping[str, int] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        index = {name: position for position, name in enumerate(self.shards)}
        _check_shards(self)
        _check_ranges(self.ranges, index)
        _check_lookups(self, index)
        table = np.empty(SLOTS, dtype=np.int16)
        for each in self.ranges:
            table[each.start : each.stop] = index[each.shard]
        table.flags.writeable = False
        object.__setattr__(self, "shard_of_slot", table)
        object.__setattr__(self, "pinned", _mapping({account: index[name] for account, name in self.pins.items()}))

    @classmethod
    def even(cls, shards: Sequence[str], version: int = 1) -> Self:
        """Divide the slots over the shards in order, in ranges whose sizes differ by at most one."""
        bounds = [position * SLOTS // len(shards) for position in range(len(shards) + 1)] if shards else []
        ranges = [SlotRange(*bound, shard) for bound, shard in zip(pairwise(bounds), shards, strict=True)]
        return cls(version, tuple(shards), tuple(ranges))

    def spread_attributes(self) -> frozenset[str]:
        """Return the names of the attributes that routing needs to see."""
        return frozenset(chain.from_iterable(each.by for each in self.spreads.values() if each.by != BY_EVENT))

    def homes(self, accounts: Sequence[str]) -> Homes:
        """Return where n accounts live, int32[n, 3]: slot, shard index, place of its spread in `spreads` (or -1)."""
        slots = slot_of(accounts)
        homes = np.stack([slots, self.shard_of_slot[slots], np.full(len(accounts), -1)], axis=1).astype(np.int32)
        if self.pins or self.spreads:
            spread = {account: number for number, account in enumerate(self.spreads)}
            for position, account in enumerate(accounts):
                homes[position, 1] = self.pinned.get(account, homes[position, 1])
                homes[position, 2] = spread.get(account, -1)
        return homes

    def shards_of(self, account: str) -> list[tuple[int, int]]:
        """Return every place where rows of the account can be, as (slot, shard index).

        One place for a plain or pinned account; for a spread one `ways` places with distinct slots, part by part.
        """
        slot = slot_of_one(account.encode())
        if account in self.pinned:
            return [(slot, self.pinned[account])]
        ways = self.spreads[account].ways if account in self.spreads else 1
        slots = [(slot + part * (SLOTS // ways)) % SLOTS for part in range(ways)]
        return [(each, int(self.shard_of_slot[each])) for each in slots]

    def places_of(self, accounts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Return what `shards_of` does for each of n accounts, hundreds of them in the time of a few."""
        slots = slot_of(accounts)
        places = zip(slots.tolist(), self.shard_of_slot[slots].tolist(), strict=True)
        return [
            self.shards_of(account) if account in self.pinned or account in self.spreads else [place]
            for account, place in zip(accounts, places, strict=True)
        ]


def _check_shards(shardmap: ShardMap) -> None:
    if not 1 <= shardmap.version <= VERSION_MAX:
        raise ShardMapError(
            ("version",), f"{shardmap.version} is out of bounds; write a number from 1 to {VERSION_MAX}"
        )
    if not 1 <= len(shardmap.shards) <= SHARDS_MAX:
        raise ShardMapError(("shards",), f"names {len(shardmap.shards)} shards; name 1 to {SHARDS_MAX}")
    for position, name in enumerate(shardmap.shards):
        _check_name(("shards", position), name)
        if name in shardmap.shards[:position]:
            raise ShardMapError(("shards", position), f'"{name}" is named twice; give every shard its own name')


def _check_ranges(ranges: Sequence[SlotRange], index: Mapping[str, int]) -> None:
    if not ranges:
        raise ShardMapError(("ranges",), f"is empty; write ranges that cover the slots from 0 to {SLOTS}")
    for position, each in enumerate(ranges):
        if not 0 <= each.start < each.stop <= SLOTS:
            raise ShardMapError(
                ("ranges", position), f"[{each.start}, {each.stop}) is not a range; write 0 <= start < stop <= {SLOTS}"
            )
        _check_exists(("ranges", position, "shard"), each.shard, index)
    if ranges[0].start != 0:
        raise ShardMapError(("ranges", 0, "start"), f"is {ranges[0].start}, so slot 0 has no shard; write 0")
    for position, (before, after) in enumerate(pairwise(ranges), start=1):
        if after.start != before.stop:
            fault = "overlaps" if after.start < before.stop else "leaves a gap after"
            raise ShardMapError(
                ("ranges", position, "start"),
                f"{after.start} {fault} the range before it, which stops at {before.stop}; write {before.stop}",
            )
    if ranges[-1].stop != SLOTS:
        raise ShardMapError(
            ("ranges", len(ranges) - 1, "stop"),
            f"is {ranges[-1].stop}, so slot {SLOTS - 1} has no shard; write {SLOTS}",
        )


def _check_lookups(shardmap: ShardMap, index: Mapping[str, int]) -> None:
    for name, lookups, most in (("pins", shardmap.pins, PINS_MAX), ("spreads", shardmap.spreads, SPREADS_MAX)):
        if len(lookups) > most:
            raise ShardMapError((name,), f"has {len(lookups)} accounts; keep it to {most}")
    for account, shard in shardmap.pins.items():
        _check_name(("pins", account), account)
        _check_exists(("pins", account), shard, index)
    for account, spread in shardmap.spreads.items():
        _check_name(("spreads", account), account)
        _check_spread(("spreads", account), spread)
        if account in shardmap.pins:
            raise ShardMapError(("spreads", account), "is pinned too; remove it from pins or from spreads")


def _check_spread(key: Key, spread: Spread) -> None:
    if not WAYS_MIN <= spread.ways <= WAYS_MAX:
        raise ShardMapError(
            (*key, "ways"), f"{spread.ways} is out of bounds; write a number from {WAYS_MIN} to {WAYS_MAX}"
        )
    if isinstance(spread.by, str):
        if spread.by != BY_EVENT:
            raise ShardMapError(
                (*key, "by"), f'"{spread.by}" is not a way to spread; write event, or [{spread.by}] for an attribute'
            )
        return
    if not 1 <= len(spread.by) <= SPREAD_ATTRIBUTES_MAX:
        raise ShardMapError(
            (*key, "by"), f"names {len(spread.by)} attributes; write event, or 1 to {SPREAD_ATTRIBUTES_MAX} attributes"
        )
    for position, name in enumerate(spread.by):
        _check_name((*key, "by", position), name)
    repeated = _repeated(spread.by)
    if repeated is not None:
        raise ShardMapError((*key, "by"), f'names "{repeated}" twice; write each attribute once')


def _check_name(key: Key, name: str) -> None:
    if not 1 <= len(name.encode()) <= NAME_BYTES_MAX:
        raise ShardMapError(key, f"a name has {len(name.encode())} bytes; write 1 to {NAME_BYTES_MAX}")


def _check_exists(key: Key, shard: str, index: Mapping[str, int]) -> None:
    if shard not in index:
        raise ShardMapError(key, f'no shard is named "{shard}"; write one of {", ".join([*index][:8])}')


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
