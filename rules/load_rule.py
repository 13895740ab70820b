"""Loading rules: one rule's node into a checked Rule.

Owns the spelling of conditions, quantities, rounding and bounds. Prices read themselves.
"""

from decimal import Decimal
from typing import Final

import attrs

from rules.book import EVENT_FIELDS, Rule
from rules.columns import PICO_PLACES
from rules.commitment import minimum_fault
from rules.condition import All, Condition, Exists, Not, OneOf, OneOfNumbers, Prefix, Range
from rules.document import Items, Mapping, Node
from rules.load_period import read_per
from rules.number import BOOK_PLACES_MAX, units_of
from rules.period import Per
from rules.price import MODELS
from rules.price.cumulative import CumulativePrice
from rules.price.model import Price, Source
from rules.price.quantity import QuantitySpec
from rules.price.rounding import Mode, Rounding

TEXTS_MAX: Final = 10_000  # alternatives of one condition; more belong in a table
CONDITIONS_MAX: Final = 32  # of one rule

_ATOMS: Final = ("prefix", "min", "max", "exists", "not")


@attrs.frozen
class _Period:
    """The periods of a rule's counter and what may be charged in one; as in Rule."""

    per: Per | None
    minimum_pico: int | None
    maximum_pico: int | None


class RuleReader:
    """Reads the rules of one group."""

    def __init__(self, source: Source, group: str, group_index: int, currency: str, *, has_accounts: bool) -> None:
        self._source = source
        self._fields = source.fields
        self._group = group
        self._group_index = group_index
        self._currency = currency
        self._has_accounts = has_accounts
        self.counts = False  # whether a rule so far keeps a counter

    def rule(self, node: Node) -> Rule | None:
        """Read one rule; every part is checked, whatever is wrong with the others."""
        optional = ("when", "from", "until", "quantity", "round", "minimum", "maximum", "per_period", "charge")
        entries = self._fields.mapping(node, ["id", "price"], optional)
        if entries is None:
            return None
        found = len(self._fields.problems.found)
        rule_id = self._fields.name(entries["id"])
        price = self._price(entries["price"])
        rounding = self._rounding(entries["round"]) if "round" in entries else Rounding()
        minimum_pico, maximum_pico = self._bounds(entries, rounding)
        per = price.per if isinstance(price, CumulativePrice) else None
        period = _Period(per, None, None)
        if "per_period" in entries:
            period = self._per_period(entries["per_period"], price, rounding)
        self.counts |= period.per is not None
        from_us, until_us = (
            self._fields.instant_us(entries[key]) if key in entries else None for key in ("from", "until")
        )
        if from_us is not None and until_us is not None and from_us >= until_us:
            self._fields.wrong(entries["until"], "the rule is never in effect; write a time after `from`")
        when = self._when(entries["when"]) if "when" in entries else {}
        quantity = self._quantity(entries["quantity"]) if "quantity" in entries else QuantitySpec()
        charge, charge_parent = self._charge(entries["charge"]) if "charge" in entries else (None, False)
        if rule_id is None or price is None or len(self._fields.problems.found) > found:
            return None
        rule = Rule(
            id=rule_id,
            group=self._group,
            group_index=self._group_index,
            when=when,
            from_us=from_us,
            until_us=until_us,
            charge=charge,
            charge_parent=charge_parent,
            currency=self._currency,
            quantity=quantity,
            price=price,
            rounding=rounding,
            minimum_pico=minimum_pico,
            maximum_pico=maximum_pico,
            per=period.per,
            period_minimum_pico=period.minimum_pico,
            period_maximum_pico=period.maximum_pico,
        )
        fault = None if period.minimum_pico is None else minimum_fault(rule, period.minimum_pico)
        if fault is not None:
            self._fields.wrong(entries["per_period"], fault)
        return rule

    def _price(self, node: Node) -> Price | CumulativePrice | None:
        found = len(self._fields.problems.found)
        entries = self._fields.mapping(node, [], [*MODELS])
        if entries is None or len(self._fields.problems.found) > found:
            return None
        if len(entries) != 1:
            self._fields.wrong(node, f"must have exactly one of {', '.join(MODELS)}")
            return None
        ((model, value),) = entries.items()
        return MODELS[model](value, self._source)

    def _rounding(self, node: Node) -> Rounding:
        entries = self._fields.mapping(node, [], ["places", "mode"]) or {}
        places = self._fields.integer(entries["places"], 0, PICO_PLACES) if "places" in entries else PICO_PLACES
        mode = self._fields.choice(entries["mode"], Mode) if "mode" in entries else Mode.HALF_EVEN
        return Rounding(PICO_PLACES if places is None else places, mode or Mode.HALF_EVEN)

    def _bounds(
        self, entries: dict[str, Node], rounding: Rounding, least: Decimal | None = None
    ) -> tuple[int | None, int | None]:
        minimum, maximum = (
            self._fields.decimal(entries[key], rounding.places, least) if key in entries else None
            for key in ("minimum", "maximum")
        )
        if minimum is not None and maximum is not None and minimum > maximum:
            self._fields.wrong(entries["maximum"], "is below the minimum; write a larger one")
        minimum_pico, maximum_pico = (
            None if bound is None else units_of(bound, PICO_PLACES) for bound in (minimum, maximum)
        )
        return minimum_pico, maximum_pico

    def _per_period(self, node: Node, price: Price | CumulativePrice | None, rounding: Rounding) -> "_Period":
        entries = self._fields.mapping(node, [], ["per", "minimum", "maximum"])
        if entries is None:
            return _Period(None, None, None)
        minimum_pico, maximum_pico = self._bounds(entries, rounding, Decimal(0))
        if "minimum" not in entries and "maximum" not in entries:
            self._fields.wrong(node, "has neither minimum nor maximum; write one of them")
        per = read_per(entries["per"], self._fields) if "per" in entries else None
        if isinstance(price, CumulativePrice):
            if "per" in entries:
                self._fields.wrong(entries["per"], "the price has its own period; leave this one out")
            per = price.per
        elif "per" not in entries:
            self._fields.wrong(node, 'the key "per" is missing; add it, such as per: month')
        return _Period(per, minimum_pico, maximum_pico)

    def _charge(self, node: Node) -> tuple[str | None, bool]:
        entries = self._fields.mapping(node, [], ["attribute", "parent"]) or {}
        name = self._fields.attribute(entries["attribute"], EVENT_FIELDS) if "attribute" in entries else None
        if "parent" not in entries:
            return name, False
        if self._fields.boolean(entries["parent"]) is False:
            self._fields.wrong(entries["parent"], "is what happens anyway; write true, or leave it out")
        elif not self._has_accounts:
            self._fields.wrong(
                entries["parent"], "the book knows no parents; add `accounts: {file: accounts.csv}` at its top level"
            )
        return name, True

    def _quantity(self, node: Node) -> QuantitySpec:
        entries = self._fields.mapping(node, [], ["of", "round_up_to", "per", "minimum"]) or {}
        of = self._fields.attribute(entries["of"], EVENT_FIELDS) if "of" in entries else None
        round_up_to, per, minimum = (
            self._fields.decimal(entries[key], PICO_PLACES, Decimal(0)) if key in entries else None
            for key in ("round_up_to", "per", "minimum")
        )
        for key, number in (("round_up_to", round_up_to), ("per", per)):
            if number is not None and number.is_zero():
                self._fields.wrong(entries[key], "is 0, which nothing can be divided by; write a number above 0")
        return QuantitySpec(of, round_up_to, per, minimum)

    def _when(self, node: Node) -> dict[str, Condition]:
        if not isinstance(node, Mapping):
            self._fields.wrong(node, "must be a mapping of attribute to condition, such as {product: sms}")
            return {}
        if len(node.entries) > CONDITIONS_MAX:
            self._fields.wrong(node, f"has more than {CONDITIONS_MAX} conditions; split the rule")
            return {}
        conditions = {name: self._condition(name, value) for name, value in node.entries.items()}
        return {name: condition for name, condition in conditions.items() if condition is not None}

    def _condition(self, name: str, node: Node) -> Condition | None:
        if isinstance(node, Mapping):
            return self._tests(name, node)
        values = self._fields.items(node, TEXTS_MAX) if isinstance(node, Items) else [node]
        if isinstance(node, Items) and not values:
            self._fields.wrong(node, "lists no value, so that it never holds; write at least one")
        if name == "quantity":
            numbers = [self._fields.decimal(value, BOOK_PLACES_MAX) for value in values]
            return OneOfNumbers(frozenset(number for number in numbers if number is not None))
        texts = [self._fields.text(value) for value in values]
        return OneOf(frozenset(text for text in texts if text is not None))

    def _tests(self, name: str, node: Mapping) -> Condition | None:
        refused = {"quantity": ("prefix", "exists"), "product": ("exists",), "account": ("exists",)}.get(name, ())
        entries = self._fields.mapping(node, [], [test for test in _ATOMS if test not in refused]) or {}
        conditions: list[Condition | None] = []
        if "prefix" in entries:
            conditions.append(self._prefix(entries["prefix"]))
        if "min" in entries or "max" in entries:
            conditions.append(self._range(entries))
        if "exists" in entries:
            present = self._fields.boolean(entries["exists"])
            conditions.append(None if present is None else Exists(present))
        if "not" in entries:
            condition = self._condition(name, entries["not"])
            conditions.append(None if condition is None else Not(condition))
        known = tuple(condition for condition in conditions if condition is not None)
        return known[0] if len(known) == 1 else All(known)

    def _prefix(self, node: Node) -> Condition:
        values = self._fields.items(node, TEXTS_MAX) if isinstance(node, Items) else [node]
        prefixes = [self._fields.text(value) for value in values]
        if "" in prefixes or not values:
            self._fields.wrong(node, "an empty prefix begins every text; write {exists: true}, or a prefix")
        return Prefix(tuple(dict.fromkeys(prefix for prefix in prefixes if prefix)))

    def _range(self, entries: dict[str, Node]) -> Condition:
        least, below = (
            self._fields.decimal(entries[key], BOOK_PLACES_MAX) if key in entries else None for key in ("min", "max")
        )
        if least is not None and below is not None and least >= below:
            self._fields.wrong(entries["max"], "the range is empty, since max is not in it; write a max above min")
        return Range(least, below)
