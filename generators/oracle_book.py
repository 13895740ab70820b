"""The oracle's reading of a book: what an event costs, in plain `decimal`, one event at a time.

Owns a second, independent statement of the book's format (rules/books/FORMAT.md), for books that are known to be valid.
Must not share code with what it checks.
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Context, Decimal, InvalidOperation
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import attrs
import yaml

from generators import oracle_accounts
from generators.oracle_accounts import Accounts
from generators.oracle_call import Call, Terms, call_of, cost_of
from generators.oracle_event import Event, RejectedError, field_of, is_identifier, places_of, text_of
from generators.oracle_period import PeriodOf, period_of
from generators.oracle_tiers import State, Tariff, curve_of, free_percentage

# 200 digits hold every product of a book exactly; rounding a quotient to 200 digits cannot change its rounding to
# twelve places, because a fraction of numbers of at most 88 digits is either a tie there or further than 1e-110 from
# one.
EXACT: Final = Context(prec=200)
_LIMIT: Final = Decimal(10) ** 26
_ATTRIBUTE_PLACES_MAX: Final = 24
_QUANTITY_PLACES_MAX: Final = 12
_AMOUNT_PLACES: Final = 12
_MODES: Final = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "up": ROUND_UP, "down": ROUND_DOWN}
_NUMBER: Final = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)(?:[eE][+-]?[0-9]+)?")
_PICO: Final = Decimal(1).scaleb(-12)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

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


def load(path: Path) -> Book:
    """Return a valid book read from its YAML file and the CSV files beside it."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    groups: dict[str, list[Rule]] = {}
    for group in document["charges"]:
        currency = group.get("currency", document["currency"])
        groups.setdefault(group["group"], []).extend(_rule(rule, path.parent, currency) for rule in group["rules"])
    rollups = [
        Rollup(rollup["name"], rollup["every"], tuple(rollup.get("by") or ()))
        for rollup in document.get("rollups") or ()
    ]
    accounts = oracle_accounts.load(document, path.parent)
    return Book(document["currency"], frozenset(document.get("dimensions") or ()), [*groups.items()], rollups, accounts)


def _rule(source: dict[str, Any], folder: Path, currency: str) -> Rule:
    charge = source.get("charge") or {}
    counting = source.get("quantity") or {}
    rounding = source.get("round") or {}
    ((kind, price),) = source["price"].items()
    options = price if isinstance(price, dict) else {}
    bounds = source.get("per_period") or {}
    per = options.get("per", bounds.get("per"))
    rule = Rule(
        id=source["id"],
        conditions=[
            (name, _test(spec, is_number=name == "quantity")) for name, spec in (source.get("when") or {}).items()
        ],
        from_us=_moment_us(source.get("from")),
        until_us=_moment_us(source.get("until")),
        measure=Measure(
            of=counting.get("of"),
            round_up_to=_optional(counting.get("round_up_to")),
            per=_decimal(counting.get("per", 1)),
            minimum=_optional(counting.get("minimum")),
        ),
        share_of=options.get("of"),
        is_per_unit=kind != "flat" and "of" not in options,
        price=_price(kind, price, folder),
        fixed=_decimal(options.get("fixed", 0)),
        step=Decimal(1).scaleb(-rounding.get("places", _AMOUNT_PLACES)),
        mode=_MODES[rounding.get("mode", "half_even")],
        minimum=_optional(source.get("minimum")),
        maximum=_optional(source.get("maximum")),
        payer=charge.get("attribute"),
        to_parent=charge.get("parent", False),
        currency=currency,
        period_of=None if per is None else period_of(per),
        tariff=None,
    )
    return (
        rule
        if per is None
        else attrs.evolve(
            rule,
            tariff=_tariff(rule, kind, options, _optional(bounds.get("maximum"))),
            per=per,
            least=_optional(bounds.get("minimum")),
        )
    )


def _tariff(rule: Rule, kind: str, price: dict[str, Any], cap: Decimal | None) -> Tariff:
    if "per" not in price:
        return Tariff(identity, None, identity, None, None, cap)
    if kind == "percentage":
        return Tariff(None, free_percentage(price), rule.rounded, rule.minimum, rule.maximum, cap)
    return Tariff(curve_of(kind, price), None, rule.rounded, rule.minimum, rule.maximum, cap, kind)


