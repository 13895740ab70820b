"""Explaining: why an event is charged what it is: which rules were tried, why each lost, and the arithmetic.

Owns the tale, not the prices: amounts are those of the pricer, and an explanation that does not lead to them is a
defect that stops it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby

import attrs
import numpy as np

from rules.arithmetic import Won, steps_of
from rules.book import Book, Rule
from rules.columns import MISSING, PICO_PLACES, Decimals, Lines, Reject, Usage
from rules.cumulative import settle
from rules.describe import Step, condition_text, failing, moment_text
from rules.match import asker, wins
from rules.number import decimal_text
from rules.price.table import KeyedPrice
from rules.price_words import row_text
from rules.pricer import Pricer
from rules.quote import quoted
from rules.running import Held, Running, key_of_line, used_of
from rules.table import key_of

Ask = Callable[[str], str | None]


class UnknownRuleError(Exception):
    """A rule that the book does not have."""


@attrs.frozen
class Tried:
    """One rule that was asked: whether it applies, and every reason why not."""

    rule: str
    applies: bool
    reasons: tuple[str, ...]


@attrs.frozen
class ExplainedLine:
    """One line: who is charged what by which rule, and step by step why; held: by its counter before, or None."""

    rule: str
    account: str
    quantity: str
    amount: str
    steps: tuple[Step, ...]
    held: Held | None


@attrs.frozen
class ExplainedGroup:
    """One group: the rules that were asked, in order, the winner (or None), how many stand behind it, and its line.

    line: None too where the whole event is refused.
    """

    group: str
    tried: tuple[Tried, ...]
    winner: str | None
    not_tried: int
    line: ExplainedLine | None


@attrs.frozen
class Explanation:
    """Every group's tale, and why the event is refused, if it is."""

    groups: tuple[ExplainedGroup, ...]
    refused: Reject | None


def explain(book: Book, usage: Usage, used: Held, rule_id: str | None = None) -> Explanation:
    """Explain the only event of `usage`; used: what every counter held before it.

    rule_id: the only rule to ask, also if one before it wins; None asks as pricing does. Raises UnknownRuleError.
    """
    assert len(usage) == 1, "one event is explained at a time"
    priced = Pricer(book).price(usage)
    running = Running(book)
    held = {
        line: _held(book, priced.lines, line, used) for line in np.flatnonzero(priced.lines.counter != MISSING).tolist()
    }
    for line, state in held.items():
        running.hold(key_of_line(priced.lines, line), state)
    priced = running.settle(priced)
    tale = _Tale(book, usage, priced.lines, held)
    if not priced.rejects:
        assert [rule for rule in tale.won if rule != MISSING] == priced.lines.rule.tolist(), (
            "these rules made the lines"
        )
    found = tuple(tale.groups(rule_id))
    if not found:
        raise UnknownRuleError(f"{quoted(rule_id or '')} is not a rule of book {book.name}")
    return Explanation(found, priced.rejects[0] if priced.rejects else None)


def _held(book: Book, lines: Lines, line: int, used: Held) -> Held:
    """Return what the counter of a line holds after so much use: what that was charged is what it costs at once."""
    rule = np.array([lines.counters[lines.counter[line]].rule], dtype=np.int32)
    use = Decimals.of_integers([used.quantity_pico], PICO_PLACES)
    charged = settle(book, rule, used_of([Held()]), np.zeros(1, dtype=np.int32), use).amount.rescaled(PICO_PLACES)
    return attrs.evolve(used, amount_pico=int(charged.units[0]) if used.quantity_pico else 0)


def _group_index(pair: tuple[int, Rule]) -> int:
    return pair[1].group_index


