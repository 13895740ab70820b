"""Matching: which rule of each group wins for each event.

Owns the evaluation of rules, once for each distinct combination of classes and remembered across calls, and its
broadcast over the rows. Must not know prices beyond whether a rule has one.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from math import prod
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from rules.block import blocks_of, groups_read
from rules.book import Book, Rule
from rules.classes import NumberClasses, TextClasses, combined, distinct
from rules.columns import MISSING, Coded, Int32s, Usage
from rules.condition import Condition, OneOf
from rules.price.table import tables_of
from rules.table import TableIndex

CASES_MAX: Final = 1 << 21  # of a block whose winners stand in an array: 8 MB if all of them happened
COMBINATIONS_MAX: Final = 1 << 17  # remembered of a block that has more cases: about 40 MB at ten columns
_UNKNOWN: Final = 0  # in the array of winners, where _FIRST is added: nobody has won (MISSING) is 1, rule 0 is 2
_FIRST: Final = 2

Names = tuple[str, ...]


@attrs.frozen(eq=False)
class Matched:
    """The winners: `winners[g]` holds the index of the rule that won in group g, or -1; int32[groups, n].

    rows: finds, for a table's index, its row for each event (int32[n], MISSING where there is none).
    """

    winners: Int32s
    rows: Callable[[TableIndex], Int32s]


class Matcher:
    """Finds the winning rules of a book; holds bounded memos that never change a result."""

    def __init__(self, book: Book) -> None:
        currencies = book.currencies
        self._groups = [[_Block(rules, currencies) for rules in blocks_of(members)] for _, members in _by_group(book)]

    def match(self, usage: Usage, currency: Int32s) -> Matched:
        """Return the winner of every group for every event; currency: int32[n], index into the book's currencies."""
        sought = _Sought(usage, currency)
        winners: list[Int32s] = []
        for blocks in self._groups:
            # As unsigned integers, so that MISSING comes after every rule.
            first = blocks[0].winners(sought, winners).view(np.uint32)
            for block in blocks[1:]:
                first = np.minimum(first, block.winners(sought, winners).view(np.uint32))
            winners.append(first.view(np.int32))
        return Matched(np.stack(winners), sought.rows)


class _Sought:
    """What is looked up for one batch of usage: columns by name or names, and rows of tables, each once."""

    def __init__(self, usage: Usage, currency: Int32s) -> None:
        self.usage = usage
        self.currency = currency
        self._columns: dict[Names, Coded] = {}
        self._rows: dict[TableIndex, Int32s] = {}

    def column(self, names: Names) -> Coded:
        if names not in self._columns:
            self._columns[names] = _column(self.usage, names)
        return self._columns[names]

    def rows(self, index: TableIndex) -> Int32s:
        if index not in self._rows:
            self._rows[index] = self.column(index.names).derived(index.keys.rows, MISSING)
        return self._rows[index]


class _Block:
    """Some rules of one group, evaluated together; remembers the winner of each combination of classes."""

    def __init__(self, rules: Sequence[tuple[int, Rule]], currencies: Sequence[str]) -> None:
        self._candidates = _Candidates(rules)
        self._currencies = currencies
        self._earlier_groups = sorted({group for _, rule in rules for group in groups_read(rule)})
        conditions: dict[str, list[Condition]] = {}
        for _, rule in rules:
            for name, condition in rule.when.items():
                conditions.setdefault(name, []).append(condition)
        self._quantity = NumberClasses(conditions.pop("quantity", []))
        self._columns = {name: TextClasses(found) for name, found in conditions.items()}
        # Of tables with empty cells in the same rows one is enough.
        tables = list(tables_of(rule.price for _, rule in rules))
        masks = {(table.index, table.priced.tobytes()): table.priced for table in dict.fromkeys(tables)}
        self._priced = [(index, priced) for (index, _), priced in masks.items()]
        ends = {end for _, rule in rules for end in (rule.from_us, rule.until_us) if end is not None}
        self._ends_us = np.array(sorted(ends), dtype=np.int64)
        self._sizes = [
            *(column.count for column in self._columns.values()),
            *(2 for _ in (*self._priced, *self._earlier_groups)),
            len(self._ends_us) + 1,
            self._quantity.count,
            len(currencies),
        ]
        self._forget()

    def winners(self, sought: _Sought, won: Sequence[Int32s]) -> Int32s:
        """Return the first rule that wins for each event, or MISSING; won: the winners of the groups before."""
        usage = sought.usage
        codes: list[NDArray[Any]] = [
            *(sought.column((name,)).derived(column.of, 0) for name, column in self._columns.items()),
            *(priced[sought.rows(index)] for index, priced in self._priced),
            *(won[group] != MISSING for group in self._earlier_groups),
            np.searchsorted(self._ends_us, usage.time_us, side="right"),
            self._quantity.classes(usage.quantity),
            sought.currency,
        ]
        if self._by_case is None:
            return self._remembered(codes, sought, won)
        cases, _ = combined(codes, self._sizes)
        found = self._by_case[cases]
        new = np.flatnonzero(found == _UNKNOWN)
        if len(new):
            _, examples = np.unique(cases[new], return_index=True)
            for row in new[examples].tolist():
                self._by_case[cases[row]] = self._evaluate(sought, row, won) + _FIRST
            found = self._by_case[cases]
        return found - np.int32(_FIRST)

    def _forget(self) -> None:
        """Begin anew: an array over all cases where that is small, else a dict."""
        cases = prod(self._sizes)
        # Zeros take no memory before they are written to.
        self._by_case = np.zeros(cases, dtype=np.int32) if cases <= CASES_MAX else None
        self._by_codes: dict[tuple[int, ...], int] = {}

    def _remembered(self, codes: Sequence[NDArray[Any]], sought: _Sought, won: Sequence[Int32s]) -> Int32s:
        if len(self._by_codes) > COMBINATIONS_MAX:
            self._forget()
        examples, combination = distinct(codes, self._sizes)
        keys = zip(*(code[examples].tolist() for code in codes), strict=True)
        found = []
        for key, row in zip(keys, examples.tolist(), strict=True):
            winner = self._by_codes.get(key)
            if winner is None:
                winner = self._by_codes[key] = self._evaluate(sought, row, won)
            found.append(winner)
        return np.array(found, dtype=np.int32)[combination]

    def _evaluate(self, sought: _Sought, row: int, won: Sequence[Int32s]) -> int:
        """Evaluate the rules for one event, as the book's format says."""
        ask = asker(sought.usage, row)
        time_us = int(sought.usage.time_us[row])
        currency = self._currencies[sought.currency[row]]
        earlier = [int(winners[row]) for winners in won]
        candidates = ((i, rule) for i, rule in self._candidates.of(ask) if rule.currency == currency)
        return next((i for i, rule in candidates if wins(rule, ask, time_us, earlier)), MISSING)


