"""The books that come with the package: they load, and they charge what they say; keys of schema and loader."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from rules import books_path
from rules.cases import failures
from rules.document import Problems
from rules.load import check, load
from rules.price import MODELS
from rules.read_cases import beside, is_cases, read_cases
from tests.rulebooks import price, reasons

BOOKS = sorted(path.name for path in books_path().glob("*.yaml") if not is_cases(path))
SCHEMA: dict[str, Any] = json.loads((books_path() / "schema.json").read_text(encoding="utf-8"))
JULY_US = 1_782_864_000_000_000  # 2026-07-01T00:00:00Z


@pytest.mark.parametrize("name", BOOKS)
def test_a_book_loads(name: str) -> None:
    """The first thing that a user starts with would not start."""
    assert check(books_path() / name) == []


def test_both_books_are_there() -> None:
    """A book would be left out of the package."""
    assert BOOKS == ["llm-tokens.yaml", "telecom.yaml"]


@pytest.mark.parametrize("name", BOOKS)
def test_a_book_charges_what_its_cases_say(name: str) -> None:
    """A shipped price would have changed without anybody having meant it."""
    cases = read_cases(beside(books_path() / name))
    assert len(cases.cases) >= 6
    assert list(map(str, failures(load(cases.book), cases))) == []


def test_schema_and_loader_know_the_same_keys(tmp_path: Path) -> None:
    """An editor would offer a key that the loader refuses, or mark one that it takes."""
    path = tmp_path / "book.yaml"

    def told(text: str) -> set[str]:
        path.write_text(text, encoding="utf-8")
        return {key for problem in check(path) for key in problem.message.rpartition("known: ")[2].split(", ")}

    head = "book: a\nversion: 1\ncurrency: USD\n"
    rule = head + "charges: [{group: g, rules: [{id: r, price: {flat: 1}, %s}]}]\n"
    defs = SCHEMA["$defs"]
    assert told(head + "charges: [{group: g, rules: [{id: r, price: {flat: 1}}]}]\nqq: 1\n") == set(
        SCHEMA["properties"]
    )
    assert told(rule % "qq: 1") == set(defs["rule"]["properties"])
    assert told(rule % "when: {x: {qq: 1}}") == set(defs["tests"]["properties"])
    assert told(rule % "quantity: {qq: 1}") == set(defs["quantity"]["properties"])
    assert told(rule % "round: {qq: 1}") == set(defs["round"]["properties"])
    assert told(rule % "round: {mode: qq}") == set(defs["round"]["properties"]["mode"]["enum"])
    assert set(MODELS) == set(defs["price"]["properties"])
    assert Problems(path).found == []


def test_telecom_prices_messages_and_calls() -> None:
    """The shipped prices would not be charged: worked by hand from the book and its tables."""
    book = load(books_path() / "telecom.yaml")
    out, back = {"direction": "outbound"}, {"direction": "inbound"}
    events = [
        {"product": "sms", "country": "US", "carrier": "att", "quantity": 2, "to": "+12125550100", **out},
        {"product": "sms", "country": "US", "carrier": "att", "time_us": JULY_US, **out},
        {"product": "sms", "country": "NO", **out},
        {"product": "sms", "country": "IS", **back},
        {"product": "voice", "to": "+447700900123", "quantity": 61, "reseller": "partner", **out},
        {"product": "voice", "to": "+18005550100", "quantity": 1, **back},
        {"product": "voice", "to": "+442079460000", "quantity": 31, **back},
        {"product": "mms", "country": "CA", "carrier": "t-mobile", **out},
        {"product": "lookup", "quantity": 9},
    ]
    assert price(book, *events) == [
        (0, "sms-outbound", "acme", "2", "0.0158"),
        (0, "att-sms", "acme", "2", "0.006"),
        (1, "sms-us-outbound-2026h2", "acme", "1", "0.0083"),
        (1, "att-sms", "acme", "1", "0.003"),
        (2, "sms-outbound", "acme", "1", "0.0694"),
        (3, "sms-inbound-elsewhere", "acme", "1", "0.0095"),
        (4, "voice-outbound", "acme", "2", "0.07"),
        (4, "reseller-share", "partner", "61", "0.007"),
        (5, "voice-inbound-toll-free", "acme", "1", "0.022"),
        (6, "voice-inbound", "acme", "0.6", "0.0051"),
        (7, "mms-outbound", "acme", "1", "0.02"),
        (7, "tmobile-mms", "acme", "1", "0.01"),
        (8, "lookup", "acme", "9", "0.005"),
    ]
    premium = {"product": "voice", "to": "+19005550100", **out}
    assert [reason for _, reason, _ in reasons(book, premium)] == ["no_rule"]


def test_llm_tokens_prices_every_measure_of_a_call() -> None:
    """A call would be billed for its input and not for its output: worked by hand from the price table."""
    book = load(books_path() / "llm-tokens.yaml")
    call = {"product": "llm", "input_tokens": "374", "output_tokens": "44"}
    events = [
        {**call, "model": "nova-lite"},
        {**call, "model": "nova-2-pro-preview", "cached_input_tokens": "1001"},
        {**call, "model": "nova-lite", "cached_input_tokens": "10"},
    ]
    assert price(book, *events) == [
        (0, "input", "acme", "374", "0.00002244"),
        (0, "output", "acme", "44", "0.00001056"),
        (1, "input", "acme", "374", "0.000818125"),
        (1, "output", "acme", "44", "0.00077"),
        (1, "cached-input", "acme", "1001", "0.000547421875"),
        (2, "input", "acme", "374", "0.00002244"),
        (2, "output", "acme", "44", "0.00001056"),
        (2, "cached-input-full-price", "acme", "10", "0.0000006"),
    ]
    wrong = [{**call, "model": "unknown"}, {"product": "llm", "model": "nova-lite", "output_tokens": "1"}]
    assert [reason for _, reason, _ in reasons(book, *wrong)] == ["no_rule", "bad_quantity"]


def test_every_model_of_the_price_table_has_a_price() -> None:
    """A row of the table would never be found."""
    book = load(books_path() / "llm-tokens.yaml")
    with (books_path() / "rates" / "llm_model_prices.csv").open(encoding="utf-8", newline="") as file:
        models = [row["model"] for row in csv.DictReader(file)]
    events = [{"product": "llm", "model": model, "input_tokens": "1", "output_tokens": "0"} for model in models]
    assert len(price(book, *events)) == 2 * len(models)
