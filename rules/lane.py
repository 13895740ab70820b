"""Lanes: rules that are priced by the same formula, so that one vector operation prices the events of all of them.

Owns the way from winning rules to quantities and amounts. Must not know why the rules won.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Final

import attrs
import numpy as np

from rules.book import Book, Rule
from rules.columns import PICO_PLACES, Decimals, Int32s, Units
from rules.contract import Terms
from rules.measure import Bools
from rules.number import INTEGER_DIGITS_MAX
from rules.period import Per
from rules.price.cumulative import CumulativePrice
from rules.price.model import Factors, Work
from rules.price.quantity import QuantitySpec, billed
from rules.price.rounding import Rounding, rounded_product
from rules.table import TableIndex

AMOUNT_LIMIT_PICO: Final = 10 ** (INTEGER_DIGITS_MAX + PICO_PLACES)  # DECIMAL(38,12) ends below it


@attrs.frozen(eq=False)
class Charged:
    """m lines of one lane: billed quantity as shown, amount in 1e-12, and where either is out of range (or None).

    use: what each line adds to its counter, or None where the lane has none; the amounts are then 0.
    """

    quantity: Decimals
    amount_pico: Units
    overflow: Bools | None
    use: Decimals | None


@attrs.frozen(eq=False)
class Lane:
    """Rules of one group that differ only in the numbers of their prices and bounds.

    minimum_pico, maximum_pico: bound of each rule by its position in the lane, or None where these rules have none;
    per: the periods of their counters, or None; factors: of the amount, or what a line adds to its counter.
    """

    charge: str | None
    charge_parent: bool
    quantity: QuantitySpec
    rounding: Rounding
    factors: Factors | CumulativePrice
    minimum_pico: Units | None
    maximum_pico: Units | None
    per: Per | None

    def charged(
        self,
        positions: Int32s,
        quantity: Decimals,
        charged: Callable[[int], Units],
        cells: Callable[[TableIndex], Int32s],
        terms: Terms | None,
    ) -> Charged:
        """Price m rows; positions: int32[m], the rule of the lane; quantity: m of them; charged, cells: as in Work."""
        counted = billed(self.quantity, quantity)
        work = Work(positions, counted, charged, cells)
        shown, overflow = counted.shown(), counted.reaches(10**INTEGER_DIGITS_MAX)
        if isinstance(self.factors, CumulativePrice):
            return Charged(shown, _nothing(positions), overflow, self.factors.use(work))
        base, rate = self.factors(work)
        amount = rounded_product(base.units, rate.units, base.ratio / 10**rate.scale, self.rounding)
        if terms is not None:
            amount = terms.amounts(amount, base, rate, self.rounding)
        if self.minimum_pico is not None:
            amount = np.maximum(amount, self.minimum_pico[positions])
        if self.maximum_pico is not None:
            amount = np.minimum(amount, self.maximum_pico[positions])
        overflow = _either(overflow, _beyond(amount))
        if self.per is None:
            return Charged(shown, amount, overflow, None)
        return Charged(shown, _nothing(positions), overflow, Decimals(amount, PICO_PLACES))


def _nothing(positions: Int32s) -> Units:
    return np.zeros(len(positions), dtype=np.int64)


def _beyond(amount: Units) -> Bools | None:
    if amount.dtype != object:  # int64 ends far below the limit
        return None
    beyond: Bools = ((amount >= AMOUNT_LIMIT_PICO) | (amount <= -AMOUNT_LIMIT_PICO)).astype(bool)
    return beyond if beyond.any() else None


def _either(left: Bools | None, right: Bools | None) -> Bools | None:
    if left is None or right is None:
        return right if left is None else left
    return left | right


def lanes_of(book: Book) -> tuple[list[Lane], Int32s, Int32s]:
    """Sort a book's rules into lanes; returns them, and for each rule its lane and position in it (int32[rules])."""
    members: dict[Hashable, list[Rule]] = {}
    numbers: dict[Hashable, int] = {}
    lane_of_rule, position_of_rule = [], []
    for rule in book.rules:
        bounded = rule.minimum_pico is None, rule.maximum_pico is None
        payer = rule.charge, rule.charge_parent
        key = (
            *(rule.group_index, rule.currency, payer, rule.quantity, rule.rounding, bounded, rule.per),
            rule.price.lane,
        )
        lane_of_rule.append(numbers.setdefault(key, len(numbers)))
        position_of_rule.append(len(members.setdefault(key, [])))
        members[key].append(rule)
    lanes = [_lane(rules) for rules in members.values()]
    return lanes, np.array(lane_of_rule, dtype=np.int32), np.array(position_of_rule, dtype=np.int32)


def _lane(rules: Sequence[Rule]) -> Lane:
    first = rules[0]
    linear = [rule.price for rule in rules if not isinstance(rule.price, CumulativePrice)]
    return Lane(
        charge=first.charge,
        charge_parent=first.charge_parent,
        quantity=first.quantity,
        rounding=first.rounding,
        factors=first.price if isinstance(first.price, CumulativePrice) else linear[0].factors(linear),
        minimum_pico=_bounds([rule.minimum_pico for rule in rules]),
        maximum_pico=_bounds([rule.maximum_pico for rule in rules]),
        per=first.per,
    )


def _bounds(bounds: Sequence[int | None]) -> Units | None:
    known = [bound for bound in bounds if bound is not None]
    return Decimals.of_integers(known, PICO_PLACES).units if known else None
