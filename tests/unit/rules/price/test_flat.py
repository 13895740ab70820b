"""Flat prices: worked by hand."""

from pathlib import Path

from tests.rulebooks import price, rules_of


def test_amount_is_the_price_whatever_the_quantity(tmp_path: Path) -> None:
    """A look-up sold at a flat price would cost more for whoever counts it as seven."""
    book = rules_of(tmp_path, 'when: {product: a}, price: {flat: "0.05"}', "price: {flat: 2}")
    assert price(book, {"product": "a", "quantity": "7"}, {"quantity": "0"}, {"quantity": "1.5"}) == [
        (0, "r0", "acme", "7", "0.05"),
        (1, "r1", "acme", "0", "2"),
        (2, "r1", "acme", "1.5", "2"),
    ]


def test_a_flat_price_is_rounded_once(tmp_path: Path) -> None:
    """A price of more than 12 places would be stored as a number that the database cannot hold."""
    book = rules_of(tmp_path, 'price: {flat: "0.0000000000015"}')
    assert price(book, {}) == [(0, "r0", "acme", "1", "0.000000000002")]
