"""The oracle's reading of calls: intervals and increments, walked along one call after another.

Owns a second, independent statement of that part of the book's format (rules/books/FORMAT.md, Calls), in plain
`decimal`. Must not share code with what it checks.
"""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, Final

import attrs

_EXACT: Final = Context(prec=300)  # a length of 38 digits, 17 intervals whose units have 12 digits: never rounded


@attrs.frozen
class Interval:
    """From a length `after` on: `rate` for `unit`, in started increments."""

    after: Decimal
    rate: Decimal
    unit: Decimal
    increment: Decimal


@attrs.frozen
class Call:
    """What a call costs to connect, and the intervals that it may reach."""

    connect: Decimal
    intervals: Sequence[Interval]


@attrs.frozen
class Terms:
    """What a call says of itself, for where its table says nothing."""

    connect: Decimal
    unit: Decimal
    first: Decimal
    following: Decimal

    @classmethod
    def of(cls, source: Mapping[str, Any]) -> "Terms":
        """Return the terms with their defaults."""
        first, following = _increments(source.get("increments", 1))
        return cls(Decimal(str(source.get("connect", 0))), Decimal(str(source.get("unit", 1))), first, following)

    def call_of_row(self, source: Mapping[str, str], row: Mapping[str, str]) -> Call | None:
        """Return the call of a table's row, None when it has no rate."""

        def cell(name: str, term: Decimal) -> Decimal:
            text = row[source[name]] if name in source else ""
            return Decimal(text) if text else term

        if not row[source["rate"]]:
            return None
        first, following = cell("first", self.first), cell("next", self.following)
        intervals = _phase(
            Decimal(0), Decimal(row[source["rate"]]), cell("unit", self.unit), first, following, Decimal("Infinity")
        )
        return Call(cell("connect", self.connect), intervals)


def call_of(terms: Terms, source: Mapping[str, Any]) -> Call:
    """Return the call of a book that states its rates itself."""
    then = source.get("then") or []
    begins = [Decimal(0), *(Decimal(str(item["after"])) for item in then), Decimal("Infinity")]
    unit, first, following = terms.unit, terms.first, terms.following
    intervals = _phase(begins[0], Decimal(str(source["rate"])), unit, first, following, begins[1])
    for i, item in enumerate(then, start=1):
        unit = Decimal(str(item.get("unit", unit)))
        first, following = _increments(item["increments"]) if "increments" in item else (following, following)
        intervals += _phase(begins[i], Decimal(str(item["rate"])), unit, first, following, begins[i + 1])
    return Call(terms.connect, intervals)


def cost_of(call: Call, numerator: Decimal, denominator: Decimal) -> tuple[Decimal, Decimal]:
    """Return the exact cost of a call that is numerator/denominator long, as a numerator and a denominator."""
    if not numerator:
        return Decimal(0), Decimal(1)
    units = _product([interval.unit for interval in call.intervals])
    cost = _EXACT.multiply(call.connect, units)
    position = Decimal(0)  # lengths are counted in 1/denominator here
    ends = [*(interval.after for interval in call.intervals[1:]), Decimal("Infinity")]
    for i, (interval, end) in enumerate(zip(call.intervals, ends, strict=True)):
        stop = min(numerator, _EXACT.multiply(end, denominator))
        increment = _EXACT.multiply(interval.increment, denominator)
        whole, rest = _EXACT.divmod(_EXACT.subtract(max(stop, position), position), increment)
        started = _EXACT.add(whole, 1) if rest else whole
        position = _EXACT.add(position, _EXACT.multiply(started, increment))
        others = _product([other.unit for j, other in enumerate(call.intervals) if j != i])
        price = _EXACT.multiply(_EXACT.multiply(interval.rate, interval.increment), others)
        cost = _EXACT.add(cost, _EXACT.multiply(started, price))
    return cost, units


def _phase(
    after: Decimal, rate: Decimal, unit: Decimal, first: Decimal, following: Decimal, end: Decimal
) -> list[Interval]:
    if first == following:
        return [Interval(after, rate, unit, first)]
    intervals = [Interval(after, rate, unit, first), Interval(_EXACT.add(after, first), rate, unit, following)]
    return [interval for interval in intervals if interval.after < end]


def _increments(value: int | str) -> tuple[Decimal, Decimal]:
    first, _, following = str(value).partition("/")
    return Decimal(first), Decimal(following or first)


def _product(numbers: Sequence[Decimal]) -> Decimal:
    product = Decimal(1)
    for number in numbers:
        product = _EXACT.multiply(product, number)
    return product
