"""The oracle's reading of a book: what an event costs, in plain `decimal`, one event at a time.

Owns a second, independent statement of what a book means (rules/books/FORMAT.md); how it is written is in
`oracle_files`. Must not share code with what it checks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import cached_property, lru_cache
from typing import Any, Final

import attrs

from generators.oracle_accounts import Accounts
from generators.oracle_call import Call, cost_of
from generators.oracle_event import Event, RejectedError, field_of, is_identifier, places_of
from generators.oracle_period import PeriodOf
from generators.oracle_tiers import State, Tariff, curve_of

# 200 digits hold every product of a book exactly; rounding a quotient to 200 digits cannot change its rounding to
# twelve places, because a fraction of numbers of at most 88 digits is either a tie there or further than 1e-110 from
# one.
EXACT: Final = Context(prec=200)
_LIMIT: Final = Decimal(10) ** 26
_ATTRIBUTE_PLACES_MAX: Final = 24
_QUANTITY_PLACES_MAX: Final = 12
AMOUNT_PLACES: Final = 12
_NUMBER: Final = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)(?:[eE][+-]?[0-9]+)?")
_PICO: Final = Decimal(1).scaleb(-12)

Test = Callable[[Any], bool]  # takes a field's text or number, None when it is absent
Amounts = Mapping[str, Decimal]  # the amount of the line of each earlier group
UnitPrice = Callable[[Event, Amounts], Decimal | Call | None]  # None: no price can be found


@attrs.frozen
class Line:
    """One charge of an event. quantity: the billed quantity at 12 places; amount: in currency units.

    period: start of the period (seconds since 1970-01-01 UTC) whose counter decides the amount, None where it is final;
    use: what the charge adds to the counter. The amount is 0 until `Counters` has settled it.
    """

    group: str
    rule: str
    account: str
    quantity: Decimal
    amount: Decimal
    period: int | None = None
    use: Decimal = Decimal(0)


def uncharged(account: str) -> Line:
    """Return the line of a credit, or of a void of one."""
    return Line("", "+", account, Decimal(0), Decimal(0))


@attrs.frozen
class Rollup:
    """Sums by period ("hour", "day", "month") and by the fields named."""

    name: str
    every: str
    by: tuple[str, ...]


@attrs.frozen(eq=False)
class Measure:
    """How a rule counts: the attribute it reads (None: the event's quantity), and what happens to the number."""

    of: str | None
    round_up_to: Decimal | None
    per: Decimal
    minimum: Decimal | None


@attrs.frozen(eq=False)
class Rule:
    """One rule: when it applies, how it counts, what a unit costs, how the amount is rounded and bounded, who pays."""

    id: str
    conditions: Sequence[tuple[str, Test]]
    from_us: int | None
    until_us: int | None
    measure: Measure
    is_per_unit: bool
    share_of: str | None
    price: UnitPrice
    fixed: Decimal
    step: Decimal
    mode: str
    minimum: Decimal | None
    maximum: Decimal | None
    payer: str | None
    to_parent: bool
    currency: str
    period_of: PeriodOf | None
    tariff: Tariff | None
    per: Any = None  # as the book writes it
    least: Decimal | None = None  # of a period

    def rounded(self, exact: Decimal) -> Decimal:
        """Round an amount as the rule says."""
        return EXACT.plus(exact.quantize(self.step, rounding=self.mode, context=EXACT))  # plus: no amount is -0

    def bounded(self, amount: Decimal) -> Decimal:
        """Bound an amount as the rule says."""
        if self.maximum is not None:
            amount = min(amount, self.maximum)
        return amount if self.minimum is None else max(amount, self.minimum)


@attrs.frozen(eq=False)
class Book:
    """A book as the oracle reads it."""

    currency: str
    dimensions: frozenset[str]
    groups: Sequence[tuple[str, Sequence[Rule]]]
    rollups: Sequence[Rollup]
    accounts: Accounts

    @cached_property
    def tariffs(self) -> Mapping[str, Tariff]:
        """The prices of rules with counters, by rule."""
        return {rule.id: rule.tariff for _, rules in self.groups for rule in rules if rule.tariff is not None}

    def lines(self, event: Event) -> list[Line]:
        """Return the charges of an event, in the order of the groups.

        Raises: RejectedError with the reason when the event cannot be charged.
        """
        currency = self.accounts.currency_of(event.account)
        if event.attributes.get("currency", currency) != currency:
            raise RejectedError("wrong_currency", f"the account is in {currency}")
        if all(rule.currency != currency for _, rules in self.groups for rule in rules):
            raise RejectedError("wrong_currency", f"the book has no price in {currency}")
        lines: list[Line] = []
        amounts: dict[str, Decimal] = {}
        for group, rules in self.groups:
            for rule in rules:
                if rule.currency != currency or not _applies(rule, event):
                    continue
                price = rule.price(event, amounts)
                if price is None:
                    continue
                line = self._line(group, rule, event, price, amounts)
                lines.append(line)
                amounts[group] = line.amount
                break
        if not lines:
            raise RejectedError("no_rule", "no rule wins in any group")
        return lines

    def credit_line(self, event: Event) -> Line:
        """Return the line of a credit, which charges nothing.

        Raises: RejectedError with the reason when there can be no such credit.
        """
        terms, currency = event.terms, self.accounts.currency_of(event.account)
        assert terms is not None, "a credit has terms"
        rules = [rule for _, rules in self.groups for rule in rules if rule.currency == currency]
        if terms.currency != currency or not rules:
            raise RejectedError("wrong_currency", f"the account is in {currency}")
        if terms.kind == "grant" and not any(one.every == "hour" and "product" in one.by for one in self.rollups):
            raise RejectedError("bad_credit", "no rollup says what grants may pay")
        for product in terms.products:
            tests = [[test for name, test in rule.conditions if name == "product"] for rule in rules]
            if not any(all(test(product) for test in of_rule) for of_rule in tests):
                raise RejectedError("unknown_scope", f"no rule charges {product}")
        return uncharged(event.account)

    def _line(self, group: str, rule: Rule, event: Event, price: Decimal | Call, amounts: Amounts) -> Line:
        numerator, denominator = _billed(rule.measure, event)
        account = self._payer(rule, event)
        contract = self.accounts.contract_of(account, rule.id, group, event.time_us)
        period = None if rule.period_of is None else rule.period_of(event)
        quantity = EXACT.divide(numerator, denominator).quantize(_PICO, rounding=ROUND_HALF_EVEN, context=EXACT)
        if rule.tariff is not None and rule.tariff.curve is not identity and isinstance(price, Decimal):
            if numerator >= EXACT.multiply(_LIMIT, denominator):
                raise RejectedError("overflow", "the quantity has more than 26 digits before the point")
            use = quantity if rule.is_per_unit else price
            return Line(group, rule.id, account, quantity, Decimal(0), period, use)
        if contract is not None and contract.price is not None:
            price = contract.price if rule.share_of is None else EXACT.multiply(amounts[rule.share_of], contract.price)
        if isinstance(price, Call):
            exact = EXACT.divide(*cost_of(price, numerator, denominator))
        else:
            exact = EXACT.divide(EXACT.multiply(price, numerator), denominator) if rule.is_per_unit else price
        exact = EXACT.add(exact, rule.fixed)
        amount = rule.bounded(rule.rounded(exact if contract is None else contract.reduced(exact)))
        if numerator >= EXACT.multiply(_LIMIT, denominator) or amount.copy_abs() >= _LIMIT:
            raise RejectedError("overflow", "the quantity or the amount has more than 26 digits before the point")
        if rule.tariff is not None:
            return Line(group, rule.id, account, quantity, Decimal(0), period, amount)
        return Line(group, rule.id, account, quantity, amount)

    def _payer(self, rule: Rule, event: Event) -> str:
        account = event.account if rule.payer is None else event.attributes.get(rule.payer, "")
        if not is_identifier(account):
            raise RejectedError("bad_account", f"{rule.payer} is not an account")
        if self.accounts.currency_of(account) != rule.currency:
            raise RejectedError("wrong_currency", f"{account} is not in {rule.currency}")
        return self.accounts.payer_of(account) if rule.to_parent else account

    def tariff(self, line: Line) -> Tariff:
        """Return what a line with a counter costs: by the contract that was in effect when its period began, if any."""
        tariff = self.tariffs[line.rule]
        assert line.period is not None, "only such lines have counters"
        contract = self.accounts.contract_of(line.account, line.rule, line.group, line.period * 1_000_000)
        if contract is None or tariff.curve is identity:
            return tariff
        if contract.tiers:
            kind = "volume" if tariff.kind == "volume" else "graduated"
            tariff = attrs.evolve(tariff, curve=curve_of(kind, {"tiers": self.accounts.tiers[contract.tiers]}))
        return tariff.reduced(contract.reduced)


def _applies(rule: Rule, event: Event) -> bool:
    return (
        all(test(field_of(event, name)) for name, test in rule.conditions)
        and (rule.from_us is None or rule.from_us <= event.time_us)
        and (rule.until_us is None or event.time_us < rule.until_us)
    )


@attrs.define(eq=False)
class Counters:
    """What every account has used and been charged by every rule with a counter, in every period."""

    book: Book
    states: dict[tuple[str, str, int], State] = attrs.field(factory=dict)

    def settle(self, lines: Sequence[Line]) -> list[Line]:
        """Return the lines of one event with their amounts, and count them.

        Raises: RejectedError, and counts nothing, when an amount or a counter gets too large.
        """
        changed: dict[tuple[str, str, int], State] = {}
        settled = []
        for line in lines:
            if line.period is None:
                settled.append(line)
                continue
            key = line.account, line.rule, line.period
            tariff = self.book.tariff(line)
            amount, state = tariff.charge(changed.get(key) or self.states.get(key, State()), line.use)
            if max(map(abs, (amount, state.quantity, state.amount))) >= _LIMIT:
                raise RejectedError("overflow", "the counter or the amount has more than 26 digits before the point")
            changed[key] = state
            settled.append(attrs.evolve(line, amount=amount))
        self.states |= changed
        return settled

    def give_back(self, lines: Sequence[Line]) -> None:
        """Take settled lines of an event out of their counters, as if it had not been counted."""
        for line in lines:
            if line.period is not None:
                key = line.account, line.rule, line.period
                state = self.states[key]
                self.states[key] = State(
                    EXACT.subtract(state.quantity, line.use),
                    state.events - 1,
                    EXACT.subtract(state.amount, line.amount),
                )


def identity(quantity: Decimal) -> Decimal:
    """Return the curve of a linear price that a period caps: its amounts are what is counted."""
    return quantity


def _billed(measure: Measure, event: Event) -> tuple[Decimal, Decimal]:
    """Return the billed quantity as an exact fraction."""
    quantity: Decimal | None = event.quantity
    if measure.of is not None:
        quantity = number_of(event.attributes.get(measure.of, ""))
    if quantity is None or quantity < 0 or places_of(quantity) > _QUANTITY_PLACES_MAX:
        raise RejectedError("bad_quantity", f"{measure.of} is not a quantity")
    if measure.round_up_to is not None:
        remainder = EXACT.remainder(quantity, measure.round_up_to)
        if remainder:
            quantity = EXACT.add(EXACT.subtract(quantity, remainder), measure.round_up_to)
    if measure.minimum is not None:
        quantity = max(quantity, EXACT.multiply(measure.minimum, measure.per))
    return quantity, measure.per


@lru_cache(maxsize=65_536)
def number_of(text: str) -> Decimal | None:
    """Return the number that an attribute's text is, or None when it is not one."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    try:
        number = Decimal(text) if Decimal(found[1]) else Decimal(0)
    except InvalidOperation:  # an exponent beyond what `decimal` holds, far out of bounds in either direction
        return None
    if number.copy_abs() >= _LIMIT or places_of(number) > _ATTRIBUTE_PLACES_MAX:
        return None
    return number
