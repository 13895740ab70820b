"""Policy: how much, how often and how long; pure functions of limits, state and time."""

from typing import Final

from billing.limits import Limits

_SILENT_ADVANCES: Final = 10  # a claim writes to the shard: far rarer than the cursors of idle shards move
_REST_SECONDS_MIN: Final = 0.001
_REST_SECONDS_EACH: Final = 0.000_01  # a shard: ten times as long as a look at it takes


def backoff_ms(failures: int, limits: Limits) -> int:
    """Return the wait after the n-th failure in a row (n >= 1): doubling, bounded."""
    doublings = min(failures - 1, 30)  # beyond any maximum, and no number without end
    return min(limits.retry_backoff_min_ms << doublings, limits.retry_backoff_max_ms)


def is_due(events: int, waiting_ms: int, since_applied_ms: int, batch_events: int, limits: Limits) -> bool:
    """Tell whether a free lane should send what it has: a full batch, or one that has waited long enough.

    events: how many wait; waiting_ms: how long the oldest has waited; since_applied_ms: age of the last transaction.
    """
    if events == 0:
        return since_applied_ms >= limits.idle_advance_ms
    return events >= batch_events or waiting_ms >= limits.flush_interval_ms


def rest_seconds(shards: int, limits: Limits) -> float:
    """Return how long to rest between two looks at which of so many shards are due."""
    return max(limits.flush_interval_ms / 1000, shards * _REST_SECONDS_EACH, _REST_SECONDS_MIN)


def is_unsure(since_confirmed_ms: int, limits: Limits) -> bool:
    """Tell whether an idle lane should read its cursors again: a failover in a silent log shows in nothing else.

    since_confirmed_ms: age of the last transaction or answer that said where the cursors stand.
    """
    return since_confirmed_ms >= _SILENT_ADVANCES * limits.idle_advance_ms


def main_start(positions: list[int], lag_max: int) -> int:
    """Return where the shared reader starts: the lowest cursor of the shards that are not left to catch up alone."""
    return min(position for position in positions if position >= max(positions) - lag_max)
