"""The world of a simulation: clock, network, group coordinator, and everything that may go wrong, drawn from one seed.

Permitted faults, all of which end at `Plan.faulty_until_ms`:

- worker: crash (engine and sessions are lost, what was sent still arrives); pause and resume (it then answers, sends
  and believes what it believed before: a zombie); graceful stop and restart;
- group: rebalances at any moment, told to each worker at another time, so that partitions have two owners or none;
- call to a shard: any delay; refused before anything happened, with every reaction for which a server does so;
  committed but the reply lost; reply given up on while the request is still on its way, so that it arrives later;
- shard: down for a while, slow for a while, small packets for a while, events that it cannot store, and failover:
  sessions end and the last writes are lost, acknowledged or not. A request that was sent over a session to the old
  server never reaches the new one;
- log: gaps between offsets, chunks of any size, copies of events (in any partition), events out of order, bodies that
  conflict, malformed events; records that are all there at once, or come little by little.

Not permitted: a shard that applies half a transaction, a log that loses or reorders records within a partition.
Once the faults are over, every shard must have applied the whole log within `GRACE_MS`.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Final

import attrs

from tests.simulation.check import SimulationError, check_end
from tests.simulation.clock import Clock
from tests.simulation.crew import Call, Worker
from tests.simulation.network import Network
from tests.simulation.plan import Plan, plan_of
from tests.simulation.shards import Shard

GRACE_MS: Final = 30_000  # of simulated time; a hundred times the longest backoff, beyond which nothing is under way
STEPS_MAX: Final = 100_000  # an engine that asks for something again and again at one moment never gets there
_STOP_MS: Final = 300  # what a graceful stop may take


@attrs.frozen
class Result:
    """What a run did, for those who watch."""

    events: int
    transactions: int
    simulated_ms: int
    steps: int


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Result:
    """Run the world of a seed to its end and check it.

    Raises: SimulationError, with the line that shows the same again.
    """
    try:
        return World(plan_of(seed), trace).run()
    except Exception as error:
        raise SimulationError(f"{error!r}; to see it: python -m tests.simulation --seed {seed}") from error


class World:
    """One run of one plan."""

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self.clock = Clock(trace)
        self._plan = plan
        self._rng = Random(plan.seed ^ 0x5EED)  # another stream than the plan's
        self._shards = [Shard(index, plan) for index in range(len(plan.shardmap.shards))]
        self._network = Network(plan, self.clock, self._rng, self._shards)
        self._workers: list[Worker] = []
        self._hired = 0
        self._epoch = 0

    def run(self) -> Result:
        """Let everything happen in order until nothing is left to do."""
        for _ in range(self._plan.workers):
            self._hire()
        self._rebalance()
        self._plan_faults()
        self.clock.at(self._plan.faulty_until_ms, self._heal)
        steps = 0
        while not self._is_done():
            self.clock.step()
            steps += 1
            if self.clock.now_ms > self._plan.faulty_until_ms + GRACE_MS or steps > STEPS_MAX:
                stands = [shard.positions for shard in self._shards]
                raise SimulationError(f"starved: shards stand at {stands}, the log ends at {self._plan.log.ends}")
        check_end(self._plan, [shard.memory for shard in self._shards])
        self.clock.say("all applied and checked")
        committed = sum(shard.committed for shard in self._shards)
        return Result(len(self._plan.log.order), committed, self.clock.now_ms, steps)

    @property
    def _faulty(self) -> bool:
        return self.clock.now_ms < self._plan.faulty_until_ms

    def _is_done(self) -> bool:
        ends = self._plan.log.ends
        return (
            not self._faulty and not self._network.on_the_way and all(shard.positions == ends for shard in self._shards)
        )

    # --- workers ---

    def _hire(self) -> None:
        self._hired += 1
        worker = Worker(f"worker-{self._hired}", self._plan, self)
        self._workers.append(worker)
        self.clock.say(worker.name, "starts")
        period_ms = self._rng.choice((2, 5, 20))

        def tick() -> None:
            worker.hear(worker.tick)
            if worker.alive:
                self.clock.after(period_ms, tick)

        self.clock.after(period_ms, tick)

    def _dismiss(self, worker: Worker, why: str) -> None:
        if worker.alive:
            worker.alive = False
            self._workers.remove(worker)
            self.clock.say(worker.name, why)
            self.clock.after(self._rng.randint(0, 200), self._replace)

    def _replace(self) -> None:
        self._hire()
        self._rebalance()

    def _rebalance(self) -> None:
        """Assign partitions to workers; each hears of it in its own time, the paused ones when they are back."""
        self._epoch += 1
        epoch = self._epoch
        # The group leaves out whom it does not hear of, until nobody else is left.
        candidates = [worker for worker in self._workers if not (worker.paused or worker.stopping)] or self._workers
        if not candidates:
            return
        assigned: dict[Worker, list[int]] = {worker: [] for worker in self._workers}
        for partition in self._plan.log.starts:
            assigned[self._rng.choice(candidates)].append(partition)
        for worker, partitions in assigned.items():
            delay_ms = self._rng.randint(0, 60) if self._faulty else 0
            self.clock.after(delay_ms, self._telling(worker, partitions, epoch))

    def _telling(self, worker: Worker, partitions: Iterable[int], epoch: int) -> Callable[[], None]:
        return lambda: worker.hear(lambda: worker.own(partitions, epoch))

    def call(self, worker: Worker, call: Call) -> None:
        """Send a call to its shard; the answer comes to `Worker.answer` later."""
        self._network.send(worker, call)

    def start_reading(self, worker: Worker, reader: int) -> None:
        """Read for this reader from now on, until it is closed."""
        self.clock.after(self._rng.randint(0, 5), lambda: worker.hear(lambda: self._read(worker, reader)))

    def _read(self, worker: Worker, number: int) -> None:
        if number not in worker.readers:
            return
        reader = worker.readers[number]
        appetite = worker.engine.appetite(number)
        if appetite:
            records = self._plan.log.read(
                reader.positions, self._rng.randint(1, appetite), self.clock.now_ms, self._rng
            )
            generation = reader.generation

            def deliver() -> None:
                worker.take(number, generation, records)
                self.start_reading(worker, number)

            self.clock.after(self._rng.choice((0, 0, 0, 5, 30)), lambda: worker.hear(deliver))
        else:
            self.start_reading(worker, number)

    # --- faults ---

    def _plan_faults(self) -> None:
        rates = self._plan.rates
        for strikes, strike in (
            (rates.crashes, self._crash),
            (rates.pauses, self._pause),
            (rates.stops, self._stop),
            (rates.rebalances, self._rebalance),
            (rates.failovers, self._fail_over),
            (rates.outages, self._outage),
            (rates.slownesses, self._slow_down),
            (rates.small_packets, self._shrink_packets),
        ):
            for _ in range(strikes):
                # Some strike at the last moment, when the engine may have nothing left to do.
                last_ms = self._plan.faulty_until_ms - 1
                self.clock.at(last_ms if self._rng.random() < 0.25 else self._rng.randint(0, last_ms), strike)

    def _heal(self) -> None:
        """End all faults; nothing else is done for the engine, so that it must find out by itself."""
        self.clock.say("the faults are over")
        for shard in self._shards:
            shard.down, shard.delay_factor, shard.packet_events_max = False, 1, None
        for worker in list(self._workers):
            worker.resume()

    def _crash(self) -> None:
        if self._workers:
            self._dismiss(self._rng.choice(self._workers), "crashes")

    def _pause(self) -> None:
        if self._workers:
            worker = self._rng.choice(self._workers)
            worker.paused = True
            self.clock.say(worker.name, "is paused")
            self.clock.after(self._rng.randint(0, 100), self._rebalance)
            self.clock.after(self._rng.randint(20, 800), lambda: self._resume(worker))

    def _resume(self, worker: Worker) -> None:
        if worker.alive and worker.paused:
            self.clock.say(worker.name, "is back")
            worker.resume()
            self.clock.after(self._rng.randint(0, 100), self._rebalance)

    def _stop(self) -> None:
        if not self._workers:
            return
        worker = self._rng.choice(self._workers)
        self.clock.say(worker.name, "is told to stop")
        deadline_ms = self.clock.now_ms + self._rng.randint(0, _STOP_MS)

        def watch() -> None:
            if worker.engine.drained or self.clock.now_ms >= deadline_ms:
                self._dismiss(worker, "stops")
            else:
                self.clock.after(2, watch)

        worker.hear(worker.stop)
        self.clock.after(2, watch)

    def _fail_over(self) -> None:
        shard = self._rng.choice(self._shards)
        lost = shard.fail_over(self._rng.choice((0, 1, 1, 2, 5, 20)))
        self.clock.say(shard.name, "fails over and loses", lost)

    def _outage(self) -> None:
        shard = self._rng.choice(self._shards)
        self.clock.say(shard.name, "is down")
        shard.down = True
        shard.generation += 1

        def end() -> None:
            shard.down = False
            self.clock.say(shard.name, "is up")

        self.clock.after(self._rng.randint(10, 1_000), end)

    def _slow_down(self) -> None:
        shard = self._rng.choice(self._shards)
        shard.delay_factor = self._rng.choice((10, 50, 100))
        self.clock.say(shard.name, "is slow")

        def end() -> None:
            shard.delay_factor = 1

        self.clock.after(self._rng.randint(50, 1_000), end)

    def _shrink_packets(self) -> None:
        shard = self._rng.choice(self._shards)
        shard.packet_events_max = self._rng.randint(2, 6)

        def end() -> None:
            shard.packet_events_max = None

        self.clock.after(self._rng.randint(50, 1_000), end)
