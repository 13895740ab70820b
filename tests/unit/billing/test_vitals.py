"""When a worker is alive and ready, and the gauges that tell where it stands."""

import pytest
from prometheus_client import REGISTRY

from billing.adapters.memory import MemoryShard
from billing.cursor import Bounds
from billing.effects import Apply, ClaimCursors
from billing.engine import Engine
from billing.limits import Limits
from billing.ports import Ownership, Reaction, Refused
from billing.vitals import LIVE_SECONDS, Vitals
from rules.pricer import Pricer
from sharding.shardmap import ShardMap
from tests.pipeline import LOG
from tests.rulebooks import book_of

BOOK = "charges: [{group: usage, rules: [{id: r, when: {product: sms}, price: {flat: 1}}]}]"
DOWN = Refused(Reaction.RECONNECT, "nobody answers")
OWNED = Ownership(frozenset({0, 1}), 1)
PER_PARTITION = (
    "billing_partition_lag_events", "billing_partition_lag_seconds",
    "billing_retention_margin_events", "billing_retention_margin_ratio",
)  # fmt: skip


class Rig:
    """An engine with two shards, told by hand, and its vitals."""

    def __init__(self, folder):
        self.engine = Engine(LOG, ShardMap.even(["s1", "s2"]), Pricer(book_of(folder, BOOK)), Limits())
        self.vitals = Vitals(0.0)
        self.claims = {}

    def own(self, starts, now_ms=0):
        """Assign partitions."""
        self.take(self.engine.own(starts, now_ms))

    def take(self, effects):
        """Note what shards are asked."""
        for effect in effects:
            assert not isinstance(effect, Apply)
            if isinstance(effect, ClaimCursors):
                self.claims[effect.shard] = effect.claim

    def answer(self, shard, refusal=None, now_ms=0):
        """Answer a claim: with a refusal, or as an empty shard."""
        standing = refusal or MemoryShard(f"s{shard + 1}").claim(self.claims.pop(shard))
        self.take(self.engine.claimed(shard, standing, now_ms))

    def states(self, ownership=OWNED, now=1.0):
        """Let the worker tell, and return what it says of each shard."""
        self.vitals.tell(self.engine, ownership, now)
        return {shard.name: shard.state for shard in self.vitals.health.shards}

    @property
    def not_ready(self):
        """Why the worker is not ready."""
        return self.vitals.health.not_ready


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def value(name, **labels):
    """Return a gauge as Prometheus would scrape it; None where there is no such series."""
    return REGISTRY.get_sample_value(name, labels)


def test_a_loop_that_stands_still_is_told():
    """A worker that hangs would never be restarted: it answers nothing, and its process is there."""
    vitals = Vitals(100.0)
    assert vitals.health.not_live(100.0 + LIVE_SECONDS) == ""
    assert vitals.health.not_live(101.0 + LIVE_SECONDS) == "the event loop has not turned for 31 s"
    vitals.beat(130.0)
    assert vitals.health.not_live(101.0 + LIVE_SECONDS) == ""
    vitals.halt()
    assert vitals.health.not_live(130.0) == "the worker has halted"


def test_ready_is_who_knows_its_partitions_and_every_shard(rig):
    """A rollout would go on while the new workers bill nothing."""
    assert rig.not_ready == "the worker is starting"
    rig.own({})
    rig.states(Ownership(frozenset(), 0))
    assert rig.not_ready == "nobody has told which partitions are this worker's"
    rig.own({0: 0, 1: 0})
    assert rig.states() == {"s1": "asked", "s2": "asked"}
    rig.answer(0)
    assert rig.states() == {"s1": "following", "s2": "asked"}
    assert rig.not_ready == "not every shard has said where it stands, or that it cannot"
    rig.answer(1)
    assert rig.states() == {"s1": "following", "s2": "following"}
    assert rig.not_ready == ""
    assert rig.vitals.health.partitions == (0, 1)


def test_a_shard_that_is_down_does_not_make_the_worker_unready(rig):
    """One dead database would take every worker, and with them all other shards, out of service."""
    rig.own({0: 0, 1: 0})
    rig.answer(0)
    rig.answer(1, DOWN)
    assert rig.states() == {"s1": "following", "s2": "detached"}
    assert rig.not_ready == ""
    assert value("billing_shard_detached", shard="s1") == 0
    assert value("billing_shard_detached", shard="s2") == 1


def test_a_worker_without_any_shard_is_not_ready(rig):
    """A worker with a wrong password would count as one that bills."""
    rig.own({0: 0, 1: 0})
    rig.answer(0, DOWN)
    rig.answer(1, DOWN)
    assert rig.states() == {"s1": "detached", "s2": "detached"}
    assert rig.not_ready == "not every shard has said where it stands, or that it cannot"


def test_a_worker_that_stands_by_is_ready(rig):
    """A rollout would wait for ever for the worker that has no partition because others have them all."""
    rig.own({})
    assert rig.states(Ownership(frozenset(), 1)) == {"s1": "following", "s2": "following"}
    assert rig.not_ready == ""
    assert rig.vitals.health.partitions == ()
    assert value("billing_partitions_owned") == 0


def test_lag_and_margin_are_told_by_shard_and_by_partition(rig):
    """Operators would hear that something is late, and not which shard, which partition and by how much."""
    rig.own({0: 0, 1: 0})
    rig.answer(0)
    rig.answer(1)
    rig.engine.lanes[0].positions = {0: 90, 1: 40}
    rig.engine.lanes[1].positions = {0: 60, 1: 50}
    for seconds in (0.0, 30.0):
        rig.vitals.look({0: Bounds(50, 100), 1: Bounds(0, 50)}, rig.engine, seconds)
    rig.states(now=30.0)
    assert [value("billing_shard_lag_events", shard=shard) for shard in ("s1", "s2")] == [20, 40]
    assert [value("billing_shard_lag_seconds", shard=shard) for shard in ("s1", "s2")] == [30, 30]
    assert [value(name, partition="0") for name in PER_PARTITION] == [40, 30, 10, 0.2]
    assert [value(name, partition="1") for name in PER_PARTITION] == [10, 30, 40, 0.8]
    assert value("billing_cursor_age_seconds", shard="s1") == 30
    assert [shard.lag_events for shard in rig.vitals.health.shards] == [20, 40]


def test_what_moved_to_another_worker_is_told_there_only(rig):
    """Alerts would go on for ever about partitions that somebody else has long caught up with."""
    rig.own({0: 0, 1: 0})
    rig.answer(0)
    rig.answer(1)
    rig.vitals.look({0: Bounds(0, 100), 1: Bounds(0, 50)}, rig.engine, 0.0)
    assert value("billing_partition_lag_events", partition="1") == 50
    rig.own({0: 0})
    rig.vitals.look({0: Bounds(0, 100)}, rig.engine, 5.0)
    assert {value(name, partition="1") for name in PER_PARTITION} == {None}
    assert value("billing_shard_lag_events", shard="s1") is None  # it has not said again where it stands


def test_a_log_that_does_not_answer_is_told(rig):
    """Gauges would stand still, and everybody would believe them."""
    rig.own({0: 0})
    rig.vitals.look(None, rig.engine, 0.0)
    assert value("billing_log_up") == 0
    rig.vitals.look({0: Bounds(0, 1)}, rig.engine, 5.0)
    assert value("billing_log_up") == 1
