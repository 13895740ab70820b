"""Blocks: how a group is cut, and that the cut decides nothing."""

from pathlib import Path

import pytest

import rules.block
from rules.block import blocks_of
from rules.book import Book
from tests.rulebooks import price, rules_of


def _cut(book: Book) -> list[list[str]]:
    return [[rule.id for _, rule in block] for block in blocks_of(list(enumerate(book.rules)))]


def test_a_small_book_stays_in_one_piece(tmp_path: Path) -> None:
    """Every event would be looked at once for each kind of rule."""
    book = rules_of(
        tmp_path,
        "when: {product: sms, country: US}, price: {flat: 1}",
        "when: {to: {prefix: '+1'}}, from: 2026-01-01, price: {flat: 2}",
        "when: {account: acme, size: {min: 5}}, price: {flat: 3}",
        "price: {flat: 4}",
    )
    assert _cut(book) == [["r0", "r1", "r2", "r3"]]


def test_many_accounts_and_many_countries_are_kept_apart(tmp_path: Path) -> None:
    """Each account in each country would be a case to evaluate: tens of thousands of them."""
    by_country = (f"when: {{country: c{i % 300}, carrier: d{i // 300}}}, price: {{flat: 1}}" for i in range(600))
    by_account = (f"when: {{account: a{i}}}, price: {{flat: 2}}" for i in range(400))
    rules_ = [
        rule for pair in zip(by_country, (*by_account, *["price: {flat: 3}"] * 200), strict=True) for rule in pair
    ]
    book = rules_of(tmp_path, *rules_)
    countries, accounts = (set(block) for block in _cut(book))
    if "r1" in countries:
        countries, accounts = accounts, countries
    assert {f"r{i}" for i in range(0, 1200, 2)} <= countries
    assert {f"r{i}" for i in range(1, 800, 2)} <= accounts
    # Whichever block it stands in, the first rule of the book wins.
    events = [
        {"country": "c0", "carrier": "d0", "account": "a0"},
        {"country": "c1", "carrier": "d0", "account": "a0"},
        {"country": "c7", "carrier": "d1", "account": "zz"},
        {"account": "a399"},
        {"country": "c7"},
    ]
    assert [line[1] for line in price(book, *events)] == ["r0", "r1", "r614", "r799", "r801"]


def test_there_are_at_most_so_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book of a thousand kinds of rules would take a thousand passes over every batch."""
    monkeypatch.setattr(rules.block, "MERGED_MAX", 0)
    book = rules_of(tmp_path, *(f"when: {{x{i % 20}: a{i}}}, price: {{flat: {i}}}" for i in range(100)))
    blocks = _cut(book)
    assert len(blocks) == rules.block.BLOCKS_MAX
    assert sorted(rule for block in blocks for rule in block) == sorted(rule.id for rule in book.rules)
    events = [{"x3": "a23"}, {"x3": "a23", "x19": "a19"}, {"x3": "a3", "x0": "a80"}]
    assert [line[1] for line in price(book, *events)] == ["r23", "r19", "r3"]
