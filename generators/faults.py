"""Faults: what goes wrong with events on their way to the log, in shares that can be switched on one by one.

Owns the plan of faults of a block: what each row of it is. Must not know products or prices; `defects` owns the damage.
"""

from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from generators.defects import CONFLICTING, DEFECTS
from generators.errors import FaultsError

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

DRAWS: Final = 7  # uniform columns that `plan` takes
ORDINARY: Final = "ordinary"
DUPLICATE: Final = "duplicate"
CONFLICT: Final = "conflict"
KINDS: Final = (ORDINARY, DUPLICATE, CONFLICT, *DEFECTS)  # the last ones, from conflict on, are rejected
REASONS: Final = {CONFLICT: CONFLICTING.reason} | {kind: defect.reason for kind, defect in DEFECTS.items()}
ORDINARY_KIND, DUPLICATE_KIND, CONFLICT_KIND = range(3)
HOUR_US: Final = 3_600_000_000
DUPLICATE_WINDOW_MAX: Final = 50_000  # a workload keeps the blocks of one window in memory, about 0.3 KB an event
_LATE_HOURS_MAX: Final = 72  # a phone or a gateway that was offline over a long weekend
_DISORDER_REACH: Final = 200  # events that overtake a delayed one: some partitions' worth of a producer's batch


def _share(instance: object, field: "attrs.Attribute[float]", value: float) -> None:
    del instance
    if not 0 <= value <= 1:
        raise FaultsError(f"faults.{field.name}: {value} is not a share; write 0 to 1")


@attrs.frozen
class Faults:
    """Shares of events with each fault, each 0 to 1.

    duplicates: log positions that repeat an earlier event, byte for byte, from at most about `duplicate_window`
    positions before; late: events whose time lies 1 to 72 hours before their place in the log; out_of_order: events
    that up to 200 later ones overtake; malformed: log positions with an event that must be rejected, of all kinds in
    equal parts.

    Raises: FaultsError when a share is out of bounds or duplicates and malformed leave nothing else.
    """

    duplicates: float = attrs.field(default=0.0, validator=_share)
    late: float = attrs.field(default=0.0, validator=_share)
    out_of_order: float = attrs.field(default=0.0, validator=_share)
    malformed: float = attrs.field(default=0.0, validator=_share)
    duplicate_window: int = attrs.field(default=DUPLICATE_WINDOW_MAX)

    @duplicate_window.validator
    def _check_window(self, _: object, value: int) -> None:
        if not 1 <= value <= DUPLICATE_WINDOW_MAX:
            raise FaultsError(f"faults.duplicate_window: {value} is out of bounds; write 1 to {DUPLICATE_WINDOW_MAX}")

    def __attrs_post_init__(self) -> None:
        if self.duplicates + self.malformed >= 1:
            raise FaultsError("faults: duplicates and malformed add up to 1 or more; leave a share for sound events")


@attrs.frozen(eq=False)
class Plan:
    """What each row of a block of n rows is.

    order: intp[n], the event (by its number in the block) that stands at each row; late_us: int64[n], by event, how far
    its time lies back; kind: int64[n], by row, index into KINDS; back: int64[n], by row, how many rows before it the
    source of a duplicate or conflict is looked for; number: int64[n], by row, a random number below 2**53 for the
    damage.
    """

    order: NDArray[np.intp]
    late_us: Int64s
    kind: Int64s
    back: Int64s
    number: Int64s


def plan(faults: Faults, first: int, draws: Float64s) -> Plan:
    """Return what each row of a block is.

    first: the log position of the first row; draws: float64[DRAWS, n], uniform in [0, 1). Switching one fault on does
    not move the others, except that duplicates and malformed events take rows from ordinary ones.
    """
    rows = np.arange(draws.shape[1], dtype=np.int64)
    late_us = np.where(
        draws[0] < faults.late, HOUR_US + (draws[1] * ((_LATE_HOURS_MAX - 1) * HOUR_US)).astype(np.int64), 0
    )
    delay = np.where(draws[2] < faults.out_of_order, 0.5 + draws[3] * _DISORDER_REACH, 0.0)
    number = (draws[5] * 2**53).astype(np.int64)
    bad_kind = CONFLICT_KIND + (draws[4] * (len(KINDS) - CONFLICT_KIND)).astype(np.int64)
    kind = np.where(draws[6] >= 1 - faults.malformed, bad_kind, ORDINARY_KIND)
    kind[draws[6] < faults.duplicates] = DUPLICATE_KIND
    back = 1 + (draws[5] * np.minimum(first + rows, faults.duplicate_window)).astype(np.int64)
    return Plan(np.argsort(rows + delay, kind="stable"), late_us, kind, back, number)
