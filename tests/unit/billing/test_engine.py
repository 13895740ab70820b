"""The engine in scripted scenarios: it is told what happened and asserted to do exactly the right thing next."""

import attrs
import numpy as np
import pytest

from billing.adapters.memory import MemoryShard
from billing.batch import Span
from billing.cursor import Claim
from billing.engine import MAIN, Apply, Check, ClaimCursors, CloseReader, Engine, Halt, Look, Seek, Settled, Troubled
from billing.errors import VersionFencedError
from billing.limits import Limits
from billing.ports import Applied, Reaction, Records, Refused
from sharding.shardmap import ShardMap
from tests.pipeline import COUNTING, LOG, payload, pipeline_in

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

    def __init__(self, pipeline, log, limits=LIMITS):
        self.log = {0: list(log)} if isinstance(log, list) else log
        self.engine = Engine(LOG, MAP, pipeline.pricer, limits)
        self.shards = [MemoryShard(name) for name in MAP.shards]
        self.now_ms = 0
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


@pytest.fixture
def rig(pipeline):
    """Give a maker of rigs."""
    return lambda log, limits=LIMITS: Rig(pipeline, log, limits)


# --- starting ---


def test_nothing_happens_without_partitions(rig):
    """A worker that owns nothing would write into other workers' shards."""
    idle = rig([event(0)])
    idle.tick(10_000)
    assert idle.asked == {0: [], 1: []}
    assert (idle.engine.appetite(MAIN), idle.engine.progress(), idle.engine.drained) == (0, {}, True)


def test_cursors_are_asked_before_anything_is_read(rig):
    """A worker would start where the group committed: events lost, or billed again."""
    start = rig([event(0)])
    start.own(0)
    assert start.seeks == [Seek(MAIN, {})]
    assert start.next(0, ClaimCursors) == ClaimCursors(0, Claim(LOG, {0: 0}, 1, 1))
    assert start.engine.appetite(MAIN) == 0


def test_a_log_is_billed_once_and_completely(rig):
    """Events would be lost, or billed twice, without any fault at all."""
    whole = rig({0: [event(n) for n in range(57)], 3: [event(n) for n in range(100, 131)]})
    whole.own(0, 3)
    whole.run()
    whole.check_complete()
    assert sum(one.transaction.events for one in whole.settled) == 88
    assert (whole.troubles, whole.halted) == ([], [])


def test_shards_start_at_their_own_cursors(rig):
    """After a crash, what one shard has written would be billed again, or what another lacks be skipped."""
    resumed = rig([event(n) for n in range(40)])
    resumed.own()
    resumed.run()
    ahead = rig([event(n) for n in range(40)])
    ahead.shards[0].rewind(resumed.shards[0].snapshot())
    ahead.own()
    ahead.answer(0)
    ahead.answer(1)
    ahead.tick()
    assert ahead.seeks[1:] == [Seek(MAIN, {0: 40}), Seek(1, {0: 0})]
    ahead.run()
    ahead.check_complete()
    assert {one.shard for one in ahead.settled} == {1}


def test_a_shard_far_behind_does_not_hold_the_others_at_the_start(rig):
    """After a restart, every account would wait for the shard with the longest backlog."""
    first = rig([event(n) for n in range(100)])
    first.own()
    first.run()
    first.log[0] += [event(n) for n in range(100, 110)]
    second = rig(first.log)
    second.shards[0].rewind(first.shards[0].snapshot())
    second.own()
    second.answer(1)
    assert second.seeks == [Seek(MAIN, {})]
    second.answer(0)
    second.tick()
    assert second.seeks[1:] == [Seek(MAIN, {0: 100}), Seek(1, {0: 0})]
    second.run()
    second.check_complete()
    assert second.closed == [1]


@pytest.mark.parametrize("late", [False, True])
def test_a_cursor_ahead_of_the_reader_is_checked_against_the_log(rig, late):
    """A log that lost its end would go unnoticed where another shard begins below it, and new events there be lost."""
    before = rig([event(n) for n in range(10)])
    before.own()
    before.run()
    after = rig(before.log)
    after.shards[0].rewind(before.shards[0].snapshot())
    after.own()
    after.answer(1)
    after.answer(0, Refused(Reaction.RETRY, "not yet") if late else None)
    after.tick()
    assert after.seeks[1:] == [Seek(MAIN, {0: 0})]
    if late:
        assert after.checks == []
        after.tick(LIMITS.retry_backoff_max_ms)
        after.answer(0)
    assert after.checks == [{0: 10}]


