"""Graduated prices: worked by hand."""

from pathlib import Path

import pytest

from rules.book import Book
from rules.errors import BookError
from tests.agreement import charged, quantities
from tests.rulebooks import price, rules_of, settled, settled_amounts

TIERS = '[{up_to: 1000, unit: "0.5", flat: 3}, {up_to: "2000.5", unit: "0.25"}, {unit: "0.00001", flat: 1}]'

PRICE = f"price: {{graduated: {{per: month, tiers: {TIERS}}}}}"


def _book(folder: Path, more: str = "") -> Book:
    return rules_of(folder, PRICE + more)


def test_each_unit_costs_what_its_tier_says(tmp_path: Path) -> None:
    """A customer would pay the first price for units of the second tier: 303; 528 in all; 754.126 in all."""
    events = [{"quantity": "600"}, {"quantity": "500"}, {"quantity": "1000.5"}]
    assert settled(_book(tmp_path), *events) == [
        (0, "r0", "acme", "600", "303"),
        (1, "r0", "acme", "500", "225"),
        (2, "r0", "acme", "1000.5", "226.126"),
    ]


def test_amounts_are_nothing_until_they_are_settled(tmp_path: Path) -> None:
    """The amount would be charged twice: when it is priced, and when it is settled."""
    assert price(_book(tmp_path), {"quantity": "600"}) == [(0, "r0", "acme", "600", "0")]


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("0", "0"),  # no unit is above 0, so that not even the first flat amount is due
        ("0.000000000001", "3"),  # half of 1e-12 is rounded to even
        ("1000", "503"),
        ("1000.4", "503.1"),
        ("2000.5", "753.125"),
        ("2000.500000000001", "754.125"),
        ("3000.5", "754.135"),
    ],
)
def test_tiers_end_with_their_last_unit(tmp_path: Path, quantity: str, amount: str) -> None:
    """The unit at a tier's end would have the next tier's price, or its flat amount would be due too early."""
    assert charged(tmp_path, PRICE, *quantities(quantity)) == [amount]


def test_accounts_and_months_count_for_themselves(tmp_path: Path) -> None:
    """One customer would reach the second tier by another's use, or by last month's."""
    february = 1_769_904_000_000_000
    events = [{"quantity": 1000}, {"account": "b", "quantity": 1000}, {"quantity": 1000, "time_us": february}]
    events += [{"quantity": 4, "time_us": february - 1}]
    assert charged(tmp_path, PRICE, *events) == ["503", "503", "503", "1"]


def test_the_total_is_rounded_and_not_its_parts(tmp_path: Path) -> None:
    """Ten uses of a third of a cent would cost another sum than one use of ten: totals 0, 0.01, 0.01, 0.02, 0.02."""
    book = rules_of(
        tmp_path, 'round: {places: 2, mode: half_up}, price: {graduated: {per: day, tiers: [{unit: "0.004"}]}}'
    )
    assert settled_amounts(book, *[{}] * 5) == ["0", "0.01", "0", "0.01", "0"]


def test_bounds_of_a_line_bound_the_difference(tmp_path: Path) -> None:
    """A minimum for each event would be taken of the whole month."""
    book = _book(tmp_path, ', minimum: "0.4", maximum: 100')
    assert settled_amounts(book, {"quantity": 600}, {"quantity": 1}, {"quantity": 500}, {"quantity": 1}) == [
        "100",
        "0.5",
        "100",
        "0.4",
    ]


def test_a_period_costs_at_most_its_maximum(tmp_path: Path) -> None:
    """The price list says at most 400 a month, and the account would be charged 528."""
    book = _book(tmp_path, ", per_period: {maximum: 400}")
    assert settled_amounts(book, *[{"quantity": 600}] * 3) == ["303", "97", "0"]


def test_numbers_beyond_int64_stay_exact(tmp_path: Path) -> None:
    """A counter of very many units would wrap around: 754.125 and (10^25 - 2000.5) * 0.00001, then 3 * 0.00001."""
    events = [{"quantity": 10**25}, {"quantity": 3}, {"quantity": 3, "account": "b"}]
    assert settled_amounts(_book(tmp_path), *events) == ["100000000000000000754.104995", "0.00003", "4.5"]


@pytest.mark.parametrize(
    ("tiers", "problem"),
    [
        ("[]", 'tiers: has no tier; write at least one, such as {unit: "0.01"}'),
        (
            "[{up_to: 5, unit: 1}]",
            "tiers[0]: ends at 5, so that more has no price; add an open tier without up_to after it",
        ),
        ("[{unit: 1}, {unit: 2}]", "tiers[0]: is open, which only the last tier may be; write its up_to"),
        (
            "[{up_to: 5, unit: 1}, {up_to: 5, unit: 2}, {unit: 1}]",
            "tiers[1].up_to: is not above 5, where the tier begins; write a larger number",
        ),
        (
            "[{up_to: 0, unit: 1}, {unit: 1}]",
            "tiers[0].up_to: is not above 0, where the tier begins; write a larger number",
        ),
        (
            "[{up_to: 5, unit: 1}, {above: 4, unit: 1}]",
            "tiers[1].above: overlaps the tier before it, which ends at 5; write 5, or leave `above` out",
        ),
        (
            "[{up_to: 5, unit: 1}, {above: 6, unit: 1}]",
            "tiers[1].above: leaves a gap after the tier before it, which ends at 5; write 5, or leave `above` out",
        ),
        ("[{up_to: 5}, {unit: 1}]", "tiers[0]: has no price; write its unit, its flat amount, or both"),
        ("[{unit: 0.01}]", 'tiers[0].unit: 0.01 is a float to YAML and may lose digits; write "0.01"'),
        ("[{unit: 1, rate: 2}]", 'tiers[0].rate: unknown key "rate"; known: above, up_to, unit, flat'),
    ],
)
def test_bad_tiers_are_told(tmp_path: Path, tiers: str, problem: str) -> None:
    """A price list with a hole would be used until somebody falls into it."""
    with pytest.raises(BookError) as error:
        rules_of(tmp_path, f"price: {{graduated: {{per: month, tiers: {tiers}}}}}")
    assert str(error.value) == f"{tmp_path}/book.yaml:7: charges[0].rules[0].price.graduated.{problem}"
