"""Lag: how far shards are behind the end of the log, in events and seconds, and how near its deleted beginning is.

Owns what is remembered of the log's bounds. Must not know clocks, sources, or who is told.
"""

from bisect import bisect_right
from collections.abc import Collection, Mapping
from typing import Final

import attrs

from billing.cursor import Bounds

SAMPLES_MAX: Final = 256  # of a partition: at one look in five seconds, 20 minutes exactly and days ever more roughly


@attrs.frozen
class Behind:
    """How far a cursor is behind: offsets that it has not passed, and for how long the first of them has been there.

    seconds: at least so many, where that one was in the log before anybody looked.
    """

    events: int
    seconds: float


CAUGHT_UP: Final = Behind(0, 0.0)


@attrs.frozen
class Margin:
    """How far a cursor is from what retention has deleted: in offsets, and as a share of what the log keeps, 0 to 1."""

    events: int
    ratio: float


class LogWatch:
    """The bounds of a worker's partitions, and how their ends have moved."""

    def __init__(self) -> None:
        self._bounds: dict[int, Bounds] = {}
        self._samples: dict[int, list[tuple[int, float]]] = {}  # (end of the partition, when it was there), ascending

    def look(self, bounds: Mapping[int, Bounds], now_seconds: float) -> None:
        """Take what the log says of the partitions that are owned now; others are forgotten."""
        self._bounds = dict(bounds)
        self._samples = {partition: self._samples.get(partition, []) for partition in bounds}
        for partition, bound in bounds.items():
            samples = self._samples[partition]
            if samples and bound.stop < samples[-1][0]:
                samples.clear()  # the log is being made shorter, which others notice
            if len(samples) > 1 and samples[-1][0] == samples[-2][0] == bound.stop:
                samples.pop()  # nothing came: the first and the last time are enough
            samples.append((bound.stop, now_seconds))
            if len(samples) > SAMPLES_MAX:
                del samples[1 : SAMPLES_MAX // 2 : 2]

    def behind(self, partition: int, position: int, now_seconds: float) -> Behind:
        """Tell how far a cursor is behind the end of a partition whose bounds are known."""
        missing = self._bounds[partition].stop - position
        if missing <= 0:
            return CAUGHT_UP
        return Behind(missing, max(now_seconds - self._came_at(partition, position), 0.0))

    def margin(self, partition: int, position: int) -> Margin:
        """Tell how far a cursor is above the beginning of a partition whose bounds are known."""
        bound = self._bounds[partition]
        kept = bound.stop - bound.start
        left = max(position - bound.start, 0)
        return Margin(left, 1.0 if kept <= 0 else min(left / kept, 1.0))

    def _came_at(self, partition: int, position: int) -> float:
        """Return when the record at a position came, between two looks as if all came at the same pace."""
        samples = self._samples[partition]
        after = bisect_right(samples, position, key=lambda sample: sample[0])
        if after == 0:
            return samples[0][1]
        (low, since), (high, until) = samples[after - 1], samples[after]
        return since + (until - since) * (position - low) / (high - low)


def furthest(found: Collection[Behind]) -> Behind | None:
    """Return the most of each, None of nothing."""
    return Behind(max(one.events for one in found), max(one.seconds for one in found)) if found else None


def together(found: Collection[Behind]) -> Behind | None:
    """Return the events of all and the longest time, None of nothing."""
    return Behind(sum(one.events for one in found), max(one.seconds for one in found)) if found else None
