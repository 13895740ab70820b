"""Timing: how long kernels take on one core.

Owns the clock. Must not know what the times mean or how they are shown.
"""

import gc
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.kernels import scale, stages
from bench.kernels.stages import KernelTimes, ScaleTimes
from billing.rehearsal import rehearse
from generators.population import Model
from rules.load import load


def kernel_times(model: Model, events: int, repeats: int, book: Path | None = None) -> KernelTimes:
    """Time the stages of the pure path, the whole and the yardstick, in CPU seconds, without garbage collection.

    They are repeated in turn, so that each has its share of a machine's fast and slow moments.
    """
    bodies, pricer = stages.payloads(model, events), stages.pricer(book)
    found = stages.stages_of(bodies, pricer)
    works = [*(stage.work for stage in found), lambda: rehearse(bodies, pricer), lambda: stages.yardstick(bodies)]
    *each, whole, yardstick = zip(*[[_cpu_seconds(work) for work in works] for _ in range(repeats)], strict=True)
    times = {stage.name: seconds for stage, seconds in zip(found, each, strict=True)}
    return KernelTimes(model, events, times, whole, yardstick)


def scale_times(model: Model, events: int, repeats: int, rules: int, prefixes: int) -> ScaleTimes:
    """Time the pure path by a small and a big book in turn, after each has seen the events once."""
    bodies = stages.payloads(model, events)
    with TemporaryDirectory() as small, TemporaryDirectory() as big:
        path = scale.write_book(Path(big), rules, prefixes)
        load_seconds = _cpu_seconds(lambda: load(path))
        least = scale.write_book(Path(small), scale.RULES_MIN, scale.PREFIXES_MIN)
        pricers = stages.pricer(least), stages.pricer(path)
    pairs: list[tuple[float, float]] = []
    for repeat in range(repeats + 1):
        seconds = {pricer: _cpu_seconds(partial(rehearse, bodies, pricer)) for pricer in pricers}
        if repeat:
            pairs.append((seconds[pricers[0]], seconds[pricers[1]]))
    return ScaleTimes(model, events, rules, prefixes, load_seconds, tuple(pairs))


def _cpu_seconds(work: Callable[[], object]) -> float:
    gc.collect()
    gc.freeze()  # else each collection looks through everything that was imported, longer than the work takes
    gc.disable()
    started = time.process_time()
    work()
    seconds = time.process_time() - started
    gc.enable()
    return seconds
