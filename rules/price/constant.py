"""Constant prices: what flat and unit prices share, one number that stands in the book."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from decimal import Decimal
from typing import Self

import attrs

from rules.columns import Decimals
from rules.document import Node
from rules.number import BOOK_PLACES_MAX, places_of, units_of
from rules.price.model import Ask, Factors, Price, Source, Work
from rules.price.quantity import Scaled


@attrs.frozen
class ConstantPrice(ABC):
    """A price in currency units, exact; subclasses say what it is multiplied by."""

    price: Decimal

    @classmethod
    def read(cls, node: Node, source: Source) -> Self | None:
        """Read the price."""
        price = source.fields.decimal(node, BOOK_PLACES_MAX)
        return None if price is None else cls(price)

    @property
    def names(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    @property
    def lane(self) -> Hashable:
        """Prices of one kind and equally many places."""
        return type(self), places_of(self.price)

    def found(self, _ask: Ask, _won: Sequence[int]) -> bool:
        """Tell that there always is a price."""
        return True

    def factors(self, prices: Sequence[Price]) -> Factors:
        """Multiply what the kind of price counts by the price."""
        scale = places_of(self.price)
        rates = Decimals.of_integers(
            [units_of(price.price, scale) for price in prices if isinstance(price, ConstantPrice)], scale
        )

        def factors(work: Work) -> tuple[Scaled, Decimals]:
            return self.counted(work), rates.take(work.positions)

        return factors

    @abstractmethod
    def counted(self, work: Work) -> Scaled:
        """Return what the price is multiplied by."""
