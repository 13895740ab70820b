"""Accounts and contracts on their way to the tables: whose rows they become, in which currency, and how they count."""

from decimal import Decimal
from pathlib import Path

import pytest

from billing.tiers import used_of
from tests.pipeline import HOUR, Pipeline, payload, pipeline_in, plain

CHARGES = """
accounts: {file: accounts.csv}
contracts: {file: contracts.csv}
tiers:
  gold: [{up_to: 10, unit: "0.5"}, {unit: "0.1"}]
charges:
- group: usage
  rules:
  - id: api
    when: {product: api}
    charge: {parent: true}
    price: {graduated: {per: month, tiers: [{up_to: 10, unit: 2}, {unit: 1}]}}
  - {id: sms, when: {product: sms}, charge: {parent: true}, price: {per_unit: 1}}
- group: usage
  currency: EUR
  rules: [{id: sms-eur, when: {product: sms}, charge: {parent: true}, price: {per_unit: "0.9"}}]
rollups: [{name: monthly, every: month}]
"""
ACCOUNTS = "account,parent,currency\neast,gmbh,EUR\ngmbh,,EUR\nmain,corp,\nside,corp,\ncorp,,\n"
CONTRACTS = "account,rule,tiers,discount\ncorp,api,gold,\ngmbh,sms-eur,,10\n"


@pytest.fixture
def agreed(tmp_path: Path) -> Pipeline:
    """Give the path by a book with contracts."""
    (tmp_path / "accounts.csv").write_text(ACCOUNTS)
    (tmp_path / "contracts.csv").write_text(CONTRACTS)
    return pipeline_in(tmp_path, charges=CHARGES)


def test_every_row_of_an_event_is_in_its_currency(agreed: Pipeline) -> None:
    """An account that pays in euros would have a balance of 0 dollars beside, which nobody can explain."""
    transaction = agreed.transaction([payload("a", "east", quantity=10), payload("b", "main", quantity=3)])
    rows, balances = plain(transaction.records), plain(transaction.balances)
    currencies = [rows.tails[tail].currency for tail in rows.tail]
    assert sorted(zip(rows.account, rows.event, map(Decimal, rows.amount), currencies, strict=True)) == [
        ("corp", "main b", Decimal(3), "USD"),
        ("east", "a", Decimal(0), "EUR"),
        ("gmbh", "east a", Decimal("8.1"), "EUR"),
        ("main", "b", Decimal(0), "USD"),
    ]
    assert sorted(zip(balances.account, balances.currency, map(Decimal, balances.amount), strict=True)) == [
        ("corp", "USD", 3), ("east", "EUR", 0), ("gmbh", "EUR", Decimal("8.1")), ("main", "USD", 0)
    ]  # fmt: skip


def test_a_payers_counter_goes_by_its_contract_under_the_rules_name(agreed: Pipeline) -> None:
    """The branches of a company would count apart, or a new contract start the month's count again."""
    events = [
        payload("a", "main", "api", quantity=8),
        payload("b", "other", "api", quantity=11),
        payload("c", "side", "api", quantity=4),
    ]
    transaction = agreed.transaction(events)
    assert transaction.draft is not None
    keys = [key[1:] for key in transaction.draft.counted.keys.tuples()]
    assert sorted(keys) == [("corp", "api", HOUR), ("other", "api", HOUR)]
    held = {"corp": 5, "other": 0}
    quantities = [held[account] * 10**12 for account, _, _ in keys]
    settled = transaction.settled(used_of(quantities, [0, 0], [0, 0]))
    rows = plain(settled.records)
    assert sorted(zip(rows.account, rows.event, map(Decimal, rows.amount), strict=True)) == [
        ("corp", "main a", Decimal("2.8")),  # 5 at 0.5, 3 at 0.1
        ("corp", "side c", Decimal("0.4")),
        ("main", "a", Decimal(0)),
        ("other", "b", Decimal(21)),
        ("side", "c", Decimal(0)),
    ]
