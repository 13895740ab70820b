"""Quantities: JSON literals to exact decimals."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from billing.eights import Bytes
from rules.compiled import compiled, item

PLACES_MAX: Final = 12  # DECIMAL(38,12) at rest
INTEGER_DIGITS_MAX: Final = 26
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,4})?", re.ASCII)
_LITERAL_LENGTH_MAX: Final = 128  # longer literals have more digits than fit anyway
_PLAIN_DIGITS_MAX: Final = 18  # always fit int64


@compiled
def read_plain(data: Bytes, start: int, stop: int) -> tuple[int, int]:
    """Read plain decimal digits, with or without a point, out of `data[start:stop]`.

    Returns units and places (the number is `units * 10**-places`), or places -1 for any other text.
    """
    units, digits, places, point = 0, 0, 0, False
    for at in range(start, stop):
        byte = item(data, at)
        if 48 <= byte <= 57:
            units = units * 10 + int(byte) - 48
            digits += 1
            places += 1 if point else 0
        elif byte == 46 and not point and digits:  # "."
            point = True
        else:
            return 0, -1
    if digits == 0 or digits > _PLAIN_DIGITS_MAX or places > PLACES_MAX or (point and places == 0):
        return 0, -1
    return units, places


@lru_cache(maxsize=65_536)  # quantities repeat; about 10 MB when full
def parse_quantity(literal: bytes) -> Decimal | str:
    """Parse a JSON number, or a string of one, from its literal text, never through a float.

    Returns the number without trailing zeros, or the end of a sentence that says what is wrong with it.
    """
    text = literal.decode(errors="replace")  # nobody has looked into it yet: it may not even be text
    if text.startswith('"') and literal.isascii():
        text = msgspec.json.decode(literal, type=str)
    if not _NUMBER.fullmatch(text[: _LITERAL_LENGTH_MAX + 1]) or len(text) > _LITERAL_LENGTH_MAX:
        return "is not a decimal number"
    number = Decimal(text)
    if number < 0:
        return "is negative"
    if number and number.adjusted() >= INTEGER_DIGITS_MAX:
        return f"has more than {INTEGER_DIGITS_MAX} integer digits"
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), "the pattern admits no NaN or infinity"
    while exponent < 0 and digits[-1] == 0 and len(digits) > 1:
        digits, exponent = digits[:-1], exponent + 1
    if not number:
        return Decimal(0)
    if -exponent > PLACES_MAX:
        return f"has more than {PLACES_MAX} decimal places"
    return Decimal((sign, digits, exponent)) if exponent <= 0 else Decimal(int(number))
