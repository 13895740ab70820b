"""`billing rules diff`: what another book would charge for the same events."""

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column, Table

from billing.adapters.files import PARTITION, FileSource
from billing.cli.setup import err, out, output, print_json
from billing.differences import EVENT_COLUMNS, SUM_COLUMNS, Differences, Row, amount_text
from billing.errors import SettingsError
from billing.limits import Limits
from rules.book import Book
from rules.load import load

TOP_MAX: Final = 10_000
By = Literal["event", "rule", "account"]


def diff(
    old: Path,
    new: Path,
    events: Path,
    *,
    top: Annotated[int, Parameter(validator=Number(gte=0, lte=TOP_MAX))] = 10,
    csv_file: Annotated[Path | None, Parameter(name="--csv")] = None,
    by: By = "event",
    fail_on_change: bool = False,
    json: bool = False,
) -> int:
    """Price the events of a file by two books and show what differs: in all, by rule, by account and by event.

    Cumulative prices begin with nothing used; an event that stands in the file twice is charged twice.

    Parameters
    ----------
    old, new
        The books' files.
    events
        A file of events, one JSON text a line; plain, .gz or .zst.
    top
        How many accounts and events to show, those that differ most.
    csv_file
        A file to write as CSV, which appears once it is complete.
    by
        What the CSV has: every difference of an event in a group, or the sums of every rule or account.
    fail_on_change
        Exit with 1 if any event is charged otherwise, by another rule, or refused otherwise.
    json
        Print one JSON document.
    """
    books = load(old), load(new)
    _check_currencies(books)
    differences = Differences(*books, outliers_max=top)
    with _writer(csv_file, EVENT_COLUMNS if by == "event" else (by, *SUM_COLUMNS)) as write:
        uvloop.run(_compare(events, differences, write if by == "event" else None))
        if by != "event":
            write(differences.sum_rows(by))
    if json:
        print_json(_document(books, differences, top))
    else:
        _show(books, differences, top)
    return 1 if fail_on_change and differences.diff.counts.changed else 0


def _check_currencies(books: Sequence[Book]) -> None:
    """Refuse what has no sum: amounts of different currencies."""
    currencies = dict.fromkeys(currency for book in books for currency in book.currencies)
    if len(currencies) > 1:
        raise SettingsError(f"the books are in {' and '.join(currencies)}: compare books of one currency")


async def _compare(path: Path, differences: Differences, write: Callable[[Iterable[Row]], None] | None) -> None:
    """Read the file from its beginning to its end."""
    source = FileSource(path, follow=False)
    await source.open()
    reader = source.reader()
    await reader.seek({PARTITION: 0})
    shown = SpinnerColumn(), TextColumn("comparing"), MofNCompleteColumn(), TextColumn("events")
    with Progress(*shown, console=err, disable=not sys.stderr.isatty(), transient=True) as progress:
        bar = progress.add_task("events", total=None)
        while (records := await reader.read(Limits().poll_events_max, 0)).spans:
            batch = differences.add(records)
            if write is not None:
                write(batch.rows())
            progress.update(bar, advance=len(records))
    await reader.close()


@contextmanager
def _writer(path: Path | None, header: Row) -> Iterator[Callable[[Iterable[Row]], None]]:
    """Open a CSV file for rows; without a path rows go nowhere."""
    if path is None:
        yield _drop
        return
    with output(path) as stream, io.TextIOWrapper(stream, encoding="utf-8", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(header)
        yield writer.writerows


def _drop(_rows: Iterable[Row]) -> None:
    """Write nowhere."""


def _document(books: Sequence[Book], differences: Differences, top: int) -> dict[str, Any]:
    """Return everything that the tables show; rules are all there."""
    diff, sums = differences.diff, ("old_lines", "new_lines", "old_amount", "new_amount", "difference")
    return {
        "old": {"book": books[0].name, "version": books[0].version},
        "new": {"book": books[1].name, "version": books[1].version},
        "currency": books[0].currency,
        "events": {
            "compared": diff.counts.events,
            "charged_otherwise": diff.counts.recharged,
            "only_labelled_otherwise": diff.counts.relabelled,
            "newly_refused": diff.counts.newly_refused,
            "newly_accepted": diff.counts.newly_accepted,
            "unreadable": differences.unreadable,
        },
        "total": {
            "old_amount": amount_text(diff.total.old_pico),
            "new_amount": amount_text(diff.total.new_pico),
            "difference": amount_text(diff.total.difference_pico),
        },
        "rules": [dict(zip(("rule", *sums), row, strict=True)) for row in differences.sum_rows("rule")],
        "accounts": [dict(zip(("account", *sums), row, strict=True)) for row in differences.top_accounts(top)],
        "largest_events": [
            {"event": one.event, "account": one.account, "difference": amount_text(one.difference_pico)}
            for one in differences.outliers()
        ],
    }


def _show(books: Sequence[Book], differences: Differences, top: int) -> None:
    diff = differences.diff
    counts, total, currency = diff.counts, diff.total, books[0].currency
    versions = " to ".join(f"{book.name} version {book.version}" for book in books)
    unreadable = f", {differences.unreadable:,} unreadable" if differences.unreadable else ""
    _say(f"{versions}: {counts.events:,} events{unreadable}")
    _say(
        f"{counts.recharged:,} events charged otherwise ({counts.newly_refused:,} newly refused, "
        f"{counts.newly_accepted:,} newly accepted), {counts.relabelled:,} only by another rule or quantity"
    )
    old, new, more = (amount_text(pico) for pico in (total.old_pico, total.new_pico, total.difference_pico))
    _say(f"total {old} to {new} {currency}, difference {more} {currency}")
    rules = [row for row in differences.sum_rows("rule") if row[1] != row[2] or row[3] != row[4]]
    _show_rows("rule", rules, f"by rule ({len(rules)} of {sum(1 for _ in differences.sum_rows('rule'))} differ)")
    _show_rows("account", differences.top_accounts(top), "by account, the largest differences")
    if outliers := differences.outliers():
        _say("\nby event, the largest differences")
        table = Table("event", "account", Column("difference", justify="right"), box=None, header_style="bold")
        for one in outliers:
            table.add_row(one.event, one.account, amount_text(one.difference_pico))
        out.print(table, highlight=False, markup=False)


def _show_rows(name: str, rows: Sequence[Row], title: str) -> None:
    if not rows:
        return
    _say(f"\n{title}")
    numbers = (Column(column.replace("_", " "), justify="right") for column in SUM_COLUMNS)
    table = Table(name, *numbers, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    out.print(table, highlight=False, markup=False)


def _say(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
