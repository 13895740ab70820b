"""Placement: what each shard of a map gets of a load, and which accounts should be pinned or spread to even it out.

Owns shares by shard and the advice. Must not know rates, machines or money.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bench.planning.accounts import Accounts, Floats, touched
from sharding.shardmap import BY_EVENT, SPREADS_MAX, WAYS_MAX, WAYS_MIN, ShardMap, Spread

PINS_ADVISED_MAX: Final = 50  # each one is an exception to remember; a plan that needs more needs more shards
CANDIDATES_MAX: Final = 2_000  # the biggest accounts: to move a smaller one changes nothing
GAIN_MIN: Final = 0.005  # of the hottest shard's share: less than the hash's own luck is not worth a pin
PARTS_PER_FAIR_SHARE: Final = 4  # a part of a spread account is at most a quarter of a shard's fair share


@attrs.frozen(eq=False)
class Placement:
    """What each shard gets.

    share: float64[shards] of all events, they add up to 1; rows: float64[shards], accounts that a batch touches, for
    each of its events; biggest: float64[shards], the share of the biggest account (or part of one) on it.
    """

    share: Floats
    rows: Floats
    biggest: Floats

    @property
    def hottest(self) -> int:
        """Return the shard with the largest share."""
        return int(np.argmax(self.share))


@attrs.frozen(eq=False)
class Advice:
    """Accounts that should have places of their own: pins (account -> shard index) and spreads (account -> ways)."""

    pins: Mapping[str, int]
    spreads: Mapping[str, int]

    def __bool__(self) -> bool:
        return bool(self.pins or self.spreads)


NO_ADVICE: Final = Advice({}, {})


def even_map(shards: int, advice: Advice = NO_ADVICE) -> ShardMap:
    """Return a map of so many shards that divides the slots evenly, with the accounts that were advised."""
    even = _even(shards)
    if not advice:
        return even
    pins = {account: even.shards[shard] for account, shard in advice.pins.items()}
    spreads = {account: Spread(BY_EVENT, ways) for account, ways in advice.spreads.items()}
    return ShardMap(1, even.shards, even.ranges, pins, spreads)


@lru_cache(maxsize=128)  # a plan looks at as many numbers, several times each; a map has 128 KiB
def _even(shards: int) -> ShardMap:
    return ShardMap.even([f"shard-{number:04d}" for number in range(shards)])


def place(accounts: Accounts, shardmap: ShardMap, batch: float) -> Placement:
    """Return what each shard of the map gets. batch: events in a transaction."""
    return _summed(*_pieces(accounts, shardmap), len(shardmap.shards), batch)


def _pieces(accounts: Accounts, shardmap: ShardMap) -> tuple[NDArray[np.int64], Floats]:
    """Return shard and share of every account, of a spread one of every part."""
    shard = shardmap.shard_of_slot[accounts.slots].astype(np.int64)
    share = accounts.shares
    if not (shardmap.pins or shardmap.spreads):
        return shard, share
    position = {name: index for index, name in enumerate(accounts.names)}
    share = share.copy()
    more_shard, more_share = [shard], [share]
    for name in (*shardmap.pins, *shardmap.spreads):
        if name in position:
            places = shardmap.shards_of(name)
            index = position[name]
            more_shard.append(np.array([number for _, number in places], dtype=np.int64))
            more_share.append(np.full(len(places), accounts.shares[index] / len(places)))
            share[index] = 0.0
    return np.concatenate(more_shard), np.concatenate(more_share)


def _summed(shard: NDArray[np.int64], share: Floats, shards: int, batch: float) -> Placement:
    total = _sums(shard, share, shards)
    within = share / np.maximum(total, np.finfo(float).tiny)[shard]
    rows = _sums(shard, touched(within, batch), shards) / batch
    biggest = np.zeros(shards)
    np.maximum.at(biggest, shard, share)
    return Placement(total, rows, biggest)


def _sums(shard: NDArray[np.int64], values: Floats, shards: int) -> Floats:
    return np.bincount(shard, weights=values, minlength=shards).astype(np.float64)


def advise(accounts: Accounts, shards: int, *, may_spread: bool = True) -> Advice:
    """Return which accounts to spread and to pin on an even map of so many shards; nothing when that gains nothing.

    An account larger than a shard's fair share is spread over ways, a power of two, so that a part is at most a
    quarter of it. Then the hottest shard gives the account that evens it out best to the coolest, as long as that
    lowers it. Without spreads when these gain nothing.
    """
    best, hottest = NO_ADVICE, float(_load(accounts, even_map(shards)).max()) * (1 - GAIN_MIN)
    for spreads in ({}, _spreads(accounts, shards)) if may_spread else ({},):
        shardmap = even_map(shards, Advice({}, spreads))
        load = _load(accounts, shardmap)
        advice = Advice(_pins(accounts, shardmap, load, spreads), spreads)
        if load.max() < hottest:
            best, hottest = advice, float(load.max()) * (1 - GAIN_MIN)
    return best


def _load(accounts: Accounts, shardmap: ShardMap) -> Floats:
    return _sums(*_pieces(accounts, shardmap), len(shardmap.shards))


def _spreads(accounts: Accounts, shards: int) -> dict[str, int]:
    """Return how many ways each account above a shard's fair share is spread."""
    if shards < WAYS_MIN:
        return {}
    large = min(SPREADS_MAX, int(np.count_nonzero(accounts.shares > 1 / shards)))
    parts = np.ceil(np.log2(accounts.shares[:large] * shards * PARTS_PER_FAIR_SHARE))
    ways = np.clip(1 << parts.astype(np.int64), WAYS_MIN, WAYS_MAX)
    return dict(zip(accounts.names[:large], ways.tolist(), strict=True))


def _pins(accounts: Accounts, shardmap: ShardMap, load: Floats, spreads: Mapping[str, int]) -> dict[str, int]:
    """Return pins that even the load out; changes load to what it then is."""
    count = min(CANDIDATES_MAX, len(accounts.names))
    home = shardmap.shard_of_slot[accounts.slots[:count]].astype(np.int64)
    free = np.array([name not in spreads for name in accounts.names[:count]], dtype=bool)
    share = accounts.shares[:count]
    pins: dict[str, int] = {}
    for _ in range(PINS_ADVISED_MAX):
        hot, cool = int(np.argmax(load)), int(np.argmin(load))
        mine = np.flatnonzero(free & (home == hot))
        if not len(mine):
            break
        after = np.maximum(load[hot] - share[mine], load[cool] + share[mine])
        best = int(np.argmin(after))
        if after[best] > load[hot] * (1 - GAIN_MIN):
            break
        moved = mine[best]
        load[hot] -= share[moved]
        load[cool] += share[moved]
        home[moved] = cool
        pins[accounts.names[moved]] = cool
    return pins
