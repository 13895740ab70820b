"""The simulated log: partitions with gaps between offsets, whose records become readable one after the other.

Owns what stands where, and how the log may be damaged. Must not know who reads it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from random import Random

import attrs
import numpy as np

from billing.batch import Span
from billing.cursor import Bounds
from billing.errors import LogChangedError
from billing.ports import Records
from tests.simulation.faults import Fault

LOG_NAME = "simulated"
_NO_PARTITIONS, _NO_OFFSETS = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
Place = tuple[int, int]  # partition, offset


@attrs.frozen
class Entry:
    """A record: its offset, the offset after the gap that follows it, when it becomes readable, and its bytes."""

    offset: int
    stop: int
    readable_ms: int
    payload: bytes


@attrs.frozen(eq=False)
class Read(Records):
    """What was read; its columns, in no order, become `Records` for who decodes them, which few do."""

    partition: list[int]  # type: ignore[assignment]
    offset: list[int]  # type: ignore[assignment]
    payload: list[bytes]
    spans: dict[int, Span]

    def records(self) -> Records:
        """Return the records by partition, in columns."""
        if not self.payload:
            return Records(_NO_PARTITIONS, _NO_OFFSETS, self.payload, self.spans)
        order = np.argsort(np.array(self.partition, dtype=np.int64), kind="stable")
        return Records(
            np.array(self.partition, dtype=np.int32)[order],
            np.array(self.offset, dtype=np.int64)[order],
            [self.payload[row] for row in order.tolist()],
            self.spans,
        )


@attrs.frozen
class Damage:
    """What is wrong with a log: the fault, and what is left of one partition (of none, if the topic was re-created)."""

    fault: Fault
    partition: int
    left: Bounds


class Log:
    """Partitions by number; `starts` and `ends` bound their offsets, half-open; `appears_ms`: when one is there."""

    def __init__(self, appears_ms: Mapping[int, int], first_offset: int) -> None:
        self.appears_ms = dict(appears_ms)
        self.starts = dict.fromkeys(self.appears_ms, first_offset)
        self.ends = dict(self.starts)
        self.order: list[Place] = []
        self.damage: Damage | None = None
        self._entries: dict[int, list[Entry]] = {partition: [] for partition in self.starts}
        self._offsets: dict[int, list[int]] = {partition: [] for partition in self.starts}

    def append(self, partition: int, payload: bytes, gap: int, readable_ms: int) -> Place:
        """Add a record; `gap` offsets after it hold none (transaction markers, compaction)."""
        offset = self.ends[partition]
        self.ends[partition] = offset + 1 + gap
        self.order.append((partition, offset))
        readable_ms = max(readable_ms, self.appears_ms[partition])
        self._offsets[partition].append(offset)
        self._entries[partition].append(Entry(offset, offset + 1 + gap, readable_ms, payload))
        return partition, offset

    def payloads(self) -> dict[Place, bytes]:
        """Return every record in the order in which it was appended."""
        by_place = {(p, entry.offset): entry.payload for p, entries in self._entries.items() for entry in entries}
        return {place: by_place[place] for place in self.order}

    def partitions(self, now_ms: int) -> list[int]:
        """Return the partitions that there are by now."""
        return [partition for partition, appears_ms in self.appears_ms.items() if appears_ms <= now_ms]

    def bounds(self, partitions: Iterable[int], now_ms: int) -> dict[int, Bounds]:
        """Return the offsets that a broker still has. Raises LogChangedError for a topic that was made anew."""
        self._check_identity()
        damage = self.damage
        return {
            partition: damage.left
            if damage is not None and damage.partition == partition
            else Bounds(self.starts[partition], self.readable_end(partition, now_ms))
            for partition in partitions
        }

    def readable_end(self, partition: int, now_ms: int) -> int:
        """Return the offset after the last one that can be read by now, and after the gap behind it."""
        stops = [entry.stop for entry in self._entries[partition] if entry.readable_ms <= now_ms]
        return max(stops, default=self.starts[partition])

    def read(self, positions: Mapping[int, int], records_max: int, now_ms: int, rng: Random) -> Read:
        """Return at most `records_max` readable records from these positions on, from partitions in any order.

        Raises: LogChangedError where a broker refuses the position, as a consumer that never resets does.
        """
        partitions: list[int] = []
        offsets: list[int] = []
        payloads: list[bytes] = []
        spans: dict[int, Span] = {}
        for partition in rng.sample(sorted(positions), len(positions)):
            start, stop = positions[partition], positions[partition]
            last = self._check_position(partition, start)
            entries = self._entries[partition]
            row = bisect_left(self._offsets[partition], start)
            while row < len(entries) and entries[row].readable_ms <= now_ms and len(payloads) < records_max:
                if last is not None and entries[row].offset >= last:
                    break
                partitions.append(partition)
                offsets.append(entries[row].offset)
                payloads.append(entries[row].payload)
                stop = entries[row].offset + 1
                row += 1
            if row and stop < entries[row - 1].stop and rng.random() < 0.5:
                stop = entries[row - 1].stop  # a reader learns of a gap at once, later, or with the next record
            if stop > start:
                spans[partition] = Span(start, stop)
        return Read(partitions, offsets, payloads, spans)

    def _check_identity(self) -> None:
        if self.damage is not None and self.damage.fault is Fault.RECREATION:
            raise LogChangedError(f"topic {LOG_NAME} was made anew")

    def _check_position(self, partition: int, position: int) -> int | None:
        """Return where the partition ends, if it has lost its end."""
        self._check_identity()
        damage = self.damage
        if damage is None or damage.partition != partition:
            return None
        if not damage.left.start <= position <= damage.left.stop:
            raise LogChangedError(f"{LOG_NAME} partition {partition} has no offset {position}")
        return damage.left.stop if damage.fault is Fault.TRUNCATION else None
