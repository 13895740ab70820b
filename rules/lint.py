"""Lint: what a book allows but can hardly mean: rules that never win, gaps between dates, idle dimensions and rows.

Owns the warnings of `rules check`; only what is certain is said. What makes a book unusable is for `load`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Final

import attrs

from rules.book import Book, Rule
from rules.columns import MISSING
from rules.condition import Condition, OneOf, Prefix, atoms
from rules.describe import moment_text
from rules.document import Items, Node, Text
from rules.document import Mapping as MappingNode
from rules.errors import Problem
from rules.implication import all_implied, contradicts_itself
from rules.load import GROUPS_MAX
from rules.price.cumulative import CumulativePrice
from rules.price.model import Price
from rules.price.percentage import Percentage
from rules.price.table import KeyedPrice
from rules.quote import quoted
from rules.table import ExactKeys, Key, TableIndex

ROW_CHECKS_MAX: Final = 2_000_000  # keys times conditions tried: about a second; a table beyond it is not looked at
DIMENSION_VALUES_MAX: Final = 1_000  # rollup rows an account and hour; more is what `keep` is for

_ALWAYS_US: Final = 1 << 62  # beyond every date


def warnings(book: Book, root: Node, path: Path) -> list[Problem]:
    """Return what is odd about a book without a problem, by line; root: its document."""
    found = _Lint(book, _Places(path, root))
    return sorted(found.problems(), key=lambda problem: problem.line)


class _Places:
    """Finds the node that a warning is about."""

    def __init__(self, path: Path, root: Node) -> None:
        self._path = str(path)
        self._root = root
        groups = _entry(root, "charges")
        lists = list(groups.items) if isinstance(groups, Items) else []
        # The rules of a group stand together in a book, whatever stands between its lists of several currencies.
        names = [name.text if isinstance(name, Text) else "" for name in (_entry(one, "group") for one in lists)]
        ranks = {name: rank for rank, name in enumerate(dict.fromkeys(names))}
        ordered = sorted(zip(names, lists, strict=True), key=lambda pair: ranks[pair[0]])
        rules = (_entry(one, "rules") for _, one in ordered)
        self._rules = [rule for items in rules for rule in (items.items if isinstance(items, Items) else ())]

    def line(self, rule: int) -> int:
        """Return a rule's line."""
        return self._rules[rule].line

    def warning(self, message: str, *keys: str, rule: int | None = None) -> Problem:
        """Return a warning about a key of the book, or of a rule by its index."""
        node = self._root if rule is None else self._rules[rule]
        for key in keys:
            node = _entry(node, key) or node
        return Problem(self._path, node.line, node.key_path, message, warning=True)


def _entry(node: Node, key: str) -> Node | None:
    return node.entries.get(key) if isinstance(node, MappingNode) else None


