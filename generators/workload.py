"""Workloads: the bytes of a synthetic log, any stretch of it, the same however it is cut.

Owns the position of every event in the log and which random stream it is drawn from. Must not know prices, files or
brokers.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from generators import credits as credits_module
from generators import faults as faults_module
from generators import telecom, tokens
from generators.arrivals import DEFAULT_START_US, Arrivals, Shape, shape_named
from generators.defects import CONFLICTING, DEFECTS
from generators.errors import WorkloadError
from generators.faults import (
    CONFLICT_KIND,
    DUPLICATE,
    DUPLICATE_KIND,
    KINDS,
    ORDINARY,
    ORDINARY_KIND,
    REASONS,
    Faults,
    Plan,
)
from generators.population import Model, Population, model_named

Int64s = NDArray[np.int64]

BLOCK_EVENTS: Final = 8_192  # events that share a random stream: large enough to vectorise, small enough to seek
POSITION_MAX: Final = 10**12  # event numbers have twelve digits, and floats place them exactly
_BLOCKS_KEPT: Final = 9  # a duplicate looks back over the default window of 50,000 positions: seven blocks and a bit
_BASE_DRAWS: Final = 2  # account, place within the gap between two events; then the family's own
_BASE_STREAM, _FAULT_STREAM, _CREDIT_STREAM = range(3)


class Family(StrEnum):
    """What the events are of."""

    TELECOM = "telecom"
    LLM = "llm"


def family_named(name: str) -> Family:
    """Return the family of that name.

    Raises: WorkloadError when there is none.
    """
    try:
        return Family(name)
    except ValueError:
        raise WorkloadError(f'family: "{name}" is not known; write one of {", ".join(Family)}') from None


def _is_share(_: object, field: "attrs.Attribute[float]", value: float) -> None:
    if not 0 <= value <= 1:
        raise WorkloadError(f"{field.name}: {value} is not a share; write 0 to 1")


@attrs.frozen
class Workload:
    """A synthetic log: for each position from 0 on, one event as JSON text.

    Positions count what stands in the log, bad and repeated events included. credits: the share of ordinary events in
    whose place their account is given a credit. Equal workloads have equal logs, and
    switching faults on changes only the events that have them.

    Raises: WorkloadError, PopulationError, ArrivalsError or FaultsError when a value is out of bounds.
    """

    model: Model = attrs.field(default=Model.SKEWED, converter=model_named)
    seed: int = attrs.field(default=1)
    family: Family = attrs.field(default=Family.TELECOM, converter=family_named)
    accounts: int = 10_000
    exponent: float = 1.1
    arrivals: Shape = attrs.field(default=Shape.STEADY, converter=shape_named)
    start_us: int = DEFAULT_START_US
    rate_per_second: float = 10.0
    faults: Faults = attrs.field(factory=Faults)
    credits: float = attrs.field(default=0.0, validator=_is_share)

    @seed.validator
    def _check_seed(self, _: object, value: int) -> None:
        if not 0 <= value < 2**32:
            raise WorkloadError(f"seed: {value} is out of bounds; write 0 to {2**32 - 1}")

    def __attrs_post_init__(self) -> None:
        self.population()
        self.timing()

    def population(self) -> Population:
        """Return the accounts that events fall on."""
        return Population(self.model, self.accounts, self.exponent)

    def timing(self) -> Arrivals:
        """Return the times at which events happen."""
        return Arrivals(self.arrivals, self.start_us, self.rate_per_second)

    def payloads(self, start: int, stop: int) -> list[bytes]:
        """Return the events at log positions [start, stop).

        Raises: WorkloadError when the stretch is not within [0, POSITION_MAX]; ArrivalsError when it ends after 2099.
        """
        return [body for block, low, high in _stretches(start, stop) for body in _block(self, block).payloads[low:high]]

    def kinds(self, start: int, stop: int) -> list[str]:
        """Return what each log position in [start, stop) holds: ordinary, duplicate, conflict or the name of a defect.

        Raises: WorkloadError when the stretch is not within [0, POSITION_MAX].
        """
        return [kind for block, low, high in _stretches(start, stop) for kind in _block(self, block).kinds[low:high]]

    def rejects(self, events: int) -> dict[str, int]:
        """Return how many of the first `events` log positions must be rejected, by reason; empty when none must."""
        counts = Counter[str]()
        for kind, count in Counter(kind for kinds in map(self.kinds, *_cuts(events)) for kind in kinds).items():
            if kind not in {ORDINARY, DUPLICATE}:
                counts[REASONS[kind]] += count
        return dict(counts)

    def blocks(self, events: int) -> Iterator[list[bytes]]:
        """Yield the first `events` log positions in order, at most BLOCK_EVENTS at a time."""
        yield from map(self.payloads, *_cuts(events))


@attrs.frozen(eq=False)
class _Block:
    payloads: list[bytes]
    kinds: list[str]


def _cuts(events: int) -> tuple[range, list[int]]:
    starts = range(0, events, BLOCK_EVENTS)
    return starts, [min(start + BLOCK_EVENTS, events) for start in starts]


def _stretches(start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (block, first row, row after the last) for log positions [start, stop)."""
    if not 0 <= start <= stop <= POSITION_MAX:
        raise WorkloadError(f"positions [{start}, {stop}) are not within [0, {POSITION_MAX}]; write a stretch of it")
    for block in range(start // BLOCK_EVENTS, -(-stop // BLOCK_EVENTS)):
        first = block * BLOCK_EVENTS
        yield block, max(start - first, 0), min(stop - first, BLOCK_EVENTS)


def _draws(workload: Workload, stream: int, block: int, columns: int) -> NDArray[np.float64]:
    """Return float64[columns, BLOCK_EVENTS], uniform in [0, 1), always the same for the same seed, stream and block."""
    sequence = np.random.SeedSequence(workload.seed, spawn_key=(stream, block))
    return np.random.Generator(np.random.Philox(sequence)).random((columns, BLOCK_EVENTS))


@lru_cache(maxsize=_BLOCKS_KEPT)
def _plan(workload: Workload, block: int) -> Plan:
    draws = _draws(workload, _FAULT_STREAM, block, faults_module.DRAWS)
    return faults_module.plan(workload.faults, block * BLOCK_EVENTS, draws)


@lru_cache(maxsize=_BLOCKS_KEPT)
def _sound(workload: Workload, block: int) -> list[bytes]:
    """Return the block as it would be without duplicates and malformed events."""
    render: Callable[..., list[bytes]] = telecom.render if workload.family is Family.TELECOM else tokens.render
    columns = _BASE_DRAWS + (telecom.DRAWS if workload.family is Family.TELECOM else tokens.DRAWS)
    draws = _draws(workload, _BASE_STREAM, block, columns)
    ordinals = np.arange(block * BLOCK_EVENTS, (block + 1) * BLOCK_EVENTS, dtype=np.int64)
    plan = _plan(workload, block)
    times_us = workload.timing().times_us(ordinals, draws[1]) - plan.late_us
    prefix = f"{workload.family[0]}{workload.model[0]}{workload.seed}"  # workloads must not repeat each other's ids
    bodies = render(
        [f"{prefix}-{ordinal:012d}" for ordinal in ordinals.tolist()],
        workload.population().accounts_of(ordinals, draws[0]),
        [f"{text}Z" for text in np.datetime_as_string(times_us.view("datetime64[us]")).tolist()],
        draws[_BASE_DRAWS:],
    )
    bodies = [bodies[event] for event in plan.order.tolist()]
    if workload.credits:
        credit_draws = _draws(workload, _CREDIT_STREAM, block, credits_module.DRAWS)
        chosen = (credit_draws[0] < workload.credits) & (plan.kind == ORDINARY_KIND)
        for row in np.flatnonzero(chosen).tolist():
            bodies[row] = credits_module.credit_for(bodies[row], credit_draws[1:, row].tolist())
    return bodies


@lru_cache(maxsize=1)  # readers take small stretches of one block after the other
def _block(workload: Workload, block: int) -> _Block:
    plan = _plan(workload, block)
    payloads = list(_sound(workload, block))
    kinds = [KINDS[kind] for kind in plan.kind.tolist()]
    for row in np.flatnonzero(plan.kind != ORDINARY_KIND).tolist():
        kind = int(plan.kind[row])
        if kind in {DUPLICATE_KIND, CONFLICT_KIND}:
            source = _source(workload, block * BLOCK_EVENTS + row - int(plan.back[row]))
            if source is None:  # nothing to repeat yet: the position keeps its own event
                kinds[row] = ORDINARY
            else:
                payloads[row] = source if kind == DUPLICATE_KIND else CONFLICTING.damage(source, int(plan.number[row]))
        else:
            payloads[row] = DEFECTS[KINDS[kind]].damage(payloads[row], int(plan.number[row]))
    return _Block(payloads, kinds)


def _source(workload: Workload, position: int) -> bytes | None:
    """Return the last ordinary event at or before a log position, looking no further back than its block."""
    if position < 0:
        return None
    block, row = divmod(position, BLOCK_EVENTS)
    ordinary = _ordinary_rows(workload, block)
    index = int(np.searchsorted(ordinary, row, side="right")) - 1
    return _sound(workload, block)[int(ordinary[index])] if index >= 0 else None


@lru_cache(maxsize=_BLOCKS_KEPT)
def _ordinary_rows(workload: Workload, block: int) -> NDArray[np.intp]:
    return np.flatnonzero(_plan(workload, block).kind == ORDINARY_KIND)
