"""Arithmetic: the steps from an event's quantity to the amount of one line, in words and exact numbers.

Owns the tale of the numbers. They come from the code that prices; the amount that the steps lead to must be the
pricer's, or the tale is not told.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Final

import attrs
import numpy as np

from rules.book import Book, Rule
from rules.columns import MISSING, PICO_PLACES, Counter, Decimals, Int32s, Int64s, Units, Usage
from rules.commitment import minimums
from rules.contract import Contracts
from rules.cumulative import settle
from rules.describe import Step, decimal_words, fraction_text, moment_text
from rules.measure import Measures
from rules.period import SECOND_US, Per, Unit
from rules.price.cumulative import CumulativePrice, Curve
from rules.price.model import Price, Work
from rules.price.quantity import QuantitySpec, billed
from rules.price.rounding import Mode, Rounding
from rules.price_words import Event, cumulative_steps, linear_steps
from rules.quote import quoted
from rules.running import Held, used_of
from rules.table import TableIndex

_FIRST: Final = np.zeros(1, dtype=np.int32)


@attrs.frozen(eq=False)
class Won:
    """One line of one event and everything that its amount comes from.

    account: who is charged; usage: the event, one row; cells: row of a table for the event, int32[1]; charged_pico:
    amount of the line of each group by index; counter, held: what the line adds to and what that held before, or None.
    """

    book: Book
    rule: Rule
    account: str
    usage: Usage
    ask: Callable[[str], str | None]
    cells: Callable[[TableIndex], Int32s]
    charged_pico: Mapping[int, int]
    counter: Counter | None
    held: Held | None

    @property
    def amount_pico(self) -> int:
        """The amount of the line, as the pricer has it."""
        return self.charged_pico[self.rule.group_index]


def steps_of(won: Won) -> tuple[Step, ...]:
    """Return the arithmetic of a line."""
    return tuple(_Tale(won).steps())


@attrs.frozen(eq=False)
class _Row:
    """A row of the contracts that is in effect; number: int32[1]."""

    contracts: Contracts
    number: Int32s

    @property
    def place(self) -> str:
        """File and line."""
        return f"{Path(self.contracts.file).name}:{self.contracts.lines[self.number[0]]}"

    @property
    def kept(self) -> Decimal:
        """The part of a price that its discount leaves."""
        if self.contracts.kept is None:
            return Decimal(1)
        return Decimal(int(self.contracts.kept.units[self.number[0]])).scaleb(-self.contracts.kept.scale)


class _Tale:
    def __init__(self, won: Won) -> None:
        self._won = won
        self._rule = won.rule
        measure = Measures(won.usage).of(won.rule.quantity.of)
        self._counted = measure.quantity
        scaled = billed(won.rule.quantity, self._counted)
        self._work = Work(_FIRST, scaled, self._charged, won.cells)
        self._event = Event(self._work, won.ask, won.book.groups)

    def _charged(self, group: int) -> Units:
        return Decimals.of_integers([self._won.charged_pico[group]]).units

    def steps(self) -> Iterator[Step]:
        """Yield the steps; assert that they lead to the line's amount."""
        yield from self._quantity()
        price = self._rule.price
        if isinstance(price, CumulativePrice):
            use_pico = _pico(price.use(self._work))
            if price.of is not None:
                group = quoted(self._won.book.groups[price.of])
                yield Step("counted", f"the amount of group {group}", _amount_text(use_pico))
        else:
            use_pico = yield from self._linear(price)
        if self._rule.per is None:
            self._check(use_pico)
        else:
            yield from self._cumulative(self._rule.per, use_pico)

    def _check(self, amount_pico: int) -> None:
        told, charged = _amount_text(amount_pico), _amount_text(self._won.amount_pico)
        assert told == charged, f"the explanation of {self._rule.id} leads to {told}, but it charges {charged}"

    def _quantity(self) -> Iterator[Step]:
        spec = self._rule.quantity
        how = "of the event" if spec.of is None else f"the attribute {quoted(spec.of)}"
        yield Step("quantity", how, _number(self._counted))
        part = QuantitySpec(spec.of)
        for key, name, way in (
            ("round_up_to", "rounded up", "to a multiple of"),
            ("per", "divided", "by"),
            ("minimum", "at least", ""),
        ):
            number = getattr(spec, key)
            if number is not None:
                part = attrs.evolve(part, **{key: number})
                scaled = billed(part, self._counted)
                yield Step(
                    name, f"{way} {decimal_words(number)}".strip(), fraction_text(_exact(scaled.units, scaled.ratio))
                )

    def _linear(self, price: Price) -> Generator[Step, None, int]:
        """Yield the steps of a price that is one product; returns the line's amount in 1e-12."""
        base, rate = price.factors([price])(self._work)
        times, each = _exact(base.units, base.ratio), Fraction(int(rate.units[0]), 10**rate.scale)
        yield from linear_steps(price, self._event, times, each)
        own = self._by_contract(rate)
        if own is not None:
            place, each = own
            yield Step("contract", place, fraction_text(each))
            yield Step("exact", f"{fraction_text(times)} x {fraction_text(each)}", fraction_text(times * each))
        exact = times * each
        amount_pico = _rounded_pico(exact, self._rule.rounding)
        yield from self._rounded(exact, amount_pico)
        for name, bound, choose in self._bounds():
            amount_pico = choose(amount_pico, bound)
            yield Step(name, _amount_text(bound), _amount_text(amount_pico))
        return amount_pico

    def _by_contract(self, rate: Decimals) -> tuple[str, Fraction] | None:
        """Return which row of the contracts holds for the line, and the rate that it makes of the book's."""
        row = self._row(self._won.usage.time_us)
        if row is None:
            return None
        own = row.contracts.rate(row.number, rate)
        return f"{row.place}, in place of the book's price", Fraction(int(own.units[0]), 10**own.scale)

    def _row(self, time_us: Int64s) -> "_Row | None":
        """Return the row of the contracts that is in effect for the line's account and rule at a time."""
        contracts = self._won.book.contracts
        if contracts is None:
            return None
        account = np.array([contracts.accounts.get(self._won.account, MISSING)], dtype=np.int32)
        rule = np.array([self._won.book.rules.index(self._rule)], dtype=np.int32)
        number = contracts.find(account, rule, time_us)
        return None if number[0] == MISSING else _Row(contracts, number)

    def _counted_by(self, counter: Counter) -> Iterator[Step]:
        """Yield what a contract makes of a price with a counter: the row that is in effect when the period starts."""
        row = self._row(np.array([counter.period * SECOND_US], dtype=np.int64))
        if row is None or self._counted_rule is self._rule:
            return
        price, listed = self._counted_rule.price, self._rule.price
        assert isinstance(price, CumulativePrice), "only such prices have variants"
        assert isinstance(listed, CumulativePrice), "as the rule's own"
        changes = [] if price == listed.discounted(row.kept) else ["its own tiers"]
        if row.kept != 1:
            changes.append(f"{decimal_words(100 * (1 - row.kept))} percent less")
        yield Step("contract", f"{row.place}, for the whole period: {', '.join(changes)}", self._won.account)

    def _commitment(self, counter: Counter) -> Iterator[Step]:
        """Yield what is owed for the period at least: no part of this line's amount."""
        rule = self._won.book.rules.index(self._rule)
        (minimum,) = minimums(self._won.book, rule, [self._won.account], [counter.period])
        if minimum is None:
            return
        row = self._row(np.array([counter.period * SECOND_US], dtype=np.int64)) if minimum.promised else None
        by = "" if row is None else f", by {row.place}"
        yield Step(
            "at least", f"in a period{by}; what is missing is charged when it is closed", _amount_text(minimum.pico)
        )

    @property
    def _counted_rule(self) -> Rule:
        """The rule that the line's counter names: the book's, or what a contract makes of it."""
        assert self._won.counter is not None, "only lines with a counter are settled"
        return self._won.book.counted_rules[self._won.counter.rule]

    def _bounds(self) -> Iterator[tuple[str, int, Callable[[int, int], int]]]:
        if self._rule.minimum_pico is not None:
            yield "minimum", self._rule.minimum_pico, max
        if self._rule.maximum_pico is not None:
            yield "maximum", self._rule.maximum_pico, min

    def _rounded(self, exact: Fraction, amount_pico: int) -> Iterator[Step]:
        rounding = self._rule.rounding
        if exact * 10**PICO_PLACES != amount_pico or rounding != Rounding():
            yield Step("rounded", _rounding_text(rounding), _amount_text(amount_pico))

    def _cumulative(self, per: Per, use_pico: int) -> Iterator[Step]:
        counter, held = self._won.counter, self._won.held
        assert counter is not None, "a rule with periods has counters"
        assert held is not None, "and each of them holds something, if only zero"
        yield Step("period", period_text(per), moment_text(counter.period * SECOND_US) if counter.period else "ever")
        counts_amounts = not isinstance(self._rule.price, CumulativePrice) or self._rule.price.of is not None
        how = "charged so far" if counts_amounts else f"in {held.events} events"
        yield Step("used before", how, _amount_text(held.quantity_pico))
        after_pico = held.quantity_pico + use_pico
        yield Step(
            "used after", f"{_amount_text(held.quantity_pico)} + {_amount_text(use_pico)}", _amount_text(after_pico)
        )
        price = self._counted_rule.price
        yield from self._counted_by(counter)
        if isinstance(price, CumulativePrice):
            one = 10**PICO_PLACES
            yield from cumulative_steps(price, Fraction(held.quantity_pico, one), Fraction(after_pico, one))
        amount_pico = self._settled(held, use_pico)
        if self._rule.period_maximum_pico is not None:
            yield Step("at most", "in a period", _amount_text(self._rule.period_maximum_pico))
        if self._is_curve:
            before, after = (self._settled(Held(), used) for used in (held.quantity_pico, after_pico))
            rounding = self._rule.rounding
            places = "" if rounding == Rounding() else f", rounded {_rounding_text(rounding)}"
            yield Step("price of all before", f"of {_amount_text(held.quantity_pico)}{places}", _amount_text(before))
            yield Step("price of all after", f"of {_amount_text(after_pico)}{places}", _amount_text(after))
            yield Step("amount", f"{_amount_text(after)} - {_amount_text(before)}", _amount_text(amount_pico))
            assert after - before == amount_pico, f"the prices of {self._rule.id} do not telescope"
        else:
            if isinstance(self._rule.price, CumulativePrice):
                for name, bound, _ in self._bounds():
                    yield Step(name, "of an event", _amount_text(bound))
            yield Step("amount", "for this event after those before it", _amount_text(amount_pico))
        yield from self._commitment(counter)
        self._check(amount_pico)

    @property
    def _is_curve(self) -> bool:
        price = self._counted_rule.price
        bounded = self._rule.minimum_pico is not None or self._rule.maximum_pico is not None
        return isinstance(price, CumulativePrice) and isinstance(price.formula([price]), Curve) and not bounded

    def _settled(self, held: Held, use_pico: int) -> int:
        """Return what the rule charges for a use after what its counter held, in 1e-12."""
        assert self._won.counter is not None, "only lines with a counter are settled"
        rule = np.array([self._won.counter.rule], dtype=np.int32)
        use = Decimals.of_integers([use_pico], PICO_PLACES)
        return _pico(settle(self._won.book, rule, used_of([held]), _FIRST, use).amount)


