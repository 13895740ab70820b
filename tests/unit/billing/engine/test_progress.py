"""How the engine starts, reads and sends, asserted in scripted scenarios: one step, then exactly the right next one."""

import pytest

from billing.cursor import Claim
from billing.effects import Apply, ClaimCursors, Seek
from billing.engine import MAIN
from billing.ports import Reaction, Refused
from tests.pipeline import COUNTING, LOG, payload, pipeline_in
from tests.unit.billing.engine.rig import ACCOUNTS, LIMITS, Rig, event

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
