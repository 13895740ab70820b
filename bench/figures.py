"""Figures: what a row of samples says, as pure arithmetic.

Owns samples, windows, percentiles and differences of counters. Must not know who sampled, nor how figures are printed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

WINDOW_SECONDS: Final = 10.0  # long enough to even out flushes and rebalances, short enough to show a decline


@attrs.frozen
class Sample:
    """The state at one moment.

    at_seconds: on a clock that only goes forward; events: settled by all shards since their creation; cpu_seconds: by
    group of processes; worker_rss_bytes: of the largest worker; counters: by name, they only grow.
    """

    at_seconds: float
    events: int
    cpu_seconds: Mapping[str, float]
    worker_rss_bytes: int
    counters: Mapping[str, float]


@attrs.frozen
class Throughput:
    """Events a second: over everything, of the slowest, the fastest and every window (all the same if there is one)."""

    mean: float
    window_min: float
    window_max: float
    windows: tuple[float, ...] = ()


def throughput(samples: Sequence[Sample], window_seconds: float = WINDOW_SECONDS) -> Throughput:
    """Return events a second over at least two samples, taken in order."""
    rates = windows(samples, window_seconds)
    return Throughput(_rate(samples[0], samples[-1]), min(rates), max(rates), tuple(rates))


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
    """Return by how much each counter grew a second; one that was not there at first began at 0."""
    first, last = samples[0], samples[-1]
    seconds = last.at_seconds - first.at_seconds
    return {name: (value - first.counters.get(name, 0)) / seconds for name, value in last.counters.items()}


def cpu_cores(samples: Sequence[Sample]) -> dict[str, float]:
    """Return how many cores each group kept busy on average."""
    first, last = samples[0], samples[-1]
    seconds = last.at_seconds - first.at_seconds
    return {group: (used - first.cpu_seconds.get(group, 0)) / seconds for group, used in last.cpu_seconds.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share (0 to 1) of all do not exceed: the nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