def test_new_events_wait_for_company_no_longer_than_told(rig):
    """A single event would wait for a full batch: minutes on a quiet night."""
    quiet = rig([event(0, shard=0)])
    quiet.own()
    quiet.answer(0)
    quiet.answer(1)
    quiet.read()
    assert quiet.asked == {0: [], 1: []}
    quiet.tick(4)
    assert quiet.asked == {0: [], 1: []}
    quiet.tick(1)
    assert quiet.next(0, Apply).transaction.moves[0].stop == 1
    assert quiet.asked[1] == []
    quiet.tick(100)
    assert quiet.next(1, Apply).transaction.events == 0


# --- one in flight ---


def test_a_clock_that_is_set_back_delays_nothing(rig):
    """A shard's events would wait until the clock has come to where it was: for a day, if it was set back by one."""
    back = rig([event(0, 0), event(1, 1)])
    back.tick(10**8)
    back.own()
    back.answer(0)
    back.answer(1, Refused(Reaction.RECONNECT, "down"))
    back.read()
    back.tick(-86_400_000)
    back.tick(LIMITS.flush_interval_ms)
    assert back.next(0, Apply).transaction.events == 1
    back.tick(LIMITS.retry_backoff_max_ms)
    back.next(1, ClaimCursors)


def test_one_transaction_is_in_flight_per_shard(rig):
    """The second would be fenced for the first, or both be applied out of order."""
    busy = rig([event(n, shard=0) for n in range(30)])
    busy.own()
    busy.answer(0)
    busy.answer(1)
    busy.read()
    busy.read()
    busy.tick(1000)
    assert [type(one) for one in busy.asked[0]] == [Apply]
    assert busy.asked[0][0].transaction.moves[0].stop == 8


# --- refusals ---


def test_a_lost_answer_is_not_sent_twice(rig):
    """A batch that was committed would be billed again."""
    lost = rig([event(n, shard=0) for n in range(20)])
    answers = iter([True])

    def refuse(shard, effect):
        if shard == 0 and type(effect) is Apply and next(answers, False):
            assert lost.shards[0].apply(effect.transaction) == Applied()
            return Refused(Reaction.RECONNECT, "2013")
        return None

    lost.own()
    lost.run(refuse=refuse)
    lost.check_complete()
    assert lost.troubles == [Reaction.RECONNECT]
    assert lost.shards[0].tables.cursors[LOG, 0].duplicates == 0


def test_a_refused_batch_is_sent_again_unchanged(rig):
    """A deadlock would lose a batch."""
    again = rig([event(n, shard=0) for n in range(5)])
    again.own()
    again.answer(0)
    again.answer(1)
    again.read()
    again.tick(5)
    first = again.answer(0, Refused(Reaction.RETRY, "1213"))
    again.tick(49)
    assert again.asked[0] == []
    again.tick(1)
    again.answer(0)
    again.tick(5)
    second = again.next(0, Apply)
    assert second.transaction.moves == first.transaction.moves
    assert second.transaction.records.event.tolist() == first.transaction.records.event.tolist()


def test_a_database_that_went_back_is_written_again(rig):
    """A failover that loses the last seconds would lose their events for good."""
    failed = rig([event(n) for n in range(30)])
    failed.own()
    failed.run()
    old = failed.shards[0].snapshot()
    failed.log[0] += [event(n) for n in range(30, 60)]
    failed.run()
    failed.check_complete()
    failed.shards[0].rewind(old)
    failed.log[0] += [event(n) for n in range(60, 70)]
    failed.run()
    failed.check_complete()
    assert failed.troubles == [Reaction.FENCED]
    assert Seek(1, {0: 30}) in failed.seeks
    assert failed.closed == [1]


