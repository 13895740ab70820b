"""Candidates: which rules of a group could win for an event at all, so that a big group is not read through each time.

Owns the index. Must not know what else must hold.
"""

from collections.abc import Callable, Sequence

from rules.book import Rule
from rules.condition import OneOf


class Candidates:
    """Rules of one group, indexed by their rarest equality."""

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
