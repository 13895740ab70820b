"""Descriptions: conditions, numbers and moments of a book in words, for who asks why.

Owns the words. Must not know columns, or how rules are priced.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs

from rules.condition import All, Condition, Exists, Not, OneOf, OneOfNumbers, Prefix, Range
from rules.number import decimal_text
from rules.quote import quoted

_SHOWN_MAX: Final = 6  # alternatives that a line names; the book has them all
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLACES: Final = 12  # of a fraction that no decimal equals


@attrs.frozen
class Step:
    """One step of an amount's arithmetic: what is done, how, and the number that it gives."""

    step: str
    how: str
    result: str


def condition_text(condition: Condition) -> str:  # noqa: PLR0911 - one answer a kind of condition
    """Say what a condition asks for, to be read after "is not"."""
    if isinstance(condition, OneOf):
        return _any_of(map(quoted, sorted(condition.texts)))
    if isinstance(condition, OneOfNumbers):
        return _any_of(f"{number:f}" for number in sorted(condition.numbers))
    if isinstance(condition, Prefix):
        return f"a text that begins with {_any_of(map(quoted, condition.prefixes))}"
    if isinstance(condition, Range):
        return f"a number {_range_text(condition)}"
    if isinstance(condition, Exists):
        return "present" if condition.present else "absent"
    if isinstance(condition, Not):
        return f"anything but {condition_text(condition.condition)}"
    return " and ".join(map(condition_text, condition.conditions))


def failing(condition: Condition, text: str | None) -> Iterator[Condition]:
    """Yield the parts of a condition that a text does not satisfy."""
    if isinstance(condition, All):
        for part in condition.conditions:
            yield from failing(part, text)
    elif not condition.holds(text):
        yield condition


def fraction_text(number: Fraction) -> str:
    """Write a number in digits; one that no decimal equals as a fraction, and about how much that is."""
    rest, places = number.denominator, 0
    while 10**places % rest:
        places += 1
        if places > 2 * rest.bit_length():  # each place takes a 2 and a 5: there is another factor
            rounded = round(number * 10**_PLACES)
            return f"{number.numerator}/{number.denominator} (about {decimal_text(rounded, _PLACES)})"
    return decimal_text(int(number * 10**places), places)


def decimal_words(number: Decimal) -> str:
    """Write a book's number without an exponent, without trailing zeros."""
    return fraction_text(Fraction(number))


def time_text(time_us: int) -> str:
    """Write a moment as RFC 3339 in UTC."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def moment_text(time_us: int) -> str:
    """Write a moment as a book does: RFC 3339 in UTC, midnight as the date alone."""
    return time_text(time_us).removesuffix("T00:00:00Z")


def _any_of(texts: Iterable[str]) -> str:
    shown = list(texts)
    if len(shown) == 1:
        return shown[0]
    more = len(shown) - _SHOWN_MAX
    return f"one of {', '.join(shown[:_SHOWN_MAX])}" + (f" and {more} more" if more > 0 else "")


def _range_text(condition: Range) -> str:
    least = "" if condition.least is None else f"from {condition.least:f}"
    below = "" if condition.below is None else f"below {condition.below:f}"
    return " and ".join(part for part in (least, below) if part)