def period_text(per: Per) -> str:
    """Say how long a counter counts."""
    if per.unit is Unit.EVER:
        return "one for ever"
    start = f", from the day in {quoted(per.attribute)}" if per.attribute is not None else ""
    if per.attribute is None and per.unit is Unit.MONTH and per.day != 1:
        start = f", from day {per.day}"
    if per.attribute is None and per.unit is Unit.YEAR and (per.month, per.day) != (1, 1):
        start = f", from {per.month:02}-{per.day:02}"
    return f"the {per.unit.value} in {per.zone}{start}"


def _rounding_text(rounding: Rounding) -> str:
    return f"{rounding.mode.value.replace('_', ' ')} to {rounding.places} places"


def _exact(units: Units, ratio: Fraction) -> Fraction:
    return int(units[0]) * ratio


def _number(column: Decimals) -> str:
    return fraction_text(Fraction(int(column.units[0]), 10**column.scale))


def _pico(column: Decimals) -> int:
    return int(column.rescaled(PICO_PLACES).units[0])


def _amount_text(pico: int) -> str:
    return fraction_text(Fraction(pico, 10**PICO_PLACES))


def _rounded_pico(exact: Fraction, rounding: Rounding) -> int:
    scaled = exact * 10**rounding.places
    if rounding.mode is Mode.HALF_EVEN:
        whole = round(scaled)
    else:
        size = abs(scaled)
        whole = {Mode.HALF_UP: floor(size + Fraction(1, 2)), Mode.UP: ceil(size), Mode.DOWN: floor(size)}[rounding.mode]
        whole = -whole if scaled < 0 else whole
    pico: int = whole * 10 ** (PICO_PLACES - rounding.places)
    return pico
