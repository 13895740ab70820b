"""Balances and usage as readers see them: selects over one shard, and exact sums over all shards an account is on.

Owns what a balance is. Must not know how connections are made.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import attrs
import msgspec
from sqlalchemy import Connection, Double, cast, select

from billing.cursor import CursorRow
from billing.exact import EXACT
from billing.keyset import PLACES_MAX, at_places
from billing.schema import balances, cursors, records

_CURSORS: Final = select(cursors).order_by(cursors.c.log, cursors.c.partition)  # made once: every read begins with it


class Balance(msgspec.Struct, frozen=True):
    """What an account owes in one currency: amount in currency units, 12 places; events counted once each."""

    account: str
    currency: str
    amount: Decimal
    events: int
    checksum: int


class UsageRow(msgspec.Struct, frozen=True):
    """One row of a rollup: bucket start in seconds since 1970-01-01 UTC, dimension values as JSON text."""

    bucket: int
    dims: str
    events: int
    quantity: Decimal
    amount: Decimal


@attrs.frozen
class ChargeRow:
    """One line of a statement."""

    day: str
    event: str
    line: int
    product: str
    rule: str
    currency: str
    quantity: Decimal
    amount: Decimal
    kept: str


def read_balances(connection: Connection, account: str, slots: Sequence[int]) -> list[Balance]:
    """Read an account's rows on one shard."""
    query = select(balances).where(balances.c.slot.in_(slots), balances.c.account == account)
    return [
        Balance(row.account, row.currency, row.amount, row.events, row.checksum) for row in connection.execute(query)
    ]


def read_balances_at(
    connection: Connection, places: Sequence[tuple[int, str]]
) -> list[tuple[tuple[int, str], Balance]]:
    """Read the rows of many (slot, account) on one shard, each with its place, by primary key."""
    return [
        ((row.slot, row.account), Balance(row.account, row.currency, row.amount, row.events, row.checksum))
        for start in range(0, len(places), PLACES_MAX)
        for row in connection.execute(*at_places(connection.dialect.name, balances, places[start : start + PLACES_MAX]))
    ]


def read_balances_of_all(connection: Connection) -> list[Balance]:
    """Read every balance of one shard."""
    return [
        Balance(row.account, row.currency, row.amount, row.events, row.checksum)
        for row in connection.execute(select(balances))
    ]


def read_top_charges(connection: Connection, account: str, slots: Sequence[int], limit: int) -> list[ChargeRow]:
    """Read an account's largest charges on one shard, largest first."""
    query = select(records).where(records.c.slot.in_(slots), records.c.account == account)
    return [
        ChargeRow(
            str(row.day), row.event, row.line, row.product, row.rule, row.currency, row.quantity, row.amount, row.kept
        )
        for row in connection.execute(query.order_by(cast(records.c.amount, Double).desc()).limit(limit))
    ]


def read_cursors(connection: Connection) -> list[CursorRow]:
    """Read every cursor of one shard."""
    return [CursorRow(*row) for row in connection.execute(_CURSORS)]


def gather(pieces: Iterable[Balance]) -> dict[tuple[str, str], Balance]:
    """Add balances of the same account and currency exactly; checksums add mod 2^64."""
    total: dict[tuple[str, str], Balance] = {}
    for new in pieces:
        key = new.account, new.currency
        old = total.get(key)
        total[key] = new if old is None else _sum(old, new)
    return total


def _sum(old: Balance, new: Balance) -> Balance:
    amount = EXACT.add(old.amount, new.amount)
    return Balance(old.account, old.currency, amount, old.events + new.events, (old.checksum + new.checksum) % 2**64)


def as_of(cursors_by_shard: Mapping[str, Sequence[CursorRow]]) -> list[dict[str, int | str]]:
    """Return, for each partition of each log, the position below which all these shards have applied everything.

    A partition in which one of them has no cursor yet is left out: it has applied nothing of it, wherever that begins.
    """
    found: dict[tuple[str, int], list[CursorRow]] = {}
    for rows in cursors_by_shard.values():
        for row in rows:
            found.setdefault((row.log, row.partition), []).append(row)
    lowest = {
        key: min(rows, key=lambda row: row.next_offset)
        for key, rows in found.items()
        if len(rows) == len(cursors_by_shard)
    }
    return [
        {
            "log": row.log,
            "partition": row.partition,
            "position": row.next_offset,
            "time_us": row.time_us_max,
            "applied_at_us": row.applied_at_us,
        }
        for row in (lowest[key] for key in sorted(lowest))
    ]
