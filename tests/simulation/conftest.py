"""What the simulation tells at the end of a test run: how much of it there was."""

import attrs
import pytest

from tests.simulation.world import Result

_TALLY = pytest.StashKey["Tally"]()


@attrs.define
class Tally:
    """Runs that went well, and what they did."""

    runs: int = 0
    events: int = 0
    transactions: int = 0
    simulated_ms: int = 0

    def add(self, result: Result) -> None:
        """Count one more run."""
        self.runs += 1
        self.events += result.events
        self.transactions += result.transactions
        self.simulated_ms += result.simulated_ms


@pytest.fixture(scope="session")
def simulated(request: pytest.FixtureRequest) -> Tally:
    """Give the tally of the test run."""
    tally = Tally()
    request.config.stash[_TALLY] = tally
    return tally


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many seeds ran."""
    tally = config.stash.get(_TALLY, None)
    if tally is not None:
        terminalreporter.write_line(
            f"simulation: {tally.runs:,} seeds, {tally.events:,} records, {tally.transactions:,} transactions, "
            f"{tally.simulated_ms // 1000:,} simulated seconds"
        )
