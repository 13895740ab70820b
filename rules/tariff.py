"""Tariffs: rules with counters that differ only in numbers, so that vector operations settle the uses of all of them.

Owns differences, rounding and bounds of cumulative prices. Must not know how the rules of a book are sorted.
"""

from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from rules.book import Rule
from rules.columns import PICO_PLACES, Decimals, Int32s, Int64s, Units, widened
from rules.measure import narrowed
from rules.number import INTEGER_DIGITS_MAX
from rules.price.cumulative import CumulativePrice, Curve, Formula
from rules.price.quantity import Scaled
from rules.price.rounding import Rounding, rounded_product
from rules.runs import Runs, coarsened

Bools = NDArray[np.bool_]

_ONE: Final = np.ones(1, dtype=np.int64)


@attrs.frozen(eq=False)
class Used:
    """The state of g counters, as table `tiers` keeps it.

    quantity: what has been used; events: int64[g], in how many uses; amount: scale 12, what has been charged for it.
    """

    quantity: Decimals
    events: Int64s
    amount: Decimals

    def __len__(self) -> int:
        return len(self.events)

    def take(self, rows: NDArray[Any]) -> "Used":
        """Select counters."""
        return Used(self.quantity.take(rows), self.events[rows], self.amount.take(rows))

    @classmethod
    def nothing(cls, count: int) -> "Used":
        """Return counters that begin."""
        zeros = np.zeros(count, dtype=np.int64)
        return cls(Decimals(zeros, 0), zeros, Decimals(zeros, PICO_PLACES))


@attrs.frozen(eq=False)
class Settled:
    """The result of settling k uses of g counters.

    amount: scale 12, of each use; used: the counters after all of them; overflow: bool[k] or None, uses that are not in
    `used` and have amount 0, since they or their counter would have more than 26 digits before the point.
    """

    amount: Decimals
    used: Used
    overflow: Bools | None


@attrs.frozen(eq=False)
class Sum:
    """The curve of rules whose lines have their amounts already, and are capped: what they use is the amount."""

    def total(self, _position: Int32s, quantity: Decimals) -> Scaled:
        """Return the quantity itself."""
        return Scaled(quantity.units, Fraction(1, 10**quantity.scale))