def test_a_zombie_is_fenced_and_continues_behind_the_other(rig):
    """Two workers on one partition would bill its events twice."""
    log = [event(n) for n in range(40)]
    zombie, other = rig(log), rig(log)
    other.shards = zombie.shards
    zombie.own()
    zombie.answer(0)
    zombie.answer(1)
    zombie.read()
    zombie.tick(5)
    other.own()
    other.run()
    zombie.run()
    zombie.check_complete()
    assert set(zombie.troubles) == {Reaction.FENCED}


@pytest.mark.parametrize(
    ("mine", "theirs", "sentence"),
    [
        ((1, 1), (1, 2), "shard s1 is at book version 2 and this worker has 1; restart it with the newer book"),
        ((1, 1), (2, 1), "shard s1 is at map version 2 and this worker has 1; restart it with the newer map"),
        ((1, 1), (2, 2), "shard s1 is at map version 2 and this worker has 1; restart it with the newer map"),
    ],
)
def test_a_newer_version_on_a_shard_halts_the_worker(rig, mine, theirs, sentence):
    """Events would go on being priced by an old book, or written to a shard they have moved from."""
    old = rig([event(0, shard=0)])
    assert mine == (1, 1)
    old.shards[0].claim(Claim(LOG, {0: 0}, *theirs))
    old.own()
    old.answer(0)
    assert [type(error) for error in old.halted] == [VersionFencedError]
    assert str(old.halted[0]) == sentence
    assert old.asked[0] == []


# --- duplicates ---


def test_repeats_are_looked_up_dropped_and_counted(rig):
    """A producer's retry would be billed twice, or stop the shard."""
    repeated = rig([*(event(n, shard=0) for n in range(6)), *(event(n, shard=0) for n in range(3, 9))])
    repeated.own()
    repeated.answer(0)
    repeated.answer(1)
    repeated.read(records_max=6)
    repeated.tick(5)
    repeated.answer(0)
    repeated.read(records_max=6)
    repeated.tick(5)
    assert type(repeated.answer(0)) is Apply
    look = repeated.answer(0)
    assert type(look) is Look
    assert [key.key for key in look.keys] == [f"e{n}" for n in range(3, 9)]
    second = repeated.answer(0)
    assert second.transaction.records.event.tolist() == ["e6", "e7", "e8"]
    assert repeated.billed(0) == list(range(9))
    cursor = repeated.shards[0].tables.cursors[LOG, 0]
    assert (cursor.next_offset, cursor.accepted, cursor.duplicates, cursor.quarantined) == (12, 9, 3, 0)
    assert repeated.troubles == []


def test_a_storm_of_repeats_is_looked_up_first(rig):
    """Each batch of a replayed topic would be sent twice."""
    storm = rig([*(event(n, shard=0) for n in range(8)), *(event(n, shard=0) for n in range(8))] * 2)
    kinds = []
    storm.own()
    storm.run(refuse=lambda shard, effect: kinds.append(type(effect)) if shard == 0 else None)
    assert [kind for kind in kinds if kind is not ClaimCursors][:7] == [Apply, Apply, Look, Apply, Look, Apply, Look]
    assert storm.shards[0].tables.cursors[LOG, 0].duplicates == 24
    storm.check_complete()


def test_a_race_for_the_same_event_is_given_up_for_a_while(rig):
    """Two batches that collide again and again would keep a database busy without end."""
    race = rig([event(0, shard=0)])
    race.own()
    race.answer(0)
    race.answer(1)
    race.read()
    race.tick(5)
    looks = 0
    while race.asked[0]:
        kind = type(race.asked[0][0])
        looks += kind is Look
        race.answer(0, Refused(Reaction.DUPLICATES, "1062") if kind is Apply else None)
    assert looks == 8
    assert race.troubles == [Reaction.DUPLICATES]


# --- events that a store refuses ---


