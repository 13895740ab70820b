"""Campaigns: many seeds, over several processes, until they are done or the time is up."""

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.check import SimulationError
from tests.simulation.minimise import minimised
from tests.simulation.report import Tally, keep_campaign, now
from tests.simulation.world import simulate

CHUNK = 50  # seeds between two looks at the clock
FAILURES_MAX = 3  # of a campaign: more of them say nothing new


def run_campaign(first: int, seeds: int, seconds: float, processes: int, say: Callable[[str], None]) -> int:
    """Run seeds from `first` on and keep the results; returns the exit code: 1 if a seed failed.

    What was counted is kept after every chunk, so that a campaign may be interrupted at any moment.
    """
    total, begun, started = Tally(), now(), time.monotonic()
    chunks = [range(at, min(at + CHUNK, first + seeds)) for at in range(first, first + seeds, CHUNK)]
    with ProcessPoolExecutor(processes, initializer=_prepare) as pool:
        for chunk, (tally, failures) in _in_time(pool, chunks, processes, started + seconds):
            total.merge(tally)
            took = time.monotonic() - started
            keep_campaign(total, first, chunk.stop, took, begun)
            for failure in failures:
                say(failure)
            speed = f"{total.seeds / took:.1f} seeds/s"
            say(f"seeds up to {chunk.stop:,}: {total.transactions:,} transactions, {total.failed} failed, {speed}")
            if total.failed >= FAILURES_MAX:
                break
    say(str(total))
    return 1 if total.failed else 0


def _prepare() -> None:
    """Let a process collect garbage between runs only, and never what it imported: that was a tenth of its time."""
    gc.freeze()
    gc.disable()


def _in_time(
    pool: ProcessPoolExecutor, chunks: list[range], processes: int, deadline: float
) -> Iterator[tuple[range, tuple[Tally, list[str]]]]:
    """Yield what came of each chunk, in order; begin none after the deadline."""
    waiting = [(chunk, pool.submit(run_chunk, chunk)) for chunk in chunks[:processes]]
    rest = iter(chunks[processes:])
    while waiting:
        chunk, future = waiting.pop(0)
        yield chunk, future.result()
        following = next(rest, None) if time.monotonic() < deadline else None
        if following is not None:
            waiting.append((following, pool.submit(run_chunk, following)))


def run_chunk(seeds: range) -> tuple[Tally, list[str]]:
    """Run some seeds; returns what went well, and each failure as small as it can be made, in words."""
    tally, failures = Tally(), []
    for seed in seeds:
        try:
            tally.add(simulate(seed))
        except SimulationError:
            tally.failed += 1
            tally.failed_seeds.append(seed)
            failures.append(str(minimised(seed)))
            if len(failures) >= FAILURES_MAX:
                break
        if not gc.isenabled():
            gc.collect(1)  # a world is full of cycles
    return tally, failures
