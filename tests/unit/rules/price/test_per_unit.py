"""Unit prices: worked by hand."""

from pathlib import Path

import pytest

from tests.rulebooks import amounts, price, rules_of


@pytest.mark.parametrize(
    ("unit", "quantity", "amount"),
    [
        ("0.0079", "3", "0.0237"),
        ("0.0079", "0", "0"),
        ("1", "1000000", "1000000"),
        ("-0.001", "5", "-0.005"),
        ("0.000000546875", "1001", "0.000547421875"),
        # 13 places: the tie 0.5e-12 goes to the even neighbour, 1.5e-12 too.
        ("0.0000000000005", "1", "0"),
        ("0.0000000000005", "3", "0.000000000002"),
        # 24 places times 12 places, exact before the one rounding.
        ("0.333333333333333333333333", "0.000000000003", "0.000000000001"),
        ("0.333333333333333333333333", "3000000000000", "999999999999.999999999999"),
        ("12345678901234.123456789012", "123456789", "1524157875171413019204.751672002468"),
    ],
)
def test_amount_is_price_times_quantity(tmp_path: Path, unit: str, quantity: str, amount: str) -> None:
    """A customer would be billed a wrong amount for every event of the simplest kind."""
    book = rules_of(tmp_path, f'price: {{per_unit: "{unit}"}}')
    assert price(book, {"quantity": quantity}) == [(0, "r0", "acme", quantity, amount)]


def test_rules_of_one_lane_keep_their_own_prices(tmp_path: Path) -> None:
    """Products priced together in one vector operation would exchange their prices."""
    book = rules_of(
        tmp_path,
        'when: {product: a}, price: {per_unit: "0.5"}',
        'when: {product: b}, price: {per_unit: "0.25"}',
        'when: {product: c}, price: {per_unit: "0.7"}',
    )
    assert amounts(book, {"product": "c"}, {"product": "a"}, {"product": "b"}, {"product": "c"}) == [
        "0.7",
        "0.5",
        "0.25",
        "0.7",
    ]


def test_a_huge_quantity_beside_small_ones_is_exact(tmp_path: Path) -> None:
    """One event beyond int64 would spoil, or be spoilt by, the others of its batch."""
    book = rules_of(tmp_path, 'price: {per_unit: "0.0079"}')
    huge = "12345678901234567890123456.123456789012"
    assert amounts(book, {"quantity": 2}, {"quantity": huge}, {"quantity": 3}) == [
        "0.0158",
        "97530863319753086331975.303375308633",
        "0.0237",
    ]
