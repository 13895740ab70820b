"""Matching: which rule of each group wins for each event.

Owns the evaluation of rules, once for each distinct combination of classes and remembered across calls, and its
broadcast over the rows. Must not know prices beyond whether a rule has one.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, Final

import attrs
import numpy as np

from rules.block import blocks_of, groups_read
from rules.book import Book, Rule
from rules.candidates import Candidates
from rules.classes import NumberClasses, TextClasses, distinct
from rules.columns import INT64_LIMIT, MISSING, Coded, Int32s, Int64s, Usage, stacked
from rules.compiled import compiled, step
from rules.condition import Condition
from rules.memo import ASKED, Memo, noted, place_of
from rules.pool import Pool, What
from rules.price.table import tables_of
from rules.table import TableIndex

COMBINATIONS_MAX: Final = 1 << 20  # remembered: about 50 MB
# What a block's case is made up of: its own number, what is seen of a column, whether an earlier group has a line, ...
_CONSTANT, _SIGHT, _EARLIER, _TIME, _QUANTITY, _CURRENCY = range(6)

Names = tuple[str, ...]


@attrs.frozen(eq=False)
class Matched:
    """The winners: `winners[g]` holds the index of the rule that won in group g, or -1; int32[groups, n].

    lines: how many winners there are; unmatched: whether some event has none at all;
    column: gives the column of some names (the combined keys of several); rows: finds, for a table's index, its row for
    each event (int32[n], MISSING where there is none).
    """

    winners: Int32s
    lines: int
    unmatched: bool
    column: Callable[[Names], Coded]
    rows: Callable[[TableIndex], Int32s]


class Matcher:
    """Finds the winning rules of a book; holds bounded memos that never change a result."""

    def __init__(self, book: Book) -> None:
        self._currencies = book.currencies
        self._groups = len(book.groups)
        self._blocks = [_Block(g, rules) for g, members in _by_group(book) for rules in blocks_of(members)]
        sights = [sight for block in self._blocks for sight in block.sights]
        self._pool = Pool([(sight.what, sight.missing) for sight in sights])
        names = list(dict.fromkeys(sight.names for sight in sights))
        self._names = names
        self._fields = [names.index(sight.names) for sight in sights]
        self._field_of = np.array(self._fields, dtype=np.int64)
        self._plan()

    def _plan(self) -> None:
        """Write down how the key of each block's case is made up of numbers."""
        parts, bounds, ends, width = [], [0], [0], 1
        self._classes = [block.quantity for block in self._blocks if block.quantity.count > 1]
        sight, quantity = 0, 0
        for number, block in enumerate(self._blocks):
            found = [(_CONSTANT, number, len(self._blocks))]
            for one in block.sights:
                found.append((_SIGHT, sight, one.count))
                sight += 1
            found += [(_EARLIER, group, 2) for group in block.earlier_groups]
            found.append((_TIME, number, len(block.ends_us) + 1))
            if block.quantity.count > 1:
                found.append((_QUANTITY, quantity, block.quantity.count))
                quantity += 1
            found.append((_CURRENCY, 0, len(self._currencies)))
            word, size = 0, 1
            for kind, which, count in found:
                if count == 1:
                    continue
                if size * count > INT64_LIMIT - 1:
                    word, size = word + 1, 1
                parts.append((kind, which, word, size))
                size *= count
            width = max(width, word + 1)
            bounds.append(len(parts))
            ends.append(ends[-1] + len(block.ends_us))
        self._memo = Memo(width)
        self._parts = np.array(parts, dtype=np.int64).reshape(-1, 4)
        groups = [block.group for block in self._blocks]
        self._bounds = np.array([bounds, ends, [*groups, self._groups]], dtype=np.int64)
        self._ends_us = np.concatenate([np.zeros(0, dtype=np.int64), *(block.ends_us for block in self._blocks)])

    def match(self, usage: Usage, currency: Int32s) -> Matched:
        """Return the winner of every group for every event; currency: int32[n], index into the book's currencies."""
        sought = _Sought(usage)
        columns = [sought.column(names) for names in self._names]
        self._pool.update([columns[field] for field in self._fields])
        codes = stacked([column.codes for column in columns], len(usage))
        classes = np.empty((len(self._classes), len(usage)), dtype=np.int64)
        for place, one in enumerate(self._classes):
            classes[place] = one.classes(usage.quantity)
        winners = np.empty((self._groups, len(usage)), dtype=np.int32)
        memo = self._memo
        if len(memo) > COMBINATIONS_MAX:
            memo.clear()
        key = np.empty((len(usage), memo.keys.shape[1]), dtype=np.int64)
        row, lines, unmatched = 0, 0, 0
        while row < len(usage):
            memo.make_room()
            row, asked, lines, unmatched = _find(
                row,
                self._parts,
                self._bounds,
                self._ends_us,
                codes,
                self._field_of,
                self._pool.first,
                self._pool.numbers,
                usage.time_us,
                classes,
                currency,
                key,
                memo.keys,
                memo.answers,
                memo.questions,
                winners,
            )
            for place, at in memo.questions[:asked].tolist():
                block, event = divmod(at, len(usage))
                memo.answer(place, self._evaluate(self._blocks[block], usage, event, currency, winners[:, event]))
        return Matched(winners, lines, unmatched > 0, sought.column, sought.rows)

    def _evaluate(self, block: "_Block", usage: Usage, row: int, currency: Int32s, won: Int32s) -> int:
        """Evaluate the rules of a block for one event, as the book's format says."""
        ask = asker(usage, row)
        time_us = int(usage.time_us[row])
        own, earlier = self._currencies[currency[row]], won.tolist()
        candidates = ((i, rule) for i, rule in block.candidates.of(ask) if rule.currency == own)
        return next((i for i, rule in candidates if wins(rule, ask, time_us, earlier)), MISSING)


