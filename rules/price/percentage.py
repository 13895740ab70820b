"""Percentages: a share of what an earlier group charged for the same event, or of the quantity, and a fixed fee."""

from collections.abc import Hashable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs
import numpy as np

from rules.columns import MISSING, PICO_PLACES, Decimals, Units, widened
from rules.document import Node, Text
from rules.number import BOOK_PLACES_MAX, places_of, units_of
from rules.price.free_percentage import FreePercentage, read_free
from rules.price.model import Ask, Factors, Price, Source, Work
from rules.price.quantity import Scaled
from rules.quote import quoted

_ONE: Final = Decimals(np.ones(1, dtype=np.int64), 0)


@attrs.frozen
class Percentage:
    """`{percentage: {of: usage, rate: "0.10", fixed: "0.30"}}`: the amount is rate times the base, plus the fee.

    of: index of the group whose line is the base, None is the billed quantity (an amount of money).
    """

    of: int | None
    rate: Decimal
    fixed: Decimal = Decimal(0)

    @classmethod
    def read(cls, node: Node, source: Source) -> "Percentage | FreePercentage | None":
        """Read the base, whose group must come earlier, rate and fee, and what is free."""
        optional = ["of", "fixed", "free_events", "free_amount", "per"]
        entries = source.fields.mapping(node, ["rate"], optional)
        if entries is None:
            return None
        found = len(source.fields.problems.found)
        of = earlier_group(entries["of"], source) if "of" in entries else None
        rate = source.fields.decimal(entries["rate"], BOOK_PLACES_MAX)
        fixed = source.fields.decimal(entries["fixed"], BOOK_PLACES_MAX) if "fixed" in entries else Decimal(0)
        free = read_free(node, entries, source.fields)
        if rate is None or fixed is None or len(source.fields.problems.found) > found:
            return None
        return cls(of, rate, fixed) if free is None else FreePercentage.of_parts(free, of, rate, fixed)

    @property
    def names(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    @property
    def lane(self) -> Hashable:
        """Rates and fees of equally many places, of the same group."""
        return Percentage, self.of, places_of(self.rate), places_of(self.fixed), self.fixed.is_zero()

    def found(self, _ask: Ask, won: Sequence[int]) -> bool:
        """Tell whether the group made a line."""
        return self.of is None or won[self.of] != MISSING

    def factors(self, prices: Sequence[Price]) -> Factors:
        """Multiply the base by the rate, and add the fee."""
        same = [price for price in prices if isinstance(price, Percentage)]
        scale, fixed_scale = places_of(self.rate), places_of(self.fixed)
        rates = Decimals.of_integers([units_of(price.rate, scale) for price in same], scale)
        fees = Decimals.of_integers([units_of(price.fixed, fixed_scale) for price in same], fixed_scale)

        def factors(work: Work) -> tuple[Scaled, Decimals]:
            base = self._base(work)
            rate = rates.take(work.positions)
            return (base, rate) if self.fixed.is_zero() else (_sum(base, rate, fees.take(work.positions)), _ONE)

        return factors

    def _base(self, work: Work) -> Scaled:
        return work.billed if self.of is None else Scaled(work.charged(self.of), Fraction(1, 10**PICO_PLACES))


def _sum(base: Scaled, rate: Decimals, fee: Decimals) -> Scaled:
    """Return base * rate + fee, in units so fine that both parts are whole numbers of them."""
    ratio = base.ratio / 10**rate.scale
    fees = Fraction(1, 10**fee.scale) / ratio
    product = Decimals(base.units, 0).magnitude() * rate.magnitude() * fees.denominator
    bound = product + fee.magnitude() * fees.numerator
    rates, fixed = _widened_by(rate.units, fees.denominator, bound), _widened_by(fee.units, fees.numerator, bound)
    return Scaled(widened(base.units, bound) * rates + fixed, ratio / fees.denominator)


def _widened_by(units: Units, factor: int, bound: int) -> Units:
    product: Units = widened(units, max(bound, factor)) * factor
    return product


def earlier_group(node: Node, source: Source) -> int | None:
    """Read the name of a group before this one, all of whose amounts are known when events are priced."""
    if not isinstance(node, Text):
        source.fields.wrong(node, "must be the name of an earlier group")
    elif node.text in source.counting_groups:
        source.fields.wrong(
            node,
            f"{quoted(node.text)} has prices that depend on a period, so that its amounts are not known yet; "
            "name a group without them, or repeat the percentage as prices of its own",
        )
    elif node.text in source.earlier_groups:
        return source.earlier_groups.index(node.text)
    else:
        earlier = ", ".join(source.earlier_groups) or "none, this is the first"
        source.fields.wrong(node, f"{quoted(node.text)} is not an earlier group; earlier groups: {earlier}")
    return None
