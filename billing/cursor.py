"""Cursors: how far a shard has applied each partition of a log; the one truth about progress."""

from collections.abc import Mapping

import attrs
import msgspec

from billing.errors import LogChangedError


@attrs.frozen
class Bounds:
    """The offsets that a partition of the log still has: [start, stop)."""

    start: int
    stop: int


@attrs.frozen
class Claim:
    """A worker's wish to write a shard: partitions with the offsets that missing cursors start at, and its versions."""

    log: str
    starts: Mapping[int, int]
    map_version: int
    book_version: int


@attrs.frozen
class Standing:
    """Where a shard stands: next offsets by partition, and the newest versions that any cursor of the log carries."""

    positions: Mapping[int, int]
    map_version: int
    book_version: int


def begun_late(claim: Claim, standing: Standing) -> dict[int, int]:
    """Return, by partition, how many offsets the log had lost before a shard that claims its first cursor there.

    Its cursor then stands where the claim let it begin, and that is not the log's first offset.
    """
    return {
        partition: start
        for partition, start in claim.starts.items()
        if start > 0 and standing.positions.get(partition) == start
    }


class CursorRow(msgspec.Struct, frozen=True):
    """One cursor as readers see it; counts are of events whose home is the shard."""

    log: str
    partition: int
    next_offset: int
    map_version: int
    book_version: int
    accepted: int
    duplicates: int
    quarantined: int
    time_us_max: int
    applied_at_us: int


def check_within(log: str, positions: Mapping[int, int], bounds: Mapping[int, Bounds]) -> None:
    """Check that the log still has what the cursors ask for.

    Raises: LogChangedError when a cursor lies below the log's start (retention) or above its end (truncated).
    """
    for partition, position in sorted(positions.items()):
        bound = bounds.get(partition)
        if bound is None:
            raise LogChangedError(
                f"{log} has no partition {partition}, yet a shard's cursor stands in it; see runbook: log changed"
            )
        if position < bound.start:
            raise LogChangedError(
                f"{log} partition {partition} begins at offset {bound.start}, but a shard has applied only up to "
                f"{position}: "
                f"{bound.start - position} offsets are gone; see runbook: log changed"
            )
        if position > bound.stop:
            raise LogChangedError(
                f"{log} partition {partition} ends at offset {bound.stop}, but a shard has applied up to {position}: "
                "the log was truncated; see runbook: log changed"
            )
