"""Reads of a log priced by two books: the rows of the report, and the events that stand out."""

import json
from pathlib import Path

import attrs
import numpy as np

from billing.batch import Span
from billing.differences import EVENT_COLUMNS, SUM_COLUMNS, Differences
from billing.ports import Records
from rules.book import Book
from tests.rulebooks import book_of


def _book(folder: Path, name: str, price: str) -> Book:
    (folder / name).mkdir()
    rules = f'rules: [{{id: sms, when: {{product: sms}}, price: {{per_unit: "{price}"}}}}]'
    return book_of(folder / name, f"charges: [{{group: usage, {rules}}}]\n")


def _read(start: int, *quantities: int, product: str = "sms") -> Records:
    """Return a read of events: e0, e1, ... of accounts a0, a1, ..., one second apart."""
    numbers = range(start, start + len(quantities))
    bodies = [
        json.dumps(
            {
                "id": f"e{number}",
                "account": f"a{number}",
                "product": product,
                "time": f"2026-01-01T00:00:{number:02}Z",
                "quantity": quantity,
            }
        ).encode()
        for number, quantity in zip(numbers, quantities, strict=True)
    ]
    offsets = np.array(numbers, dtype=np.int64)
    spans = {0: Span(start, start + len(quantities))}
    return Records(np.zeros(len(bodies), dtype=np.int32), offsets, bodies, spans)


def test_rows_name_event_and_both_sides(tmp_path: Path) -> None:
    """A line of the report would be about nobody."""
    differences = Differences(_book(tmp_path, "old", "0.01"), _book(tmp_path, "new", "0.02"), outliers_max=0)
    first = list(differences.add(_read(0, 3)).rows())
    second = list(differences.add(_read(1, 1, 1)).rows())
    assert dict(zip(EVENT_COLUMNS, first[0], strict=True)) == {
        "event": "e0", "account": "a0", "time": "2026-01-01T00:00:00Z", "group": "usage",
        "old_rule": "sms", "new_rule": "sms",
        "old_account": "a0", "new_account": "a0", "old_quantity": "3", "new_quantity": "3", "old_amount": "0.03",
        "new_amount": "0.06", "difference": "0.03", "old_refused": "", "new_refused": "",
    }  # fmt: skip
    assert [row[:3] for row in second] == [("e1", "a1", "2026-01-01T00:00:01Z"), ("e2", "a2", "2026-01-01T00:00:02Z")]


def test_only_the_largest_differences_are_kept(tmp_path: Path) -> None:
    """Memory would grow with the events, or the report show events that hardly matter."""
    differences = Differences(_book(tmp_path, "old", "0.02"), _book(tmp_path, "new", "0.01"), outliers_max=2)
    differences.add(_read(0, 3, 9, 1))
    differences.add(_read(3, 5, 3))
    assert [(one.event, one.account, one.difference_pico) for one in differences.outliers()] == [
        ("e1", "a1", -90_000_000_000),
        ("e3", "a3", -50_000_000_000),
    ]
    assert [row[0] for row in differences.top_accounts(3)] == ["a1", "a3", "a0"]


def test_sums_of_rules_and_accounts(tmp_path: Path) -> None:
    """The sums of a report would not be those of its rows; unreadable events would go unnoticed."""
    differences = Differences(_book(tmp_path, "old", "0.01"), _book(tmp_path, "new", "0.02"), outliers_max=1)
    read = _read(0, 3, 1)
    differences.add(Records(read.partition, read.offset, [read.payload[0], b"not an event"], read.spans))
    differences.add(_read(2, 1, product="fax"))
    assert differences.unreadable == 1
    rows = list(differences.sum_rows("rule"))
    assert len(SUM_COLUMNS) == 5
    assert rows == [("sms", "1", "1", "0.03", "0.06", "0.03")]
    assert list(differences.sum_rows("account")) == [("a0", "1", "1", "0.03", "0.06", "0.03")]


def test_voids_are_left_out(tmp_path: Path) -> None:
    """A void would be shown as a charge, although it costs nothing by either book."""
    differences = Differences(_book(tmp_path, "old", "0.01"), _book(tmp_path, "new", "0.02"), outliers_max=1)
    read = _read(0, 3, 4)
    voided = json.dumps({**json.loads(read.payload[0]), "type": "void"}).encode()
    batch = differences.add(attrs.evolve(read, payload=[voided, read.payload[1]]))
    assert [row[0] for row in batch.rows()] == ["e1"]
