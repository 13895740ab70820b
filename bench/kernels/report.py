"""Reports of kernels: what `billing-bench kernels` prints."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from bench.kernels.stages import KernelTimes, ScaleTimes
from bench.report import Machine, again, aligned, machine_text

NANOSECONDS: Final = 1e9


def kernels_text(times: Sequence[KernelTimes], machine: Machine, command: str) -> str:
    """Return the kernels as a table: best (and median) of all repeats, CPU time of one process."""
    rows = [("", *(one.model for one in times))]
    for stage in times[0].stages:
        cells = (_best_and_median([seconds / one.events for seconds in one.stages[stage]]) for one in times)
        rows.append((f"{stage}, ns/event", *cells))
    rows.append(("all, events/s", *(f"{best:,.0f} ({middle:,.0f})" for best, middle in map(_speed, times))))
    heading = f"the pure path, payloads to packet text, one core: best (median) of {len(times[0].whole)} repeats"
    return "\n".join([heading, *aligned(rows), machine_text(machine), again(command)])


def ratios_text(
    times: Sequence[KernelTimes], ratios: Sequence[Mapping[str, float]], machine: Machine, then: Machine
) -> str:
    """Return the ratios of the kernels' times to those of a baseline as a table; ratios: by model, then by stage."""
    rows = [("", *(one.model for one in times))]
    rows += [(stage, *(f"{each[stage]:.2f}" for each in ratios)) for stage in ratios[0]]
    heading = f"the pure path beside its baseline, 1.00 is as long, of {len(times[0].whole)} repeats the median"
    return "\n".join([heading, *aligned(rows), machine_text(machine), f"baseline: {machine_text(then)}"])


def scale_text(times: Sequence[ScaleTimes], machine: Machine, command: str) -> str:
    """Return what a big book costs as a table: events a second by each book, and the ratio of their times."""
    first = times[0]
    rows = [
        ("", *(one.model for one in times)),
        ("10 rules, events/s", *(f"{one.events / min(small for small, _ in one.pairs):,.0f}" for one in times)),
        (
            f"{first.rules:,} rules, {first.prefixes:,} prefixes, events/s",
            *(f"{one.events / min(big for _, big in one.pairs):,.0f}" for one in times),
        ),
        ("time, big by small", *(f"{median(big / small for small, big in one.pairs):.2f}" for one in times)),
        ("read the big book, s", *(f"{one.load_seconds:.2f}" for one in times)),
    ]
    heading = f"the pure path by a small and a big book in turn, one core: best, median ratio, of {len(first.pairs)}"
    return "\n".join([heading, *aligned(rows), machine_text(machine), again(command)])


def _best_and_median(seconds: Sequence[float]) -> str:
    return f"{min(seconds) * NANOSECONDS:,.0f} ({median(seconds) * NANOSECONDS:,.0f})"


def _speed(times: KernelTimes) -> tuple[float, float]:
    return times.events / min(times.whole), times.events / median(times.whole)
