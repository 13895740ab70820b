"""Many seeds: the engine bills everything exactly once, whatever the world does to it.

SIMULATION_SEEDS says how many seeds run; SIMULATION_SEED runs a single one.
"""

import os
from collections.abc import Sequence

import pytest

from tests.simulation.check import SimulationError
from tests.simulation.conftest import Tally
from tests.simulation.world import simulate

CHUNKS = 8
SEEDS = 320  # about a minute on one core
FAILURES_MAX = 3  # of a chunk: more of them say nothing new


def seeds_of(chunk: int) -> Sequence[int]:
    """Return the seeds of one of the chunks."""
    single = os.environ.get("SIMULATION_SEED")
    if single is not None:
        return [int(single)] if int(single) % CHUNKS == chunk else []
    return range(chunk, int(os.environ.get("SIMULATION_SEEDS", SEEDS)), CHUNKS)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_everything_is_billed_exactly_once(chunk: int, simulated: Tally) -> None:
    """Otherwise somebody pays twice, or not at all, after a crash, a failover or a rebalance like one of these."""
    failures: list[str] = []
    for seed in seeds_of(chunk):
        try:
            result = simulate(seed)
        except SimulationError as error:
            failures.append(f"SIMULATION_SEED={seed} pytest tests/simulation/test_simulation.py  # {error}")
        else:
            simulated.add(result)
        if len(failures) >= FAILURES_MAX:
            break
    assert not failures, "\n".join(["", *failures])


def test_a_seed_always_shows_the_same() -> None:
    """Otherwise a failure that was found once could not be looked at."""
    traces: list[list[str]] = [[], []]
    for trace in traces:
        simulate(7, trace.append)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100
