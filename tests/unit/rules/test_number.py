"""Numbers as text: what is one, and what it is worth."""

from decimal import Decimal

import pytest

from rules.number import book_decimal, decimal_text, event_number, places_of, units_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.000000546875", Decimal("0.000000546875")),
        ("-5", Decimal(-5)),
        ("1e3", None),
        ("+1", None),
        ("1.", None),
        (".5", None),
        ("", None),
        ("\uff11", None),
        ("Infinity", None),
    ],
)
def test_numbers_of_a_book(text: str, number: Decimal | None) -> None:
    """A price would be read as another one, or rubbish as a price."""
    assert book_decimal(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5e-3", Decimal("0.0015")),
        ("0." + "0" * 23 + "1", Decimal("1e-24")),
        ("0." + "0" * 24 + "1", None),
        ("99999999999999999999999999", Decimal(99999999999999999999999999)),
        ("1e26", None),
        ("0e999", Decimal(0)),
        ("1e-99999999999999999999", None),
        ("1e99999999999999999999", None),
        ("nan", None),
        ("1\n", None),
    ],
)
def test_numbers_of_an_event(text: str, number: Decimal | None) -> None:
    """A hostile exponent would take all memory, or a NaN would become a quantity."""
    assert event_number(text) == number


@pytest.mark.parametrize(
    ("text", "places", "units_at_12"),
    [
        ("1.50", 1, 1_500_000_000_000),
        ("100", 0, 10**14),
        ("1E+2", 0, 10**14),
        ("-0.000000000001", 12, -1),
        ("0.00", 0, 0),
    ],
)
def test_places_and_units(text: str, places: int, units_at_12: int) -> None:
    """A price with trailing zeros would be refused, or be ten times what it is."""
    assert (places_of(Decimal(text)), units_of(Decimal(text), 12)) == (places, units_at_12)


@pytest.mark.parametrize(
    ("units", "scale", "text"),
    [(0, 0, "0"), (-5, 1, "-0.5"), (1500, 3, "1.5"), (7, 0, "7"), (12, 12, "0.000000000012"), (100, 1, "10")],
)
def test_decimal_text(units: int, scale: int, text: str) -> None:
    """The reason of a reject would show another number than the event's."""
    assert decimal_text(units, scale) == text
