"""The simulated log: partitions with gaps between offsets, whose records become readable one after the other.

Owns what stands where. Must not know who reads it.
"""

from bisect import bisect_left
from collections.abc import Mapping
from random import Random

import attrs
import numpy as np

from billing.batch import Span
from billing.ports import Records

Place = tuple[int, int]  # partition, offset


@attrs.frozen
class Entry:
    """A record: its offset, the offset after the gap that follows it, when it becomes readable, and its bytes."""

    offset: int
    stop: int
    readable_ms: int
    payload: bytes


class Log:
    """Partitions by number; `starts` and `ends` bound their offsets, half-open."""

    def __init__(self, partitions: int, first_offset: int) -> None:
        self.starts = dict.fromkeys(range(partitions), first_offset)
        self.ends = dict(self.starts)
        self.order: list[Place] = []
        self._entries: dict[int, list[Entry]] = {partition: [] for partition in self.starts}
        self._offsets: dict[int, list[int]] = {partition: [] for partition in self.starts}

    def append(self, partition: int, payload: bytes, gap: int, readable_ms: int) -> None:
        """Add a record; `gap` offsets after it hold none (transaction markers, compaction)."""
        offset = self.ends[partition]
        self.ends[partition] = offset + 1 + gap
        self.order.append((partition, offset))
        self._offsets[partition].append(offset)
        self._entries[partition].append(Entry(offset, offset + 1 + gap, readable_ms, payload))

    def payloads(self) -> dict[Place, bytes]:
        """Return every record in the order in which it was appended."""
        by_place = {(p, entry.offset): entry.payload for p, entries in self._entries.items() for entry in entries}
        return {place: by_place[place] for place in self.order}

    def read(self, positions: Mapping[int, int], records_max: int, now_ms: int, rng: Random) -> Records:
        """Return at most `records_max` readable records from these positions on, from partitions in any order."""
        partitions: list[int] = []
        offsets: list[int] = []
        payloads: list[bytes] = []
        spans: dict[int, Span] = {}
        for partition in rng.sample(sorted(positions), len(positions)):
            start, stop = positions[partition], positions[partition]
            entries = self._entries[partition]
            row = bisect_left(self._offsets[partition], start)
            while row < len(entries) and entries[row].readable_ms <= now_ms and len(payloads) < records_max:
                partitions.append(partition)
                offsets.append(entries[row].offset)
                payloads.append(entries[row].payload)
                stop = entries[row].offset + 1
                row += 1
            if row and stop < entries[row - 1].stop and rng.random() < 0.5:
                stop = entries[row - 1].stop  # a reader learns of a gap at once, later, or with the next record
            if stop > start:
                spans[partition] = Span(start, stop)
        order = np.argsort(np.array(partitions, dtype=np.int64), kind="stable")
        return Records(
            np.array(partitions, dtype=np.int32)[order],
            np.array(offsets, dtype=np.int64)[order],
            [payloads[row] for row in order.tolist()],
            spans,
        )