def wins(rule: Rule, ask: Callable[[str], str | None], time_us: int, won: Sequence[int]) -> bool:
    """Tell whether a rule applies to an event and has a price for it; `won` holds the winners of earlier groups."""
    return (
        (rule.from_us is None or rule.from_us <= time_us)
        and (rule.until_us is None or time_us < rule.until_us)
        and all(condition.holds(ask(name)) for name, condition in rule.when.items())
        and rule.price.found(ask, won)
    )


def asker(usage: Usage, row: int) -> Callable[[str], str | None]:
    """Return a function that gives the text of a field or attribute of one event, None where it is absent."""

    def ask(name: str) -> str | None:
        if name == "quantity":
            return f"{usage.quantity.units[row]}e-{usage.quantity.scale}"
        column = _column(usage, (name,))
        code = int(column.codes[row])
        return None if code == MISSING else column.values[code]

    return ask


def _column(usage: Usage, names: Names) -> Coded:
    """Return the column of one name, or of several: combined keys, absent where any part is."""
    if len(names) > 1:
        parts = [_column(usage, (name,)) for name in names]
        examples, combination = distinct([part.codes + 1 for part in parts], [len(part.values) + 1 for part in parts])
        texts = zip(*(part.take(examples).rows() for part in parts), strict=True)
        index: dict[Any, int] = {}
        codes = [MISSING if None in key else index.setdefault(key, len(index)) for key in texts]
        return Coded(np.array(codes, dtype=np.int32), list(index)).take(combination)
    if names[0] == "product":
        return usage.product
    return usage.account if names[0] == "account" else usage.attributes[names[0]]


def _by_group(book: Book) -> Iterable[tuple[int, list[tuple[int, Rule]]]]:
    return ((g, list(rules)) for g, rules in groupby(enumerate(book.rules), key=lambda pair: pair[1].group_index))


class _Candidates:
    """Rules of one group, indexed by their rarest equality, so that a big group is not read through each time."""

    def __init__(self, rules: Sequence[tuple[int, Rule]]) -> None:
        uses: dict[tuple[str, str], int] = {}
        for _, rule in rules:
            for anchor in _equalities(rule):
                for pair in anchor:
                    uses[pair] = uses.get(pair, 0) + 1
        self._any: list[tuple[int, Rule]] = []
        self._by_text: dict[str, dict[str, list[tuple[int, Rule]]]] = {}
        for i, rule in rules:
            anchor = min(_equalities(rule), key=lambda pairs: sum(uses[pair] for pair in pairs), default=[])
            if not anchor:
                self._any.append((i, rule))
            for name, text in anchor:
                self._by_text.setdefault(name, {}).setdefault(text, []).append((i, rule))

    def of(self, ask: Callable[[str], str | None]) -> list[tuple[int, Rule]]:
        """Return the rules that could win, in the book's order."""
        found = [*self._any]
        for name, by_text in self._by_text.items():
            found += by_text.get(ask(name) or "", ())
        return sorted(found, key=lambda pair: pair[0])


def _equalities(rule: Rule) -> list[list[tuple[str, str]]]:
    conditions = rule.when.items()
    return [[(name, text) for text in test.texts] for name, test in conditions if isinstance(test, OneOf)]
