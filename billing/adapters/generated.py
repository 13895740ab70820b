"""Generated traffic as a log: any stretch of it can be made again, so it has offsets like any other.

Owns the identity of generated traffic: everything that it is made from.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import xxhash

from billing.batch import Span
from billing.cursor import Bounds
from billing.ports import Ownership, Records
from generators.workload import Workload

PARTITION: Final = 0


class GeneratedSource:
    """The first `events` positions of a workload as a log of one partition; a `billing.ports.Source`."""

    def __init__(self, workload: Workload, events: int) -> None:
        self._workload = workload
        self._events = events

    @property
    def log(self) -> str:
        """Return `generated:DIGEST` of the workload's parameters; more events make the same log longer."""
        return f"generated:{xxhash.xxh3_64_hexdigest(repr(self._workload).encode())}"

    async def open(self) -> None:
        """Need nothing."""

    def reader(self) -> "GeneratedReader":
        """Return a reader."""
        return GeneratedReader(self._workload, self._events)

    def ownership(self) -> Ownership:
        """Own the only partition."""
        return Ownership(frozenset({PARTITION}), 0)

    async def partitions(self) -> Sequence[int]:
        """Return the only partition."""
        return [PARTITION]

    async def bounds(self, partitions: Sequence[int]) -> Mapping[int, Bounds]:
        """Return 0 and the number of events."""
        return {partition: Bounds(0, self._events) for partition in partitions}

    async def verify(self) -> None:
        """Say nothing: the same parameters make the same log."""

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Tell nobody."""

    async def close(self) -> None:
        """Leave nothing behind."""


class GeneratedReader:
    """A position in generated traffic. Keeps the contract of `billing.ports.Reader`."""

    def __init__(self, workload: Workload, events: int) -> None:
        self.generation = 0
        self._workload = workload
        self._events = events
        self._position: int | None = None

    async def read(self, records_max: int, wait_seconds: float, gather_seconds: float = 0.0) -> Records:
        """Make the next events."""
        del gather_seconds  # they are all there
        start = self._events if self._position is None else self._position
        stop = min(start + records_max, self._events)
        if start >= stop:
            await asyncio.sleep(wait_seconds)
            return Records(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64), [], {})
        payloads = await asyncio.to_thread(self._workload.payloads, start, stop)
        self._position = stop
        offsets = np.arange(start, stop, dtype=np.int64)
        return Records(np.zeros(stop - start, dtype=np.int32), offsets, payloads, {PARTITION: Span(start, stop)})

    async def idle(self) -> None:
        """Do nothing: nobody else waits."""

    async def seek(self, positions: Mapping[int, int]) -> None:
        """Go to a position."""
        self.generation += 1
        self._position = positions.get(PARTITION)

    async def close(self) -> None:
        """Leave nothing behind."""