@pytest.mark.parametrize("bad", [{0}, {17}, {29}, {3, 4}, {0, 7, 8, 15, 29}])
def test_a_refused_event_is_found_and_quarantined_alone(rig, bad):
    """One event that a database cannot hold would stop its shard, or take good events with it."""
    log = rig([event(n, shard=0) for n in range(30)])

    def refuse(shard, effect):
        if (
            shard == 0
            and type(effect) is Apply
            and bad & {int(e[1:]) for e in effect.transaction.records.event.tolist()}
        ):
            return Refused(Reaction.BISECT, "1264 Out of range")
        return None

    log.own()
    log.run(refuse=refuse)
    assert log.billed(0) == [n for n in range(30) if n not in bad]
    quarantine = log.shards[0].tables.quarantine
    assert sorted(offset for _, _, offset in quarantine) == sorted(bad)
    assert {one.detail for one in quarantine.values()} == {"1264 Out of range"}
    cursor = log.shards[0].tables.cursors[LOG, 0]
    assert (cursor.next_offset, cursor.accepted, cursor.quarantined) == (30, 30 - len(bad), len(bad))


def test_packets_that_are_too_large_are_halved(rig):
    """A batch of large events would be refused for ever."""
    large = rig([event(n, shard=0) for n in range(30)])

    def refuse(shard, effect):
        wide = shard == 0 and type(effect) is Apply and len(effect.transaction.records) > 3
        return Refused(Reaction.SPLIT, "1153") if wide else None

    large.own()
    large.run(refuse=refuse)
    large.check_complete()
    assert large.shards[0].tables.quarantine == {}


# --- slow and dead shards ---


def dead(shard, _effect):
    """Refuse everything that the second shard is asked."""
    return Refused(Reaction.RECONNECT, "away") if shard == 1 else None


def test_a_dead_shard_delays_only_its_own_accounts(rig):
    """One database that is away would stop the billing of all."""
    half = rig([event(n) for n in range(200)])
    half.own()
    for _ in range(60):
        for shard in (0, 1):
            while half.asked[shard]:
                half.answer(shard, dead(shard, None))
        for reader in list(half.readers):
            half.read(reader)
        half.tick(20)
    assert half.billed(0) == list(range(0, 200, 2))
    assert half.cursor(0) == 200
    assert half.billed(1) == []
    assert half.engine.detached() == ["s2"]
    assert half.engine.progress() == {}
    half.run()
    half.check_complete()


def test_a_shard_that_dies_under_load_is_detached_and_catches_up(rig):
    """Its accounts would never be billed for the time it was away, or everybody would wait for it."""
    log = rig([event(n) for n in range(40)])
    log.own()
    log.run()
    log.log[0] += [event(n) for n in range(40, 240)]
    for _ in range(100):
        for shard in (0, 1):
            while log.asked[shard]:
                log.answer(shard, dead(shard, None))
        for reader in list(log.readers):
            log.read(reader)
        log.tick(20)
    assert (log.cursor(0), log.cursor(1)) == (240, 40)
    assert log.engine.detached() == ["s2"]
    assert log.engine.lanes[1].pending_events == 0
    log.log[0] += [event(n) for n in range(240, 260)]
    log.run()
    # The batch that was on its way when the shard died, 40 to 50, is still there and need not be read again.
    assert [seek for seek in log.seeks if seek.reader != MAIN] == [Seek(1, {0: 50})]
    assert log.closed == [1]
    log.check_complete()


def test_a_shard_that_does_not_answer_is_detached_in_time(rig):
    """A hanging database would hold up all others for as long as its timeouts are long."""
    slow = rig([event(n) for n in range(100)])
    slow.own()
    slow.answer(0)
    slow.answer(1)

    def others():
        for _ in range(20):
            while slow.asked[0]:
                slow.answer(0)
            slow.read()
            slow.tick(5)

    others()
    hanging = slow.next(1, Apply)
    assert slow.engine.lanes[1].full
    assert slow.engine.appetite(MAIN) == 0
    stopped_at = slow.readers[MAIN][0]
    slow.tick(LIMITS.detach_after_ms)
    slow.answer(0)  # silent for so long, it was asked where it stands
    assert slow.engine.detached() == ["s2"]
    assert slow.engine.appetite(MAIN) > 0
    others()
    assert slow.readers[MAIN][0] == 100 > stopped_at
    assert slow.billed(0) == list(range(0, 100, 2))
    slow.asked[1].append(hanging)
    slow.run()
    slow.check_complete()
    assert slow.troubles == []


