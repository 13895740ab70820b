"""The pages of the price models: every example is executed, by the engine and by the oracle."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from billing.cursor import Claim
from billing.ports import Applied
from generators import oracle, oracle_close, oracle_files
from generators.oracle_period import starts_named
from rules.load import load
from rules.price import MODELS
from rules.pricer import Pricer
from sharding.shardmap import ShardMap
from tests.agreement import by_engine, by_oracle
from tests.closing import close
from tests.pipeline import LOG, Pipeline, payload
from tests.rulebooks import HEAD, lines_of, usage_of
from tests.stores import MemoryPlace

PAGES = sorted((Path(__file__).parents[3] / "rules" / "books" / "models").glob("[a-z]*.md"))
ROW = re.compile(r"\|(.*)\|")


@attrs.frozen
class Example:
    """A rule or groups in YAML, the files beside it, and the rows of a table: cells by their column's name."""

    yaml: str
    files: dict[str, str]
    rows: list[dict[str, str]]


def examples(page: Path) -> Iterator[Example]:
    """Yield the tables of a page, each with the last YAML block before it and the files so far."""
    files: dict[str, str] = {}
    block, table = "", []
    parts = re.split(r"^```(.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for i in range(0, len(parts), 4):  # text, opening, block, closing
        table = [line for line in parts[i].splitlines() if ROW.fullmatch(line)]
        if table:
            yield Example(block, dict(files), list(_rows(table)))
        if i + 2 < len(parts):
            kind, _, name = parts[i + 1].partition(" ")
            if kind == "csv":
                files[name] = parts[i + 2].lstrip("\n")
            else:
                block = parts[i + 2]


def _rows(table: list[str]) -> Iterator[dict[str, str]]:
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return (dict(zip(head, row, strict=True)) for row in rows)


def _is_input(column: str) -> bool:
    return column not in {"billed", "amount", "why"} and not column.startswith("amount of ")


def _write(example: Example, folder: Path) -> Path:
    for name, content in example.files.items():
        (folder / name).write_text(content, encoding="utf-8")
    path = folder / "book.yaml"
    path.write_text(HEAD + charges_of(example), encoding="utf-8")
    return path


def charges_of(example: Example) -> str:
    """Return an example's part of a book: as it stands, or as that of the one rule whose price it shows."""
    if "charges:" in example.yaml:
        return example.yaml
    rule = "".join(f"    {line}\n" for line in example.yaml.strip().splitlines())
    return f"charges:\n- group: usage\n  rules:\n  - id: example\n{rule}"


def _event(row: dict[str, str]) -> dict[str, object]:
    event: dict[str, object] = {name: cell for name, cell in row.items() if _is_input(name) and cell}
    if "time" in event:
        event["time_us"] = int(datetime.fromisoformat(str(event.pop("time"))).timestamp()) * 1_000_000
    return event


def _expected(row: dict[str, str]) -> object:
    """Return the reason of a rejection, or what the row says of each line: rule ("" for any) -> amount."""
    amounts = {
        name.removeprefix("amount").removeprefix(" of "): cell
        for name, cell in row.items()
        if name.split(" of ")[0] == "amount"
    }
    rejected = [cell.removeprefix("rejected: ") for cell in amounts.values() if cell.startswith("rejected: ")]
    return rejected[0] if rejected else amounts


def _closed(path: Path, rows: list[dict[str, str]]) -> list[object]:
    """Return what each row that closes a period posts for its account, by the store and the oracle, "" of others."""
    pipeline, place = Pipeline(load(path), ShardMap.even(["s1"])), MemoryPlace()
    log: list[bytes] = []
    paid: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)

    async def play() -> list[object]:
        found: list[object] = []
        store = place.store()
        await store.claim(Claim(LOG, {0: 0}, 1, 1))
        for row in rows:
            account, name = row.get("account") or "acme", row["close"]
            if not name:
                log.append(payload(f"e{len(log)}", account, time=row["time"], quantity=row["quantity"]))
                assert await store.apply(pipeline.transaction(log[-1:], len(log) - 1)) == Applied()
                found.append("")
                continue
            await close(place, store, pipeline, name)
            key = account, f"minimum example {name}"
            lines = [
                line for line in place.shard.tables.records if line[1] == account and line[3].startswith("minimum")
            ]
            starts = starts_named(book.groups[0][1][0].per, name)
            posted = sum(
                place.shard.tables.records[line][2] for line in lines if int(line[3].rpartition(" ")[2]) in starts
            )
            missing = oracle_close.missing(book, oracle.run(log, path).counters, name)
            assert posted == sum(amount for (of, _, _), amount in missing.items() if of == account)
            change = Decimal(posted - paid[key])
            found.append({"": f"{change.normalize():f}" if change else "0"})
            paid[key] = posted
        return found

    book = oracle_files.load(path)
    return asyncio.run(play())


def _agreed(path: Path, rows: list[dict[str, str]]) -> list[object]:
    """Return what the engine and the oracle say of each row: a reason, or rule ("" if it is the only one) -> amount."""
    if any(row.get("close") for row in rows):
        events = [row for row in rows if not row["close"]]
        of_events = iter(_agreed(path, [{name: row[name] for name in row if name != "close"} for row in events]))
        return [one or next(of_events) for one in _closed(path, rows)]
    events = [_event(row) for row in rows]
    found = by_engine(load(path), *events)
    assert by_oracle(path, *events) == found
    return [{"": of["example"]} if isinstance(of, dict) and "example" in of else of for of in found]


def _billed(path: Path, rows: list[dict[str, str]]) -> list[str]:
    book = load(path)
    return [quantity for *_, quantity, _ in lines_of(book, Pricer(book).price(usage_of(book, map(_event, rows))))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_are_true(page: Path, tmp_path: Path) -> None:
    """Somebody who writes a price list by the page would charge something else than the page says."""
    found = list(examples(page))
    assert sum(len(example.rows) for example in found) >= 3
    for example in found:
        path = _write(example, tmp_path)
        expected = [_expected(row) for row in example.rows]
        assert _agreed(path, example.rows) == expected
        shown = [row for row in example.rows if row.get("billed")]
        assert _billed(path, shown) == [row["billed"] for row in shown]


def test_every_model_has_a_page() -> None:
    """A model could be used without anybody knowing what it charges."""
    assert {page.stem for page in PAGES} >= set(MODELS)


def test_a_page_that_lies_is_found(tmp_path: Path) -> None:
    """The pages could say anything: here one amount of the page of flat prices is changed."""
    text = (PAGES[0].parent / "flat.md").read_text(encoding="utf-8")
    page = tmp_path / "flat.md"
    page.write_text(text.replace("| 7 | 7 | 0.05 |", "| 7 | 7 | 0.35 |"), encoding="utf-8")
    (example, *_) = examples(page)
    assert _agreed(_write(example, tmp_path), example.rows) != [_expected(row) for row in example.rows]


def test_times_are_read() -> None:
    """An example about periods would run on one day."""
    assert _event({"time": "2026-01-05T10:00:00Z", "why": "x"}) == {
        "time_us": int(datetime(2026, 1, 5, 10, tzinfo=UTC).timestamp()) * 1_000_000
    }
