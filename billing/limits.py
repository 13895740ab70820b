"""Limits: every bound of the engine, with unit, default, range and reason.

Owns the numbers and how they depend on each other. Must not know who obeys them.
"""

from typing import Any, Final

import attrs

PACKET_BYTES_MAX: Final = 4 * 1024 * 1024  # a transaction is one packet, and no supported server takes less by default

CREDITS_MAX: Final = 100_000  # of an account: all are read for its balance, and one a day for a century is fewer


def bounded(default: int, minimum: int, maximum: int, reason: str) -> Any:  # noqa: ANN401 -- a field specifier, as attrs.field
    """Declare a limit: what it is by default, how low and high it may be set (inclusive), and why it exists."""
    return attrs.field(default=default, metadata={"minimum": minimum, "maximum": maximum, "reason": reason})


@attrs.frozen
class Limits:
    """Every bound of the engine; the unit is the last part of the name but `_max`.

    `attrs.fields(Limits)` has range and reason of each as metadata; `DEPENDENCIES` says which must not exceed which.
    """

    batch_events_max: int = bounded(5_000, 1, 100_000, "what one retry repeats and how long hot rows stay locked")
    batch_bytes_max: int = bounded(
        3_500_000, 262_144, 4_000_000, "a transaction is one packet; the rest up to 4 MiB is for its fixed parts"
    )
    poll_events_max: int = bounded(
        10_000, 1, 100_000, "one poll is decoded and priced at once, so it bounds memory and pauses"
    )
    buffer_events_max: int = bounded(
        20_000, 1, 10_000_000, "a shard: past it the shard is detached, so that it delays only its own accounts"
    )
    buffer_bytes_max: int = bounded(
        16_000_000, 262_144, 1_000_000_000, "a shard: events differ in size, and a worker's memory must not"
    )
    waiting_events_max: int = bounded(
        40_000, 1, 100_000_000, "all shards together: a worker's memory must not grow with their number"
    )
    flush_interval_ms: int = bounded(
        1, 0, 10_000, "how long an idle shard waits for company before it sends a small batch"
    )
    idle_advance_ms: int = bounded(
        1_000, 10, 3_600_000, "cursors of shards without events move this often, not at every poll"
    )
    detach_after_ms: int = bounded(
        1_000, 10, 600_000, "a full buffer that does not move for so long must not hold the others"
    )
    retry_backoff_min_ms: int = bounded(
        50, 1, 60_000, "the first retry: a deadlock or a failover's last moment is over by then"
    )
    retry_backoff_max_ms: int = bounded(
        5_000, 1, 600_000, "later retries double up to this, so a database that returns is found soon"
    )
    lock_wait_seconds: int = bounded(4, 1, 50, "rows are locked for milliseconds; a longer wait means a stuck session")
    connect_timeout_ms: int = bounded(
        3_000, 100, 60_000, "an endpoint that does not answer must not look like a slow one"
    )
    apply_timeout_ms: int = bounded(
        30_000, 1_000, 600_000, "a connection that is silent for so long is dead: read the cursor again"
    )
    catchup_readers_max: int = bounded(
        4, 1, 64, "each detached shard reads the log once more; all at once would starve the rest"
    )
    graceful_stop_ms: int = bounded(10_000, 0, 600_000, "orchestrators kill after 30 s; what was cut off is read again")
    quarantine_payload_bytes_max: int = bounded(
        65_536,
        1_024,
        1_000_000,
        "events have at most 64 KiB; of anything larger the beginning is enough to find its maker",
    )


@attrs.frozen
class Dependency:
    """`smaller * factor` must not exceed `larger`, and why."""

    smaller: str
    larger: str
    reason: str
    factor: int = 1


DEPENDENCIES: Final = (
    Dependency("batch_events_max", "buffer_events_max", "a buffer holds at least one batch"),
    Dependency("buffer_events_max", "waiting_events_max", "one shard's buffer may be full while others' are empty"),
    Dependency("poll_events_max", "buffer_events_max", "all events of one poll may be for one shard"),
    Dependency("batch_bytes_max", "buffer_bytes_max", "a buffer holds at least one batch"),
    Dependency("quarantine_payload_bytes_max", "batch_bytes_max", "a payload takes twice its size in a packet", 2),
    Dependency("retry_backoff_min_ms", "retry_backoff_max_ms", "the first retry is the quickest"),
    Dependency("flush_interval_ms", "idle_advance_ms", "an idle shard writes less often than a busy one"),
    Dependency(
        "lock_wait_seconds",
        "apply_timeout_ms",
        "the server gives a lock up before the worker gives the server up",
        1000,
    ),
)
