"""Percentages whose first events or first amounts of a period are free."""

from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, Self

import attrs
import numpy as np

from rules.columns import INT64_LIMIT, PICO_PLACES, Decimals, Int32s, Int64s, widened
from rules.document import Node
from rules.fields import Fields
from rules.load_period import read_per
from rules.measure import Bools
from rules.number import places_of, reduced, units_of
from rules.period import Per
from rules.price.cumulative import CumulativePrice
from rules.price.quantity import Scaled

EVENTS_MAX: Final = 10**9  # more free events than that are a flat price of 0


@attrs.frozen
class Free:
    """What a period begins with: so many events, an amount, or what ends first of both."""

    per: Per
    events: int | None
    amount: Decimal | None


def read_free(node: Node, entries: Mapping[str, Node], fields: Fields) -> Free | None:
    """Read `free_events`, `free_amount` and `per`; None where nothing is free, or something is wrong."""
    events = fields.integer(entries["free_events"], 1, EVENTS_MAX) if "free_events" in entries else None
    amount = fields.decimal(entries["free_amount"], PICO_PLACES, Decimal(0)) if "free_amount" in entries else None
    per = read_per(entries["per"], fields) if "per" in entries else None
    if amount is not None and amount.is_zero():
        fields.wrong(entries["free_amount"], "is 0, so that nothing is free; write a number above 0, or leave it out")
    free = "free_events" in entries or "free_amount" in entries
    if free and "per" not in entries:
        fields.wrong(node, 'the key "per" is missing; add it, such as per: month')
    if "per" in entries and not free:
        fields.wrong(entries["per"], "has nothing to count; write free_events or free_amount, or leave per out")
    return Free(per, events, amount) if free and per is not None else None


@attrs.frozen
class FreePercentage(CumulativePrice):
    """`{percentage: {rate: "0.02", fixed: "0.10", free_events: 3, free_amount: 500, per: month}}`.

    An event is free if fewer than `free_events` came before it, and what came before it sums up to less than
    `free_amount`, and it fits into what is left of that. One that does not quite fit pays for the rest of its amount,
    and the whole fee.
    """

    rate: Decimal
    fixed: Decimal
    events: int | None
    amount: Decimal | None

    @classmethod
    def of_parts(cls, free: Free, of: int | None, rate: Decimal, fixed: Decimal) -> "FreePercentage":
        """Put together what has been read."""
        return cls(free.per, of, rate, fixed, free.events, free.amount)

    @property
    def kind(self) -> Hashable:
        """Numbers of equally many places, and the same things free."""
        places = places_of(self.rate), places_of(self.fixed), places_of(self.amount or Decimal(0))
        return FreePercentage, places, self.amount is None

    def discounted(self, kept: Decimal) -> Self:
        """Reduce rate and fee; what is free stays."""
        return attrs.evolve(self, rate=reduced(self.rate, kept), fixed=reduced(self.fixed, kept))

    def formula(self, prices: Sequence[CumulativePrice]) -> "FreePercentages":
        """Gather rates, fees and what is free."""
        same = [price for price in prices if isinstance(price, FreePercentage)]
        rate, fixed, amount = places_of(self.rate), places_of(self.fixed), places_of(self.amount or Decimal(0))
        amounts = [units_of(one.amount, amount) for one in same if one.amount is not None]
        return FreePercentages(
            rate=Decimals.of_integers([units_of(one.rate, rate) for one in same], rate),
            fixed=Decimals.of_integers([units_of(one.fixed, fixed) for one in same], fixed),
            free_events=np.array([INT64_LIMIT - 1 if one.events is None else one.events for one in same]),
            free_amount=Decimals.of_integers(amounts, amount) if amounts else None,
        )


@attrs.frozen(eq=False)
class FreePercentages:
    """The percentages of r rules; free_events: int64[r]; free_amount: decimals[r], or None where it has no limit."""

    rate: Decimals
    fixed: Decimals
    free_events: Int64s
    free_amount: Decimals | None

    def amount(self, position: Int32s, before: Decimals, events: Int64s, use: Decimals) -> tuple[Scaled, Bools]:
        """Return what each event costs, and which are not free."""
        free_event: Bools = events < self.free_events[position]
        if self.free_amount is None:
            paid, due = Decimals(np.where(free_event, 0, use.units), use.scale), ~free_event
        else:
            left = _difference(self.free_amount.take(position), before)
            beyond = _difference(use, left)  # what does not fit into what is left
            use = use.rescaled(beyond.scale)
            due = ~(free_event & ((left.units > 0) & (beyond.units <= 0)).astype(bool))
            straddles = free_event & (left.units > 0).astype(bool)
            paid = Decimals(np.where(due, np.where(straddles, beyond.units, use.units), 0), use.scale)
        rate = self.rate.units[position]
        product = widened(paid.units, paid.magnitude() * self.rate.magnitude()) * rate
        share = Decimals(np.where(due, product, 0), paid.scale + self.rate.scale)
        fixed = Decimals(np.where(due, self.fixed.units[position], 0), self.fixed.scale)
        return _sum(share, fixed), due


def _sum(left: Decimals, right: Decimals) -> Scaled:
    scale = max(left.scale, right.scale)
    left, right = left.rescaled(scale), right.rescaled(scale)
    bound = left.magnitude() + right.magnitude()
    return Scaled(widened(left.units, bound) + widened(right.units, bound), Fraction(1, 10**scale))


def _difference(left: Decimals, right: Decimals) -> Decimals:
    scale = max(left.scale, right.scale)
    left, right = left.rescaled(scale), right.rescaled(scale)
    bound = left.magnitude() + right.magnitude()
    return Decimals(widened(left.units, bound) - widened(right.units, bound), scale)
