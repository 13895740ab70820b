"""Figures: what a row of samples says, as pure arithmetic.

Owns samples, windows, percentiles and differences of counters. Must not know who sampled, nor how figures are printed.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import attrs

WINDOW_SECONDS: Final = 10.0  # long enough to even out flushes and rebalances, short enough to show a decline
WHOLE_MACHINE: Final = "whole machine"  # a group of CPU time that is no process of ours, as is:
TAKEN_BY_HOST: Final = "taken by the host"


@attrs.frozen
class Sample:
    """The state at one moment.

    at_seconds: on a clock that only goes forward; events: settled by all shards since their creation; cpu_seconds: by
    group of processes; worker_rss_bytes: of the largest worker; counters: by name, they only grow, and those that could
    not be read at this moment are missing; shard_events: events by shard.
    """

    at_seconds: float
    events: int
    cpu_seconds: Mapping[str, float]
    worker_rss_bytes: int
    counters: Mapping[str, float]
    shard_events: tuple[int, ...] = ()


@attrs.frozen
class Throughput:
    """Events a second: over everything, of the slowest, the fastest and every window (all the same if there is one)."""

    mean: float
    window_min: float
    window_max: float
    windows: tuple[float, ...] = ()
    window_seconds: float = WINDOW_SECONDS


def throughput(samples: Sequence[Sample]) -> Throughput:
    """Return events a second over at least two samples, taken in order, also by windows of ten seconds.

    A run shorter than two windows is cut into thirds, so that it too says how much throughput varies.
    """
    seconds = samples[-1].at_seconds - samples[0].at_seconds
    window_seconds = WINDOW_SECONDS if seconds >= 2 * WINDOW_SECONDS else seconds / 3
    rates = windows(samples, window_seconds)
    return Throughput(_rate(samples[0], samples[-1]), min(rates), max(rates), tuple(rates), window_seconds)


@attrs.frozen
class Point:
    """What went on between two samples, for pictures.

    at_seconds: the end of it, since the run's first sample; events: settled by then, ever: how large the tables are;
    events_per_second; shard_events_per_second: by shard; cores_used: by group of processes.
    """

    at_seconds: float
    events: int
    events_per_second: float
    shard_events_per_second: tuple[float, ...]
    cores_used: Mapping[str, float]


def points(samples: Sequence[Sample]) -> list[Point]:
    """Return a point for each sample after the first."""
    found = []
    for before, after in pairwise(samples):
        seconds = after.at_seconds - before.at_seconds
        shards = zip(before.shard_events, after.shard_events, strict=True)
        found.append(
            Point(
                after.at_seconds - samples[0].at_seconds,
                after.events,
                _rate(before, after),
                tuple((now - then) / seconds for then, now in shards),
                cpu_cores([before, after]),
            )
        )
    return found


def windows(samples: Sequence[Sample], window_seconds: float = WINDOW_SECONDS) -> list[float]:
    """Return events a second of each whole window; of everything when it is shorter than one.

    A window ends with the first sample at or after its length; a rest shorter than a window counts to none.
    """
    assert len(samples) >= 2, "a rate needs two samples"  # noqa: PLR2004 - says itself
    rates = []
    first = samples[0]
    for sample in samples[1:]:
        if sample.at_seconds - first.at_seconds >= window_seconds:
            rates.append(_rate(first, sample))
            first = sample
    return rates or [_rate(samples[0], samples[-1])]


def _rate(first: Sample, last: Sample) -> float:
    return (last.events - first.events) / (last.at_seconds - first.at_seconds)


def worked(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples from the last one before the first event to the last one that still saw progress.

    What lies before is start-up; what lies after is a log that has run dry.
    """
    moved = [index for index in range(1, len(samples)) if samples[index].events > samples[index - 1].events]
    return list(samples[moved[0] - 1 : moved[-1] + 1]) if moved else []


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Return by how much each counter grew a second, between the first and the last sample that have it.

    One that fewer than two samples have is left out: nobody knows how much it grew.
    """
    found = {}
    for name in dict.fromkeys(name for sample in samples for name in sample.counters):
        having = [sample for sample in samples if name in sample.counters]
        seconds = having[-1].at_seconds - having[0].at_seconds
        if seconds > 0:
            found[name] = (having[-1].counters[name] - having[0].counters[name]) / seconds
    return found


def cpu_cores(samples: Sequence[Sample]) -> dict[str, float]:
    """Return how many cores each group kept busy on average."""
    first, last = samples[0], samples[-1]
    seconds = last.at_seconds - first.at_seconds
    return {group: (used - first.cpu_seconds.get(group, 0)) / seconds for group, used in last.cpu_seconds.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share (0 to 1) of all do not exceed: the nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