class _Sought:
    """What is looked up for one batch of usage: columns by name or names, and rows of tables, each once."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
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


@attrs.frozen(eq=False)
class _Sight:
    """What some rules see of one column: the number of each value, below `count`, and of a missing one."""

    names: Names
    what: What
    missing: int
    count: int


class _Block:
    """Some rules of one group, evaluated together, and what their outcome depends on."""

    def __init__(self, group: int, rules: Sequence[tuple[int, Rule]]) -> None:
        self.group = group
        self.candidates = Candidates(rules)
        self.earlier_groups = sorted({group for _, rule in rules for group in groups_read(rule)})
        conditions: dict[str, list[Condition]] = {}
        for _, rule in rules:
            for name, condition in rule.when.items():
                conditions.setdefault(name, []).append(condition)
        self.quantity = NumberClasses(conditions.pop("quantity", []))
        columns = {name: TextClasses(found) for name, found in conditions.items()}
        # Of tables with empty cells in the same rows one is enough.
        tables = list(tables_of(rule.price for _, rule in rules))
        masks = {(table.index, table.priced.tobytes()): table for table in dict.fromkeys(tables)}
        self.sights = [
            *(_Sight((name,), found.of, 0, found.count) for name, found in columns.items()),
            *(_Sight(table.index.names, table.are_priced, 0, 2) for table in masks.values()),
        ]
        ends = {end for _, rule in rules for end in (rule.from_us, rule.until_us) if end is not None}
        self.ends_us = np.array(sorted(ends), dtype=np.int64)


@compiled
def _find(  # noqa: C901, PLR0912 - every kind of part
    start: int,
    parts: Int64s,
    bounds: Int64s,
    ends_us: Int64s,
    codes: Int32s,
    field_of: Int64s,
    first: Int64s,
    numbers: Int64s,
    time_us: Int64s,
    classes: Int64s,
    currency: Int32s,
    key: Int64s,
    keys: Int64s,
    answers: Int32s,
    questions: Int64s,
    winners: Int32s,
) -> tuple[int, int, int, int]:
    """Write the winners of events from `start` on.

    Returns the first event without all of them, and the questions; once there is none, the winners and the events
    without any.
    """
    groups, events = winners.shape
    waiting, asked = events, 0
    for group in range(groups):
        winners[group, start:] = MISSING
    for block in range(bounds.shape[1] - 1):
        group = bounds[2, block]
        key[start:] = 0
        for part in range(bounds[0, block], bounds[0, block + 1]):
            kind, which, word, factor = parts[part]
            if kind == _SIGHT:
                field, begin = codes[field_of[which]], first[which]
                for at in range(start, events):
                    key[at, word] += numbers[begin + field[at]] * factor
            elif kind == _EARLIER:
                for at in range(start, events):
                    key[at, word] += factor if winners[which, at] >= 0 else 0
            elif kind == _TIME:
                for at in range(start, events):
                    key[at, word] += _passed(ends_us, bounds[1, which], bounds[1, which + 1], time_us[at]) * factor
            else:
                for at in range(start, events):
                    number = which
                    if kind == _QUANTITY:
                        number = classes[which, at]
                    elif kind == _CURRENCY:
                        number = np.int64(currency[at])
                    key[at, word] += number * factor
        for at in range(start, events):
            place = place_of(keys, answers, key[at])
            won = answers[place]
            if waiting < events and _waits(parts, bounds, block, winners, at):
                won = ASKED  # the key means nothing yet
            elif won < MISSING:
                won = ASKED
                asked = noted(keys, answers, questions, asked, place, key[at], block * events + at)
            if won == ASKED:
                waiting = min(waiting, at)
            best = winners[group, at]
            if won == ASKED or (best != ASKED and won >= 0 and (best < 0 or won < best)):
                winners[group, at] = won
    lines, unmatched = 0, 0
    if waiting == events:
        for at in range(events):
            before = lines
            for group in range(groups):
                lines += 1 if winners[group, at] >= 0 else 0
            unmatched += 1 if lines == before else 0
    return waiting, asked, lines, unmatched


@step
def _waits(parts: Int64s, bounds: Int64s, block: int, winners: Int32s, at: int) -> bool:
    """Tell whether a block reads an earlier group whose winner is not known yet."""
    for part in range(bounds[0, block], bounds[0, block + 1]):
        if parts[part, 0] == _EARLIER and winners[parts[part, 1], at] == ASKED:
            return True
    return False


@step
def _passed(ends_us: Int64s, start: int, stop: int, time_us: int) -> int:
    """Return how many of some ascending ends are not after a time."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if ends_us[middle] <= time_us:
            low = middle + 1
        else:
            high = middle
    return low - start


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
