"""What the simulation tells at the end of a test run: how much of it there was, and what noticed each mutant."""

import pytest

from tests.simulation.report import Tally

_TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def simulated(request: pytest.FixtureRequest) -> Tally:
    """Give the tally of the test run."""
    return request.config.stash.setdefault(_TALLY, Tally())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many seeds ran, and how often each fault was injected."""
    tally = config.stash.get(_TALLY, None)
    if tally is not None:
        terminalreporter.write_line(str(tally))
