"""Plain batches: what one compiled pass makes of a batch is what the lanes make of it, to the last bit."""

from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.book import Book
from rules.columns import MISSING, Coded, Dictionary, Priced, Usage
from rules.plain import Plain
from rules.pricer import Pricer
from tests.rulebooks import book_of, usage_of

TABLE = "country,p\nUS,0.0079\nDE,0.000000546875\nFR,\nJP,-0.5\n"
NAMES = ["a", "b", "c", "not an account"]

money = st.decimals(min_value=-5, max_value=10**9, places=3) | st.sampled_from(
    [Decimal("0.0079"), Decimal("0.000000546875"), Decimal("0.1234567890123456789"), Decimal(0)]
)
prices = st.one_of(
    money.map(lambda number: f'{{per_unit: "{number:f}"}}'),
    money.map(lambda number: f'{{flat: "{number:f}"}}'),
    st.just("{table: {file: t.csv, key: [country], column: p}}"),
)
shares = st.builds(
    lambda rate, fixed: f'{{percentage: {{of: usage, rate: "{rate:f}"{fixed}}}}}',
    st.decimals(min_value=0, max_value=2, places=4),
    st.sampled_from(["", ', fixed: "0.30"']),
)
numbers = st.sampled_from(['"1"', '"6"', '"60"', '"0.5"', '"0.001"', '"7"', '"1000000"'])
quantities = st.fixed_dictionaries({}, optional={"round_up_to": numbers, "per": numbers, "minimum": numbers})
roundings = st.fixed_dictionaries(
    {"places": st.integers(3, 12), "mode": st.sampled_from(["half_even", "half_up", "up", "down"])}
)
bounds = st.sampled_from(["", 'minimum: "0.01", ', "maximum: 5, ", 'minimum: "0.001", maximum: 100000000, '])


def _flow(entries: dict[str, object]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"


@st.composite
def books(draw: st.DrawFn) -> str:
    """Draw the charges of a book with groups `usage`, of a rule for each of six products, and `share`."""
    text = "charges:\n- group: usage\n  rules:\n"
    for product in range(6):
        counted, rounding = draw(quantities), draw(st.none() | roundings)
        parts = f"when: {{product: p{product}}}, {draw(bounds)}price: {draw(prices)}"
        parts += f", quantity: {_flow(counted)}" if counted else ""
        parts += f", round: {_flow(rounding)}" if rounding else ""
        text += f"  - {{id: r{product}, {parts}}}\n"
    share = f"when: {{payer: {{exists: true}}}}, charge: {{attribute: payer}}, price: {draw(shares)}"
    return text + f"- group: share\n  rules:\n  - {{id: s, {share}}}\n"


events = st.lists(
    st.fixed_dictionaries(
        {
            "account": st.sampled_from(NAMES[:3]),
            "product": st.sampled_from([f"p{number}" for number in range(7)]),
            "quantity": st.one_of(
                st.integers(0, 1000), st.integers(0, 10**24), st.decimals(min_value=0, max_value=10**6, places=6)
            ),
        },
        optional={
            "country": st.sampled_from(["US", "DE", "FR", "JP", "XX"]),
            "payer": st.sampled_from(NAMES),
            "currency": st.sampled_from(["USD", "EUR"]),
        },
    ),
    max_size=12,
)


def shared(usage: Usage) -> Usage:
    """Return the same with one dictionary for accounts and payers, as events have it."""
    names = Dictionary(NAMES)

    def again(column: Coded) -> Coded:
        rows = [MISSING if text is None else NAMES.index(text) for text in column.rows()]
        return Coded(np.array(rows, dtype=np.int32), names)

    attributes = {**usage.attributes, "payer": again(usage.attributes["payer"])}
    return attrs.evolve(usage, account=again(usage.account), attributes=attributes)


def bits(priced: Priced) -> tuple[Any, ...]:
    """Return everything that is in priced lines."""
    lines = priced.lines
    arrays = (lines.event, lines.rule, lines.account.codes, lines.quantity.units, lines.amount.units, lines.counter)
    types = [one.dtype for one in (*arrays, lines.use.units)]
    return (
        [one.tolist() for one in (*arrays, lines.use.units)],
        types,
        (lines.quantity.scale, lines.amount.scale, lines.use.scale),
        list(lines.account.values),
        list(lines.counters),
        list(priced.rejects),
    )


def both(book: Book, batches: list[Usage]) -> tuple[list[Any], list[Any]]:
    """Price batches in one pass where that can be, and lane by lane."""
    in_one_pass, without = Pricer(book), Pricer(book)
    seen = [bits(in_one_pass.price(usage)) for usage in batches]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plain, "lines", lambda *_: None)
        return seen, [bits(without.price(usage)) for usage in batches]


@given(books(), st.lists(events, min_size=1, max_size=4))
def test_a_plain_batch_is_priced_as_by_lanes(charges: str, drawn: list[list[dict[str, Any]]]) -> None:
    """What an event costs would depend on the events that are read with it."""
    with TemporaryDirectory() as folder:
        book = book_of(Path(folder), charges, t=TABLE)
    batches = [one for rows in drawn for one in (usage_of(book, rows), shared(usage_of(book, rows)))]
    seen, expected = both(book, batches)
    assert seen == expected
