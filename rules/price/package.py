"""Packages: so much for each package that is begun, whatever of it is used."""

from collections.abc import Hashable, Sequence
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Self

import attrs
import numpy as np

from rules.columns import PICO_PLACES, Decimals, Int32s, widened
from rules.document import Node
from rules.load_period import read_per
from rules.number import BOOK_PLACES_MAX, places_of, reduced, units_of
from rules.price.cumulative import CumulativePrice
from rules.price.model import Source
from rules.price.quantity import Scaled
from rules.price.tiers import NOTHING


class Begun(StrEnum):
    """Whether a package that is begun counts (`up`) or only a full one (`down`)."""

    UP = "up"
    DOWN = "down"


@attrs.frozen
class Package(CumulativePrice):
    """`{package: {per: month, price: 5, size: 1000, free: 100, round: down}}`.

    C(q) = price * ceil(max(0, q - free) / size), or floor instead of ceil.
    """

    price: Decimal
    size: Decimal
    free: Decimal
    begun: Begun

    @classmethod
    def read(cls, node: Node, source: Source) -> "Package | None":
        """Read the period, the package and what is free before the first."""
        fields = source.fields
        entries = fields.mapping(node, ["per", "price", "size"], ["free", "round"])
        if entries is None:
            return None
        per = read_per(entries["per"], fields)
        price = fields.decimal(entries["price"], BOOK_PLACES_MAX)
        size = fields.decimal(entries["size"], PICO_PLACES, NOTHING)
        free = fields.decimal(entries["free"], PICO_PLACES, NOTHING) if "free" in entries else NOTHING
        begun = fields.choice(entries["round"], Begun) if "round" in entries else Begun.UP
        if size is not None and size.is_zero():
            fields.wrong(entries["size"], "is 0, so that no package holds anything; write a number above 0")
            return None
        if per is None or price is None or size is None or free is None or begun is None:
            return None
        return cls(per, None, price, size, free, begun)

    @property
    def kind(self) -> Hashable:
        """Packages of equally many places that round in one way."""
        return Package, places_of(self.price), max(places_of(self.size), places_of(self.free)), self.begun

    def discounted(self, kept: Decimal) -> Self:
        """Reduce the price of a package."""
        return attrs.evolve(self, price=reduced(self.price, kept))

    def formula(self, prices: Sequence[CumulativePrice]) -> "Packages":
        """Gather prices, sizes and free quantities."""
        packages = [price for price in prices if isinstance(price, Package)]
        price_places = places_of(self.price)
        places = max(places_of(self.size), places_of(self.free))
        return Packages(
            Decimals.of_integers([units_of(one.price, price_places) for one in packages], price_places),
            Decimals.of_integers([units_of(one.size, places) for one in packages], places),
            Decimals.of_integers([units_of(one.free, places) for one in packages], places),
            self.begun,
        )


@attrs.frozen(eq=False)
class Packages:
    """The packages of r rules: price, size and free, decimals[r]."""

    price: Decimals
    size: Decimals
    free: Decimals
    begun: Begun

    def total(self, position: Int32s, quantity: Decimals) -> Scaled:
        """Return the price of the packages that each quantity takes."""
        scale = max(quantity.scale, self.size.scale)
        size, free = (column.take(position).rescaled(scale) for column in (self.size, self.free))
        quantity = quantity.rescaled(scale)
        bound = quantity.magnitude() + size.magnitude() + free.magnitude()
        paid = np.maximum(widened(quantity.units, bound) - widened(free.units, bound), 0)
        packages = -(-paid // size.units) if self.begun is Begun.UP else paid // size.units
        price = self.price.units[position]
        bound = Decimals(packages, 0).magnitude() * Decimals(price, 0).magnitude()
        return Scaled(widened(packages, bound) * price, Fraction(1, 10**self.price.scale))
