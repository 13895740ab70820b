"""Differences: what two books charge for the same events, added up by rule and by account.

Owns the sums; memory grows with rules and accounts, never with events. Must not know where events come from or how
differences are shown.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np

from rules.book import Book
from rules.changes import NEW, OLD, SIDES, Changes, Counts, SideLines, compared, summed
from rules.columns import Int32s, Int64s, Lines, Usage
from rules.pricer import Pricer
from rules.running import Running


@attrs.define
class Sums:
    """Lines and amounts (1e-12) of one rule or account under both books."""

    old_lines: int = 0
    new_lines: int = 0
    old_pico: int = 0
    new_pico: int = 0

    @property
    def difference_pico(self) -> int:
        """How much more the new book charges."""
        return self.new_pico - self.old_pico

    def add(self, side: int, lines: int, pico: int) -> None:
        """Add lines of one side."""
        if side == OLD:
            self.old_lines += lines
            self.old_pico += pico
        else:
            self.new_lines += lines
            self.new_pico += pico


class Diff:
    """Compares two books over batches of events, in the order of a log that begins with nothing used."""

    def __init__(self, old: Book, new: Book) -> None:
        self._books = (old, new)
        self._pricers = tuple(Pricer(book) for book in self._books)
        self._running = tuple(Running(book) for book in self._books)
        self._rules = _Names()
        self._accounts = _Names()
        groups = {name: i for i, name in enumerate(dict.fromkeys([*old.groups, *new.groups]))}
        self._groups = list(groups)
        self._rule_of = [self._rules.codes(rule.id for rule in book.rules) for book in self._books]
        self._group_of = [np.array([groups[rule.group] for rule in book.rules], dtype=np.int64) for book in self._books]
        self._by_rule = [Sums() for _ in self._rules.names]
        self._by_account: list[Sums] = []
        self.counts = Counts()
        self.total = Sums()

    @property
    def attributes(self) -> frozenset[str]:
        """Attributes that either book reads."""
        return self._books[OLD].attributes | self._books[NEW].attributes

    @property
    def payers(self) -> frozenset[str]:
        """Attributes by which either book names charged accounts."""
        return self._books[OLD].payers | self._books[NEW].payers

    def rules(self) -> Mapping[str, Sums]:
        """Return the sums of each rule of either book, in the order of the old one."""
        return dict(zip(self._rules.names, self._by_rule, strict=True))

    def accounts(self) -> Mapping[str, Sums]:
        """Return the sums of each account that was charged, in order of appearance."""
        return dict(zip(self._accounts.names, self._by_account, strict=True))

    def add(self, usage: Usage) -> "Changes":
        """Price a batch by both books, add it to the sums and return what differs."""
        priced = [
            running.settle(pricer.price(usage)) for running, pricer in zip(self._running, self._pricers, strict=True)
        ]
        places = max(one.lines.quantity.scale for one in priced)
        columns = [self._columns(side, priced[side].lines, places) for side in SIDES]
        for side in SIDES:
            self._sum(side, columns[side])
        changes = compared(len(usage), columns, priced, self._groups, self._rules.names, self._accounts.names)
        self.counts.events += len(usage)
        changes.count(self.counts)
        return changes

    def _columns(self, side: int, lines: Lines, places: int) -> "SideLines":
        account = self._accounts.of_column(lines.account.codes, lines.account.values)
        self._by_account += [Sums() for _ in range(len(self._accounts.names) - len(self._by_account))]
        return SideLines(
            key=lines.event.astype(np.int64) * len(self._groups) + self._group_of[side][lines.rule],
            rule=self._rule_of[side][lines.rule],
            account=account,
            quantity=lines.quantity.rescaled(places),
            amount=lines.amount,
        ).sorted()

    def _sum(self, side: int, columns: "SideLines") -> None:
        for codes, sums in ((columns.rule, self._by_rule), (columns.account, self._by_account)):
            for code, lines, pico in summed(codes, columns.amount.units):
                sums[code].add(side, lines, pico)
        for _, lines, pico in summed(np.zeros(len(columns.rule), dtype=np.int64), columns.amount.units):
            self.total.add(side, lines, pico)


class _Names:
    """Texts and their codes, in order of first appearance."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._codes: dict[str, int] = {}

    def codes(self, texts: Iterable[str]) -> Int64s:
        """Return the code of each text."""
        return np.array([self._code(text) for text in texts], dtype=np.int64)

    def of_column(self, codes: Int32s, values: Sequence[str]) -> Int64s:
        """Return the code of each row of a column, looking only at values that occur."""
        used, place = np.unique(codes, return_inverse=True)
        return self.codes(values[code] for code in used.tolist())[place]

    def _code(self, text: str) -> int:
        code = self._codes.setdefault(text, len(self.names))
        if code == len(self.names):
            self.names.append(text)
        return code
