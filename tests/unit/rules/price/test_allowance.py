"""Allowances: worked by hand, and by the oracle."""

from pathlib import Path

import pytest

from rules.errors import BookError
from tests.agreement import charged, quantities
from tests.rulebooks import rules_of


@pytest.mark.parametrize(
    ("free", "uses", "amounts"),
    [
        ("1000", ["999.5", "2", "100"], ["0", "0.015", "1"]),
        ("0", ["1", "2"], ["0.01", "0.02"]),
        ('"0.5"', ["0.5", "0.5"], ["0", "0.005"]),
        ("3", [10**25, 3], ["99999999999999999999999.97", "0.03"]),
    ],
)
def test_what_is_beyond_the_allowance_costs(tmp_path: Path, free: str, uses: list[object], amounts: list[str]) -> None:
    """Free units would be charged, or the event that uses them up would be free as a whole."""
    price = f'price: {{allowance: {{per: month, free: {free}, unit: "0.01"}}}}'
    assert charged(tmp_path, price, *quantities(*uses)) == amounts


def test_a_new_day_begins_a_new_allowance(tmp_path: Path) -> None:
    """The free units of a day would be those of the account's whole life."""
    new_year_us = 1_767_225_600_000_000
    events = [{"quantity": 5, "time_us": new_year_us + hours * 3_600_000_000} for hours in (0, 23, 24, 47)]
    price = "price: {allowance: {per: day, free: 8, unit: 1}}"
    assert charged(tmp_path, price, *events) == ["0", "2", "0", "2"]


def test_bad_allowances_are_told_all_at_once(tmp_path: Path) -> None:
    """Each error would be found only after the one before it has been mended."""
    with pytest.raises(BookError) as error:
        rules_of(tmp_path, "price: {allowance: {per: week, free: -3, unit: 0.1}}")
    where = f"{tmp_path}/book.yaml:7: charges[0].rules[0].price.allowance"
    assert str(error.value).splitlines() == [
        f'{where}.per: unknown word "week"; known: hour, day, month, year, ever',
        f'{where}.free: "-3" is too small; write 0 or more',
        f'{where}.unit: 0.1 is a float to YAML and may lose digits; write "0.1"',
    ]