# --- ownership ---


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("partitions", [(0,), (0, 1), (1,)])
def test_partitions_may_change_while_a_shard_is_working(rig, committed, partitions):
    """What was in flight during a rebalance would be lost, or billed twice."""
    log = rig({0: [event(n) for n in range(25)], 1: [event(n) for n in range(100, 125)]})
    log.own(0)
    log.answer(0)
    log.answer(1)
    log.read()
    log.tick(5)
    assert [type(one) for one in log.asked[0]] == [Apply]
    log.own(*partitions)
    assert log.engine.appetite(MAIN) == 0
    assert not log.engine.drained
    log.answer(0, None if committed else Refused(Reaction.RECONNECT, ""))
    log.answer(1, None if committed else Refused(Reaction.RECONNECT, ""))
    assert len(log.settled) == (2 if committed else 0)
    log.run()
    for partition in partitions:
        assert [log.cursor(shard, partition) for shard in (0, 1)] == [25, 25]
    everything = sorted(log.billed(0) + log.billed(1))
    assert everything == sorted(set(everything))
    expected = [n for partition in partitions for n in range(100 * partition, 100 * partition + 25)]
    assert set(expected) <= set(everything)


def test_losing_all_partitions_stops_everything(rig):
    """A worker would go on writing what another one owns now."""
    lost = rig([event(n) for n in range(25)])
    lost.own()
    lost.run()
    lost.log[0] += [event(n) for n in range(25, 30)]
    lost.do(lost.engine.own({}, lost.now_ms))
    lost.tick(10_000)
    assert lost.asked == {0: [], 1: []}
    assert (lost.engine.appetite(MAIN), lost.engine.progress(), lost.engine.drained) == (0, {}, True)
    assert lost.seeks[-1] == Seek(MAIN, {})


# --- stopping ---


def test_stopping_sends_what_waits_and_reads_no_more(rig):
    """A restart would take as long as it takes to read everything again."""
    stopped = rig([event(n) for n in range(40)])
    stopped.own()
    stopped.answer(0)
    stopped.answer(1)
    stopped.read()
    assert stopped.asked == {0: [], 1: []}
    stopped.do(stopped.engine.stop(stopped.now_ms))
    assert stopped.engine.appetite(MAIN) == 0
    assert not stopped.engine.drained
    stopped.answer(0)
    stopped.answer(1)
    assert stopped.engine.drained
    assert stopped.engine.progress() == {0: 10}
    assert sorted(stopped.billed(0) + stopped.billed(1)) == list(range(10))


def test_stopping_does_not_wait_for_a_dead_shard(rig):
    """A worker would have to be killed whenever one database is away."""
    stopped = rig([event(n) for n in range(4)])
    stopped.own()
    stopped.answer(0)
    stopped.answer(1)
    stopped.read()
    stopped.do(stopped.engine.stop(stopped.now_ms))
    stopped.answer(0)
    stopped.answer(1, Refused(Reaction.RECONNECT, "away"))
    assert stopped.engine.drained


def test_late_reads_of_a_closed_reader_are_ignored(rig):
    """What a reader brought before it was closed would be counted as the next records."""
    late = rig([event(n) for n in range(10)])
    late.own()
    late.run()
    found = Records(np.zeros(1, dtype=np.int32), np.array([0]), [event(0)], {0: Span(0, 1)})
    assert late.engine.records(7, found, late.now_ms) == []
    assert late.engine.appetite(7) == 0
    late.check_complete()


# --- what was written ---


def test_what_settled_counts_is_what_was_written(tmp_path):
    """Metrics and progress would tell of events billed that went to quarantine when their charge was settled."""
    counting = pipeline_in(tmp_path, charges=COUNTING)
    most = payload("most", ACCOUNTS[0], "call", quantity="99999999999999999999999999")
    rig = Rig(counting, [most, payload("more", ACCOUNTS[0], "call", quantity=1)])
    rig.own()
    rig.answer(0)
    rig.answer(1)
    rig.read()
    rig.tick(LIMITS.flush_interval_ms)
    rig.answer(0)
    written = rig.settled[0].transaction
    assert written.draft is None
    assert [(move.accepted, move.quarantined) for move in written.moves] == [(1, 1)]
    assert (len(written.records), len(written.tiers)) == (1, 1)
