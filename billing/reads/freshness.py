"""Freshness: how far shards have come, what a reader asks of it, and how both are written.

Owns the text of a position in the log and what an answer says of its own age. Must not know clocks or connections.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self

import attrs
import msgspec

from billing.cursor import CursorRow
from billing.moment import SECOND_US
from billing.reads import balance as core
from billing.reads.answers import AsOf, moment

_TEXT: Final = re.compile(r"(?:([!-~]{1,192})@)?([0-9]{1,9}:[0-9]{1,18}(?:,[0-9]{1,9}:[0-9]{1,18}){0,999})", re.ASCII)

_NO_LAG: Final = b"null}"  # how one that was never applied ends


class PositionError(ValueError):
    """A text that is no position."""


@attrs.frozen
class LogPosition:
    """A place in a log: what the offsets below, by partition, hold. log: None for whichever the shards apply."""

    log: str | None
    offsets: Mapping[int, int]

    def __str__(self) -> str:
        places = ",".join(f"{partition}:{offset}" for partition, offset in sorted(self.offsets.items()))
        return places if self.log is None else f"{self.log}@{places}"

    def is_reached(self, cursors: Iterable[CursorRow]) -> bool:
        """Tell whether a shard with these cursors has applied everything below."""
        reached = {
            row.partition
            for row in cursors
            if row.log == (self.log or row.log) and row.next_offset >= self.offsets.get(row.partition, 2**63)
        }
        return reached >= {*self.offsets}


@attrs.frozen
class Want:
    """How fresh an answer must be.

    strong: from the writers, and of accounts on several shards from one position if it can be had; applied: wait until
    the account's shards have applied so much; wait_seconds: at most so long.
    """

    strong: bool = False
    applied: LogPosition | None = None
    wait_seconds: float = 2.0


ANY: Final = Want()


class Cursors(tuple[CursorRow, ...]):  # noqa: SLOT001 - cached properties need a place
    """A shard's cursors in their order, with what answers say of them, written once for as long as they stand."""

    @classmethod
    def of(cls, rows: Iterable[CursorRow]) -> Self:
        """Put cursors in their order."""
        return cls(sorted(rows, key=lambda row: (row.log, row.partition)))

    @cached_property
    def positions(self) -> tuple[tuple[str, int, int], ...]:
        """How far each partition of each log is applied, which is all that the shard's state depends on."""
        return tuple((row.log, row.partition, row.next_offset) for row in self)

    @cached_property
    def positions_text(self) -> str:
        """The same, as a header has it."""
        return positions_text(self.as_of(0))

    @cached_property
    def book_version(self) -> int | None:
        """The newest book that any was written with; None where none was written yet."""
        return max((row.book_version for row in self), default=None)

    def as_of(self, now_us: int) -> list[AsOf]:
        """Return how far they reach, by log and partition."""
        return as_of([self], now_us)

    def as_of_json(self, now_us: int) -> bytes:
        """Write `as_of`: all but the lag is there already."""
        told = [
            before + msgspec.json.encode(_lag_seconds(applied_at_us, now_us)) for before, applied_at_us in self._before
        ]
        return b"[%b}]" % b"},".join(told) if told else b"[]"

    @cached_property
    def _before(self) -> list[tuple[bytes, int]]:
        """The JSON of each up to its lag, and since when that counts."""
        told = (msgspec.structs.replace(one, lag_seconds=None) for one in self.as_of(0))
        texts = (msgspec.json.encode(one).removesuffix(_NO_LAG) for one in told)
        return list(zip(texts, (row.applied_at_us for row in self), strict=True))


def position_of(text: str) -> LogPosition:
    """Read `[LOG@]PARTITION:OFFSET[,PARTITION:OFFSET ...]`. Raises PositionError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise PositionError(text)
    log, places = found.groups()
    pairs = (place.split(":") for place in places.split(","))
    return LogPosition(log, {int(partition): int(offset) for partition, offset in pairs})


def as_of(cursors: Iterable[Sequence[CursorRow]], now_us: int) -> list[AsOf]:
    """Return how far all these shards have come, by log and partition."""
    by_shard = {str(shard): rows for shard, rows in enumerate(cursors)}
    return [_as_of(row, now_us) for row in core.as_of(by_shard)]


def positions_text(places: Iterable[AsOf]) -> str:
    """Write up to where an answer is complete: `partition:position`, of each log."""
    return ",".join(f"{one.partition}:{one.position}" for one in places)


def is_consistent(cursors: Sequence[Sequence[CursorRow]]) -> bool:
    """Tell whether all these shards stand at one position."""
    positions = [{(row.log, row.partition): row.next_offset for row in rows} for rows in cursors]
    return all(one == positions[0] for one in positions[1:])


def book_version(cursors: Iterable[Sequence[CursorRow]], own: int) -> int:
    """Return the book version that shards were last written with; own where none was written yet."""
    return max((row.book_version for rows in cursors for row in rows), default=own)


def _as_of(row: dict[str, Any], now_us: int) -> AsOf:
    time_us, applied_at_us = row["time_us"], row["applied_at_us"]
    return AsOf(
        log=row["log"],
        partition=row["partition"],
        position=row["position"],
        time=moment(time_us) if time_us else None,
        applied_at=moment(applied_at_us) if applied_at_us else None,
        lag_seconds=_lag_seconds(applied_at_us, now_us),
    )


def _lag_seconds(applied_at_us: int, now_us: int) -> float | None:
    return round(max(now_us - applied_at_us, 0) / SECOND_US, 3) if applied_at_us else None
