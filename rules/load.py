"""Loading: a book's file into a checked Book, or every problem that it has.

Owns the top level of the format and the limits of a book. Must not know how rules are priced.
"""

import gc
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from rules.book import EVENT_FIELDS, Book, Every, Rollup, Rule
from rules.document import Mapping, Node, Problems, read_document
from rules.errors import BookError, Problem
from rules.fields import NAME, NAME_WANTED, Fields
from rules.load_rule import RuleReader
from rules.price.model import Source
from rules.price.tiers import Tier, read_tiers
from rules.quote import quoted
from rules.read_accounts import read_accounts
from rules.read_contracts import read_contracts
from rules.read_table import Tables

GROUPS_MAX: Final = 64  # lines of one event: what a statement can still explain
RULES_MAX: Final = 100_000  # beyond it prices belong in a table
ROLLUPS_MAX: Final = 16  # each costs an upserted row a line
NAMES_MAX: Final = 16  # dimensions, and attributes kept
VERSION_MAX: Final = 2**31 - 1  # an INT column
OPTIONAL: Final = ("dimensions", "keep", "rollups", "accounts", "contracts", "tiers")
CURRENCIES_MAX: Final = 64  # price lists that one team keeps in step


def load(path: str | os.PathLike[str]) -> Book:
    """Read a book and its tables.

    Raises BookError with all its problems.
    """
    examined = examine(path)
    if examined.problems or examined.book is None:
        raise BookError(examined.problems)
    return examined.book


def check(path: str | os.PathLike[str]) -> list[Problem]:
    """Return everything wrong with a book and its tables, by file and line; nothing if it can be loaded."""
    return examine(path).problems


@attrs.frozen(eq=False)
class Examined:
    """A book's file as it was read: book and document (None where there is none), and everything wrong with it."""

    book: Book | None
    root: Node | None
    problems: list[Problem]


def examine(path: str | os.PathLike[str]) -> Examined:
    """Read a book and its tables whatever is wrong with them; problems come by file and line."""
    problems = Problems(Path(path))
    with _collector_paused():
        root = read_document(problems)
        book = None if root is None else _BookReader(problems).book(root)
    found = sorted(problems.found, key=lambda problem: (problem.path != str(path), problem.path, problem.line))
    return Examined(book, root, found)