@attrs.frozen(eq=False)
class _Lint:
    book: Book
    places: _Places

    def problems(self) -> Iterator[Problem]:
        """Yield every warning."""
        contradictory = set[int]()
        for i, rule in enumerate(self.book.rules):
            for name, condition in rule.when.items():
                if contradicts_itself(condition):
                    contradictory.add(i)
                    message = "nothing satisfies all of this at once, so that the rule never wins; mend the condition"
                    yield self.places.warning(message, "when", name, rule=i)
        lists: dict[tuple[int, str], list[tuple[int, Rule]]] = {}
        for i, rule in enumerate(self.book.rules):
            if i not in contradictory:
                lists.setdefault((rule.group_index, rule.currency), []).append((i, rule))
        for rules in lists.values():
            yield from self._unreachable(rules)
            yield from self._gaps(rules)
        yield from self._dimensions()
        yield from self._rows()

    def _unreachable(self, rules: Sequence[tuple[int, Rule]]) -> Iterator[Problem]:
        """Yield the rules that earlier rules of their group leave nothing for."""
        earlier = _ByAnchor(rules)
        for i, rule in rules:
            found = {
                j: other
                for j, other in earlier.candidates(rule)
                if j < i and all_implied(rule.when, other.when) and _found_with(rule.price, other.price)
            }
            covering = sorted(found.items(), key=itemgetter(0))
            if _uncovered(_span(rule), [_span(other) for _, other in covering]) is None:
                needed = _needed(rule, covering)
                names = " and ".join(f"{quoted(other.id)} (line {self.places.line(j)})" for j, other in needed)
                win = "wins" if len(needed) == 1 else "win"
                yield self.places.warning(
                    f"never wins: {names} before it {win} in every case; move or remove it", rule=i
                )

    def _gaps(self, rules: Sequence[tuple[int, Rule]]) -> Iterator[Problem]:
        """Yield the times between rules of equal conditions at which no rule takes their events."""
        families: dict[frozenset[tuple[str, Condition]], list[tuple[int, Rule]]] = {}
        for i, rule in rules:
            families.setdefault(frozenset(rule.when.items()), []).append((i, rule))
        dated = [family for family in families.values() if len(family) > 1]
        anchors = _ByAnchor(rules) if dated else None
        for family in dated:
            assert anchors is not None, "made for the first family"
            first = family[0][1]
            others = [_span(other) for _, other in anchors.candidates(first) if all_implied(first.when, other.when)]
            ordered = sorted(family, key=lambda pair: _span(pair[1]))
            for (_, before), (i, after) in pairwise(ordered):
                start, stop = _span(before)[1], _span(after)[0]
                if start < stop and _uncovered((start, stop), others) is not None:
                    yield self.places.warning(
                        f"no rule takes such events from {moment_text(start)}, where {quoted(before.id)} ends, until "
                        f"{moment_text(stop)}; let the dates touch",
                        "from",
                        rule=i,
                    )

    def _dimensions(self) -> Iterator[Problem]:
        """Yield the dimensions that nothing uses, and those with too many values for rollups."""
        used = {name for rollup in self.book.rollups for name in rollup.by}
        used |= {name for rule in self.book.rules for name in rule.names}
        for name in self.book.dimensions:
            if name not in used:
                yield self.places.warning(
                    f"no rollup and no rule uses {quoted(name)}; remove it, or add it to a rollup's `by`", "dimensions"
                )
            elif wide := self._width(name):
                yield self.places.warning(
                    f"{quoted(name)} has too many values for a dimension: {wide}; list it under keep instead",
                    "dimensions",
                )

    def _width(self, name: str) -> str | None:
        """Say why an attribute has many values, or None where nothing tells."""
        for rule in self.book.rules:
            by = f"the rule {quoted(rule.id)}"
            if rule.quantity.of == name:
                return f"{by} counts it"
            if _prefix_of(rule.price) == name:
                return f"{by} looks its beginning up in a table"
            index = rule.price.table.index if isinstance(rule.price, KeyedPrice) else None
            if index is not None and index.names == (name,) and len(_keys(index)) > DIMENSION_VALUES_MAX:
                return f"{quoted(index.file)} has {len(_keys(index))} of them"
        return None

    def _rows(self) -> Iterator[Problem]:
        """Yield the tables that have rows which no rule can use."""
        uses: dict[TableIndex, dict[Conditions, int]] = {}
        for i, rule in enumerate(self.book.rules):
            if isinstance(rule.price, KeyedPrice):
                index = rule.price.table.index
                restricted = tuple((name, rule.when[name]) for name in index.names if name in rule.when)
                uses.setdefault(index, {}).setdefault(restricted, i)
        for index, restrictions in uses.items():
            keys = _keys(index)
            if () in restrictions or len(keys) * len(restrictions) > ROW_CHECKS_MAX:
                continue
            idle = [key for key in keys if not any(_usable(index, key, used) for used in restrictions)]
            if idle:
                shown = quoted(idle[0] if isinstance(idle[0], str) else ", ".join(idle[0]))
                yield self.places.warning(
                    f"{len(idle)} of {len(keys)} rows of {quoted(index.file)} are used by no rule, such as "
                    f"{shown}; remove them, or widen `when`",
                    "price",
                    "table",
                    "file",
                    rule=min(restrictions.values()),
                )


Conditions = tuple[tuple[str, Condition], ...]
Span = tuple[int, int]
AnyPrice = Price | CumulativePrice


def _usable(index: TableIndex, key: Key, restrictions: Conditions) -> bool:
    """Tell whether an event whose texts find this row may satisfy the conditions."""
    texts = dict(zip(index.names, (key,) if isinstance(key, str) else key, strict=True))
    return all(condition.holds(texts[name]) for name, condition in restrictions)


