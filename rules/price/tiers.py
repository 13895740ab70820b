"""Tiers: what graduated and volume prices share, from their spelling in the book to the price of a quantity.

Tiers are `(lo, hi]`, touch, begin at 0 and end with an open one.
"""

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, Self

import attrs
import numpy as np

from rules.columns import INT64_LIMIT, PICO_PLACES, Decimals, Int32s, Units, widened
from rules.document import Items, Node
from rules.fields import Fields
from rules.load_period import read_per
from rules.number import BOOK_PLACES_MAX, decimal_text, places_of, reduced, units_of
from rules.price.cumulative import CumulativePrice, Formula
from rules.price.model import Source
from rules.price.quantity import Scaled

TIERS_MAX: Final = 1_000  # of one rule; price lists that people read have ten

NOTHING: Final = Decimal(0)


@attrs.frozen
class Tier:
    """The quantities above `above` and up to `up_to` (None: without end): so much each, and so much once."""

    above: Decimal
    up_to: Decimal | None
    unit: Decimal
    flat: Decimal


@attrs.frozen
class TieredPrice(CumulativePrice):
    """A price by tiers; subclasses say how the tiers make the price of a quantity."""

    tiers: tuple[Tier, ...]

    @classmethod
    def read(cls, node: Node, source: Source) -> Self | None:
        """Read the period and the tiers."""
        entries = source.fields.mapping(node, ["per", "tiers"])
        if entries is None:
            return None
        per = read_per(entries["per"], source.fields)
        tiers = read_tiers(entries["tiers"], source.fields)
        return None if per is None or tiers is None else cls(per, None, tiers)

    @property
    def kind(self) -> Hashable:
        """Tiers of equally many places."""
        bounds = max(places_of(tier.above) for tier in self.tiers)  # which is where the one before it ends
        return Segments, bounds, max(max(places_of(tier.unit), places_of(tier.flat)) for tier in self.tiers)

    def discounted(self, kept: Decimal) -> Self:
        """Reduce what each tier costs."""
        tiers = (attrs.evolve(one, unit=reduced(one.unit, kept), flat=reduced(one.flat, kept)) for one in self.tiers)
        return attrs.evolve(self, tiers=tuple(tiers))

    def formula(self, prices: Sequence[CumulativePrice]) -> Formula:
        """Draw the curve of each price."""
        tiered = [price for price in prices if isinstance(price, TieredPrice)]
        return Segments.of([[Segment.below_zero(price.tiers[0]), *price.segments()] for price in tiered])

    @abstractmethod
    def segments(self) -> "Iterable[Segment]":
        """Return the pieces of the price's curve, one a tier."""


@attrs.frozen
class Segment:
    """A straight piece of a curve: for quantities above `origin`, up to `up_to`: base + (quantity - origin) * unit."""

    up_to: Decimal | None
    origin: Decimal
    base: int  # units of 1e-(12 + 24), exact: a bound has 12 places at most and a price 24
    unit: Decimal

    @classmethod
    def below_zero(cls, first: Tier) -> "Segment":
        """Return the piece up to 0: nothing costs nothing, and what is given back counts at the first tier's price."""
        return cls(NOTHING, NOTHING, 0, first.unit)


BASE_PLACES: Final = PICO_PLACES + BOOK_PLACES_MAX


