"""Examples that vendors publish in their documentation, as books and golden cases beside this file.

README.md says where vendors disagree, and what was chosen.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from jsonschema import Draft202012Validator

from generators.oracle import run
from rules import books_path
from rules.cases import Case, Cases, failures
from rules.columns import PICO_PLACES
from rules.load import load
from rules.price.cumulative import CumulativePrice
from rules.price.free_percentage import FreePercentage
from rules.read_cases import SUFFIX, read_cases

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob(f"*{SUFFIX}"))

every_vendor = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(SUFFIX))


@every_vendor
def test_published_amounts_are_met_exactly(path):
    """Otherwise a price list that customers know from elsewhere would bill other amounts here."""
    cases = read_cases(path)

    assert [str(failure) for failure in failures(load(cases.book), cases)] == []


@every_vendor
def test_the_oracle_meets_them_too(path):
    """Otherwise the oracle, by which everything else is judged, would itself misunderstand a model."""
    cases = read_cases(path)

    balances = run(_payloads(cases), cases.book).balances

    expected = {_account(i): Decimal(case.total_pico or 0).scaleb(-PICO_PLACES) for i, case in enumerate(cases.cases)}
    assert {account: total for account, total in balances.items() if total} == {
        account: total for account, total in expected.items() if total
    }


@every_vendor
def test_totals_do_not_depend_on_the_order_of_events(path):
    """Otherwise the same month could cost more or less, by how its events happened to arrive."""
    cases = read_cases(path)
    book = load(cases.book)
    ordered = {rule.id for rule in book.rules if isinstance(rule.price, FreePercentage)}
    turned = attrs.evolve(cases, cases=tuple(_turned(case) for case in cases.cases if not ordered & _rules(case)))

    assert [str(failure) for failure in failures(book, turned)] == []


@every_vendor
def test_every_rule_of_a_book_is_used(path):
    """Otherwise a price would stand in a book that no example supports."""
    cases = read_cases(path)

    assert {rule.id for rule in load(cases.book).rules} == {rule for case in cases.cases for rule in _rules(case)}


@every_vendor
def test_books_and_cases_satisfy_their_schemas(path):
    """Otherwise an editor would underline what the loader accepts."""
    for file, schema in ((read_cases(path).book, "schema.json"), (path, "cases.schema.json")):
        validator = Draft202012Validator(json.loads((books_path() / schema).read_text(encoding="utf-8")))
        faults = validator.iter_errors(yaml.safe_load(file.read_text(encoding="utf-8")))

        assert [fault.message for fault in faults] == []


def test_every_case_has_a_total_and_cites_its_page():
    """Otherwise nobody could check an expectation against what the vendor says."""
    cases = [case for path in FILES for case in read_cases(path).cases]

    assert [case.name for case in cases if not case.source or case.total_pico is None] == []


def test_there_are_enough_examples_to_rely_on():
    """Otherwise the claim that published examples are met exactly would rest on a few, or on simple ones."""
    cases = [case for path in FILES for case in read_cases(path).cases]
    books = [load(read_cases(path).book) for path in FILES]
    cumulative = {type(rule.price).__name__ for book in books for rule in book.rules if rule.per is not None}

    assert len(cases) >= 150
    assert len({case.source for case in cases}) >= 50
    assert cumulative >= {kind.__name__ for kind in CumulativePrice.__subclasses__() if not kind.__subclasses__()}


def _rules(case: Case) -> set[str]:
    return {charge.rule for event in case.events for charge in event.charges or ()}


def _turned(case: Case) -> Case:
    """Turn the events round; what single events cost is then another question, the total is the same."""
    events = [event if event.refused else attrs.evolve(event, charges=None) for event in reversed(case.events)]
    return attrs.evolve(case, events=tuple(events))


def _account(index: int) -> str:
    return f"case-{index}"


def _payloads(cases: Cases) -> Iterator[bytes]:
    """Write the events of every case as messages, each case with an account of its own."""
    for i, case in enumerate(cases.cases):
        for j, event in enumerate(case.events):
            for k in range(event.repeat):
                message: dict[str, Any] = {
                    "id": f"{j}-{k}",
                    "account": _account(i),
                    "product": event.product,
                    "time": "2026-01-01T00:00:00Z",
                    "quantity": str(event.quantity),
                    "attributes": event.attributes,
                }
                yield json.dumps(message).encode()
