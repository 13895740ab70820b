"""The book: the values that a rulebook is made of once it has been read and checked.

Owns their shape. Must not know YAML, files or columns.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Final

import attrs

from rules.accounts import Accounts
from rules.condition import Condition
from rules.contract import Contracts
from rules.period import Per
from rules.price.cumulative import CumulativePrice
from rules.price.model import Price
from rules.price.quantity import QuantitySpec
from rules.price.rounding import Rounding

EVENT_FIELDS: Final = ("product", "account", "quantity")  # names that never mean an attribute
CURRENCY: Final = "currency"  # the attribute that must agree with the account's currency


class Every(StrEnum):
    """The length of a rollup's bucket, in UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@attrs.frozen
class Rollup:
    """A sum kept per account, bucket of time, and the values of `by` ("product" or dimensions)."""

    name: str
    every: Every
    by: tuple[str, ...]


@attrs.frozen(eq=False)
class Rule:
    """One rule: when it applies, whom it charges and how much.

    when: condition by field or attribute name; from_us, until_us: half-open, microseconds since 1970-01-01 UTC, None is
    no bound; charge: the attribute that names the charged account, None is the event's account; charge_parent: who pays
    for that account is charged in its stead; currency: of the price, and of the events that it is for; minimum_pico,
    maximum_pico: bounds of the line's amount in 1e-12 currency units; per: the periods in which the rule keeps a
    counter for each charged account, None where it needs none; period_minimum_pico, period_maximum_pico: bounds of what
    an account is charged in one period.
    """

    id: str
    group: str
    group_index: int
    when: Mapping[str, Condition]
    from_us: int | None
    until_us: int | None
    charge: str | None
    charge_parent: bool
    currency: str
    quantity: QuantitySpec
    price: Price | CumulativePrice
    rounding: Rounding
    minimum_pico: int | None
    maximum_pico: int | None
    per: Per | None
    period_minimum_pico: int | None
    period_maximum_pico: int | None

    @property
    def names(self) -> frozenset[str]:
        """Fields and attributes that the rule reads."""
        charged = () if self.charge is None else (self.charge,)
        counted = () if self.quantity.of is None else (self.quantity.of,)
        anchored = () if self.per is None else self.per.names
        return frozenset((*self.when, *charged, *counted, *self.price.names, *anchored))


@attrs.define(eq=False, slots=False, frozen=True)
class Book:
    """A whole rulebook; `rules` is flat and in order, so that an index into it names a rule.

    currency: of accounts that the table of accounts does not tell otherwise; groups: names in order; dimensions, keep:
    attribute names; rules of a group are adjacent; variants: rules with a counter as contracts change them, with the
    id of the rule that they stand for.
    """

    name: str
    version: int
    currency: str
    dimensions: tuple[str, ...]
    keep: tuple[str, ...]
    groups: tuple[str, ...]
    rules: tuple[Rule, ...]
    rollups: tuple[Rollup, ...]
    accounts: Accounts | None
    contracts: Contracts | None
    variants: tuple[Rule, ...] = ()

    @property
    def counted_rules(self) -> tuple[Rule, ...]:
        """The rules that a counter may name: those of the book, then `variants`."""
        return self.rules + self.variants

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Attributes that pricing, dimensions and `keep` mention, and `currency`, which pricing always checks."""
        read = frozenset[str]().union(*(rule.names for rule in self.rules)) - frozenset(EVENT_FIELDS)
        return read | {CURRENCY, *self.dimensions, *self.keep}

    @cached_property
    def currencies(self) -> tuple[str, ...]:
        """Currencies that the book has prices in, in the order of its rules."""
        return tuple(dict.fromkeys(rule.currency for rule in self.rules))

    def currency_of(self, account: str) -> str:
        """Return the currency that an account is charged in."""
        told = None if self.accounts is None else self.accounts.currency_of(account)
        return self.currency if told is None else told

    @cached_property
    def payers(self) -> frozenset[str]:
        """Attributes that name the account to charge."""
        return frozenset(rule.charge for rule in self.rules if rule.charge is not None)
