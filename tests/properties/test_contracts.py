"""Properties of accounts and contracts: whatever a company agrees, the bill is what the oracle computes by hand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators import oracle_book, oracle_files
from generators.oracle_event import Event, RejectedError
from rules.pricer import Pricer
from tests.examples import examples
from tests.rulebooks import TIME_US, Ledger, Line, book_of, lines_of, usage_of

CHARGES = """
accounts: {file: accounts.csv}
contracts: {file: contracts.csv}
tiers:
  gold: [{up_to: 7, unit: "0.3"}, {up_to: "1000.5", unit: "0.07", flat: "0.01"}, {unit: "0.011"}]
  flat: [{flat: "4.99"}]
charges:
- group: usage
  rules:
  - {id: sms, when: {product: sms}, charge: {parent: true}, price: {per_unit: "0.0079"}, round: {places: 6, mode: half_up}}
  - {id: call, when: {product: call}, quantity: {per: 7}, price: {table: {file: rates.csv, key: [zone], column: price}}}
  - {id: fee, when: {product: [call, fee]}, price: {flat: "0.333333333333333333"}, minimum: "0.1", maximum: 1}
- group: usage
  currency: EUR
  rules:
  - {id: sms-eur, when: {product: sms}, charge: {parent: true}, price: {per_unit: "0.0071"}}
- group: counted
  rules:
  - id: api
    when: {product: api}
    charge: {parent: true}
    price: {graduated: {per: day, tiers: [{up_to: 10, unit: "0.123456789012"}, {unit: "0.05", flat: "0.001"}]}}
    round: {places: 4}
  - {id: vol, when: {product: vol}, price: {volume: {per: day, tiers: [{up_to: 9, unit: "0.2"}, {unit: "0.1"}]}}}
  - {id: box, when: {product: box}, price: {package: {per: day, price: "0.99", size: 7}}}
  - id: pay
    when: {product: pay}
    price: {percentage: {rate: "0.029", fixed: "0.3", free_events: 1, free_amount: 50, per: day}}
    minimum: "0.31"
  - {id: cap, when: {product: cap}, price: {per_unit: "0.3"}, per_period: {per: day, maximum: 5}}
- group: share
  rules:
  - {id: share, charge: {attribute: r, parent: true}, when: {r: {exists: true}}, price: {percentage: {of: usage, rate: "0.1"}}}
- group: share
  currency: EUR
  rules:
  - {id: share-eur, charge: {attribute: r}, when: {r: {exists: true}}, price: {percentage: {of: usage, rate: "-0.2"}}}
