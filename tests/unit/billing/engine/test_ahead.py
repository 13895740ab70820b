"""What the engine folds ahead: while a shard is busy, the batch that comes next, sent only if it is still right."""

import pytest

from billing.effects import Apply, Look
from billing.ports import Reaction, Refused
from tests.unit.billing.engine.rig import Rig, event


@pytest.fixture
def busy(pipeline):
    """Give a rig whose first shard is busy with a batch of 8 events; a batch of 8 and 2 events wait for it."""
    rig = Rig(pipeline, [event(n, shard=0) for n in range(18)])
    rig.own()
    rig.answer(0)
    rig.answer(1)
    rig.read()
    rig.read()
    assert len(rig.asked[0]) == 1
    return rig


def test_what_was_folded_ahead_is_what_is_sent(busy):
    """The work would be done twice, and the shard would wait for it all the same."""
    ahead = busy.engine.ahead(0)
    assert busy.engine.ahead(0) is ahead
    assert [(move.start, move.stop) for move in ahead.moves] == [(8, 16)]
    busy.answer(0)
    assert busy.next(0, Apply).transaction is ahead


def test_nothing_is_folded_ahead_of_less_than_a_batch(busy):
    """A transaction would be as small as what happens to wait, where more comes until it can be sent."""
    busy.answer(0)
    assert busy.engine.ahead(0) is None


def test_nothing_is_folded_ahead_for_a_shard_that_is_not_busy(busy):
    """What comes to the batch until it is sent would be left out."""
    assert busy.engine.ahead(1) is None
    busy.answer(0, Refused(Reaction.RETRY, "1213"))
    assert busy.engine.ahead(0) is None


def test_what_turns_out_to_be_a_repeat_is_not_sent_as_it_was_folded(pipeline):
    """An event that comes again in the next batch would be billed twice, or would be refused for ever."""
    repeated = Rig(pipeline, [event(n % 8, shard=0) for n in range(16)], folds_ahead=True)
    repeated.own()
    repeated.answer(0)
    repeated.answer(1)
    repeated.read()
    repeated.read()
    repeated.answer(0)
    folded = repeated.answer(0)
    assert folded.transaction.moves[0].accepted == 8
    assert type(repeated.answer(0)) is Look
    assert repeated.next(0, Apply).transaction.moves[0].duplicates == 8
    assert repeated.troubles == []


def test_what_was_folded_ahead_is_forgotten_with_its_partitions(busy):
    """Another worker's cursors would be moved."""
    ahead = busy.engine.ahead(0)
    busy.own(1)
    assert busy.engine.ahead(0) is None
    busy.log = {0: busy.log[0], 1: [event(n, shard=0) for n in range(20, 28)]}
    busy.run()
    assert busy.cursor(0, 1) == 8
    assert all(one.transaction is not ahead for one in busy.settled)
