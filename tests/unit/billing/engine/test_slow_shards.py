"""What the engine does about shards that are slow or dead: the others go on."""

from billing.effects import Apply, Seek
from billing.engine import MAIN
from billing.ports import Reaction, Refused
from tests.unit.billing.engine.rig import LIMITS, event


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
