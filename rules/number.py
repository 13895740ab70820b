"""Numbers as text: exact decimals out of books and out of event attributes.

Owns the two grammars and their bounds. Must not know columns or rules. No float is ever made.
"""

import re
from decimal import Context, Decimal, InvalidOperation
from typing import Final

BOOK_PLACES_MAX: Final = 24  # the finest price; with 12-place quantities 36 places, still exact in Python integers
INTEGER_DIGITS_MAX: Final = 26  # what DECIMAL(38,12) leaves before the point

_EXACT: Final = Context(prec=200)  # of two numbers of a book: at most 50 digits each
_BOOK: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_EVENT: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)


def book_decimal(text: str) -> Decimal | None:
    """Read a number of a book (`-?digits[.digits]`), or return None if it is not one; bounds are the caller's."""
    return Decimal(text) if _BOOK.fullmatch(text) else None


def event_number(text: str) -> Decimal | None:
    """Read a number of an event's attribute (a book's number with an optional exponent).

    Returns None if it is not one, is 10^26 or more, or needs more than 24 decimal places.
    """
    if not _EVENT.fullmatch(text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return None
    # Decided from the exponent, before anything of that size is computed.
    too_large = not number.is_zero() and number.adjusted() >= INTEGER_DIGITS_MAX
    return None if too_large or places_of(number) > BOOK_PLACES_MAX else number


def places_of(number: Decimal) -> int:
    """Return how many decimal places a number needs; trailing zeros do not count."""
    if number.is_zero():
        return 0
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), "only finite numbers are ever made"
    places = -exponent
    for digit in reversed(digits):
        if digit or places <= 0:
            break
        places -= 1
    return max(places, 0)


class TooFineError(ValueError):
    """A number that needs more decimal places than a price may have."""


def reduced(price: Decimal, kept: Decimal) -> Decimal:
    """Return the part of a price that a discount leaves, exact.

    Raises: TooFineError.
    """
    product = _EXACT.multiply(price, kept)
    if places_of(product) > BOOK_PLACES_MAX:
        raise TooFineError(f"{product:f} has more than {BOOK_PLACES_MAX} decimal places")
    return product


def units_of(number: Decimal, scale: int) -> int:
    """Return a number as an integer of 10**-scale; it must need no finer scale."""
    numerator, denominator = number.as_integer_ratio()
    power: int = 10**scale
    units, rest = divmod(numerator * power, denominator)
    assert rest == 0, "the scale is too coarse"
    return units


def decimal_text(units: int, scale: int) -> str:
    """Write `units * 10**-scale` in plain digits, without trailing zeros after the point."""
    digits = f"{abs(units):0{scale + 1}d}"
    whole, part = digits[: len(digits) - scale], digits[len(digits) - scale :].rstrip("0")
    return f"{'-' if units < 0 else ''}{whole}{'.' if part else ''}{part}"