@attrs.define(eq=False, slots=False, frozen=True)
class _Tale:
    book: Book
    usage: Usage
    lines: Lines
    held: Mapping[int, Held]

    @cached_property
    def won(self) -> list[int]:
        """The winning rule of each group, or MISSING: asked one by one, by the function that pricing asks."""
        ask, time_us = asker(self.usage, 0), int(self.usage.time_us[0])
        won: list[int] = []
        for _, pairs in groupby(enumerate(self.book.rules), key=_group_index):
            asked = (pair for pair in pairs if pair[1].currency == self._currency)
            won.append(next((i for i, rule in asked if wins(rule, ask, time_us, won)), MISSING))
        return won

    @property
    def _currency(self) -> str:
        return self.book.currency_of(str(self.usage.account.rows()[0]))

    def groups(self, rule_id: str | None) -> Iterator[ExplainedGroup]:
        """Yield the groups; of one rule, only its own."""
        won = self.won
        line_of_group = {self.book.rules[rule].group_index: line for line, rule in enumerate(self.lines.rule.tolist())}
        for group, pairs in groupby(enumerate(self.book.rules), key=_group_index):
            rules = list(pairs)
            asked = [pair for pair in rules if won[group] == MISSING or pair[0] <= won[group]]
            if rule_id is not None:
                asked = [pair for pair in rules if pair[1].id == rule_id]
                if not asked:
                    continue
            tried = tuple(self._tried(rule, won) for _, rule in asked)
            winner = None if won[group] == MISSING else self.book.rules[won[group]].id
            if rule_id is None:
                assert [one.rule for one in tried if one.applies] == [winner] * (winner is not None)
            line = line_of_group.get(group)
            shown = None if line is None else self._line(line)
            yield ExplainedGroup(self.book.groups[group], tried, winner, len(rules) - len(asked), shown)

    def _tried(self, rule: Rule, won: Sequence[int]) -> Tried:
        ask, time_us = asker(self.usage, 0), int(self.usage.time_us[0])
        reasons = tuple(self._reasons(rule, ask, time_us, won))
        applies = rule.currency == self._currency and wins(rule, ask, time_us, won)
        assert applies is not bool(reasons), f"rule {rule.id} loses for no reason, or wins against one"
        return Tried(rule.id, applies, reasons)

    def _reasons(self, rule: Rule, ask: Ask, time_us: int, won: Sequence[int]) -> Iterator[str]:
        """Yield everything that keeps a rule from winning."""
        if rule.currency != self._currency:
            yield f"is in {rule.currency}; the account is in {self._currency}"
        if rule.from_us is not None and time_us < rule.from_us:
            yield f"is in effect from {moment_text(rule.from_us)}; the event is of {moment_text(time_us)}"
        if rule.until_us is not None and time_us >= rule.until_us:
            yield f"was in effect until {moment_text(rule.until_us)}; the event is of {moment_text(time_us)}"
        for name, condition in rule.when.items():
            text = ask(name)
            if not condition.holds(text):
                wanted = " and ".join(map(condition_text, failing(condition, text)))
                yield f"{name} is {self._shown(name, text)}, not {wanted}"
        if not rule.price.found(ask, won):
            yield self._no_price(rule, ask)

    def _shown(self, name: str, text: str | None) -> str:
        if text is None:
            return "absent"
        if name == "quantity":
            return decimal_text(int(self.usage.quantity.units[0]), self.usage.quantity.scale)
        return quoted(text)

    def _no_price(self, rule: Rule, ask: Ask) -> str:
        price = rule.price
        if isinstance(price, KeyedPrice):
            index = price.table.index
            absent = [name for name in index.names if ask(name) is None]
            if absent:
                return f"{index.file} is looked up by {', '.join(absent)}, which is absent"
            key = ", ".join(quoted(ask(name) or "") for name in index.names)
            if index.find(key_of(index.names, ask)) == MISSING:
                return f"{index.file} has no row for {key}"
            return f"{index.file} has an empty cell {price.table.column} in the row {row_text(index, ask)}"
        of = getattr(price, "of", None)
        if isinstance(of, int):
            return f"group {quoted(self.book.groups[of])} made no line"
        return "has no price for the event"

    def _line(self, line: int) -> ExplainedLine:
        lines = self.lines
        rule = self.book.rules[int(lines.rule[line])]
        groups = [self.book.rules[index].group_index for index in lines.rule.tolist()]
        amounts = lines.amount.rescaled(PICO_PLACES).units.tolist()
        number = int(lines.counter[line])
        account = lines.account.rows()[line]
        assert account is not None, "every line charges an account"
        ask = asker(self.usage, 0)
        won = Won(
            book=self.book,
            rule=rule,
            account=account,
            usage=self.usage,
            ask=ask,
            cells=lambda index: np.array([index.find(key_of(index.names, ask))], dtype=np.int32),
            charged_pico=dict(zip(groups, amounts, strict=True)),
            counter=None if number == MISSING else lines.counters[number],
            held=self.held.get(line),
        )
        return ExplainedLine(
            rule.id,
            account,
            decimal_text(int(lines.quantity.units[line]), lines.quantity.scale),
            decimal_text(amounts[line], PICO_PLACES),
            steps_of(won),
            won.held,
        )
