"""Cells: a column of a CSV file as exact numbers.

Owns the reading of many decimals at once, and of each that cannot be read so. Must not know files or keys.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rules.columns import PICO_PLACES, Decimals, Units
from rules.fields import decimal_fault
from rules.number import BOOK_PLACES_MAX, INTEGER_DIGITS_MAX
from rules.quote import quoted

_DIGITS_FAST: Final = 18  # always fit int64
# Zeros that say nothing, at either end, are left out.
_PARTS: Final = r"^(?P<sign>-?)0*(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*?)0*)?$"
_DECIMAL: Final = r"^-?[0-9]+(\.[0-9]+)?$"


class NumberKind(Enum):
    """What a column holds: prices, amounts, or numbers that something is divided by or rounded up to, above 0."""

    PRICE = BOOK_PLACES_MAX, None
    INCREMENT = PICO_PLACES, 1  # the least number, in units of its last place
    AMOUNT = PICO_PLACES, 0

    @property
    def places(self) -> int:
        """The most decimal places."""
        places: int = self.value[0]
        return places

    def holds(self, units: Units) -> NDArray[np.bool_]:
        """Tell which numbers are large enough; units: of any number of places."""
        least = self.value[1]
        return np.ones(len(units), dtype=bool) if least is None else (units >= least).astype(bool)

    def fault(self, cell: str) -> str | None:
        """Say what is wrong with one cell, or None if nothing is."""
        fault = decimal_fault(cell, self.places)
        if fault is None and self is NumberKind.INCREMENT and Decimal(cell) <= 0:
            return f"{quoted(cell)} is not above 0; write a number above 0"
        if fault is None and self is NumberKind.AMOUNT and Decimal(cell) < 0:
            return f"{quoted(cell)} is below 0; write 0 or more"
        return fault


@attrs.frozen(eq=False)
class Numbers:
    """A column that has been read: n numbers, 0 where the cell is empty.

    filled: bool[n], where it is not; faults: what is wrong, by row; where anything is, the numbers mean nothing.
    """

    units: Decimals
    filled: NDArray[np.bool_]
    faults: Sequence[tuple[int, str]]


def numbers_of(cells: pa.StringArray, kind: NumberKind) -> Numbers:
    """Read a column."""
    filled = _bools(pc.not_equal(cells, ""))
    parts = pc.extract_regex(pc.if_else(pc.match_substring_regex(cells, _DECIMAL), cells, "0"), _PARTS)
    wholes, places = parts.field("whole"), pc.fill_null(parts.field("part"), "")
    places_most, digits_most = _longest(places), _longest(wholes)
    units: Decimals | None = None
    if places_most <= kind.places and digits_most <= INTEGER_DIGITS_MAX:
        texts = pc.binary_join_element_wise(
            parts.field("sign"), "0", wholes, pc.utf8_rpad(places, places_most, "0"), ""
        )
        if places_most + digits_most <= _DIGITS_FAST:
            units = Decimals(pc.cast(texts, pa.int64()).to_numpy(zero_copy_only=False), places_most)
        else:
            units = Decimals.of_integers([*map(int, texts.to_pylist())], places_most)
    good = ~filled | _bools(pc.match_substring_regex(cells, _DECIMAL))
    if units is not None:
        good &= ~filled | kind.holds(units.units)
    if units is None:
        good = ~filled
    rows = np.flatnonzero(~good).tolist()
    faults = [(row, fault) for row in rows if (fault := kind.fault(cells[row].as_py())) is not None]
    assert units is not None or faults, "a column without a fault is read"
    return Numbers(units or Decimals(np.zeros(len(cells), dtype=np.int64), 0), filled, faults)


def _longest(texts: Any) -> int:  # noqa: ANN401 - an Arrow array of text
    return pc.max(pc.utf8_length(texts)).as_py() or 0


def _bools(mask: Any) -> NDArray[np.bool_]:  # noqa: ANN401 - an Arrow array of booleans
    result: NDArray[np.bool_] = mask.to_numpy(zero_copy_only=False).astype(bool)
    return result
