"""What a price model is: the one interface behind which every module of this package stands.

A model reads itself from the book, says whether it has a price for an event, and gives the two exact factors of the
amount.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Protocol

import attrs

from rules.columns import Decimals, Int32s, Units
from rules.fields import Fields
from rules.price.quantity import Scaled
from rules.read_table import Tables
from rules.table import TableIndex

Ask = Callable[[str], str | None]  # field or attribute name -> the event's text


@attrs.frozen(eq=False)
class Source:
    """What a model reads itself from, besides its node: the readers, the groups before its own, the book's tables.

    counting_groups: those of the groups that have rules with a counter, whose amounts are settled later.
    """

    fields: Fields
    earlier_groups: Sequence[str]
    counting_groups: Collection[str]
    tables: Tables


@attrs.frozen(eq=False)
class Work:
    """The rows of one lane that are being priced: m rows, each won by a rule of the lane.

    positions: int32[m], the rule's position in the lane; billed: the billed quantities; charged: group index ->
    int64[m] or object[m], amounts (1e-12) of the lines that the group made for these rows; cells: index of a table ->
    row, int32[m].
    """

    positions: Int32s
    billed: Scaled
    charged: Callable[[int], Units]
    cells: Callable[[TableIndex], Int32s]


class Factors(Protocol):
    """Computes the factors of the exact amount for the rules of one lane."""

    def __call__(self, work: Work, /) -> tuple[Scaled, Decimals]:
        """Return what is multiplied, and the rate; their product is the exact amount in currency units."""
        ...


class Price(Protocol):
    """A rule's price, as the book states it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Fields and attributes that the price reads."""
        ...

    @property
    def lane(self) -> Hashable:
        """Prices with equal lanes are computed together, by the `factors` of any of them."""
        ...

    def found(self, ask: Ask, won: Sequence[int]) -> bool:
        """Tell whether there is a price for the event; `won` holds, by group so far, the winning rule or -1."""
        ...

    def factors(self, prices: Sequence["Price"]) -> Factors:
        """Prepare the prices of one lane, in order of position."""
        ...
