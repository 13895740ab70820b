"""Percentages of another group's line: worked by hand."""

from pathlib import Path

from rules.book import Book
from tests.rulebooks import book_of, price, reasons

CHARGES = """
charges:
- group: usage
  rules:
  - {id: sms, when: {product: sms}, price: {per_unit: "0.0079"}}
  - {id: free, when: {product: free}, price: {flat: 0}}
- group: share
  rules:
  - id: share
    when: {reseller: {exists: true}}
    charge: {attribute: reseller}
    price: {percentage: {of: usage, rate: "0.1"}}
  - {id: instead, when: {fallback: "yes"}, price: {flat: 1}}
- group: tax
  rules:
  - {id: tax, price: {percentage: {of: share, rate: "0.333333333333333333333333"}}}
"""


def _book(folder: Path) -> Book:
    return book_of(folder, CHARGES)


def test_share_of_the_same_events_line_goes_to_the_reseller(tmp_path: Path) -> None:
    """A reseller would pay a share of somebody else's event, or the customer would pay it."""
    assert price(_book(tmp_path), {"quantity": 3, "reseller": "r1"}, {"quantity": 5, "account": "b"}) == [
        (0, "sms", "acme", "3", "0.0237"),
        (0, "share", "r1", "3", "0.00237"),
        (0, "tax", "acme", "3", "0.00079"),
        (1, "sms", "b", "5", "0.0395"),
    ]


def test_a_line_of_zero_is_a_line(tmp_path: Path) -> None:
    """The statement of a free event would lack the lines that depend on it."""
    assert price(_book(tmp_path), {"product": "free", "reseller": "r1"}) == [
        (0, "free", "acme", "1", "0"),
        (0, "share", "r1", "1", "0"),
        (0, "tax", "acme", "1", "0"),
    ]


def test_without_a_line_the_next_rule_is_tried(tmp_path: Path) -> None:
    """An event that made no line in the group would be charged a share of nothing instead of by the next rule."""
    event = {"product": "fax", "reseller": "r1", "fallback": "yes"}
    assert price(_book(tmp_path), event) == [
        (0, "instead", "acme", "1", "1"),
        (0, "tax", "acme", "1", "0.333333333333"),
    ]


def test_without_any_line_the_event_is_rejected(tmp_path: Path) -> None:
    """An event that nobody pays for would vanish."""
    assert reasons(_book(tmp_path), {"product": "fax", "reseller": "r1"}) == [
        (0, "no_rule", 'no rule charges the product "fax"'),
    ]


def test_a_share_is_taken_of_the_rounded_amount(tmp_path: Path) -> None:
    """Two lines on one statement would not agree to the last digit: 10 % of 0.03, not of 0.025."""
    book = book_of(
        tmp_path,
        """
charges:
- group: usage
  rules: [{id: sms, round: {places: 2, mode: up}, price: {per_unit: "0.025"}}]
- group: share
  rules: [{id: share, price: {percentage: {of: usage, rate: "0.1"}}}]
""",
    )
    assert price(book, {}) == [(0, "sms", "acme", "1", "0.03"), (0, "share", "acme", "1", "0.003")]
