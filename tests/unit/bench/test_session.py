"""Sessions of the benchmark."""

import os

import pytest

from bench.session import use_limits
from billing.errors import SettingsError


def test_limits_reach_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers would go on with usual batches, and the figures be taken for those of small ones."""
    monkeypatch.setenv("BILLING_LIMITS_BATCH_EVENTS_MAX", "1")
    use_limits({"batch_events_max": 500})
    assert os.environ["BILLING_LIMITS_BATCH_EVENTS_MAX"] == "500"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"batch_event_max": 3}, "--limits.batch_event_max: unknown limit; did you mean batch_events_max?"),
        ({"batch_events_max": 0}, "--limits.batch_events_max: 0 is below 1; write a number from 1 to 100000"),
        (
            {"flush_interval_ms": 9_000},
            (
                "--limits.flush_interval_ms: 9000 is too large for limits.idle_advance_ms = 1000: "
                "an idle shard writes less often than a busy one; write at most 1000"
            ),
        ),
    ],
)
def test_wrong_limits_are_told_before_servers_start(given: dict[str, int], problem: str) -> None:
    """A quarter of a minute would go by, and the complaint be about a variable that nobody wrote."""
    with pytest.raises(SettingsError) as error:
        use_limits(given)
    assert str(error.value) == problem