@attrs.frozen(eq=False)
class Tariff:
    """minimum_pico, maximum_pico: of a line; cap_pico: of a period; by position, None where these rules have none."""

    formula: Formula
    rounding: Rounding
    minimum_pico: Units | None
    maximum_pico: Units | None
    cap_pico: Units | None

    @staticmethod
    def kind(rule: Rule) -> Hashable:
        """Return what rules of one tariff have in common."""
        capped = rule.period_maximum_pico is not None
        if not isinstance(rule.price, CumulativePrice):
            return None, capped
        return rule.price.kind, rule.rounding, rule.minimum_pico is None, rule.maximum_pico is None, capped

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> "Tariff":
        """Prepare the rules of one kind, in order of position."""
        caps = _bounds([rule.period_maximum_pico for rule in rules])
        prices = [rule.price for rule in rules if isinstance(rule.price, CumulativePrice)]
        if not prices:
            return cls(Sum(), Rounding(), None, None, caps)
        least, most = _bounds([rule.minimum_pico for rule in rules]), _bounds([rule.maximum_pico for rule in rules])
        return cls(prices[0].formula(prices), rules[0].rounding, least, most, caps)

    def settle(self, position: Int32s, before: Used, counter: Int32s, use: Decimals) -> Settled:
        """Charge k uses to g counters; position: int32[g], the counters' rules; counter: int32[k]; use: k."""
        settled = self._settle(position, before, counter, use)
        if settled.overflow is None:
            return settled
        # Nobody's real use comes here: the counters that overflow are settled again, use by use.
        fits = np.ones(len(use), dtype=bool)
        for suspect in np.unique(counter[settled.overflow]).tolist():
            alone = np.array([suspect])
            state = before.take(alone)
            for row in np.flatnonzero(counter == suspect).tolist():
                step = self._settle(position[alone], state, np.zeros(1, dtype=np.int32), use.take(np.array([row])))
                fits[row] = step.overflow is None
                state = step.used if fits[row] else state
        rest = self._settle(position, before, counter[fits], use.take(fits))
        assert rest.overflow is None, "what does not fit has been left out"
        amount = np.zeros(len(use), dtype=rest.amount.units.dtype)
        amount[fits] = rest.amount.units
        return Settled(Decimals(amount, PICO_PLACES), rest.used, ~fits)

    def _settle(self, position: Int32s, before: Used, counter: Int32s, use: Decimals) -> Settled:
        runs = Runs(counter, len(position))
        use, held = coarsened(use), coarsened(before.quantity)
        scale = max(use.scale, held.scale)
        use, held = use.rescaled(scale).take(runs.order), held.rescaled(scale)
        quantity = runs.running(held, use)
        line = position[runs.counter]
        if isinstance(self.formula, Curve):
            amount = self._bounded(self._differences(self.formula, position, runs, held, quantity), line)
        else:
            events = before.events[runs.counter] + runs.number
            exact, charged = self.formula.amount(line, runs.previous(held, quantity), events, use)
            amount = rounded_product(exact.units, _ONE, exact.ratio, self.rounding)
            amount = np.where(charged, self._bounded(amount, line), amount)
        if self.cap_pico is not None and not self._caps_totals:
            amount = _capped(amount, self.cap_pico[line], runs, before.amount)
        lines = Decimals(amount, PICO_PLACES)
        total = runs.running(before.amount, lines)
        used = Used(runs.last(held, quantity), before.events + runs.counts, runs.last(before.amount, total))
        overflow = _overflow([quantity, lines, total])
        return Settled(lines.take(runs.back), used, None if overflow is None else overflow[runs.back])

    def _bounded(self, amount: Units, line: Int32s) -> Units:
        """Keep each amount within the bounds of its rule."""
        if self.minimum_pico is not None:
            amount = np.maximum(amount, self.minimum_pico[line])
        if self.maximum_pico is not None:
            amount = np.minimum(amount, self.maximum_pico[line])
        return amount

    @property
    def _caps_totals(self) -> bool:
        """Whether the cap bounds the curve, rather than the sum of lines that have bounds of their own."""
        return isinstance(self.formula, Curve) and self.minimum_pico is None and self.maximum_pico is None

    def _differences(self, curve: Curve, position: Int32s, runs: Runs, held: Decimals, quantity: Decimals) -> Units:
        """Return what each use adds to the rounded total of its counter, in 1e-12."""
        rules = np.concatenate([position, position[runs.counter]])
        totals = _rounded(curve.total(rules, Decimals.concat([held, quantity])), self.rounding)
        if self.cap_pico is not None and self._caps_totals:
            totals = totals.rescaled(PICO_PLACES)
            totals = Decimals(np.minimum(totals.units, self.cap_pico[rules]), PICO_PLACES)
        start, after = totals.take(np.arange(len(held))), totals.take(np.arange(len(held), len(totals)))
        bound = 2 * totals.magnitude()
        difference = widened(after.units, bound) - widened(runs.previous(start, after).units, bound)
        amount = Decimals(difference, totals.scale).rescaled(PICO_PLACES).units
        return narrowed(amount) if amount.dtype == object else amount


def _rounded(exact: Scaled, rounding: Rounding) -> Decimals:
    """Round each total; where all have few enough places already, they keep them, so that int64 goes further."""
    for scale in range(rounding.places + 1):
        factor = exact.ratio * 10**scale
        if factor.denominator == 1:
            return Decimals(Decimals(exact.units, 0).times(factor.numerator).units, scale)
    return Decimals(rounded_product(exact.units, _ONE, exact.ratio, rounding), PICO_PLACES)


def _capped(amount: Units, cap_pico: Units, runs: Runs, charged: Decimals) -> Units:
    """Cut each amount where its counter's sum would pass the cap; one after the other, since a cut changes the next."""
    held = charged.units.tolist()
    cut: list[int] = []
    for counter, one, cap in zip(runs.counter.tolist(), amount.tolist(), cap_pico.tolist(), strict=True):
        cut.append(min(one, max(cap - held[counter], 0)))
        held[counter] += cut[-1]
    return Decimals.of_integers(cut).units


def _overflow(columns: Sequence[Decimals]) -> Bools | None:
    found: Bools | None = None
    for column in columns:
        if column.units.dtype == object:  # int64 ends far below the limit
            limit = 10 ** (INTEGER_DIGITS_MAX + column.scale)
            beyond = ((column.units >= limit) | (column.units <= -limit)).astype(bool)
            found = beyond if found is None else found | beyond
    return found if found is not None and found.any() else None


def _bounds(bounds: Sequence[int | None]) -> Units | None:
    known = [bound for bound in bounds if bound is not None]
    return Decimals.of_integers(known, PICO_PLACES).units if known else None
