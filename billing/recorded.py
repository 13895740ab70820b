"""Recorded: what a shard has written for one event, and what has become of it since.

Owns the reading of an event's lines, and the words for their state. Must not know how the event would be priced now.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

import attrs
from sqlalchemy import Connection, select

from billing.ledger import EXACT
from billing.schema import records
from billing.voids import VOIDED_RULE

_TWELVE_PLACES: Final = Decimal("1e-12")


class State(StrEnum):
    """What has become of an event, by its lines."""

    ABSENT = "no shard has it: it was not billed, or not yet, or its records were dropped"
    CHARGED = "charged"
    VOIDED = "charged, and taken back by a void"
    VOIDED_FIRST = "its void came first: it is charged nothing whenever it comes"


@attrs.frozen
class RecordedLine:
    """One line; below 0 it takes back line -1 - n. Quantity and amount (currency units) with all their places."""

    account: str
    event: str
    line: int
    rule: str
    book_version: int
    quantity: str
    amount: str
    currency: str


def read_lines(connection: Connection, slots: Sequence[int], account: str, day: date, key: str) -> list[RecordedLine]:
    """Return the lines of an event on one charged account in order; key: as in `billing.charge.Charges`."""
    names = [field.name for field in attrs.fields(RecordedLine)]
    query = select(*(records.c[name] for name in names)).where(
        records.c.slot.in_(slots), records.c.account == account, records.c.day == day, records.c.event == key
    )
    found = connection.execute(query.order_by(records.c.line))
    return [
        RecordedLine(
            account=row.account,
            event=row.event,
            line=row.line,
            rule=row.rule,
            book_version=row.book_version,
            quantity=_exact(row.quantity),
            amount=_exact(row.amount),
            currency=row.currency,
        )
        for row in found
    ]


def _exact(number: Decimal) -> str:
    return f"{number.quantize(_TWELVE_PLACES, context=EXACT):f}"  # SQLite keeps the text that it was given


def state_of(lines: Sequence[RecordedLine]) -> State:
    """Tell what has become of an event whose lines on all accounts these are."""
    if not lines:
        return State.ABSENT
    if any(line.line < 0 for line in lines):
        return State.VOIDED
    return State.VOIDED_FIRST if any(line.rule == VOIDED_RULE for line in lines) else State.CHARGED
