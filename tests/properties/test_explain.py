"""Properties of explanations: every event has one, it leads to the pricer's amounts, and says why each rule lost."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rules.book import Book
from rules.columns import MISSING
from rules.explain import explain
from rules.pricer import Pricer
from rules.running import Held, Running, key_of_line
from tests.examples import examples
from tests.properties.test_rules import CHARGES, EVENTS, TABLES
from tests.rulebooks import book_of, lines_of, usage_of

TIERS = 'tiers: [{up_to: 5, %s: "0.01", flat: 1}, {up_to: "7.5", %s: "0.0033333"}, {%s: "0.000001"}]'
UNITS, RATES = TIERS.replace("%s", "unit"), TIERS.replace("%s", "rate")
FREE = 'per: day, rate: "0.02", fixed: "0.1"'
PRICES = {
    "graduated": f"graduated: {{per: day, {UNITS}}}",
    "volume": f"volume: {{per: month, {UNITS}}}",
    "package": 'package: {per: hour, price: 5, size: "2.5", free: 1}',
    "package-down": 'package: {per: hour, price: 5, size: "2.5", round: down}',
    "allowance": 'allowance: {per: ever, free: 3, unit: "0.07"}',
    "shares": f"graduated_percentage: {{per: day, of: usage, {RATES}}}",
    "free-events": f"percentage: {{{FREE}, free_events: 3}}",
    "free-amount": f"percentage: {{{FREE}, free_amount: 10, free_events: 4}}",
    "fee": 'percentage: {of: usage, rate: "0.029", fixed: "0.3"}',
    "of-quantity": 'percentage: {rate: "0.029"}',
    "call": 'call: {connect: "0.05", rate: 6, unit: 60, increments: 6/1, then: [{after: 10, rate: 1, increments: 4}]}',
    "deck": "call: {table: {file: rates.csv, longest_prefix: to, rate: price}, unit: 60, increments: 60/1}",
}  # fmt: skip
RULE = "- {{group: {0}, rules: [{{id: {0}, when: {{product: [sms, voice]}}, price: {{{1}}}, round: {{places: 3}}}}]}}\n"
GROUPS = "".join(RULE.format(*model) for model in PRICES.items())


# Each of its prices can be counted, but one of them comes to more than 26 digits once its counter is known.
WIDE = {"account": "a", "product": "sms", "time_us": 1_767_225_599_999_999, "quantity": "49999999999999999999999999"}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Return a book with linear and cumulative prices."""
    folder: Path = tmp_path_factory.mktemp("book")
    return book_of(folder, CHARGES + GROUPS, **TABLES)


@example(event=WIDE, used=Decimal(0), events=0)
@examples(300)
@given(event=EVENTS, used=st.decimals(0, 20, places=3), events=st.integers(0, 5))
def test_an_explanation_is_what_is_charged(book: Book, event: Any, used: Decimal, events: int) -> None:
    """Support would tell a customer other numbers than the bill (the explanation asserts its own arithmetic)."""
    usage = usage_of(book, [event])
    held = Held(int(used * 10**12), events)
    told = explain(book, usage, held)
    priced = Pricer(book).price(usage)
    running = Running(book)
    for line in np.flatnonzero(priced.lines.counter != MISSING).tolist():
        running.hold(key_of_line(priced.lines, line), held)
    settled = running.settle(priced)
    assert [told.refused] == ([*settled.rejects] or [None])
    if told.refused is None:
        lines = [group.line for group in told.groups if group.line is not None]
        charged = lines_of(book, settled)
        assert [(one.rule, one.account, one.quantity, one.amount) for one in lines] == [line[1:5] for line in charged]
    for group in told.groups:
        assert all(one.applies is not bool(one.reasons) for one in group.tried)
        assert group.winner == next((one.rule for one in group.tried if one.applies), None)
        assert len(group.tried) + group.not_tried == sum(rule.group == group.group for rule in book.rules)