def _decimal(value: int | str) -> Decimal:
    return Decimal(str(value))


def _optional(value: int | str | None) -> Decimal | None:
    return None if value is None else _decimal(value)


def _moment_us(value: date | str | None) -> int | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _test(spec: Any, *, is_number: bool) -> Test:  # noqa: ANN401 - whatever YAML holds
    if isinstance(spec, dict):
        tests = [_keyed_test(key, value, is_number=is_number) for key, value in spec.items()]
        return lambda field: all(test(field) for test in tests)
    wanted = {_decimal(one) if is_number else str(one) for one in (spec if isinstance(spec, list) else [spec])}
    return lambda field: field in wanted


def _keyed_test(key: str, value: Any, *, is_number: bool) -> Test:  # noqa: ANN401 - whatever YAML holds
    match key:
        case "not":
            inner = _test(value, is_number=is_number)
            return lambda field: not inner(field)
        case "exists":
            return lambda field: (field is not None) == value
        case "prefix":
            prefixes = tuple(map(str, value)) if isinstance(value, list) else str(value)
            return lambda field: field is not None and field.startswith(prefixes)
        case "min":
            low = _decimal(value)
            return lambda field: (number := _as_number(field)) is not None and number >= low
        case "max":
            high = _decimal(value)
            return lambda field: (number := _as_number(field)) is not None and number < high
        case _:
            raise AssertionError(f"a valid book has no condition {key}")


def _as_number(field: str | Decimal | None) -> Decimal | None:
    return number_of(field) if isinstance(field, str) else field


def _price(kind: str, source: Any, folder: Path) -> UnitPrice:  # noqa: ANN401 - whatever YAML holds
    match kind:
        case "per_unit" | "flat":
            amount = _decimal(source)
            return lambda _event, _amounts: amount
        case "percentage":
            rate = Decimal(1) if "per" in source else _decimal(source["rate"])
            if "of" not in source:
                return lambda _event, _amounts: rate
            group = source["of"]
            return lambda _event, amounts: EXACT.multiply(amounts[group], rate) if group in amounts else None
        case "graduated_percentage" if "of" in source:
            return lambda _event, amounts: amounts.get(source["of"])
        case "graduated" | "graduated_percentage" | "volume" | "package" | "allowance":
            return lambda _event, _amounts: Decimal(0)  # what it costs is settled later
        case "table" | "call":
            return _table_price(source, folder) if kind == "table" else _call_price(source, folder)
        case _:
            raise AssertionError(f"a valid book has no price {kind}")


def _table_price(source: dict[str, Any], folder: Path) -> UnitPrice:
    rows = _rows(folder / source["file"])
    return _row_price(source, rows, [_cell(row[source["column"]]) for row in rows])


def _call_price(source: dict[str, Any], folder: Path) -> UnitPrice:
    terms, table = Terms.of(source), source.get("table")
    if table is None:
        call = call_of(terms, source)
        return lambda _event, _amounts: call
    rows = _rows(folder / table["file"])
    return _row_price(table, rows, [terms.call_of_row(table, row) for row in rows])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _row_price(
    source: dict[str, Any], rows: list[dict[str, str]], prices: Sequence[Decimal | Call | None]
) -> UnitPrice:
    """Return the price of the row that an event's texts choose."""
    if "key" in source:
        names = source["key"]
        by_key: dict[tuple[object, ...], Decimal | Call | None] = {
            tuple(row[name] for name in names): price for row, price in zip(rows, prices, strict=True)
        }
        return lambda event, _: by_key.get(tuple(text_of(event, name) for name in names))
    cells = {row["prefix"]: price for row, price in zip(rows, prices, strict=True)}
    lengths = sorted(set(map(len, cells)), reverse=True)

    def price(event: Event, _: Amounts) -> Decimal | Call | None:
        text = text_of(event, source["longest_prefix"])
        if text is None:
            return None
        return next(
            (cells[text[:length]] for length in lengths if len(text) >= length and text[:length] in cells), None
        )

    return price


def _cell(text: str) -> Decimal | None:
    return Decimal(text) if text else None
