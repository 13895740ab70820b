"""The baseline of the kernels: what a document of `billing-bench kernels --json` says, and today's times beside it.

Owns the comparison, in units of a yardstick, so that a document of one machine can be held against another. Must not
know clocks.
"""

from collections.abc import Sequence
from operator import truediv
from pathlib import Path
from statistics import median

import msgspec

from bench.errors import MeasureError
from bench.kernels.stages import KernelTimes
from bench.report import Machine

KIND = "kernels"
WHOLE = "all"


class Baseline(msgspec.Struct, frozen=True):
    """Times taken before, and the machine that took them."""

    machine: Machine
    times: tuple[KernelTimes, ...]


class _Document(msgspec.Struct, frozen=True):
    kind: str
    result: Baseline


def read(path: Path) -> Baseline:
    """Return the baseline in a file that `billing-bench kernels --json` wrote.

    Raises: MeasureError when it is no such file.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
    except OSError as error:
        raise MeasureError(f"{path}: {error.strerror}; make one by billing-bench kernels --json {path}") from error
    except msgspec.DecodeError as error:
        said = str(error).rstrip(".")
        raise MeasureError(f"{path}: {said}; make one by billing-bench kernels --json {path}") from error
    if document.kind != KIND:
        raise MeasureError(f'{path}: is of kind "{document.kind}"; name a file of billing-bench kernels --json')
    return document.result


def ratios(times: Sequence[KernelTimes], baseline: Baseline) -> list[dict[str, float]]:
    """Return, for each model, the ratio of each stage's time to the baseline's, both in yardsticks; 1.0: as before.

    The median over repeats is compared: a stage and its yardstick stand side by side in each, so that both have the
    same moment of a machine that is now fast, now slow.

    Raises: MeasureError when the baseline has another model or number of events.
    """
    before = {one.model: one for one in baseline.times}
    for one in times:
        if one.model not in before or before[one.model].events != one.events:
            known = ", ".join(f"{each.events} events {each.model}" for each in baseline.times)
            raise MeasureError(f"the baseline has {known}; ask for as many by --events, or make another by --json")
    return [_ratios(one, before[one.model]) for one in times]


def _ratios(now: KernelTimes, then: KernelTimes) -> dict[str, float]:
    known = _in_yardsticks(then)
    return {stage: units / known[stage] for stage, units in _in_yardsticks(now).items() if stage in known}


def _in_yardsticks(one: KernelTimes) -> dict[str, float]:
    times = {**one.stages, WHOLE: one.whole}
    return {stage: median(map(truediv, seconds, one.yardstick)) for stage, seconds in times.items()}
