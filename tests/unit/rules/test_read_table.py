"""Big tables: what is wrong in them is found in its line, and what they hold takes little room."""

import tracemalloc
from pathlib import Path

import pytest

from rules.errors import BookError
from tests.rulebooks import amounts, rules_of

ROWS = 100_000
RULE = "price: {table: {file: deck.csv, longest_prefix: to, column: rate}}"


def _deck(*, last: str = "", bad: dict[int, str] | None = None) -> str:
    """Return a deck whose row i (line i + 2) has the prefix 1000000 + i and the rate 0.i."""
    rates = [f"0.{row:06d}" for row in range(ROWS)]
    for row, rate in (bad or {}).items():
        rates[row] = rate
    rows = (f"{1_000_000 + row},Place {row},{rate},0.01,60\n" for row, rate in enumerate(rates))
    return "prefix,destination,rate,connect,unit\n" + "".join(rows) + last


def test_a_deck_of_a_hundred_thousand_prefixes(tmp_path: Path) -> None:
    """A carrier's whole rate card could not be sold from, or would not fit beside the worker's batches."""
    (tmp_path / "deck.csv").write_text(_deck(last='999,"Nowhere\n""else""",9,,\n'), encoding="utf-8")
    tracemalloc.start()
    book = rules_of(tmp_path, RULE)
    kept_bytes, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 10_000_000
    assert peak_bytes < 40_000_000
    events = [{"to": to} for to in ("1000001", "10500001234", "10999995", "999")]
    assert amounts(book, *events) == ["0.000001", "0.05", "0.099999", "9"]


def test_what_is_wrong_is_found_in_its_line(tmp_path: Path) -> None:
    """Somebody would look for a misprint in a hundred thousand lines."""
    deck = _deck(last="1000000,again,1,1,60\n", bad={8_191: '"0,5"', 8_192: "free", ROWS - 1: "1e3"})
    with pytest.raises(BookError) as told:
        rules_of(tmp_path, RULE, deck=deck)
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in told.value.problems] == [
        'deck.csv:100002: prefix: "1000000" is in line 2 already; keep one of them',
    ]
    with pytest.raises(BookError) as told:
        rules_of(tmp_path, RULE, deck=deck.removesuffix("1000000,again,1,1,60\n"))
    assert [str(problem).removeprefix(f"{tmp_path}/") for problem in told.value.problems] == [
        'deck.csv:8193: rate: "0,5" is not a decimal; write "0.5"',
        'deck.csv:8194: rate: "free" is not a decimal; write "0.0079"',
        'deck.csv:100001: rate: "1e3" is not a decimal; write "0.0079"',
    ]
