"""Statement: an account's recorded lines, newest day first, page by page.

Owns the order of lines and the cursor between two pages. Must not know connections or the shape of answers.
"""

import base64
import heapq
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import attrs
import msgspec
from sqlalchemy import Select, select

from billing.charge import FOREIGN_SEPARATOR
from billing.keyset import before
from billing.moment import SECOND_US
from billing.reads.question import Question
from billing.schema import records
from billing.wire import is_identifier
from sharding.key import SLOTS

_LINES: Final = 2**15  # SMALLINT
_TOKEN_CHARACTERS_MAX: Final = 400
LineKey = tuple[str, str, int, int]  # day (YYYY-MM-DD), event, line, slot: unique among an account's lines


class RecordedLine(msgspec.Struct, frozen=True):
    """One row of `records`: day YYYY-MM-DD, time_us since 1970-01-01 UTC, quantity and amount exact, kept JSON text.

    event: the event's id, after its own account's and a blank where another account is charged.
    """

    slot: int
    day: str
    event: str
    line: int
    time_us: int
    product: str
    rule: str
    currency: str
    book_version: int
    quantity: Decimal
    amount: Decimal
    kept: str

    @property
    def key(self) -> LineKey:
        """Return its place in the order of lines."""
        return self.day, self.event, self.line, self.slot


@attrs.frozen
class Wanted:
    """Which lines are asked for: since_us <= time < until_us, and texts that must be equal; None asks for any.

    event: as RecordedLine.event.
    """

    since_us: int | None = None
    until_us: int | None = None
    product: str | None = None
    rule: str | None = None
    event: str | None = None


EVERY_LINE: Final = Wanted()


class CursorError(ValueError):
    """A text that is no cursor of a statement."""


def event_key(event: str, origin: str | None) -> str:
    """Return the event as records name it: origin is its account, where another is charged."""
    return event if origin is None else f"{origin}{FOREIGN_SEPARATOR}{event}"


def event_and_origin(key: str) -> tuple[str, str | None]:
    """Return id and account of the event that records name so; None is the charged account itself."""
    origin, _, event = key.rpartition(FOREIGN_SEPARATOR)
    return event, origin or None


def token_of(key: LineKey) -> str:
    """Write a cursor: opaque to callers, safe in a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def key_of(token: str) -> LineKey:
    """Read a cursor. Raises CursorError."""
    try:
        if len(token) > _TOKEN_CHARACTERS_MAX:
            raise CursorError(token)
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        day, event, line, slot = msgspec.json.decode(text, type=LineKey)
        parts = event.split(FOREIGN_SEPARATOR)
        day = date.fromisoformat(day).isoformat()
    except (ValueError, RecursionError) as error:  # as msgspec's own and base64's are
        raise CursorError(token) from error
    if len(parts) > len(("origin", "id")) or not all(map(is_identifier, parts)):
        raise CursorError(token)
    if not (-_LINES <= line < _LINES and 0 <= slot < SLOTS):
        raise CursorError(token)
    return day, event, line, slot


def lines_of(
    account: str, slots: Sequence[int], wanted: Wanted, last: LineKey | None, limit: int
) -> Question[list[RecordedLine]]:
    """Ask one shard for the first lines after `last`, in the order of statements: each slot along its primary key."""

    def selects(dialect: str) -> list[Select[Any]]:
        asked = []
        for slot in slots:
            query = matching(account, slot, wanted).order_by(*(column.desc() for column in _KEY)).limit(limit)
            if last is not None:
                day, event, line, of_slot = last  # the same line of a later slot comes too
                query = query.where(before(dialect, _KEY, (date.fromisoformat(day), event, line + (slot < of_slot))))
            asked.append(query)
        return asked

    return Question(selects, lambda rows: sorted(map(_line, rows), key=lambda one: one.key, reverse=True)[:limit])


def merged(pieces: Iterable[Iterable[RecordedLine]], limit: int) -> list[RecordedLine]:
    """Merge ordered lines of several places."""
    return list(islice(heapq.merge(*pieces, key=lambda one: one.key, reverse=True), limit))


_KEY: Final = (records.c.day, records.c.event, records.c.line)
_COLUMNS: Final = tuple(records.c[name] for name in RecordedLine.__struct_fields__)


def matching(account: str, slot: int, wanted: Wanted) -> Select[Any]:
    """Select an account's lines in one slot, those that are wanted, in no order."""
    query = select(*_COLUMNS).where(records.c.slot == slot, records.c.account == account)
    if wanted.since_us is not None:
        query = query.where(records.c.day >= _day(wanted.since_us), records.c.time_us >= wanted.since_us)
    if wanted.until_us is not None:
        query = query.where(records.c.day <= _day(wanted.until_us - 1), records.c.time_us < wanted.until_us)
    for column, text in ((records.c.product, wanted.product), (records.c.rule, wanted.rule)):
        if text is not None:
            query = query.where(column == text)
    return query if wanted.event is None else query.where(records.c.event == wanted.event)


def _day(time_us: int) -> date:
    return datetime.fromtimestamp(time_us // SECOND_US, UTC).date()


def _line(row: Sequence[Any]) -> RecordedLine:
    slot, day, *others = row
    return RecordedLine(slot, str(day), *others)
