"""Agreement: what a rule charges, by the engine and by the oracle, which must say the same."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from generators.oracle_book import EXACT, Counters
from generators.oracle_event import Event, RejectedError
from generators.oracle_files import load as oracle_load
from rules.book import Book
from rules.pricer import Pricer
from tests.rulebooks import TIME_US, Ledger, lines_of, rules_of, usage_of

Outcome = str | dict[str, str]  # the reason of a rejection, or the amount of each line by rule


def charged(folder: Path, rule: str, *events: Mapping[str, Any]) -> list[str]:
    """Return what a rule (in YAML's flow style, without id) charges for events in the order of the log, or why not."""
    book = rules_of(folder, rule)
    found = by_engine(book, *events)
    assert by_oracle(folder / "book.yaml", *events) == found
    return [outcome if isinstance(outcome, str) else outcome["r0"] for outcome in found]


def quantities(*quantities: object) -> list[dict[str, Any]]:
    """Return events of one account with these quantities."""
    return [{"quantity": quantity} for quantity in quantities]


def by_engine(book: Book, *events: Mapping[str, Any]) -> list[Outcome]:
    """Price and settle events, each in a batch of its own."""
    ledger, pricer = Ledger(book), Pricer(book)
    found: list[Outcome] = []
    for event in events:
        priced = pricer.price(usage_of(book, [event]))
        lines = lines_of(book, ledger.charge(priced))
        found.append(priced.rejects[0].reason if priced.rejects else {line[1]: line[4] for line in lines})
    return found


def by_oracle(path: Path, *events: Mapping[str, Any]) -> list[Outcome]:
    """Price and settle events of a book's file by the oracle."""
    counters = Counters(oracle_load(path))
    found: list[Outcome] = []
    for row in events:
        known = {"account": "acme", "product": "sms", "time_us": TIME_US, "quantity": 1} | dict(row)
        account, product, time_us, quantity = (
            known.pop(name) for name in ("account", "product", "time_us", "quantity")
        )
        event = Event("e", account, product, time_us, Decimal(str(quantity)), known)
        try:
            lines = counters.settle(counters.book.lines(event))
        except RejectedError as error:
            found.append(error.reason)
        else:
            found.append({line.rule: f"{EXACT.plus(line.amount.normalize(EXACT)):f}" for line in lines})
    return found
