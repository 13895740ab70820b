"""Shards that fall behind or go back: what the engine reads and keeps for them, step by step."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from billing.batch import Span
from billing.cursor import Standing
from billing.effects import Apply, ClaimCursors, CloseReader, Effect, Seek
from billing.engine import MAIN, Engine
from billing.limits import Limits
from billing.ports import Applied, Reaction, Records, Refused
from rules.load import load
from rules.pricer import Pricer
from sharding.shardmap import ShardMap

BOOK = Path(__file__).parents[4] / "rules" / "books" / "telecom.yaml"
LIMITS = Limits(
    batch_events_max=2,
    poll_events_max=2,
    buffer_events_max=4,
    flush_interval_ms=0,
    idle_advance_ms=100,
    retry_backoff_min_ms=10,
)


def engine_of(shards: int) -> Engine:
    """Make an engine whose account `of-N` is on shard N."""
    names = [f"shard-{number}" for number in range(shards)]
    even = ShardMap.even(names)
    pins = {f"of-{number}": name for number, name in enumerate(names)}
    return Engine("log", ShardMap(1, even.shards, even.ranges, pins), Pricer(load(BOOK)), LIMITS)


def records_at(partition: int, offset: int, account: str = "of-0", count: int = 1) -> Records:
    """Return `count` events of an account from an offset on."""
    offsets = range(offset, offset + count)
    return Records(
        np.full(count, partition, dtype=np.int32),
        np.array(offsets, dtype=np.int64),
        [
            f'{{"id":"p{partition}-{each}","account":"{account}","product":"lookup","time":"2026-01-01T00:00:00Z"}}'.encode()
            for each in offsets
        ],
        {partition: Span(offset, offset + count)},
    )


def seeks(effects: Sequence[Effect]) -> dict[int, dict[int, int]]:
    """Return the positions that readers were sent to."""
    return {effect.reader: dict(effect.positions) for effect in effects if isinstance(effect, Seek)}


def applies(effects: Sequence[Effect]) -> list[int]:
    """Return the shards that a transaction was sent to."""
    return [effect.shard for effect in effects if isinstance(effect, Apply)]


@pytest.fixture
def partly_behind() -> Engine:
    """Give an engine of two shards whose shard 0 is behind in partition 0 and up to date in partition 1."""
    engine = engine_of(2)
    engine.own({0: 0, 1: 0}, 0)
    engine.claimed(0, Standing({0: 0, 1: 0}, 1, 1), 0)
    assert seeks(engine.claimed(1, Standing({0: 100, 1: 0}, 1, 1), 0)) == {MAIN: {0: 100, 1: 0}}
    assert seeks(engine.tick(0)) == {1: {0: 0}}
    return engine


def fill(engine: Engine) -> int:
    """Feed events of shard 0 from partition 1 until the main reader may not go on; returns where it stopped."""
    offset = 0
    while engine.appetite(MAIN) and offset < 50:
        engine.records(MAIN, records_at(1, offset), 0)
        offset += 1
    return offset


def test_what_waits_for_a_shard_that_is_partly_behind_is_bounded(partly_behind: Engine) -> None:
    """Otherwise one slow shard that catches up in one partition would fill a worker's memory from the others."""
    fill(partly_behind)
    assert partly_behind.lanes[0].pending_events == LIMITS.buffer_events_max


def test_a_full_shard_that_is_partly_behind_and_fails_is_detached_in_all_partitions(partly_behind: Engine) -> None:
    """Otherwise it would hold up the others, or a partition would have no reader and its events would wait forever."""
    stop = fill(partly_behind)
    refused = partly_behind.applied(0, Refused(Reaction.RECONNECT, "gone"), 0)
    assert CloseReader(1) in refused
    assert partly_behind.appetite(MAIN) == LIMITS.poll_events_max, "shard 1 goes on"
    assert partly_behind.lanes[0].pending_events == 0
    effects = partly_behind.tick(10)
    assert [effect.shard for effect in effects if isinstance(effect, ClaimCursors)] == [0]
    effects = partly_behind.claimed(0, Standing({0: 0, 1: 0}, 1, 1), 10)
    # The one event in flight was kept, so partition 1 continues after it.
    assert seeks(effects) == {2: {0: 0, 1: 1}}
    assert stop > 1


def test_the_main_reader_waits_while_no_shard_follows_it() -> None:
    """Otherwise it would decode the whole log for nobody, with the shard's own reader always behind it."""
    engine = engine_of(1)
    engine.own({0: 0}, 0)
    engine.claimed(0, Standing({0: 5}, 1, 1), 0)
    engine.records(MAIN, records_at(0, 5), 0)
    engine.applied(0, Refused(Reaction.FENCED, "gone back"), 0)
    assert seeks(engine.claimed(0, Standing({0: 4}, 1, 1), 0)) == {1: {0: 4}}
    assert engine.appetite(MAIN) == 0
    effects = engine.records(1, records_at(0, 4, count=2), 0)
    assert CloseReader(1) in effects
    assert engine.appetite(MAIN) == LIMITS.poll_events_max


def test_a_failover_in_a_silent_log_is_noticed() -> None:
    """Otherwise what the failover lost would be missing from balances until somebody publishes the next event."""
    engine = engine_of(1)
    engine.own({0: 0}, 0)
    engine.claimed(0, Standing({0: 0}, 1, 1), 0)
    assert applies(engine.records(MAIN, records_at(0, 0), 0)) == [0]
    engine.applied(0, Applied(), 5)
    assert engine.tick(5 + 10 * LIMITS.idle_advance_ms - 1) == []
    effects = engine.tick(5 + 10 * LIMITS.idle_advance_ms)
    assert [type(effect) for effect in effects] == [ClaimCursors]
    assert seeks(engine.claimed(0, Standing({0: 0}, 1, 1), 1_010)) == {1: {0: 0}}


def test_a_silent_shard_that_stands_where_it_stood_goes_on() -> None:
    """Otherwise asking an idle shard for its cursors would cost it the events that come next."""
    engine = engine_of(1)
    engine.own({0: 0}, 0)
    engine.claimed(0, Standing({0: 7}, 1, 1), 0)
    engine.tick(1_000)
    engine.records(MAIN, records_at(0, 7), 1_001)
    assert applies(engine.claimed(0, Standing({0: 7}, 1, 1), 1_002)) == [0]
    assert engine.tick(1_003) == [], "and is not asked again at once"
