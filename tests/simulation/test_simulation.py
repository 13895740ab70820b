"""Many seeds: the engine bills everything exactly once, whatever the world does to it.

`make simulate` runs more of them.
"""

import pytest

from tests.simulation.campaign import run_chunk
from tests.simulation.check import SimulationError
from tests.simulation.faults import Fault
from tests.simulation.minimise import minimised
from tests.simulation.report import README, Tally, campaigns, mutants, page_of, sentence_of
from tests.simulation.world import simulate

CHUNKS = 8
SEEDS = 200  # about 80 seconds on one core


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_everything_is_billed_exactly_once(chunk: int, simulated: Tally) -> None:
    """Otherwise somebody pays twice, or not at all, after a crash, a failover or a rebalance like one of these."""
    tally, failures = run_chunk(range(chunk, SEEDS, CHUNKS))
    simulated.merge(tally)
    assert not failures, "\n".join(["", *failures])


def test_every_fault_is_injected(simulated: Tally) -> None:
    """Otherwise a fault that is declared would never happen, and nothing would be known about it."""
    for seed in range(SEEDS):
        if not simulated.missing:
            break
        simulated.add(simulate(seed))
    assert simulated.missing == []


def test_a_seed_always_shows_the_same() -> None:
    """Otherwise a failure that was found once could not be looked at."""
    traces: list[list[str]] = [[], []]
    for trace in traces:
        simulate(7, trace.append)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100


def test_a_run_can_do_without_each_fault() -> None:
    """Otherwise a failure could not be made small, or what is left out would change what is kept."""
    counts = simulate(7, without=frozenset(Fault), events_max=9).faults
    assert {fault: count for fault, count in counts.items() if count and fault.odds.choices} == {}


def test_a_failure_is_shown_as_small_as_it_can_be() -> None:
    """Otherwise somebody would have to read a thousand lines to see what two faults and one event have done."""
    needed = {Fault.CRASH, Fault.GAP}

    def fails(_seed: int, without: frozenset[Fault], events_max: int) -> str | None:
        return "wrong" if events_max >= 3 and not needed & without else None

    found = minimised(7, fails)
    assert (found.without, found.events_max, found.error) == (frozenset(Fault) - needed - _outcomes(), 3, "wrong")
    assert found.command.startswith("python -m tests.simulation --seed 7 --without clock-back,")
    assert found.command.endswith(" --events 3")
    assert found.trace


def _outcomes() -> set[Fault]:
    return {fault for fault in Fault if not fault.odds.choices}


def test_a_defect_is_reported_with_its_reproduction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a failing seed could not be run again from what a log of a test run says."""
    monkeypatch.setattr("tests.simulation.world.GRACE_MS", -3_000)  # before anything can be done
    with pytest.raises(SimulationError, match=r"starved.*python -m tests\.simulation --seed 7$"):
        simulate(7)


def test_the_page_adds_campaigns_up() -> None:
    """Otherwise the published counts would be those of the last campaign only."""
    counts = {"seeds": 2, "events": 1_000, "transactions": 30, "simulated_seconds": 4, "failed": 0}
    line = {"first_seed": 0, "stop_seed": 2, "commit": "c", "date": "d", "faults": {"crash": 700}, **counts}
    table = {"rows": [["no guard", "a place", "a seed", "3 seeds", "m"]]}
    page = page_of([line, line], table)
    assert "In all: 4 seeds, 2,000 events, 60 transactions, 8 simulated seconds, 0 failed." in page
    assert "| crash | 1,400 |" in page
    assert "| no guard | a place | a seed | 3 seeds | m |" in page
    sentence = sentence_of([line, line], table).replace("\n", " ")
    assert "4 seeds, 2,000 events in 60 transactions under 1 kinds of faults; 0 seeds failed" in sentence
    assert "Of 1 deliberate defects (`make mutants`) 1 were noticed" in sentence


def test_the_readme_says_what_was_counted() -> None:
    """Else the front page would tell of another number of seeds than the results that it links to."""
    assert sentence_of(campaigns(), mutants()) in README.read_text()
