"""What the engine makes of refusals and repeats: a lost answer, a newer version, an event that a store cannot hold."""

import pytest

from billing.cursor import Claim
from billing.effects import Apply, ClaimCursors, Look, Seek
from billing.errors import VersionFencedError
from billing.ports import Applied, Reaction, Refused
from tests.pipeline import LOG
from tests.unit.billing.engine.rig import event

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
