"""Percentages with a fee, free events and free amounts: worked by hand, and by the oracle."""

from pathlib import Path

import pytest

from rules.errors import BookError
from tests.agreement import charged, quantities
from tests.rulebooks import price, rules_of


@pytest.mark.parametrize(
    ("options", "uses", "amounts"),
    [
        ('rate: "0.029", fixed: "0.30"', ["100", "19.99", "0"], ["3.2", "0.87971", "0.3"]),
        ('rate: "0.029"', ["100"], ["2.9"]),
        ('rate: 0, fixed: "0.0000000000005"', ["1"], ["0"]),  # half even
        ('rate: "-0.000000000000000000000001", fixed: 1', [10**25], ["-9"]),
        ('rate: "123456789.123456789", fixed: "0.000000000001"', [10**15], ["123456789123456789000000.000000000001"]),
    ],
)
def test_a_share_and_a_fee(tmp_path: Path, options: str, uses: list[object], amounts: list[str]) -> None:
    """A payment would be charged without its fee, or the fee would be rounded for itself."""
    assert charged(tmp_path, f"price: {{percentage: {{{options}}}}}", *quantities(*uses)) == amounts


def test_share_and_fee_of_a_fraction(tmp_path: Path) -> None:
    """A fee would be added to units of another size: 100 / 7 * 0.5 + 0.25, rounded once."""
    rule = 'quantity: {per: 7}, price: {percentage: {rate: "0.5", fixed: "0.25"}}'
    assert charged(tmp_path, rule, *quantities(100)) == ["7.392857142857"]


@pytest.mark.parametrize(
    ("free", "uses", "amounts"),
    [
        ("free_events: 2", ["10", "20", "30", "0"], ["0", "0", "0.55", "0.25"]),
        ("free_amount: 500", ["300", "200", "0", "1"], ["0", "0", "0.25", "0.26"]),
        ("free_amount: 500", ["499", "2", "1"], ["0", "0.26", "0.26"]),  # 1 of the 2 does not fit
        ("free_amount: 500", ["501"], ["0.26"]),
        ("free_events: 3, free_amount: 500", ["200", "250", "150", "1"], ["0", "0", "1.25", "0.26"]),
        ("free_events: 3, free_amount: 500", ["1", "1", "498", "0"], ["0", "0", "0", "0.25"]),
        ("free_events: 1, free_amount: 500", ["100", "100"], ["0", "1.25"]),  # 400 of the amount are lost
        ('free_events: 1, free_amount: "0.5"', ["0.75"], ["0.2525"]),
        ("free_events: 1000000000", [10**25], ["0"]),
    ],
)
def test_free_ends_with_what_is_used_up_first(
    tmp_path: Path, free: str, uses: list[object], amounts: list[str]
) -> None:
    """An event would be free that is not, or the other way round."""
    rule = f'price: {{percentage: {{per: month, rate: "0.01", fixed: "0.25", {free}}}}}'
    assert charged(tmp_path, rule, *quantities(*uses)) == amounts


def test_bounds_apply_to_events_that_are_not_free(tmp_path: Path) -> None:
    """A free event would cost the minimum."""
    rule = 'price: {percentage: {per: month, rate: "0.01", free_events: 1}}, minimum: "0.5", maximum: 2'
    assert charged(tmp_path, rule, *quantities(10, 10, 100, 1000)) == ["0", "0.5", "1", "2"]


def test_a_cap_cuts_what_is_left_of_it(tmp_path: Path) -> None:
    """The account would be charged 1.1 in a period that costs 1 at most."""
    rule = 'price: {percentage: {per: month, rate: "0.01", free_events: 1}}, per_period: {maximum: 1}'
    assert charged(tmp_path, rule, *quantities(10, 30, 80, 80)) == ["0", "0.3", "0.7", "0"]


def test_linear_percentages_are_final_at_once(tmp_path: Path) -> None:
    """Every payment would take a round trip to a counter that it does not need."""
    book = rules_of(tmp_path, 'price: {percentage: {rate: "0.01", fixed: 1}}')
    assert price(book, {"quantity": 100}) == [(0, "r0", "acme", "100", "2")]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("rate: 1, free_events: 1", 'percentage: the key "per" is missing; add it, such as per: month'),
        (
            "rate: 1, per: day",
            "percentage.per: has nothing to count; write free_events or free_amount, or leave per out",
        ),
        ("rate: 1, per: day, free_events: 0", "percentage.free_events: must be an integer from 1 to 1000000000"),
        (
            "rate: 1, per: day, free_amount: 0",
            "percentage.free_amount: is 0, so that nothing is free; write a number above 0, or leave it out",
        ),
        ("rate: 1, fixed: 0.3", 'percentage.fixed: 0.3 is a float to YAML and may lose digits; write "0.3"'),
        (
            "rate: 1, of: usage",
            'percentage.of: "usage" is not an earlier group; earlier groups: none, this is the first',
        ),
    ],
)
def test_bad_percentages_are_told(tmp_path: Path, options: str, problem: str) -> None:
    """A price list that means nothing would be used."""
    with pytest.raises(BookError) as error:
        rules_of(tmp_path, f"price: {{percentage: {{{options}}}}}")
    assert str(error.value) == f"{tmp_path}/book.yaml:7: charges[0].rules[0].price.{problem}"
