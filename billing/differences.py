"""Differences: the events of a log priced by two books, from their bytes to the rows of a report.

Owns the way through decoding, the columns of the report, and which events stand out. Must not know files or terminals.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from billing.event import Decoder, Events
from billing.ports import Records
from rules.book import Book
from rules.changes import Changes, Side
from rules.columns import PICO_PLACES, Usage
from rules.describe import time_text
from rules.diff import Diff, Sums
from rules.number import decimal_text

EVENT_COLUMNS: Final = (
    "event", "account", "time", "group", "old_rule", "new_rule", "old_account", "new_account", "old_quantity",
    "new_quantity", "old_amount", "new_amount", "difference", "old_refused", "new_refused",
)  # fmt: skip
SUM_COLUMNS: Final = ("old_lines", "new_lines", "old_amount", "new_amount", "difference")

Row = tuple[str, ...]


@attrs.frozen(order=True)
class Outlier:
    """An event whose total differs much: by how much, its place in the log, its id and account."""

    size_pico: int
    offset: int = attrs.field(order=False)
    event: str = attrs.field(order=False)
    account: str = attrs.field(order=False)
    difference_pico: int = attrs.field(order=False)


class Differences:
    """Compares two books over reads of a log; keeps sums, and the `outliers_max` events that differ most."""

    def __init__(self, old: Book, new: Book, outliers_max: int) -> None:
        self.diff = Diff(old, new)
        self.unreadable = 0  # refused before any rule is asked, whatever the book
        self._decoder = Decoder(self.diff.attributes, self.diff.payers)
        self._outliers_max = outliers_max
        self._outliers: list[Outlier] = []

    def add(self, records: Records) -> "Batch":
        """Price one read of the log by both books."""
        events, rejects = self._decoder.decode(records.partition, records.offset, records.payload)
        self.unreadable += len(rejects)
        priced = ~events.void  # what they take back was charged, by whichever book it was
        priced[list(events.credits)] = False
        events = events.take(priced)
        usage = Usage(events.account, events.product, events.time_us, events.quantity, events.attributes)
        batch = Batch(events, self.diff.add(usage))
        for row, pico in batch.changes.differences_pico() if self._outliers_max else ():
            if len(self._outliers) < self._outliers_max:
                heapq.heappush(self._outliers, batch.outlier(row, pico))
            elif abs(pico) > self._outliers[0].size_pico:
                heapq.heapreplace(self._outliers, batch.outlier(row, pico))
        return batch

    def outliers(self) -> Sequence[Outlier]:
        """Return the events that differ most, the largest first."""
        return sorted(self._outliers, key=lambda one: (-one.size_pico, one.offset))

    def sum_rows(self, by: str) -> Iterator[Row]:
        """Yield name and SUM_COLUMNS of each rule or account that has a line, in its order."""
        for name, sums in (self.diff.rules() if by == "rule" else self.diff.accounts()).items():
            if sums.old_lines or sums.new_lines:
                yield _sum_row(name, sums)

    def top_accounts(self, count: int) -> list[Row]:
        """Return name and SUM_COLUMNS of the accounts that differ most, the largest difference first."""
        changed = ((name, sums) for name, sums in self.diff.accounts().items() if sums.difference_pico)
        largest = heapq.nsmallest(count, changed, key=lambda one: (-abs(one[1].difference_pico), one[0]))
        return [_sum_row(*one) for one in largest]


@attrs.frozen(eq=False)
class Batch:
    """One read: its events, and what differs."""

    events: Events
    changes: Changes

    def rows(self) -> Iterator[Row]:
        """Yield EVENT_COLUMNS of every difference; what a side does not have is empty."""
        events = self.events
        for change in self.changes.changes():
            row, old, new = change.event, change.old, change.new
            yield (
                events.id[row].as_py(),
                events.account.values[events.account.codes[row]],
                time_text(int(events.time_us[row])),
                change.group,
                old.rule,
                new.rule,
                old.account,
                new.account,
                *(_of_line(side, side.quantity_pico) for side in (old, new)),
                *(_of_line(side, side.amount_pico) for side in (old, new)),
                amount_text(change.difference_pico),
                old.refused,
                new.refused,
            )

    def outlier(self, row: int, pico: int) -> Outlier:
        """Describe an event."""
        events = self.events
        account = events.account.values[events.account.codes[row]]
        return Outlier(abs(pico), int(events.offset[row]), events.id[row].as_py(), account, pico)


def _sum_row(name: str, sums: Sums) -> Row:
    amounts = map(amount_text, (sums.old_pico, sums.new_pico, sums.difference_pico))
    return name, str(sums.old_lines), str(sums.new_lines), *amounts


def amount_text(pico: int) -> str:
    """Write an amount without trailing zeros."""
    return decimal_text(pico, PICO_PLACES)


def _of_line(side: Side, pico: int) -> str:
    return amount_text(pico) if side.rule else ""