"""  # noqa: E501
RATES = "zone,price\neu,0.014\nus,123456789.000000000001\nnone,\n"
NAMES = ["a", "b", "c", "d"]
USD_RULES, EUR_RULES = ["sms", "call", "fee", "share", "cap"], ["sms-eur", "share-eur"]
COUNTED = ["api", "vol", "box", "pay"]
BY_THEMSELVES = {"call", "fee", "share-eur", "cap", "vol", "box", "pay"}  # rules that charge whoever uses them

EVENT = st.fixed_dictionaries(
    {
        "account": st.sampled_from([*NAMES, "other"]),
        "product": st.sampled_from(["sms", "call", "fee", "fax"]),
        "time_us": st.integers(TIME_US - 1, TIME_US + 6 * 86_400_000_000),
        "quantity": st.one_of(
            st.integers(0, 10**5).map(str),
            st.integers(0, 10**26 - 1).map(str),
            st.decimals(0, 9, places=12).map(lambda quantity: f"{quantity:f}"),
        ),
        "zone": st.sampled_from([None, "eu", "us", "none"]),
        "r": st.sampled_from([None, None, *NAMES, "other", "no account"]),
        "currency": st.sampled_from([None, None, None, "USD", "EUR", "JPY"]),
    }
)
COUNTED_EVENT = st.fixed_dictionaries(
    {
        "account": st.sampled_from([*NAMES, "other"]),
        "product": st.sampled_from([*COUNTED, "cap"]),
        "time_us": st.integers(TIME_US, TIME_US + 6 * 86_400_000_000),
        "quantity": st.one_of(
            st.integers(0, 30).map(str), st.decimals(0, 2000, places=3).map(lambda quantity: f"{quantity:f}")
        ),
    }
)
EVENTS = st.lists(st.one_of(EVENT, COUNTED_EVENT), min_size=12, max_size=24)


def _tables(random: Random) -> tuple[str, str]:
    """Draw a table of accounts without circles, whose families have one currency, and many contracts that can hold."""
    parents = {name: random.choice([None, None, *NAMES[:i]]) for i, name in enumerate(NAMES)}
    currencies: dict[str, str] = {}
    payers: dict[str, str] = {}
    for name, parent in parents.items():
        currencies[name] = random.choice(["USD", "USD", "EUR", "JPY"]) if parent is None else currencies[parent]
        payers[name] = name if parent is None else payers[parent]
    listed = [f"{name},{currencies[name]},{parent or ''}" for name, parent in parents.items()]
    rows = []
    for name in NAMES:
        rules = {"USD": [*USD_RULES, *COUNTED], "EUR": EUR_RULES, "JPY": []}[currencies[name]]
        for rule in rules:
            if payers[name] == name or rule in BY_THEMSELVES:  # else it is the contract of who pays
                rows += _dated(random, f"{name},{rule},", rule)
        for group in ["usage", "counted", "share"]:
            rows += _dated(random, f"{name},,{group}", "")
    random.shuffle(rows)
    random.shuffle(listed)
    accounts = "\n".join(["account,currency,parent", *listed, ""])
    return accounts, "\n".join(["account,rule,group,from,until,price,discount,tiers", *rows, ""])


def _dated(random: Random, head: str, rule: str) -> list[str]:
    """Return some rows that follow one another, or leave gaps."""
    days = sorted(random.sample(range(1, 6), random.randrange(4)))
    edges = random.choice([[None, *days, None], days])
    rows = []
    for start, end in pairwise(edges):
        price = random.choice(["", str(random.randint(-300, 10**9)) + "e-5"]) if rule and rule not in COUNTED else ""
        discount = random.choice(["", f"{random.randint(1, 10_000) / 100:.2f}"])
        tiers = random.choice(["", "gold", "flat"]) if rule in {"api", "vol"} else ""
        if any([price, discount, tiers]):
            price = f"{Decimal(price):f}" if price else ""
            rows.append(",".join([head, _day(start), _day(end), price, discount, tiers]))
    return [row for row in rows if random.random() < 0.8]


def _day(day: int | None) -> str:
    return "" if day is None else f"2026-01-{day:02}"


@examples(200)
@given(seed=st.integers(0, 2**32), events=EVENTS, cut=st.integers(0, 24))
def test_the_bill_is_what_the_oracle_says(
    tmp_path_factory: pytest.TempPathFactory, seed: int, events: list[Any], cut: int
) -> None:
    """A customer would pay another price than agreed, another account would pay, or in another currency."""
    folder = tmp_path_factory.getbasetemp()
    accounts, contracts = _tables(Random(seed))
    pricer = Pricer(book_of(folder, CHARGES, accounts=accounts, contracts=contracts, rates=RATES))
    expected = _expected(folder, events)
    assert _found(pricer, Ledger(pricer.book), events) == expected
    ledger = Ledger(pricer.book)
    assert [*_found(pricer, ledger, events[:cut]), *_found(pricer, ledger, events[cut:])] == expected


def _found(pricer: Pricer, ledger: Ledger, events: Sequence[Mapping[str, Any]]) -> list[object]:
    priced = ledger.charge(pricer.price(usage_of(pricer.book, events)))
    lines: dict[int, list[tuple[object, ...]]] = {}
    for line in lines_of(pricer.book, priced):
        lines.setdefault(line[0], []).append(_plain(line))
    rejects = {reject.event: reject.reason for reject in priced.rejects}
    return [rejects.get(row) or lines[row] for row in range(len(events))]


def _plain(line: Line) -> tuple[object, ...]:
    _, rule, account, quantity, amount = line
    return rule, account, Decimal(quantity), Decimal(amount)


def _expected(folder: Path, events: Sequence[Mapping[str, Any]]) -> list[object]:
    book = oracle_files.load(folder / "book.yaml")
    counters = oracle_book.Counters(book)
    found: list[object] = []
    for given_event in events:
        fields = ("account", "product", "time_us", "quantity")
        event = Event(
            id="1",
            account=given_event["account"],
            product=given_event["product"],
            time_us=given_event["time_us"],
            quantity=Decimal(given_event["quantity"]),
            attributes={name: text for name, text in given_event.items() if name not in fields and text is not None},
        )
        try:
            lines = counters.settle(book.lines(event))
            found.append([(line.rule, line.account, line.quantity, line.amount) for line in lines])
        except RejectedError as error:
            found.append(error.reason)
    return found


def test_days_are_as_the_tables_write_them() -> None:
    """The events would never meet the edges of contracts, and the property would say nothing about them."""
    assert datetime.fromtimestamp(TIME_US / 1e6, UTC).date().isoformat() == _day(1)
