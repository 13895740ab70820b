"""Credits under audit: the rows of `credits` against the records that anchor them, one account at a time.

Owns what must agree: each record of a credit has one row with its terms and amount, and each row a record. Must not
know connections.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal

from billing.exact import EXACT
from billing.ledger import CreditEntry

_Key = tuple[str, str, int]  # day, event, line


class Credits:
    """Compares what records and rows say of an account's credits, and adds up all that rows say.

    count: credits, each void one less; sums: by currency, in currency units.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.count = 0
        self.sums: dict[str, Decimal] = {}
        self._tell = tell
        self._records: dict[_Key, CreditEntry] = {}

    def recorded(self, entries: Iterable[CreditEntry]) -> None:
        """Note what records of the next account say."""
        self._records.update((one.key, one) for one in entries)

    def compare(self, place: str, rows: Iterable[CreditEntry]) -> None:
        """Compare the rows of the account with its records, and forget both."""
        given: dict[_Key, Decimal] = {}
        for row in rows:
            amount = row.amount or Decimal(0)
            self.count += 1 if row.line >= 0 else -1
            self.sums[row.currency] = EXACT.add(self.sums.get(row.currency, Decimal(0)), amount)
            given[row.key] = amount
            record = self._records.pop(row.key, None)
            if record is None:
                self._tell(f"{place}: credits has {_named(row)}, of which there is no record")
            elif record != row:
                self._tell(f"{place}: {_named(row)} is {row.terms or row.digest}, its record says {record.terms}")
        for record in self._records.values():
            self._tell(f"{place}: credits lacks {_named(record)}, which has a record")
        self._records.clear()
        for (day, event, line), amount in given.items():
            if line < 0 and EXACT.add(given.get((day, event, -1 - line), Decimal(0)), amount):
                self._tell(f"{place}: the void of credit {event} of {day} takes back {-amount}, which was not given")


def _named(one: CreditEntry) -> str:
    return f"{'credit' if one.line >= 0 else 'the void of credit'} {one.event} of {one.day}"
