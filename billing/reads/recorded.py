"""Recorded: what has become of an event, told from the lines that shards have of it.

Owns the words for its state. Must not know how the event would be priced now.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import attrs
from sqlalchemy import Connection

from billing.moment import DAY_US, day_number
from billing.reads.answers import exact
from billing.reads.statement import Wanted, lines_of
from billing.voids import VOIDED_RULE

_LINES_MAX: Final = 2**16  # of an event on one account: as many as SMALLINT tells apart


class State(StrEnum):
    """What has become of an event, by its lines."""

    ABSENT = "no shard has it: it was not billed, or not yet, or its records were dropped"
    CHARGED = "charged"
    VOIDED = "charged, and taken back by a void"
    VOIDED_FIRST = "its void came first: it is charged nothing whenever it comes"


@attrs.frozen
class EventLine:
    """One line; below 0 it takes back line -1 - n. Quantity and amount (currency units) with all their places."""

    account: str
    event: str
    line: int
    rule: str
    book_version: int
    quantity: str
    amount: str
    currency: str


def read_event(connection: Connection, slots: Sequence[int], account: str, day: str, key: str) -> list[EventLine]:
    """Return the lines of an event of a day (YYYY-MM-DD) on one charged account, in order.

    key: the event as records name it.
    """
    start_us = day_number(day) * DAY_US
    wanted = Wanted(since_us=start_us, until_us=start_us + DAY_US, event=key)
    lines, _ = lines_of(account, slots, wanted, None, _LINES_MAX).ask(connection)
    return [
        EventLine(
            account=account,
            event=line.event,
            line=line.line,
            rule=line.rule,
            book_version=line.book_version,
            quantity=exact(line.quantity),
            amount=exact(line.amount),
            currency=line.currency,
        )
        for line in reversed(lines)
    ]


def state_of(lines: Sequence[EventLine]) -> State:
    """Tell what has become of an event whose lines on all accounts these are."""
    if not lines:
        return State.ABSENT
    if any(line.line < 0 for line in lines):
        return State.VOIDED
    return State.VOIDED_FIRST if any(line.rule == VOIDED_RULE for line in lines) else State.CHARGED
