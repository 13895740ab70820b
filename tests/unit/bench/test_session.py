"""Sessions of the benchmark."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from bench import session
from bench.session import servers, use_limits
from billing.errors import SettingsError
from ops.local import stack


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


def test_a_second_session_in_the_folder_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take the servers of the first for left behind, and remove them under its workers."""
    told, running = Event(), Event()
    monkeypatch.setattr(session, "say", lambda _: told.set())
    monkeypatch.setattr(stack, "up", lambda *_, **__: running.set())

    def second() -> bool:
        with servers(tmp_path, 1, "mariadb", 1):
            return running.is_set()

    with ThreadPoolExecutor(1) as pool:
        with servers(tmp_path, 1, "mariadb", 1):
            running.clear()
            waiting = pool.submit(second)
            assert told.wait(20)
            assert not running.is_set()
        assert waiting.result(20)
