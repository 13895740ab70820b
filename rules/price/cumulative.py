"""Cumulative prices: what an event costs depends on what its account has used in the period so far.

Owns what all of them share: the period, and what an event adds to the counter. The amounts are settled later, by
`rules.cumulative`, from the formula that a price gives here.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from decimal import Decimal
from typing import Protocol, Self, runtime_checkable

import attrs

from rules.columns import MISSING, PICO_PLACES, Decimals, Int32s, Int64s
from rules.measure import Bools
from rules.period import Per
from rules.price.model import Ask, Work
from rules.price.quantity import Scaled


@runtime_checkable
class Curve(Protocol):
    """A formula of the whole use of a period: an event costs the difference that it makes.

    Order does not matter, since the differences telescope.
    """

    def total(self, position: Int32s, quantity: Decimals) -> Scaled:
        """Return the exact price, in currency units, of each quantity by the rule at each position."""
        ...


@runtime_checkable
class Steps(Protocol):
    """A formula of one event that knows what came before it: each event's amount is rounded by itself."""

    def amount(self, position: Int32s, before: Decimals, events: Int64s, use: Decimals) -> tuple[Scaled, Bools]:
        """Return the exact amount of each use, and which uses a line's bounds apply to (not those that are free).

        before, events: what its counter held without it.
        """
        ...


Formula = Curve | Steps


@attrs.frozen
class CumulativePrice(ABC):
    """A price with a counter. per: its period; of: the group whose amounts are counted, None is the billed quantity."""

    per: Per
    of: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """Nothing; what a period reads is known to the rule."""
        return ()

    @property
    def lane(self) -> Hashable:
        """Prices that count the same thing."""
        return CumulativePrice, self.of

    def found(self, _ask: Ask, won: Sequence[int]) -> bool:
        """Tell whether there is something to count."""
        return self.of is None or won[self.of] != MISSING

    def use(self, work: Work) -> Decimals:
        """Return what each row adds to its counter: the billed quantity as its line shows it, or the group's amount."""
        return work.billed.shown() if self.of is None else Decimals(work.charged(self.of), PICO_PLACES)

    @abstractmethod
    def discounted(self, kept: Decimal) -> Self:
        """Return the price of which a discount leaves this part.

        Raises: TooFineError.
        """

    @property
    @abstractmethod
    def kind(self) -> Hashable:
        """Prices of equal kinds are settled together, by one formula."""

    @abstractmethod
    def formula(self, prices: "Sequence[CumulativePrice]") -> Formula:
        """Prepare the formula of prices of one kind, in order of position."""
