"""Lines: what each record says, as numbers in the order of records.

Owns the way from parts and lines in log order to that order. Must not know tables.
"""

from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.charge import Bools, Charges
from billing.digest import UInt64s, line_checksum
from billing.order import Order
from rules.columns import PICO_PLACES, Decimals, Int32s, Int64s, Units
from rules.compiled import compiled, item, put

# What is known of a line: where its group, account, part and tail are among theirs, and its own numbers.
COLUMNS: Final = 15
(
    GROUP, SLOT, ACCOUNT, DAY, TIME_US, PART, DIGEST, LINE, TAIL, KEPT, EVENTS, CHECKSUM, QUANTITY, AMOUNT, PLACE,
) = range(COLUMNS)  # fmt: skip
_LIMB_BITS: Final = 32  # a sum of 2^31 limbs of it fits int64
LIMBS: Final = 4  # 128 bits hold 38 digits


@attrs.frozen(eq=False)
class Lines:
    """m lines in the order of their records.

    columns: int64[15, m]. GROUP: place of slot and account among the batch's; SLOT; ACCOUNT: its code; DAY: UTC, since
    1970-01-01; TIME_US; PART; DIGEST, CHECKSUM: uint64 as int64; LINE: its number; TAIL; KEPT: the part on its line 0,
    else the number of parts; EVENTS: what it counts for; QUANTITY, AMOUNT: where they fit int64; PLACE: in log order.
    """

    columns: Int64s
    quantity: Decimals
    amount: Decimals


def lines_of(charges: Charges, slot: NDArray[np.uint16], order: Order) -> Lines:
    """Lay out the lines of some parts; slot: uint16[n], one a part; order: of the parts."""
    quantity, amount = charges.quantity, charges.amount
    wide = object in (quantity.units.dtype, amount.units.dtype)
    numbers = np.zeros((2, len(charges.part)), dtype=np.int64) if wide else (quantity.units, amount.units)
    pico = _pico(amount.units) if wide else amount.units
    columns = np.empty((COLUMNS, len(charges.part)), dtype=np.int64)
    firsts = np.empty(len(charges) + 1, dtype=np.int64)
    _lay_out(
        order.parts, order.group, order.day, slot, charges.account.codes, charges.time_us, charges.digest, charges.void,
        charges.part, charges.line, charges.tail, numbers[0], numbers[1], pico, 10 ** (PICO_PLACES - amount.scale),
        firsts, columns,
    )  # fmt: skip
    if wide:
        return Lines(columns, quantity.take(columns[PLACE]), amount.take(columns[PLACE]))
    return Lines(columns, Decimals(columns[QUANTITY], quantity.scale), Decimals(columns[AMOUNT], amount.scale))


def limbs(units: Units) -> Int64s:
    """Cut integers into limbs, int64[4, m], the lowest first; only the highest is below 0."""
    units = units.astype(object)
    cut = [units >> _LIMB_BITS * limb for limb in range(LIMBS)]
    low = [limb & (1 << _LIMB_BITS) - 1 for limb in cut[:-1]]
    return np.array([*low, cut[-1]], dtype=np.int64)


def whole(limbs: Int64s) -> Units:
    """Put limbs, or sums of them, together; as Python integers."""
    units: Units = sum(limb.astype(object) << _LIMB_BITS * place for place, limb in enumerate(limbs))
    return units


def _pico(units: Units) -> Int64s:
    """Return integers mod 2^64."""
    low = limbs(units)
    pico: Int64s = low[0] | low[1] << _LIMB_BITS
    return pico


@compiled
def _lay_out(
    parts: Int64s,
    group: Int64s,
    day: Int64s,
    slot: NDArray[np.uint16],
    code: Int32s,
    time_us: Int64s,
    digest: UInt64s,
    void: Bools,
    part: Int32s,
    line: Int32s,
    tail: Int32s,
    quantity: Int64s,
    amount: Int64s,
    pico: Int64s,
    factor: int,
    firsts: Int64s,
    columns: Int64s,
) -> None:
    """Fill the columns of `Lines`; firsts: room for where the lines of each part begin; pico * factor: 1e-12."""
    for at in range(len(part) - 1, -1, -1):
        put(firsts, part[at], at)
    put(firsts, len(parts), len(part))
    row = 0
    for place in range(len(parts)):
        one = parts[place]
        for at in range(item(firsts, one), item(firsts, one + 1)):
            number = item(line, at)
            columns[GROUP, row] = item(group, one)
            columns[SLOT, row] = item(slot, one)
            columns[ACCOUNT, row] = item(code, one)
            columns[DAY, row] = item(day, one)
            columns[TIME_US, row] = item(time_us, one)
            columns[PART, row] = one
            columns[DIGEST, row] = np.int64(item(digest, one))
            columns[LINE, row] = number
            columns[TAIL, row] = item(tail, at)
            columns[KEPT, row] = one if number == 0 else len(parts)
            # What is taken back counts as an event less, a void without an event yet not at all.
            columns[EVENTS, row] = -1 if number == -1 else 1 if number == 0 and not item(void, one) else 0
            checksum = line_checksum(item(digest, one), number, np.uint64(item(pico, at)) * np.uint64(factor))
            columns[CHECKSUM, row] = np.int64(checksum)
            columns[QUANTITY, row] = item(quantity, at)
            columns[AMOUNT, row] = item(amount, at)
            columns[PLACE, row] = at
            row += 1