@contextmanager
def _collector_paused() -> Iterator[None]:
    # A big book makes a tree of many nodes and no garbage; the collector would go through them again and again, which
    # takes as long as reading them.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _BookReader:
    def __init__(self, problems: Problems) -> None:
        self._fields = Fields(problems)
        self._tables = Tables(problems)
        self._rules_left = RULES_MAX

    def book(self, root: Node) -> Book | None:
        """Read the top level."""
        entries = self._fields.mapping(root, ["book", "version", "currency", "charges"], OPTIONAL)
        if entries is None:
            return None
        name = self._fields.name(entries["book"])
        version = self._fields.integer(entries["version"], 1, VERSION_MAX)
        currency = self._fields.currency(entries["currency"])
        dimensions, keep = (
            tuple(self._fields.attributes(entries[key], NAMES_MAX, EVENT_FIELDS)) if key in entries else ()
            for key in ("dimensions", "keep")
        )
        found = len(self._fields.problems.found)  # contracts name rules and accounts, so that these must be right
        groups, rules = self._charges(entries["charges"], currency or "", has_accounts="accounts" in entries)
        accounts = (
            read_accounts(entries["accounts"], self._fields, self._tables, currency or "")
            if "accounts" in entries
            else None
        )
        rollups = self._rollups(entries["rollups"], dimensions) if "rollups" in entries else ()
        tier_lists = self._tier_lists(entries["tiers"]) if "tiers" in entries else {}
        # What is missing has been noted, so that nobody gets to see what stands in for it.
        book = Book(
            name or "", version or 0, currency or "", dimensions, keep, groups, rules, rollups, accounts, contracts=None
        )
        if "contracts" in entries and len(self._fields.problems.found) == found:
            book = read_contracts(entries["contracts"], self._fields, self._tables, book, tier_lists)
        return book

    def _tier_lists(self, node: Node) -> dict[str, tuple[Tier, ...]]:
        if not isinstance(node, Mapping):
            self._fields.wrong(node, 'must be a mapping of names to tiers, such as {gold: [{unit: "0.01"}]}')
            return {}
        lists: dict[str, tuple[Tier, ...]] = {}
        for name, value in node.entries.items():
            tiers = read_tiers(value, self._fields)
            if not NAME.fullmatch(name):
                self._fields.wrong(value, f"{quoted(name)} is not a name; {NAME_WANTED}")
            elif tiers is not None:
                lists[name] = tiers
        return lists

    def _charges(
        self, node: Node, book_currency: str, *, has_accounts: bool
    ) -> tuple[tuple[str, ...], tuple[Rule, ...]]:
        groups: dict[str, int] = {}
        counting: set[str] = set()  # groups of which some rules keep counters
        lists: set[tuple[str, str]] = set()  # a group has one list of rules a currency
        rules: dict[str, Rule] = {}
        items = self._fields.items(node, GROUPS_MAX * CURRENCIES_MAX)
        if not items:
            self._fields.wrong(node, "has no group; add one")
        for item in items:
            entries = self._fields.mapping(item, ["group", "rules"], ["currency"])
            if entries is None:
                continue
            # Stand-ins for what is wrong, so that the rules are checked too.
            name = self._fields.name(entries["group"]) or item.key_path
            currency = (self._fields.currency(entries["currency"]) or "") if "currency" in entries else book_currency
            if (name, currency) in lists:
                place = f" in {currency}" if "currency" in entries else ""
                self._fields.wrong(entries["group"], f"the group {quoted(name)} exists already{place}; rename one")
                name = item.key_path
            lists.add((name, currency))
            index = groups.setdefault(name, len(groups))
            source = Source(self._fields, tuple(groups)[:index], counting, self._tables)
            reader = RuleReader(source, name, index, currency, has_accounts=has_accounts)
            self._rules(entries["rules"], reader, rules)
            if reader.counts:
                counting.add(name)
        self._check_counts(node, lists)
        return tuple(groups), tuple(sorted(rules.values(), key=lambda rule: rule.group_index))

    def _check_counts(self, node: Node, lists: Collection[tuple[str, str]]) -> None:
        groups, currencies = len({name for name, _ in lists}), len({currency for _, currency in lists})
        if groups > GROUPS_MAX:
            self._fields.wrong(node, f"has {groups} groups; at most {GROUPS_MAX} are allowed")
        if currencies > CURRENCIES_MAX:
            self._fields.wrong(node, f"has prices in {currencies} currencies; at most {CURRENCIES_MAX} are allowed")

    def _rules(self, node: Node, reader: RuleReader, rules: dict[str, Rule]) -> None:
        items = self._fields.items(node, RULES_MAX)
        self._rules_left -= len(items)
        if not items:
            self._fields.wrong(node, "has no rule; add one")
        if self._rules_left < 0:
            self._fields.wrong(node, f"the book has more than {RULES_MAX} rules; move prices into a table")
            return
        for item in items:
            rule = reader.rule(item)
            if rule is not None and rule.id in rules:
                self._fields.wrong(item, f"the rule {quoted(rule.id)} exists already; rename one")
            elif rule is not None:
                rules[rule.id] = rule

    def _rollups(self, node: Node, dimensions: tuple[str, ...]) -> tuple[Rollup, ...]:
        rollups: dict[str, Rollup] = {}
        for item in self._fields.items(node, ROLLUPS_MAX):
            entries = self._fields.mapping(item, ["name", "every"], ["by"])
            if entries is None:
                continue
            name = self._fields.name(entries["name"])
            every = self._fields.choice(entries["every"], Every)
            by = self._by(entries["by"], dimensions) if "by" in entries else ()
            if name in rollups:
                self._fields.wrong(entries["name"], f"the rollup {quoted(name)} exists already; rename one")
            elif name is not None and every is not None:
                rollups[name] = Rollup(name, every, by)
        return tuple(rollups.values())

    def _by(self, node: Node, dimensions: tuple[str, ...]) -> tuple[str, ...]:
        names = self._fields.attributes(node, NAMES_MAX + 1)
        for name in names:
            if name != "product" and name not in dimensions:
                self._fields.wrong(
                    node,
                    f"{quoted(name)} is not a dimension; add it to dimensions, or use one of "
                    f"{', '.join(('product', *dimensions))}",
                )
        return tuple(names)
