"""Policy: pure functions of limits and time."""

import attrs
import pytest

from billing.limits import Limits
from billing.policy import backoff_ms, is_due, main_start, rest_seconds

LIMITS = attrs.evolve(
    Limits(), retry_backoff_min_ms=50, retry_backoff_max_ms=700, flush_interval_ms=5, idle_advance_ms=90
)


def test_waits_double_up_to_a_bound():
    """A database that returns would be found hours later, or be hammered while it is away."""
    assert [backoff_ms(n, LIMITS) for n in (1, 2, 3, 4, 5, 6, 1000)] == [50, 100, 200, 400, 700, 700, 700]


@pytest.mark.parametrize(
    ("events", "waiting_ms", "since_applied_ms", "due"),
    [
        (0, 1000, 89, False),
        (0, 0, 90, True),
        (1, 4, 1000, False),
        (1, 5, 0, True),
        (9, 0, 0, False),
        (10, 0, 0, True),
    ],
)
def test_when_a_lane_sends(events, waiting_ms, since_applied_ms, due):
    """Latency or throughput would be given away."""
    assert is_due(events, waiting_ms, since_applied_ms, 10, LIMITS) is due


@pytest.mark.parametrize(
    ("shards", "flush_interval_ms", "seconds"), [(1, 0, 0.001), (30, 5, 0.005), (100, 0, 0.001), (1_000, 1, 0.01)]
)
def test_the_time_between_two_looks_grows_with_the_shards(shards, flush_interval_ms, seconds):
    """A worker of many shards would spend a core on looking which of them are due."""
    limits = attrs.evolve(LIMITS, flush_interval_ms=flush_interval_ms)
    assert rest_seconds(shards, limits) == pytest.approx(seconds)


@pytest.mark.parametrize(("positions", "start"), [([5], 5), ([5, 9, 7], 5), ([0, 100, 95], 95), ([89, 90, 100], 90)])
def test_the_shared_reader_starts_at_the_lowest_cursor_that_is_near(positions, start):
    """One shard far behind would make all others wait."""
    assert main_start(positions, 10) == start
