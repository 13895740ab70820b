"""What the engine does when partitions change, and when it is told to stop."""

import numpy as np
import pytest

from billing.batch import Span
from billing.effects import Apply, Seek
from billing.engine import MAIN
from billing.ports import Reaction, Records, Refused
from tests.unit.billing.engine.rig import event

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
