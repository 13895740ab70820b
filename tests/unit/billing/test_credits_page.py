"""The page of credits: every example is executed, by the engine and by the oracle."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from generators import oracle
from rules import books_path
from tests.credited import SUMS, agreed
from tests.pipeline import bill, pipeline_in

PAGE = books_path() / "CREDITS.md"
AT_US = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp()) * 1_000_000
BOOK = """
charges:
- group: usage
  rules:
  - {id: refund, when: {refund: {exists: true}}, price: {per_unit: -1}}
  - {id: unit, price: {per_unit: 1}}
rollups:
- {name: hourly, every: hour, by: [product]}
"""


@attrs.frozen
class Example:
    """A log, and what is said of each credit and of all of them: cells by their column's name."""

    log: list[bytes]
    credits: list[dict[str, str]]
    sums: list[dict[str, str]]


def examples(text: str) -> Iterator[Example]:
    """Yield the logs of a page with the tables after them."""
    parts = re.split(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    for i in range(1, len(parts), 3):
        if parts[i] == "jsonl":
            tables = [_rows(table) for table in re.findall(r"(?:^\|.*\n)+", parts[i + 2], re.MULTILINE)]
            credits = [row for table in tables for row in table if "id" in row]  # noqa: A001 - the noun
            sums = [row for table in tables for row in table if "charged" in row]
            yield Example(parts[i + 1].encode().splitlines(), credits, sums)


def _rows(table: str) -> list[dict[str, str]]:
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


EXAMPLES = list(examples(PAGE.read_text(encoding="utf-8")))


def check(example: Example, folder: Path) -> None:
    """Bill an example as one batch and as many, and compare."""
    pipeline = pipeline_in(folder, charges=BOOK)
    expected = oracle.run(example.log, folder / "book.yaml")
    for log in ([example.log], [[one] for one in example.log]):
        found = agreed(bill(pipeline, log), expected, "acme", AT_US)
        assert {one.credit.id: (one.drawn, one.expired, one.remaining) for one in found.credits} == {
            row["id"]: tuple(Decimal(row[name]) for name in ("drawn", "expired", "remaining"))
            for row in example.credits
        }
        for row in example.sums:
            assert {name: getattr(found, name) for name in SUMS} == {name: Decimal(row[name]) for name in SUMS}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_of_the_page_are_true(number: int, tmp_path: Path) -> None:
    """Somebody who grants credits by the page would give something else than the page says."""
    check(EXAMPLES[number], tmp_path)


def test_the_page_has_examples_and_one_that_lies_is_found(tmp_path: Path) -> None:
    """The page could say anything: here what is left of a grant is changed."""
    assert len(EXAMPLES) >= 6
    assert all(example.credits for example in EXAMPLES)
    text = PAGE.read_text(encoding="utf-8").replace("| new | 5 | 0 | 5 |", "| new | 5 | 0 | 6 |")
    (lying,) = [one for one in examples(text) if one.credits[-1]["id"] == "new"]
    with pytest.raises(AssertionError):
        check(lying, tmp_path)
