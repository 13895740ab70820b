"""Differences of two books: every change is found and named, and sums are exact, whatever the batches."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.book import Book
from rules.changes import Counts
from rules.diff import Diff, Sums
from rules.pricer import Pricer
from rules.running import Running
from tests.examples import examples
from tests.properties.test_rules import CHARGES, EVENTS, TABLES
from tests.rulebooks import book_of, lines_of, usage_of

PICO = 10**12

OLD = """\
charges:
- group: usage
  rules:
  - {id: sms, when: {product: sms}, price: {per_unit: "0.01"}}
  - {id: voice, when: {product: voice}, quantity: {of: seconds}, price: {per_unit: "0.02"}}
- group: fee
  rules: [{id: fee, when: {fee: {exists: true}}, price: {flat: 1}}]
"""
NEW = """\
charges:
- group: fee
  rules: [{id: fee, when: {fee: {exists: true}}, charge: {attribute: fee}, price: {flat: 1}}]
- group: usage
  rules:
  - {id: text, when: {product: sms, renamed: {exists: true}}, price: {per_unit: "0.01"}}
  - {id: sms, when: {product: sms}, price: {per_unit: "0.015"}}
  - {id: fax, when: {product: fax}, price: {per_unit: "0.5"}}
"""


def _book(folder: Path, name: str, charges: str, **tables: str) -> Book:
    (folder / name).mkdir(exist_ok=True)
    return book_of(folder / name, charges, **tables)


def _diff(folder: Path, *batches: list[dict[str, Any]]) -> tuple[Diff, list[list[tuple[Any, ...]]]]:
    """Compare OLD and NEW; returns for each batch its changes as (event, group, old, new)."""
    diff = Diff(_book(folder, "old", OLD), _book(folder, "new", NEW))
    told = []
    for batch in batches:
        usage = usage_of(_Names(diff.attributes), batch)  # type: ignore[arg-type]
        changes = diff.add(usage).changes()
        told.append(
            [
                (
                    one.event,
                    one.group,
                    *((s.rule, s.account, s.amount_pico / PICO, s.refused) for s in (one.old, one.new)),
                )
                for one in changes
            ]
        )
    return diff, told


class _Names:
    """What `usage_of` asks of a book."""

    def __init__(self, attributes: frozenset[str]) -> None:
        self.attributes = attributes


NOTHING = ("", "", 0.0, "")


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        # Nothing differs, although the groups stand in another order.
        ({"product": "other", "fee": "acme"}, []),
        # Another price; another rule at the same price; another payer.
        ({"quantity": 2}, [(0, "usage", ("sms", "acme", 0.02, ""), ("sms", "acme", 0.03, ""))]),
        ({"renamed": "x"}, [(0, "usage", ("sms", "acme", 0.01, ""), ("text", "acme", 0.01, ""))]),
        ({"product": "other", "fee": "bob"}, [(0, "fee", ("fee", "acme", 1.0, ""), ("fee", "bob", 1.0, ""))]),
        # Refused by one book only, or by both for other reasons.
        ({"product": "fax"}, [(0, "usage", ("", "", 0.0, "no_rule"), ("fax", "acme", 0.5, ""))]),
        ({"product": "voice", "seconds": "3"}, [(0, "usage", ("voice", "acme", 0.06, ""), ("", "", 0.0, "no_rule"))]),
        ({"product": "voice"}, [(0, "", ("", "", 0.0, "bad_quantity"), ("", "", 0.0, "no_rule"))]),
        ({"product": "nothing"}, []),
    ],
)
def test_every_change_is_named(tmp_path: Path, event: dict[str, Any], changes: list[tuple[Any, ...]]) -> None:
    """A new book would charge somebody otherwise, and the comparison say that it does not."""
    diff, (told,) = _diff(tmp_path, [event])
    assert told == changes
    assert diff.counts.changed == bool(changes)


def test_events_are_counted_by_what_changes(tmp_path: Path) -> None:
    """A renamed rule would look like a price that went up."""
    events = [{}, {"renamed": "x"}, {"product": "fax"}, {"product": "voice", "seconds": "3"}, {"product": "nothing"}]
    diff, _ = _diff(tmp_path, events, [{"renamed": "x"}])
    assert diff.counts == Counts(events=6, recharged=3, relabelled=2, newly_refused=1, newly_accepted=1)


def test_sums_by_rule_and_account(tmp_path: Path) -> None:
    """Finance would be told a wrong effect of a price change."""
    events = [{"quantity": 2}, {"account": "b"}, {"product": "fax"}, {"fee": "b", "product": "other"}]
    diff, _ = _diff(tmp_path, events, [{"account": "b"}])
    assert {name: one for name, one in diff.rules().items() if one != Sums()} == {
        "sms": Sums(3, 3, 40_000_000_000, 60_000_000_000),
        "fax": Sums(0, 1, 0, 500_000_000_000),
        "fee": Sums(1, 1, PICO, PICO),
    }
    assert diff.accounts() == {
        "acme": Sums(2, 2, 1_020_000_000_000, 530_000_000_000),
        "b": Sums(2, 3, 20_000_000_000, 1_030_000_000_000),
    }
    assert diff.total == Sums(4, 5, 1_040_000_000_000, 1_560_000_000_000)


def test_sums_beyond_int64_are_exact(tmp_path: Path) -> None:
    """The total of a big month would wrap around."""
    huge = [{"quantity": "99999999999999999999999999"}] * 3
    diff, _ = _diff(tmp_path, huge)
    assert diff.total == Sums(
        3, 3, 3 * 99999999999999999999999999 * PICO // 100, 3 * 99999999999999999999999999 * PICO * 15 // 1000
    )


def test_the_largest_differences(tmp_path: Path) -> None:
    """Who looks for the events that matter would be shown others."""
    diff = Diff(_book(tmp_path, "old", OLD), _book(tmp_path, "new", NEW))
    events = [{"quantity": 10}, {"renamed": "x"}, {"product": "fax"}, {"product": "voice", "seconds": "3"}]
    changes = diff.add(usage_of(_Names(diff.attributes), events))  # type: ignore[arg-type]
    assert list(changes.differences_pico()) == [(0, 50_000_000_000), (2, 500_000_000_000), (3, -60_000_000_000)]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, Book]:
    """Return a book with linear and cumulative prices, and another version of it."""
    folder = tmp_path_factory.mktemp("books")
    tiers = 'price: {graduated: {per: day, tiers: [{up_to: 5, unit: "0.01"}, {unit: "%s"}]}}'
    tiered = f"- group: tiered\n  rules: [{{id: tiered, when: {{product: sms}}, {tiers}}}]\n"
    old = _book(folder, "old", CHARGES + tiered % "0.001", **TABLES)
    return old, _book(folder, "new", CHARGES.replace("0.0079", "0.008") + tiered % "0.002", **TABLES)


@examples(150)
@given(events=st.lists(EVENTS, max_size=15), cut=st.integers(0, 15))
def test_sums_are_those_of_two_pricers(books: tuple[Book, Book], events: list[Any], cut: int) -> None:
    """The comparison would have a price engine of its own."""
    diff = Diff(*books)
    for batch in (events[:cut], events[cut:]):
        diff.add(usage_of(_Names(diff.attributes), batch))  # type: ignore[arg-type]
    totals, lines = [], []
    for book in books:
        priced = Running(book).settle(Pricer(book).price(usage_of(book, events)))
        totals.append(sum(priced.lines.amount.units.tolist()))
        lines.append(lines_of(book, priced))
    assert [diff.total.old_pico, diff.total.new_pico] == totals
    assert sum(one.old_pico for one in diff.accounts().values()) == totals[0]
    assert sum(one.new_pico for one in diff.rules().values()) == totals[1]
    same = [line for line in lines[0] if line in lines[1]]
    assert diff.counts.changed == len({line[0] for side in lines for line in side if line not in same})
