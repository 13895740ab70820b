"""Overview: how every shard stands, for operators: whether it answers, how far it has come, how old that is.

Owns what is told of a shard beside its accounts.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from billing.adapters.check import ShardFacts, behind
from billing.adapters.endpoints import Endpoints
from billing.adapters.gather import Fleet
from billing.cursor import CursorRow
from billing.errors import BillingError
from billing.reads.answers import ShardsAnswer, ShardState
from billing.reads.freshness import as_of
from sharding.shardmap import ShardMap


async def shards_answer(fleet: Fleet) -> ShardsAnswer:
    """Ask every shard's writer at once; one that does not answer says so."""
    names = list(fleet.endpoints)
    found = await asyncio.gather(*(cursors_of(fleet.endpoints[name]) for name in names))
    facts = {name: ShardFacts(name, "", 0, rows) for name, rows in zip(names, found, strict=True) if rows is not None}
    lags, slots = behind(facts), slots_of(fleet.map)
    now_us = time.time_ns() // 1_000
    states = []
    for name in names:
        if name not in facts:
            states.append(ShardState(name, answers=False, slots=slots[name], behind=None, accepted=None,
                                     duplicates=None, quarantined=None, lag_seconds=None, as_of=[]))  # fmt: skip
            continue
        cursors = facts[name].cursors
        fresh = as_of([cursors], now_us)
        states.append(
            ShardState(
                shard=name,
                answers=True,
                slots=slots[name],
                behind=lags[name],
                accepted=sum(row.accepted for row in cursors),
                duplicates=sum(row.duplicates for row in cursors),
                quarantined=sum(row.quarantined for row in cursors),
                lag_seconds=min((one.lag_seconds for one in fresh if one.lag_seconds is not None), default=None),
                as_of=fresh,
            )
        )
    return ShardsAnswer(fleet.map.version, states)


def slots_of(shardmap: ShardMap) -> Counter[str]:
    """Count the slots of each shard."""
    counts = np.bincount(shardmap.shard_of_slot, minlength=len(shardmap.shards))
    return Counter(dict(zip(shardmap.shards, counts.tolist(), strict=True)))


async def cursors_of(endpoints: Endpoints) -> Sequence[CursorRow] | None:
    """Ask a shard's writer how far it has come; None where it does not answer."""
    try:
        return (await endpoints.ask(lambda _connection, _cursors: None, strong=True)).cursors
    except BillingError:
        return None
