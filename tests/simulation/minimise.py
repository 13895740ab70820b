"""Minimising: the smallest run of a seed that still fails, by leaving out faults and events.

Owns the search. Must not know what a fault does.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs

from tests.simulation.check import SimulationError
from tests.simulation.faults import DRAWN, Fault
from tests.simulation.plan import EVENTS, plan_of
from tests.simulation.world import reproduction, simulate

TRACE_LINES: Final = 60  # of the end of a run: what a person reads first; the command shows all


@attrs.frozen
class Failure:
    """A run that fails: what is left out of the seed's own, why it fails, and the end of what happened."""

    seed: int
    without: frozenset[Fault]
    events_max: int
    error: str
    trace: tuple[str, ...]

    @property
    def command(self) -> str:
        """Return the line that shows it."""
        return reproduction(self.seed, self.without, self.events_max)

    def __str__(self) -> str:
        """Write it for a person: the command, the reason, and how it came to it."""
        kept = ", ".join(fault.words for fault in DRAWN if plan_of(self.seed, self.without).amounts[fault])
        head = (self.command, f"  {self.error}", f"  with at most {self.events_max} events and: {kept or 'no fault'}")
        return "\n".join([*head, *(f"  {line}" for line in self.trace)])


def minimised(seed: int, fails: Callable[[int, frozenset[Fault], int], str | None] | None = None) -> Failure:
    """Return the smallest failing run that can be found: no fault can be left out, nor half of the events.

    fails: says why a run fails, or None; the simulation itself unless a test says otherwise. The seed must fail whole.
    """
    fails = fails or _fails
    without, events_max = frozenset[Fault](), EVENTS[1]
    error = fails(seed, without, events_max)
    assert error is not None, "only what fails can be made smaller"
    for fault in DRAWN:
        found = fails(seed, without | {fault}, events_max)
        if found is not None:
            without, error = without | {fault}, found
    step = events_max // 2
    while step:
        found = fails(seed, without, events_max - step) if events_max > step else None
        if found is None:
            step //= 2
        else:
            events_max, error = events_max - step, found
    trace: list[str] = []
    with suppress(SimulationError):
        simulate(seed, trace.append, without, events_max)
    return Failure(seed, without, events_max, error, tuple(trace[-TRACE_LINES:]))


def _fails(seed: int, without: frozenset[Fault], events_max: int) -> str | None:
    try:
        simulate(seed, None, without, events_max)
    except SimulationError as error:
        return repr(error.__cause__)
    return None