def _keys(index: TableIndex) -> Collection[Key]:
    """Return the keys of a table; of one that is looked up by prefix none, since prefixes are not kept as texts."""
    return index.keys.row_of if isinstance(index.keys, ExactKeys) else ()


def _prefix_of(price: AnyPrice) -> str | None:
    """Return the attribute whose beginning chooses the row of a table."""
    by_prefix = isinstance(price, KeyedPrice) and not isinstance(price.table.index.keys, ExactKeys)
    return price.names[0] if by_prefix else None


def _found_with(given: AnyPrice, wanted: AnyPrice) -> bool:
    """Tell whether a price is certainly found where another one is."""
    if isinstance(wanted, KeyedPrice):
        return isinstance(given, KeyedPrice) and given.table is wanted.table
    if isinstance(wanted, Percentage):
        return isinstance(given, Percentage) and given.of == wanted.of
    # What reads nothing of the event and is found where no group made a line is always found.
    return not wanted.names and wanted.found(lambda _: None, [MISSING] * GROUPS_MAX)


class _ByAnchor:
    """Rules by one text that an event must have for them, so that not every pair of a big group is compared."""

    def __init__(self, rules: Iterable[tuple[int, Rule]]) -> None:
        self._any: list[tuple[int, Rule]] = []
        self._equal: dict[tuple[str, str], list[tuple[int, Rule]]] = {}
        self._begins: dict[tuple[str, str], list[tuple[int, Rule]]] = {}
        rules = list(rules)
        counts: dict[tuple[str, str], int] = {}
        for _, rule in rules:
            for name, condition in rule.when.items():
                for text in condition.texts if isinstance(condition, OneOf) else ():
                    counts[name, text] = counts.get((name, text), 0) + 1
        for pair in rules:
            self._add(pair, counts)

    def _add(self, pair: tuple[int, Rule], counts: Mapping[tuple[str, str], int]) -> None:
        when = pair[1].when
        equalities = [(name, test.texts) for name, test in when.items() if isinstance(test, OneOf)]
        prefixes = [(name, test.prefixes) for name, test in when.items() if isinstance(test, Prefix)]
        rarest = min(equalities, key=lambda one: sum(counts[one[0], text] for text in one[1]), default=None)
        common = rarest is None or sum(counts[rarest[0], text] for text in rarest[1]) > len(rarest[1])
        if prefixes and common:
            for prefix in prefixes[0][1]:
                self._begins.setdefault((prefixes[0][0], prefix), []).append(pair)
        elif rarest is not None:
            for text in rarest[1]:
                self._equal.setdefault((rarest[0], text), []).append(pair)
        else:
            self._any.append(pair)

    def candidates(self, rule: Rule) -> Iterator[tuple[int, Rule]]:
        """Yield rules, among them each one whose conditions those of `rule` may imply."""
        yield from self._any
        for name, condition in rule.when.items():
            for test in atoms(condition):
                if isinstance(test, OneOf):
                    yield from self._equal.get((name, min(test.texts)), ())
                if isinstance(test, OneOf | Prefix):
                    text = min(test.texts if isinstance(test, OneOf) else test.prefixes)
                    for length in range(1, len(text) + 1):
                        yield from self._begins.get((name, text[:length]), ())


def _span(rule: Rule) -> Span:
    """Return when a rule is in effect: half-open, microseconds."""
    start = -_ALWAYS_US if rule.from_us is None else rule.from_us
    return start, _ALWAYS_US if rule.until_us is None else rule.until_us


def _uncovered(span: Span, spans: Iterable[Span]) -> Span | None:
    """Return the first part of a span that the spans leave out, or None."""
    start, stop = span
    for other_start, other_stop in sorted(spans):
        if start >= stop:
            return None
        if other_start > start:
            return start, min(stop, other_start)
        start = max(start, other_stop)
    return None if start >= stop else (start, stop)


def _needed(rule: Rule, covering: Sequence[tuple[int, Rule]]) -> Sequence[tuple[int, Rule]]:
    """Return one rule that covers another alone, or all of those that do it together."""
    alone = (pair for pair in covering if _uncovered(_span(rule), [_span(pair[1])]) is None)
    one = next(alone, None)
    return covering if one is None else [one]