@attrs.frozen(eq=False)
class Segments:
    """The curves of r rules, as s pieces in order.

    first, last: int32[r], the pieces of each rule; up_to, origin: decimals[s]; base: decimals[s]; unit: decimals[s].
    The scale of base is the sum of those of origin and unit.
    """

    first: Int32s
    last: Int32s
    up_to: Decimals
    origin: Decimals
    base: Decimals
    unit: Decimals
    rounds: int

    @classmethod
    def of(cls, curves: Sequence[Sequence[Segment]]) -> "Segments":
        """Lay out the curves one after the other."""
        ends = np.cumsum([len(curve) for curve in curves], dtype=np.int32)
        pieces = [piece for curve in curves for piece in curve]
        bounds = max(places_of(number) for piece in pieces for number in (piece.origin, piece.up_to or NOTHING))
        prices = max(places_of(piece.unit) for piece in pieces)
        while any(piece.base % 10 ** (BASE_PLACES - bounds - prices) for piece in pieces):
            prices += 1  # a flat amount has more places than the unit prices
        spare = 10 ** (BASE_PLACES - bounds - prices)
        return cls(
            first=np.concatenate([[0], ends[:-1]]).astype(np.int32),
            last=ends - np.int32(1),
            up_to=Decimals.of_integers([units_of(piece.up_to or NOTHING, bounds) for piece in pieces], bounds),
            origin=Decimals.of_integers([units_of(piece.origin, bounds) for piece in pieces], bounds),
            base=Decimals.of_integers([piece.base // spare for piece in pieces], bounds + prices),
            unit=Decimals.of_integers([units_of(piece.unit, prices) for piece in pieces], prices),
            rounds=max(len(curve) for curve in curves).bit_length(),
        )

    def total(self, position: Int32s, quantity: Decimals) -> Scaled:
        """Return the height of the curve of the rule at each position, at each quantity."""
        scale = max(quantity.scale, self.up_to.scale)
        quantity = quantity.rescaled(scale)
        piece = self._piece(position, quantity)
        base = self.base.take(piece).rescaled(scale + self.unit.scale)
        unit = self.unit.units[piece]
        beyond = _minus(quantity.units, self.origin.take(piece).rescaled(scale).units)
        bound = base.magnitude() + Decimals(beyond, 0).magnitude() * Decimals(unit, 0).magnitude()
        total: Units = widened(base.units, bound) + widened(beyond, bound) * unit
        return Scaled(total, Fraction(1, 10 ** (scale + self.unit.scale)))

    def _piece(self, position: Int32s, quantity: Decimals) -> Int32s:
        """Return the piece that each quantity is on, by bisection of all of them at once."""
        up_to = self.up_to.rescaled(quantity.scale).units
        if up_to.dtype == object and quantity.units.dtype != object:  # no int64 is above what is cut off here
            up_to = np.minimum(up_to, INT64_LIMIT - 1).astype(np.int64)
        low, high = self.first[position], self.last[position]
        for _ in range(self.rounds):
            middle = (low + high) // 2
            above = (quantity.units > up_to[middle]).astype(bool) & (low < high)
            low, high = np.where(above, middle + 1, low), np.where(above | (low >= high), high, middle)
        return low


def _minus(left: Units, right: Units) -> Units:
    bound = Decimals(left, 0).magnitude() + Decimals(right, 0).magnitude()
    difference: Units = widened(left, bound) - widened(right, bound)
    return difference


def price_of(tier: Tier) -> int:
    """Return what all units of a closed tier cost, without its flat amount, in units of 10**-BASE_PLACES."""
    assert tier.up_to is not None, "an open tier has no end"
    width = units_of(tier.up_to, PICO_PLACES) - units_of(tier.above, PICO_PLACES)
    return width * units_of(tier.unit, BOOK_PLACES_MAX)


def flat_of(amount: Decimal) -> int:
    """Return an amount in units of 10**-BASE_PLACES."""
    return units_of(amount, BASE_PLACES)


def read_tiers(node: Node, fields: Fields, unit: str = "unit") -> tuple[Tier, ...] | None:
    """Read tiers in order; `unit` is the key of what each costs. None after noting what is wrong."""
    items = fields.items(node, TIERS_MAX)
    found = len(fields.problems.found)
    if isinstance(node, Items) and not node.items:
        fields.wrong(node, f'has no tier; write at least one, such as {{{unit}: "0.01"}}')
    tiers: list[Tier] = []
    above = NOTHING
    for number, item in enumerate(items, start=1):
        tier = _tier(item, fields, unit, above)
        if tier is None:
            continue
        if number < len(items) and tier.up_to is None:
            fields.wrong(item, "is open, which only the last tier may be; write its up_to")
        elif number == len(items) and tier.up_to is not None:
            shown = decimal_text(units_of(tier.up_to, PICO_PLACES), PICO_PLACES)
            fields.wrong(item, f"ends at {shown}, so that more has no price; add an open tier without up_to after it")
        above = above if tier.up_to is None else max(above, tier.up_to)
        tiers.append(tier)
    return tuple(tiers) if tiers and len(fields.problems.found) == found else None


def _tier(node: Node, fields: Fields, unit: str, above: Decimal) -> Tier | None:
    entries = fields.mapping(node, [], ["above", "up_to", unit, "flat"])
    if entries is None:
        return None
    if unit not in entries and "flat" not in entries:
        fields.wrong(node, f"has no price; write its {unit}, its flat amount, or both")
    prices = [fields.decimal(entries[key], BOOK_PLACES_MAX) if key in entries else NOTHING for key in (unit, "flat")]
    stated = fields.decimal(entries["above"], PICO_PLACES, NOTHING) if "above" in entries else above
    up_to = fields.decimal(entries["up_to"], PICO_PLACES, NOTHING) if "up_to" in entries else None
    shown = decimal_text(units_of(above, PICO_PLACES), PICO_PLACES)
    if stated is not None and stated != above:
        fault = "overlaps the tier before it" if stated < above else "leaves a gap after the tier before it"
        fields.wrong(entries["above"], f"{fault}, which ends at {shown}; write {shown}, or leave `above` out")
    elif up_to is not None and up_to <= above:
        fields.wrong(entries["up_to"], f"is not above {shown}, where the tier begins; write a larger number")
    each, once = prices
    return None if each is None or once is None else Tier(above, up_to, each, once)
