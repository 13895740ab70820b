"""Quarantine: the events that could not be billed, as a shard keeps them, with the reason and their place in the log.

Owns the selects over it and the mark that an event was published again. An entry is never deleted: the audit counts it.
Must not know connections or sources.
"""

import re
from collections.abc import Sequence
from typing import Final

import attrs
from sqlalchemy import ColumnElement, Connection, Select, func, select, tuple_, update

from billing.schema import quarantine

_VALUE: Final = re.compile(r' is "(?:[^"\\]|\\.)*(?:"|$)')  # as details of rules quote them; the last may be cut


@attrs.frozen
class Entry:
    """One event: payload may be cut to its beginning, payload_bytes is what it had.

    account: "" where none can be read.
    """

    log: str
    partition: int
    offset: int
    account: str
    reason: str
    detail: str
    payload_bytes: int
    payload: bytes = attrs.field(repr=False)
    retried: bool

    @property
    def cut(self) -> bool:
        """Tell whether only the payload's beginning was kept."""
        return len(self.payload) < self.payload_bytes

    @property
    def plain_detail(self) -> str:
        """The detail without values of attributes, which are about people."""
        return _VALUE.sub(' is "..."', self.detail)


@attrs.frozen
class ReasonCount:
    """How many events of one reason a shard holds, and how many of these were published again."""

    reason: str
    events: int
    retried: int


def count_reasons(connection: Connection) -> list[ReasonCount]:
    """Count by reason."""
    query = select(quarantine.c.reason, func.count(), func.sum(quarantine.c.retried)).group_by(quarantine.c.reason)
    return [ReasonCount(reason, events, int(retried)) for reason, events, retried in connection.execute(query)]


def read_entries(connection: Connection, reason: str | None, limit: int) -> list[Entry]:
    """Read entries in the order of the log; reason None is any."""
    return _entries(connection, _ordered(_with_reason(reason)).limit(limit))


def read_entry(connection: Connection, log: str | None, partition: int, offset: int) -> list[Entry]:
    """Read what stands at one place; log None is any log, so there may be several."""
    place = [quarantine.c.partition == partition, quarantine.c.offset == offset]
    return _entries(connection, _ordered([*place, *([] if log is None else [quarantine.c.log == log])]))


def read_waiting(connection: Connection, reason: str | None, after: Entry | None, limit: int) -> list[Entry]:
    """Read entries that were not published again yet, in the order of the log, from the one after `after` on."""
    conditions = [*_with_reason(reason), quarantine.c.retried == 0]
    if after is not None:
        place = tuple_(quarantine.c.log, quarantine.c.partition, quarantine.c.offset)
        conditions.append(place > tuple_(after.log, after.partition, after.offset))
    return _entries(connection, _ordered(conditions).limit(limit))


def mark_retried(connection: Connection, entries: Sequence[Entry]) -> None:
    """Note that these were published again."""
    for entry in entries:
        connection.execute(
            update(quarantine)
            .where(
                quarantine.c.log == entry.log,
                quarantine.c.partition == entry.partition,
                quarantine.c.offset == entry.offset,
            )
            .values(retried=1)
        )


def _with_reason(reason: str | None) -> list[ColumnElement[bool]]:
    return [] if reason is None else [quarantine.c.reason == reason]


def _ordered(conditions: Sequence[ColumnElement[bool]]) -> Select[tuple[object, ...]]:
    return select(quarantine).where(*conditions).order_by(quarantine.c.log, quarantine.c.partition, quarantine.c.offset)


def _entries(connection: Connection, query: Select[tuple[object, ...]]) -> list[Entry]:
    return [
        Entry(
            row.log, row.partition, row.offset, row.account, row.reason, row.detail, row.payload_bytes, row.payload,
            bool(row.retried),
        )
        for row in connection.execute(query)
    ]  # fmt: skip
