"""What the simulation tells at the end of a test run: how much of it there was, and what noticed each mutant."""

import os

import pytest

from tests.simulation.report import NOTHING, Tally, write_mutants

_TALLY = pytest.StashKey[Tally]()
_KILLED = pytest.StashKey[list[tuple[str, ...]]]()


@pytest.fixture(scope="session")
def simulated(request: pytest.FixtureRequest) -> Tally:
    """Give the tally of the test run."""
    return request.config.stash.setdefault(_TALLY, Tally())


@pytest.fixture(scope="session")
def killed(request: pytest.FixtureRequest) -> list[tuple[str, ...]]:
    """Give the table of mutants: what was broken, where, what noticed it, and after how much."""
    return request.config.stash.setdefault(_KILLED, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many seeds ran, how often each fault was injected, and what became of the mutants."""
    tally = config.stash.get(_TALLY, None)
    if tally is not None:
        terminalreporter.write_line(str(tally))
    killed = config.stash.get(_KILLED, None)
    if killed is None:
        return
    noticed = sum(by != NOTHING for _, _, by, _ in killed)
    terminalreporter.write_line(f"mutants: {noticed} of {len(killed)} noticed")
    if "MUTANTS" in os.environ:
        width = max(len(name) for name, *_ in killed)
        for name, _, by, after in killed:
            terminalreporter.write_line(f"  {name:{width}}  {by}, after {after}")
        from tests.simulation.test_mutants import every_mutant  # noqa: PLC0415 - only then is there more to know

        write_mutants(killed, every_mutant())
