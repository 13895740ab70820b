"""The world of a simulation: clock, network, group coordinator, workers and the end, driven by one seed.

Owns the order in which everything happens. `faults` declares what may go wrong, `havoc` does it. Once the faults are
over, every shard must have applied the whole log within `GRACE_MS`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from random import Random
from typing import Final

import attrs

from billing.errors import BillingError, LogChangedError, VersionFencedError
from tests.simulation.check import Freshness, SimulationError, check_end
from tests.simulation.clock import Clock
from tests.simulation.crew import Call, Worker
from tests.simulation.faults import Fault
from tests.simulation.havoc import Havoc
from tests.simulation.network import Network
from tests.simulation.plan import EVENTS, Plan, plan_of
from tests.simulation.shards import Shard

GRACE_MS: Final = 10_000  # of simulated time; thirty times the longest backoff, beyond which nothing is under way
STEPS_MAX: Final = 40_000  # an engine that asks for something again and again at one moment never gets there
_REST_MS: Final = 5  # of a reader without appetite, as `billing.worker` has it
_STARTED_AT_MS: Final = (3 * 10**8, 10**9)  # what the clocks of workers begin at: none ever shows less than 0


@attrs.frozen
class Result:
    """What a run did, for those who watch; faults: how often each of them was really injected.

    caught_up_ms: how long after the end of all faults every shard had applied the whole log.
    """

    events: int
    transactions: int
    simulated_ms: int
    caught_up_ms: int
    steps: int
    faults: Mapping[Fault, int]


def simulate(
    seed: int,
    trace: Callable[[str], None] | None = None,
    without: Collection[Fault] = (),
    events_max: int = EVENTS[1],
) -> Result:
    """Run the world of a seed to its end and check it; `without` and `events_max` make a smaller one of it.

    Raises: SimulationError, with the line that shows the same again.
    """
    try:
        return World(plan_of(seed, without, events_max), trace).run()
    except Exception as error:
        again = reproduction(seed, without, events_max)
        raise SimulationError(f"{error!r}; to see it: {again}") from error


def reproduction(seed: int, without: Collection[Fault] = (), events_max: int = EVENTS[1]) -> str:
    """Return the command that shows a run."""
    words = f"python -m tests.simulation --seed {seed}"
    if without:
        words += f" --without {','.join(sorted(fault.words for fault in without))}"
    return words + (f" --events {events_max}" if events_max < EVENTS[1] else "")


class World:
    """One run of one plan."""

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.clock = Clock(trace)
        self.counts: Counter[Fault] = Counter(plan.injected)
        self.workers: list[Worker] = []
        self.releases = [plan.first]  # of map and book, the newest last
        self._rng = Random(plan.seed ^ 0x5EED)  # another stream than the plan's
        self._freshness = Freshness()
        self.shards = [Shard(index, plan, self.counts, self._written) for index in range(len(plan.shardmap.shards))]
        self.network = Network(plan, self.clock, self._rng, self.shards, self.counts)
        self._hired = 0
        self._absent = 0  # workers that stopped because the log is damaged, and wait for a person
        self._epoch = 0

    def run(self) -> Result:
        """Let everything happen in order until nothing is left to do."""
        for _ in range(self.plan.workers):
            self.hire()
        self.rebalance()
        Havoc(self).plan_strikes()
        steps = 0
        while not self._is_done():
            self.clock.step()
            steps += 1
            if self.clock.now_ms > self.plan.faulty_until_ms + GRACE_MS or steps > STEPS_MAX:
                stands = [shard.positions for shard in self.shards]
                raise SimulationError(f"starved: shards stand at {stands}, the log ends at {self.plan.log.ends}")
        check_end(self.plan, [shard.memory for shard in self.shards])
        self.clock.say("all applied and checked")
        committed = sum(shard.committed for shard in self.shards)
        caught_up_ms = self.clock.now_ms - self.plan.faulty_until_ms
        return Result(len(self.plan.log.order), committed, self.clock.now_ms, caught_up_ms, steps, self.counts)

    @property
    def faulty(self) -> bool:
        """Tell whether anything may go wrong now."""
        return self.clock.now_ms < self.plan.faulty_until_ms

    def _is_done(self) -> bool:
        if self.faulty or self.network.on_the_way:
            return False
        ends = self.plan.log.ends
        return all(shard.positions == ends for shard in self.shards)

    def _written(self, partitions: Collection[int]) -> None:
        self._freshness.check([shard.memory for shard in self.shards], partitions)

    def announce_rollback(self) -> None:
        """Let what readers see go back, this once."""
        self._freshness.forget()

    # --- workers ---

    def hire(self) -> None:
        """Start a worker, with the files that have reached its machine."""
        self._hired += 1
        newest = not self.faulty or self._rng.random() < 0.7
        versions = self.releases[-1] if newest else self._rng.choice(self.releases)
        self.counts[Fault.NEW_BOOK] += versions.book > self.plan.first.book
        self.counts[Fault.NEW_MAP] += versions.map > self.plan.first.map
        worker = Worker(f"worker-{self._hired}", self.plan, versions, self._rng.randint(*_STARTED_AT_MS), self)
        self.workers.append(worker)
        self.clock.say(worker.name, "starts with map", versions.map, "and book", versions.book)
        period_ms = self._rng.choice((2, 5, 20))

        def tick() -> None:
            worker.hear(worker.tick)
            if worker.alive:
                self.clock.after(period_ms, tick)

        self.clock.after(period_ms, tick)

    def dismiss(self, worker: Worker, why: str) -> None:
        """End a worker; another one starts in its place soon."""
        if self._end(worker, why):
            self.clock.after(self._rng.randint(0, 200), self._replace)

    def _end(self, worker: Worker, why: str) -> bool:
        if not worker.alive:
            return False
        worker.alive = False
        self.workers.remove(worker)
        self.clock.strike(worker.name, why)
        return True

    def _replace(self) -> None:
        self.hire()
        self.rebalance()

    def halted(self, worker: Worker, error: BillingError) -> None:
        """Hear that a worker has stopped by itself; one that had no reason to is a defect."""
        damage = self.plan.log.damage
        if isinstance(error, VersionFencedError) and worker.versions != self.releases[-1]:
            self.dismiss(worker, f"stops: {error}")
        elif isinstance(error, LogChangedError) and damage is not None:
            self.counts[damage.fault] += 1
            self._absent += self._end(worker, f"stops: {error}")
            self.clock.after(self._rng.randint(0, 100), self.rebalance)
            self.clock.after(self._rng.randint(50, 600), lambda: self.repair(damage))
        else:
            raise SimulationError(f"{worker.name} halts: {error}")

    def repair(self, damage: object) -> None:
        """Be the person who has heard that the log is damaged, and brings back what it has lost."""
        if self.plan.log.damage is not damage:
            return
        self.plan.log.damage = None
        self.clock.say("the log is whole again")
        absent, self._absent = self._absent, 0
        for _ in range(absent):
            self.hire()
        self.rebalance()

    # --- the group ---

    def rebalance(self) -> None:
        """Assign partitions to workers; each hears of it in its own time, the paused ones when they are back."""
        self._epoch += 1
        epoch = self._epoch
        # The group leaves out whom it does not hear of, until nobody else is left.
        candidates = [worker for worker in self.workers if not (worker.paused or worker.stopping)] or self.workers
        if not candidates:
            return
        assigned: dict[Worker, list[int]] = {worker: [] for worker in self.workers}
        for partition in self.plan.log.partitions(self.clock.now_ms):
            assigned[self._rng.choice(candidates)].append(partition)
        for worker, partitions in assigned.items():
            delay_ms = self._rng.randint(0, 60) if self.faulty else 0
            self.clock.after(delay_ms, self._telling(worker, partitions, epoch))

    def _telling(self, worker: Worker, partitions: Iterable[int], epoch: int) -> Callable[[], None]:
        def tell() -> None:
            others = frozenset[int]().union(*(other.owned for other in self.workers if other is not worker))
            self.counts[Fault.TWO_OWNERS] += len(others.intersection(partitions))
            worker.own(partitions, epoch)

        return lambda: worker.hear(tell)

    # --- what workers ask for ---

    def call(self, worker: Worker, call: Call) -> None:
        """Send a call to its shard; the answer comes to `Worker.answer` later."""
        self.network.send(worker, call)

    def start_reading(self, worker: Worker, reader: int) -> None:
        """Read for this reader from now on, until it is closed."""
        self.clock.after(self._rng.randint(0, 5), lambda: worker.hear(lambda: self._read(worker, reader)))

    def _read(self, worker: Worker, number: int) -> None:
        if number not in worker.readers:
            return
        reader = worker.readers[number]
        appetite = worker.engine.appetite(number)
        if not appetite:
            self.clock.after(_REST_MS, lambda: worker.hear(lambda: self._read(worker, number)))
            return
        records_max = self._rng.randint(1, appetite)
        try:
            records = self.plan.log.read(reader.positions, records_max, self.clock.now_ms, self._rng)
        except LogChangedError as error:
            self.halted(worker, error)
            return
        generation = reader.generation

        def deliver() -> None:
            worker.take(number, generation, records)
            self.start_reading(worker, number)

        self.clock.after(self._rng.choice((0, 0, 0, 5, 30)), lambda: worker.hear(deliver))
