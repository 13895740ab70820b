"""Properties of call prices: whatever the terms, every length costs what the oracle says."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators import oracle_book, oracle_files
from generators.oracle_event import RejectedError, parse
from rules.book import Book
from rules.load import load
from rules.pricer import Pricer
from tests.examples import examples
from tests.rulebooks import HEAD, lines_of, usage_of

LENGTHS = st.one_of(
    st.integers(0, 200).map(str),
    st.decimals(0, 200, places=3).map(lambda number: f"{number:f}"),
    st.integers(0, 10**20).map(str),
    st.decimals(0, 10**9, places=12).map(lambda number: f"{number:f}"),
)
PRICES = st.one_of(
    st.decimals(-1, 10, places=4).map(lambda number: f"{number:f}"),
    st.decimals(0, 1, places=24).map(lambda number: f"{number:f}"),
    st.integers(0, 10**15).map(str),
)
POSITIVE = st.one_of(
    st.sampled_from(["1", "6", "30", "60", "3600"]),
    st.integers(1, 100).map(str),
    st.decimals("0.001", 100, places=3).map(lambda number: f"{number:f}"),
)
INCREMENTS = st.one_of(POSITIVE, st.tuples(POSITIVE, POSITIVE).map("/".join))
ROUND = st.fixed_dictionaries(
    {"places": st.integers(0, 12), "mode": st.sampled_from(["half_even", "half_up", "up", "down"])}
)
QUANTITY = st.fixed_dictionaries({}, optional={"per": st.sampled_from([7, 60, 1000]), "minimum": st.integers(0, 90)})
AFTERS = st.lists(
    st.one_of(st.integers(1, 30), st.integers(1, 150), st.integers(1, 10**6)), unique=True, max_size=4
).map(sorted)
TERMS = {"connect": PRICES, "unit": POSITIVE, "increments": INCREMENTS}
CELLS = st.fixed_dictionaries(
    {
        "rate": PRICES | st.just(""),
        **{name: cells | st.just("") for name, cells in (("connect", PRICES), ("first", POSITIVE), ("next", POSITIVE))},
        "unit": st.sampled_from(["", "1", "60", "0.5", "3600", "7"]),
    }
)


@st.composite
def _calls(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a call with intervals of its own."""
    call: dict[str, Any] = draw(st.fixed_dictionaries({"rate": PRICES}, optional=TERMS))
    then = [draw(st.fixed_dictionaries({"after": st.just(after), "rate": PRICES}, optional={
        "unit": POSITIVE, "increments": INCREMENTS})) for after in draw(AFTERS)]  # fmt: skip
    return {**call, "then": then} if then else call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for one book after another."""
    return tmp_path_factory.mktemp("calls")


def _bills(folder: Path, rule: dict[str, Any], events: list[dict[str, str]]) -> tuple[list[str], list[str], list[str]]:
    """Return what events cost by the oracle, and by the engine all at once and one by one."""
    path = folder / "book.yaml"
    rules = [{"id": "call", **rule}, {"id": "rest", "price": {"flat": 7}}]
    path.write_text(HEAD + "charges: " + json.dumps([{"group": "usage", "rules": rules}]), encoding="utf-8")
    book, oracle = load(path), oracle_files.load(path)
    bodies = [
        {
            "id": str(i),
            "account": "acme",
            "product": "voice",
            "time": "2026-01-01T00:00:00Z",
            "quantity": event["quantity"],
            "attributes": {"to": event["to"]},
        }
        for i, event in enumerate(events)
    ]
    expected = [_asked(oracle, json.dumps(body).encode()) for body in bodies]
    return expected, _charged(book, events), [_charged(book, [event])[0] for event in events]


def _asked(oracle: oracle_book.Book, body: bytes) -> str:
    """Return the amount, or why there is none."""
    try:
        amount = f"{oracle.lines(parse(body))[0].amount:f}"
    except RejectedError as error:
        return error.reason
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def _charged(book: Book, events: list[dict[str, str]]) -> list[str]:
    priced = Pricer(book).price(usage_of(book, events))
    found = {line[0]: line[4] for line in lines_of(book, priced)}
    found |= {reject.event: reject.reason for reject in priced.rejects}
    return [found[row] for row in range(len(events))]


@examples(150)
@given(call=_calls(), rounding=ROUND, quantity=QUANTITY, lengths=st.lists(LENGTHS, min_size=1, max_size=6))
def test_a_call_costs_what_the_oracle_says(
    folder: Path, call: dict[str, Any], rounding: dict[str, Any], quantity: dict[str, Any], lengths: list[str]
) -> None:
    """Some combination of increments and intervals would bill calls wrongly, to the last place."""
    events = [{"quantity": length, "to": "+1"} for length in lengths]
    counted = {"quantity": quantity} if quantity else {}
    expected, together, alone = _bills(folder, {"price": {"call": call}, "round": rounding, **counted}, events)
    assert together == expected
    assert alone == expected


@examples(150)
@given(
    terms=st.fixed_dictionaries({}, optional=TERMS),
    rows=st.dictionaries(st.text("12", min_size=1, max_size=3), CELLS, min_size=1, max_size=5),
    columns=st.sets(st.sampled_from(["connect", "unit", "first", "next"])),
    calls=st.lists(st.tuples(LENGTHS, st.text("123", max_size=4)), min_size=1, max_size=6),
)
def test_a_deck_costs_what_the_oracle_says(
    folder: Path,
    terms: dict[str, Any],
    rows: dict[str, dict[str, str]],
    columns: set[str],
    calls: list[tuple[str, str]],
) -> None:
    """Some row of a rate card would bill its destination wrongly."""
    header = ["rate", "connect", "unit", "first", "next"]
    lines = [",".join([prefix, *(cells[name] for name in header)]) for prefix, cells in rows.items()]
    (folder / "deck.csv").write_text("\n".join([",".join(["prefix", *header]), *lines, ""]), encoding="utf-8")
    table = {"file": "deck.csv", "longest_prefix": "to", "rate": "rate", **{name: name for name in sorted(columns)}}
    events = [{"quantity": length, "to": to} for length, to in calls]
    expected, together, alone = _bills(folder, {"price": {"call": {"table": table, **terms}}}, events)
    assert together == expected
    assert alone == expected
