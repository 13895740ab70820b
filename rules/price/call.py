"""Call prices: a fee to connect, then a rate for each started increment, both of which may change along the call."""

from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import attrs
import numpy as np

from rules.columns import PICO_PLACES, Decimals, Int32s
from rules.document import Node
from rules.fields import decimal_fault
from rules.number import BOOK_PLACES_MAX, book_decimal
from rules.price.deck import DECK_COLUMNS, Deck, Terms
from rules.price.model import Ask, Factors, Price, Source, Work
from rules.price.quantity import Scaled
from rules.price.steps import Interval, Plans, Step, steps_of
from rules.price.table import KeyedPrice, TableKey
from rules.quote import quoted

INTERVALS_MAX: Final = 16  # after the first; what is sold has two or three
_ONE: Final = Decimal(1)
_KEYS: Final = ("connect", "rate", "unit", "increments", "table", "then")


@attrs.frozen(eq=False)
class Call:
    """`{call: {connect: .., rate: .., unit: 60, increments: 60/1}}`; steps: what that comes to."""

    steps: tuple[Step, ...]

    @classmethod
    def read(cls, node: Node, source: Source) -> "Call | CallTable | None":
        """Read the terms, or where they stand."""
        entries = source.fields.mapping(node, [], _KEYS)
        if entries is None:
            return None
        found = len(source.fields.problems.found)
        terms = _terms(entries, source)
        if ("rate" in entries) == ("table" in entries):
            source.fields.wrong(node, "must have either rate or table; keep one of them")
            return None
        if "table" in entries:
            if "then" in entries:
                source.fields.wrong(entries["then"], "does not go with a table, which has no rates for it; remove it")
            return CallTable.of(entries["table"], terms, source)
        rate = source.fields.decimal(entries["rate"], BOOK_PLACES_MAX)
        then = _then(entries["then"], source, terms) if "then" in entries else []
        if rate is None or len(source.fields.problems.found) > found:
            return None
        phases = [_Phase(Decimal(0), rate, terms.unit, terms.first, terms.following), *then]
        return cls(tuple(steps_of(Fraction(terms.connect), _intervals(phases))))

    @property
    def names(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    @property
    def lane(self) -> Hashable:
        """Calls of equally many steps, whose amounts have one denominator."""
        return Call, len(self.steps), max(step.denominator for step in self.steps)

    def found(self, _ask: Ask, _won: Sequence[int]) -> bool:
        """Tell that there always is a price."""
        return True

    def factors(self, prices: Sequence[Price]) -> Factors:
        """Give the whole amount; it is multiplied by 1."""
        plans = Plans.of([price.steps for price in prices if isinstance(price, Call)])
        return lambda work: _priced(plans, work.positions, work)


@attrs.frozen(eq=False)
class CallTable(KeyedPrice):
    """`{call: {table: {file: .., longest_prefix: to, rate: .., connect: .., first: ..}}}`: a row has the terms."""

    deck: Deck

    @classmethod
    def of(cls, node: Node, terms: Terms, source: Source) -> "CallTable | None":
        """Read which file and columns; `terms` are for what they do not say."""
        entries = source.fields.mapping(node, ["file", "rate"], ["key", "longest_prefix", *DECK_COLUMNS])
        key = None if entries is None else TableKey.read(node, entries, source)
        if entries is None or key is None:
            return None
        given = [name for name in ("rate", *DECK_COLUMNS) if name in entries]
        columns = [source.fields.text(entries[name]) for name in given]
        named = {str(name): column for name, column in zip(given, columns, strict=True) if column is not None}
        if len(named) < len(columns):
            return None
        asked = key.file, key.names, key.by_prefix, tuple(named.items()), terms
        return source.tables.once(asked, lambda: cls._read(key, named, terms, source))

    @classmethod
    def _read(cls, key: TableKey, columns: Mapping[str, str], terms: Terms, source: Source) -> "CallTable | None":
        deck = Deck.read(key, columns, terms, source)
        return None if deck is None else cls(deck.rate, deck)

    @property
    def lane(self) -> Hashable:
        """Prices of the same columns and terms, which are one object."""
        return self

    def factors(self, _prices: Sequence[Price]) -> Factors:
        """Give the whole amount; it is multiplied by 1."""
        plans, index = self.deck.plans, self.table.index
        return lambda work: _priced(plans, work.cells(index), work)


def _priced(plans: Plans, plan: Int32s, work: Work) -> tuple[Scaled, Decimals]:
    return plans.amounts(plan, work.billed), Decimals(np.ones(1, dtype=np.int64), 0)


@attrs.frozen
class _Phase:
    """A part of a call: from `after` on, a first increment and then others, at a rate for so many units."""

    after: Decimal
    rate: Decimal
    unit: Decimal
    first: Decimal
    following: Decimal


def _intervals(phases: Sequence[_Phase]) -> list[Interval]:
    """Write each first increment that differs from those that follow as an interval of its own."""
    intervals: list[Interval] = []
    for phase, later in zip(phases, [*phases[1:], None], strict=True):
        rate, after = Fraction(phase.rate) / Fraction(phase.unit), Fraction(phase.after)
        if phase.first != phase.following:
            intervals.append(Interval(after, rate, Fraction(phase.first)))
            after += Fraction(phase.first)
        if later is None or after < later.after:
            intervals.append(Interval(after, rate, Fraction(phase.following)))
    return intervals


def _terms(entries: Mapping[str, Node], source: Source) -> Terms:
    fields = source.fields
    connect = fields.decimal(entries["connect"], BOOK_PLACES_MAX) if "connect" in entries else None
    unit = _positive(entries["unit"], source) if "unit" in entries else None
    first, following = _increments(entries["increments"], source) if "increments" in entries else (_ONE, _ONE)
    return Terms(connect or Decimal(0), unit or _ONE, first, following)


def _then(node: Node, source: Source, terms: Terms) -> list[_Phase]:
    """Read the later phases; a unit or increment that one does not state is as before."""
    phases: list[_Phase] = []
    after, unit, following = Decimal(0), terms.unit, terms.following
    for item in source.fields.items(node, INTERVALS_MAX):
        entries = source.fields.mapping(item, ["after", "rate"], ["unit", "increments"])
        if entries is None:
            continue
        begins, rate = _positive(entries["after"], source), source.fields.decimal(entries["rate"], BOOK_PLACES_MAX)
        if begins is not None and begins <= after:
            source.fields.wrong(entries["after"], f"{begins} is not above {after}; write the intervals in order")
        after = begins or after
        unit = (_positive(entries["unit"], source) if "unit" in entries else None) or unit
        first = following
        if "increments" in entries:
            first, following = _increments(entries["increments"], source)
        phases.append(_Phase(after, rate or Decimal(0), unit, first, following))
    return phases


def _positive(node: Node, source: Source) -> Decimal | None:
    number = source.fields.decimal(node, PICO_PLACES)
    if number is not None and number <= 0:
        source.fields.wrong(node, f"{number} is not above 0; write a number above 0")
        return None
    return number


def _increments(node: Node, source: Source) -> tuple[Decimal, Decimal]:
    """Read `60/1`, the first increment and those that follow, or one number for both."""
    text = source.fields.text(node)
    parts = [] if text is None else text.split("/")
    numbers = [book_decimal(part) for part in parts if decimal_fault(part, PICO_PLACES) is None]
    known = [number for number in numbers if number is not None and number > 0]
    if text is not None and (len(known) < len(parts) or len(parts) not in {1, 2}):
        source.fields.wrong(node, f"{quoted(text)} is no increment; write the first and the next above 0, such as 60/1")
    return (known[0], known[-1]) if known else (_ONE, _ONE)
