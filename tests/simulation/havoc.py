"""Havoc: lets the faults that strike strike, when and whom the seed says.

Owns what each strike does to workers, shards and log. Must not know the engine; `faults` declares what is permitted.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

import attrs

from billing.cursor import Bounds
from tests.simulation.clock import Clock
from tests.simulation.crew import Worker
from tests.simulation.faults import Fault
from tests.simulation.log import Damage
from tests.simulation.plan import Plan, Versions
from tests.simulation.shards import Shard

_STOP_MS: Final = 300  # what a graceful stop may take
_JUMPS_MS: Final = (5, 300, 60_000, 86_400_000)


class Victim(Protocol):
    """What havoc needs of the world."""

    plan: Plan
    clock: Clock
    counts: Counter[Fault]
    workers: list[Worker]
    shards: list[Shard]
    releases: list[Versions]

    def dismiss(self, worker: Worker, why: str) -> None:
        """End a worker."""
        ...

    def rebalance(self) -> None:
        """Assign partitions anew."""
        ...

    def repair(self, damage: object) -> None:
        """Bring back what the log has lost."""
        ...

    def announce_rollback(self) -> None:
        """Let what readers see go back, this once."""
        ...


class Havoc:
    """The strikes of one run."""

    def __init__(self, world: Victim) -> None:
        self._world = world
        self._plan = world.plan
        self._clock = world.clock
        self._strikes: dict[Fault, Callable[[Random], None]] = {
            Fault.CRASH: self._crash,
            Fault.PAUSE: self._pause,
            Fault.STOP: self._stop,
            Fault.CLOCK_FORWARD: self._clock_forward,
            Fault.CLOCK_BACK: self._clock_back,
            Fault.NEW_BOOK: self._new_book,
            Fault.NEW_MAP: self._new_map,
            Fault.REBALANCE: self._rebalance,
            Fault.OUTAGE: self._outage,
            Fault.SLOWNESS: self._slow_down,
            Fault.FAILOVER: self._fail_over,
            Fault.SMALL_PACKETS: self._shrink_packets,
            Fault.RETENTION: self._retention,
            Fault.TRUNCATION: self._truncation,
            Fault.RECREATION: self._recreation,
        }

    def plan_strikes(self) -> None:
        """Plan every strike of the run, and the end of all faults."""
        last_ms = self._plan.faulty_until_ms - 1
        for fault, strike in self._strikes.items():
            rng = self._plan.random(fault)
            for _ in range(int(self._plan.amounts[fault])):
                # Some strike at the last moment, when the engine may have nothing left to do.
                when_ms = last_ms if rng.random() < 0.25 else rng.randint(0, last_ms)
                self._clock.at(when_ms, self._striking(strike, Random(rng.random())))
        for partition, appears_ms in self._plan.log.appears_ms.items():
            if appears_ms:
                self._clock.at(appears_ms, self._adding(partition))
        self._clock.at(self._plan.faulty_until_ms, self._heal)

    def _striking(self, strike: Callable[[Random], None], rng: Random) -> Callable[[], None]:
        return lambda: strike(rng)

    def _adding(self, partition: int) -> Callable[[], None]:
        def add() -> None:
            self._world.counts[Fault.PARTITION_ADDED] += 1
            self._clock.strike("the log has a new partition", partition)
            self._world.rebalance()

        return add

    def _heal(self) -> None:
        """End all faults; nothing else is done for the engine, so that it must find out by itself."""
        self._clock.strike("the faults are over")
        for shard in self._world.shards:
            shard.down, shard.delay_factor, shard.packet_events_max = False, 1, None
        for worker in list(self._world.workers):
            worker.resume()

    # --- workers ---

    def _crash(self, rng: Random) -> None:
        if self._world.workers:
            self._world.counts[Fault.CRASH] += 1
            self._world.dismiss(rng.choice(self._world.workers), "crashes")

    def _pause(self, rng: Random) -> None:
        if not self._world.workers:
            return
        worker = rng.choice(self._world.workers)
        worker.paused = True
        self._world.counts[Fault.PAUSE] += 1
        self._clock.strike(worker.name, "is paused")
        self._clock.after(rng.randint(0, 100), self._world.rebalance)
        told_ms = rng.randint(0, 100)

        def end() -> None:
            if worker.alive and worker.paused:
                self._clock.strike(worker.name, "is back")
                worker.resume()
                self._clock.after(told_ms, self._world.rebalance)

        self._clock.after(rng.randint(20, 800), end)

    def _stop(self, rng: Random) -> None:
        if not self._world.workers:
            return
        worker = rng.choice(self._world.workers)
        self._world.counts[Fault.STOP] += 1
        self._clock.strike(worker.name, "is told to stop")
        deadline_ms = self._clock.now_ms + rng.randint(0, _STOP_MS)

        def watch() -> None:
            if worker.engine.drained or self._clock.now_ms >= deadline_ms:
                self._world.dismiss(worker, "stops")
            else:
                self._clock.after(2, watch)

        worker.hear(worker.stop)
        self._clock.after(2, watch)

    def _clock_forward(self, rng: Random) -> None:
        self._jump(Fault.CLOCK_FORWARD, rng, 1)

    def _clock_back(self, rng: Random) -> None:
        self._jump(Fault.CLOCK_BACK, rng, -1)

    def _jump(self, fault: Fault, rng: Random, sign: int) -> None:
        if self._world.workers:
            worker, jump_ms = rng.choice(self._world.workers), sign * rng.choice(_JUMPS_MS)
            worker.skew_ms += jump_ms
            self._world.counts[fault] += 1
            self._clock.strike("the clock of", worker.name, "jumps by", jump_ms, "ms")

    def _new_book(self, _: Random) -> None:
        newest = self._world.releases[-1]
        self._release(attrs.evolve(newest, book=newest.book + 1))

    def _new_map(self, _: Random) -> None:
        newest = self._world.releases[-1]
        self._release(attrs.evolve(newest, map=newest.map + 1))

    def _release(self, versions: Versions) -> None:
        """Put newer files in place and restart one worker, as the runbook says."""
        self._world.releases.append(versions)
        self._clock.strike("the newest files are map", versions.map, "and book", versions.book)
        if self._world.workers:
            self._world.dismiss(self._world.workers[0], "is restarted")

    # --- the group ---

    def _rebalance(self, _: Random) -> None:
        self._world.counts[Fault.REBALANCE] += 1
        self._clock.strike("the group is rebalanced")
        self._world.rebalance()

    # --- shards ---

    def _fail_over(self, rng: Random) -> None:
        shard = rng.choice(self._world.shards)
        lost = shard.fail_over(rng.choice((0, 1, 1, 2, 5, 20)))
        self._world.announce_rollback()
        self._clock.strike(shard.name, "fails over and loses", lost)
        damage = self._plan.log.damage
        lost_end = damage is not None and damage.fault is Fault.TRUNCATION
        if damage is not None and lost_end and max(self._positions(damage.partition)) <= damage.left.stop:
            self._world.repair(damage)  # no cursor can show any more what the log has lost

    def _outage(self, rng: Random) -> None:
        shard = rng.choice(self._world.shards)
        self._world.counts[Fault.OUTAGE] += 1
        self._clock.strike(shard.name, "is dead")
        shard.down = True
        shard.generation += 1

        def end() -> None:
            shard.down = False
            self._clock.strike(shard.name, "is alive")

        if rng.random() < 0.8:
            self._clock.after(rng.randint(10, 1_000), end)

    def _slow_down(self, rng: Random) -> None:
        shard = rng.choice(self._world.shards)
        shard.delay_factor = rng.choice((10, 50, 100))
        self._world.counts[Fault.SLOWNESS] += 1
        self._clock.strike(shard.name, "is slow")

        def end() -> None:
            shard.delay_factor = 1

        self._clock.after(rng.randint(50, 1_000), end)

    def _shrink_packets(self, rng: Random) -> None:
        shard = rng.choice(self._world.shards)
        shard.packet_events_max = rng.randint(2, 6)
        self._clock.strike(shard.name, "takes no more than", shard.packet_events_max, "events at once")

        def end() -> None:
            shard.packet_events_max = None

        self._clock.after(rng.randint(50, 1_000), end)

    # --- the log ---

    def _retention(self, rng: Random) -> None:
        log, partition = self._plan.log, self._partition(rng)
        lowest, end = min(self._positions(partition)), log.readable_end(partition, self._clock.now_ms)
        if lowest < end:
            self._damage(Damage(Fault.RETENTION, partition, Bounds(rng.randint(lowest + 1, end), log.ends[partition])))

    def _truncation(self, rng: Random) -> None:
        log, partition = self._plan.log, self._partition(rng)
        gone = [offset for at, offset in log.order if at == partition and offset < max(self._positions(partition))]
        if gone:
            self._damage(Damage(Fault.TRUNCATION, partition, Bounds(log.starts[partition], rng.choice(gone))))

    def _recreation(self, _: Random) -> None:
        self._damage(Damage(Fault.RECREATION, -1, Bounds(0, 0)))

    def _damage(self, damage: Damage) -> None:
        """Damage the log, if it is whole: a person repairs one thing at a time."""
        if self._plan.log.damage is None:
            self._plan.log.damage = damage
            self._clock.strike("the log:", damage.fault.words, "leaves", damage.left, "of partition", damage.partition)

    def _partition(self, rng: Random) -> int:
        return rng.choice(self._plan.log.partitions(self._clock.now_ms))

    def _positions(self, partition: int) -> list[int]:
        start = self._plan.log.starts[partition]
        return [shard.positions.get(partition, start) for shard in self._world.shards]
