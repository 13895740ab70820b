"""Conditions of rules: what must hold of one field or attribute.

Owns their meaning for one value. Every condition takes text, or None for an absent attribute; the event's quantity is
asked as its decimal text. Which values a condition cannot tell apart is for `classes` to find out.
"""

from collections.abc import Iterator
from decimal import Decimal

import attrs

from rules.number import event_number


@attrs.frozen
class OneOf:
    """The text is equal to one of these."""

    texts: frozenset[str]

    def holds(self, text: str | None) -> bool:
        """Compare character for character."""
        return text in self.texts


@attrs.frozen
class OneOfNumbers:
    """The number is equal to one of these; for the event's quantity."""

    numbers: frozenset[Decimal]

    def holds(self, text: str | None) -> bool:
        """Compare as numbers."""
        return text is not None and event_number(text) in self.numbers


@attrs.frozen
class Prefix:
    """The text begins with one of these."""

    prefixes: tuple[str, ...]

    def holds(self, text: str | None) -> bool:
        """Compare the beginning."""
        return text is not None and text.startswith(self.prefixes)


@attrs.frozen
class Range:
    """The text is a number in the half-open range [least, below); None is no bound."""

    least: Decimal | None
    below: Decimal | None

    def holds(self, text: str | None) -> bool:
        """Compare as numbers; what is not a number is in no range."""
        number = None if text is None else event_number(text)
        return (
            number is not None
            and (self.least is None or self.least <= number)
            and (self.below is None or number < self.below)
        )


@attrs.frozen
class Exists:
    """The attribute is present (or, with `present` false, absent)."""

    present: bool

    def holds(self, text: str | None) -> bool:
        """Tell presence; an empty text is present."""
        return (text is not None) is self.present


@attrs.frozen
class Not:
    """The condition does not hold."""

    condition: "Condition"

    def holds(self, text: str | None) -> bool:
        """Negate, for absent attributes too."""
        return not self.condition.holds(text)


@attrs.frozen
class All:
    """Every one of these conditions holds."""

    conditions: tuple["Condition", ...]

    def holds(self, text: str | None) -> bool:
        """Stop at the first that does not hold."""
        return all(condition.holds(text) for condition in self.conditions)


Condition = OneOf | OneOfNumbers | Prefix | Range | Exists | Not | All


def atoms(condition: Condition) -> Iterator[OneOf | OneOfNumbers | Prefix | Range | Exists]:
    """Yield the tests that a condition is made of, without its `not` and `and`."""
    if isinstance(condition, Not):
        yield from atoms(condition.condition)
    elif isinstance(condition, All):
        for part in condition.conditions:
            yield from atoms(part)
    else:
        yield condition
