"""Columns of numbers: read at once what is read one by one, to the last digit."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cells import NumberKind, numbers_of
from rules.fields import decimal_fault
from rules.number import BOOK_PLACES_MAX, units_of

CELLS = st.one_of(
    st.just(""),
    st.integers(-(10**26), 10**26).map(str),
    st.decimals(-100, 100, places=4, allow_nan=False).map(lambda number: f"{number:f}"),
    st.decimals(0, 1, places=26, allow_nan=False).map(lambda number: f"{number:f}"),
    st.sampled_from(["0", "-0", "007", "0.10", "-0.0", "1.", ".5", "+1", "1e5", " 1", "1\n", "0,1", "1_0", "٣", "-"]),
)


@given(cells=st.lists(CELLS, max_size=8))
def test_a_column_is_read_as_its_cells_are(cells: list[str]) -> None:
    """A rate card's prices would be other numbers than those in the file, or a misprint would be one."""
    found = numbers_of(pa.array(cells, type=pa.string()), NumberKind.PRICE)
    faults = [(row, decimal_fault(cell, BOOK_PLACES_MAX)) for row, cell in enumerate(cells) if cell]
    assert list(found.faults) == [(row, fault) for row, fault in faults if fault]
    assert found.filled.tolist() == [cell != "" for cell in cells]
    if not found.faults:
        scale = found.units.scale
        assert found.units.units.tolist() == [units_of(Decimal(cell or 0), scale) for cell in cells]


def test_what_fits_is_int64_at_the_coarsest_scale() -> None:
    """Prices written with trailing zeros would be priced by the slow arithmetic."""
    found = numbers_of(pa.array(["0.0140000000000000000000", "", "00012.50"]), NumberKind.PRICE)
    assert (found.units.units.dtype, found.units.scale) == (np.int64, 3)
    assert found.units.units.tolist() == [14, 0, 12500]
    wide = numbers_of(pa.array(["12345678901234567.89", "-0.000000000000000000000001"]), NumberKind.PRICE)
    assert wide.units.units.tolist() == [12345678901234567890000000000000000000000, -1]


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("0", '"0" is not above 0; write a number above 0'),
        ("-60", '"-60" is not above 0; write a number above 0'),
        ("0.0000000000001", '"0.0000000000001" has more than 12 decimal places; round it to 12'),
        ("60s", '"60s" is not a decimal; write "0.0079"'),
    ],
)
def test_increments_are_above_zero(cell: str, fault: str) -> None:
    """A call would be divided by nothing, or cost nothing."""
    assert numbers_of(pa.array(["60", cell, ""]), NumberKind.INCREMENT).faults == [(1, fault)]
