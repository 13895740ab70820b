"""A rig: an engine, its log and two shards in memory; a script tells it what happened, and answers when it says so."""

import attrs
import numpy as np
import pytest

from billing.adapters.memory import MemoryShard
from billing.batch import Span
from billing.effects import Apply, Check, ClaimCursors, CloseReader, Halt, Look, Seek, Settled, Troubled
from billing.engine import MAIN, Engine
from billing.limits import Limits
from billing.ports import Records
from sharding.shardmap import ShardMap
from tests.pipeline import LOG, payload

LIMITS = attrs.evolve(
    Limits(),
    batch_events_max=8,
    poll_events_max=10,
    buffer_events_max=20,
    flush_interval_ms=5,
    idle_advance_ms=100,
    detach_after_ms=1000,
    retry_backoff_min_ms=50,
    retry_backoff_max_ms=400,
)
MAP = ShardMap.even(["s1", "s2"])
# One account on each shard, so that a test can choose where an event goes.
ACCOUNTS = [
    next(name for name in map("a{}".format, range(99)) if MAP.shards_of(name)[0][1] == shard) for shard in (0, 1)
]


def event(number, shard=None):
    """Write event number n; without a shard it alternates between the two."""
    return payload(f"e{number}", ACCOUNTS[number % 2 if shard is None else shard], quantity=number)


class Rig:
    """An engine, a log and two shards in memory; every answer is given when the script says so."""

    def __init__(self, pipeline, log, limits=LIMITS, *, folds_ahead=False):
        self.log = {0: list(log)} if isinstance(log, list) else log
        self.engine = Engine(LOG, MAP, pipeline.pricer, limits)
        self.shards = [MemoryShard(name) for name in MAP.shards]
        self.now_ms = 0
        self.ahead_of = (0, 1) if folds_ahead else ()
        self.readers = {}
        self.asked = {0: [], 1: []}
        self.halted = []
        self.settled = []
        self.troubles = []
        self.seeks = []
        self.closed = []
        self.checks = []

    def do(self, effects):
        """Execute what needs no answer, and note what does."""
        for effect in effects:
            match effect:
                case ClaimCursors() | Apply() | Look():
                    self.asked[effect.shard].append(effect)
                case Seek():
                    self.seeks.append(effect)
                    self.readers[effect.reader] = dict(effect.positions)
                case Check():
                    self.checks.append(dict(effect.positions))
                case CloseReader():
                    self.closed.append(effect.reader)
                    del self.readers[effect.reader]
                case Halt():
                    self.halted.append(effect.error)
                case Settled():
                    self.settled.append(effect)
                case Troubled():
                    self.troubles.append(effect.reaction)
        for shard in self.ahead_of:
            self.engine.ahead(shard)

    def own(self, *partitions):
        """Assign partitions, whose cursors begin at 0 where there are none."""
        self.do(self.engine.own(dict.fromkeys(partitions or (0,), 0), self.now_ms))

    def tick(self, ms=0):
        """Let time pass."""
        self.now_ms += ms
        self.do(self.engine.tick(self.now_ms))

    def next(self, shard, kind):
        """Take what the engine has asked of a shard, which must be of this kind and alone."""
        (effect,) = self.asked[shard]
        assert type(effect) is kind, effect
        self.asked[shard].clear()
        return effect

    def answer(self, shard, refusal=None):
        """Answer the only question to a shard: with a refusal, or with what its tables say; returns the question."""
        (effect,) = self.asked[shard]
        self.asked[shard].clear()
        memory, engine = self.shards[shard], self.engine
        if isinstance(effect, ClaimCursors):
            self.do(engine.claimed(shard, refusal or memory.claim(effect.claim), self.now_ms))
        elif isinstance(effect, Look):
            self.do(engine.looked(shard, refusal or memory.existing(effect.keys), self.now_ms))
        else:
            self.do(engine.applied(shard, refusal or memory.apply(effect.transaction), self.now_ms))
        return effect

    def read(self, reader=MAIN, records_max=10):
        """Let a reader read if it may."""
        if not min(self.engine.appetite(reader), records_max):
            return
        partitions, offsets, payloads, spans = [], [], [], {}
        for partition, start in self.readers[reader].items():
            stop = min(start + records_max, len(self.log[partition]))
            if stop > start:
                spans[partition] = Span(start, stop)
                self.readers[reader][partition] = stop
            for offset in range(start, stop):
                partitions.append(partition)
                offsets.append(offset)
                payloads.append(self.log[partition][offset])
        found = Records(np.array(partitions, dtype=np.int32), np.array(offsets, dtype=np.int64), payloads, spans)
        self.do(self.engine.records(reader, found, self.now_ms))

    def run(self, shards=(0, 1), refuse=lambda _shard, _effect: None, rounds=200):
        """Answer these shards and let every reader read, until nothing happens for longer than a backoff."""
        quiet_ms = 0
        for _ in range(rounds):
            before = [len(self.settled), len(self.troubles), len(self.seeks), dict(self.readers)]
            for shard in shards:
                while self.asked[shard]:
                    self.answer(shard, refuse(shard, self.asked[shard][0]))
            for reader in list(self.readers):
                if reader in self.readers:
                    self.read(reader)
            self.tick(200)
            after = [len(self.settled), len(self.troubles), len(self.seeks), dict(self.readers)]
            asked = [one for shard in shards for one in self.asked[shard] if type(one) is not ClaimCursors]
            moved = before != after or bool(asked)
            quiet_ms = 0 if moved else quiet_ms + 200
            if quiet_ms > LIMITS.retry_backoff_max_ms:
                break
        else:
            pytest.fail("the engine does not come to rest")
        for shard in shards:  # idle shards are asked now and then where they stand
            while self.asked[shard]:
                self.answer(shard)

    def billed(self, shard):
        """Return the event numbers that a shard has records of."""
        return sorted(int(key[3][1:]) for key in self.shards[shard].tables.records)

    def cursor(self, shard, partition=0):
        """Return where a shard's cursor stands."""
        return self.shards[shard].tables.cursors[LOG, partition].next_offset

    def check_complete(self):
        """Assert that both shards have exactly their share of the log, and every cursor at its end."""
        payloads = [one for partition in self.log.values() for one in partition]
        for shard in (0, 1):
            mine = [one for one in payloads if f'"{ACCOUNTS[shard]}"'.encode() in one]
            assert self.billed(shard) == sorted({int(one.split(b'"e')[1].split(b'"')[0]) for one in mine})
            assert [self.cursor(shard, p) for p in self.log] == [len(one) for one in self.log.values()]
        assert self.engine.progress() == {partition: len(one) for partition, one in self.log.items()}
        assert self.engine.detached() == []
