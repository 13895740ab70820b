"""Snapshots: a shard's cursors and some of its balances, of one moment.

Owns the statement that asks a server for all of it at once, which is one moment without a transaction, and the
connections that it is sent over (decision 0037). Must not know who asks, nor what of it is remembered.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

import attrs
from sqlalchemy import Connection

from billing.adapters.login import BROKEN, enter, leave
from billing.adapters.sql import (
    CONNECT_SECONDS,
    DATABASE_ANSWERS,
    Database,
    StatementTimeoutError,
    statement_limit,
    took_too_long,
    unreachable,
)
from billing.config.store_url import MysqlUrl
from billing.literal import literal
from billing.reads.balance import Balance, read_balances_at, read_cursors
from billing.reads.freshness import Cursors
from billing.reads.question import CURSOR, CURSOR_LINE, TAB, cursor_of
from billing.reads.standing import credited_places
from billing.upsert import Dialect

Place = tuple[int, str]  # slot, account

_BALANCE: Final = b"1"  # how the line of a balance begins, as CURSOR is how that of a cursor does
_CURSORS: Final = f"SELECT {CURSOR_LINE} FROM cursors"
_AT: Final = "ON slot=asked_slot AND account=asked_account"
_PARTS: Final = (
    _CURSORS,
    f"SELECT CONCAT_WS('{TAB}',1,slot,account,currency,amount,events,checksum) FROM asked STRAIGHT_JOIN balances {_AT}",
    f"SELECT CONCAT_WS('{TAB}',2,slot,account) FROM asked STRAIGHT_JOIN credits {_AT}",
)


@attrs.frozen
class Snapshot:
    """What a shard had at one moment; credited: those of the places asked for that have payments or grants."""

    cursors: Cursors
    balances: Mapping[Place, Sequence[Balance]]
    credited: Collection[Place]


class Snapshots(Protocol):
    """Takes snapshots of one database."""

    async def take(self, places: Sequence[Place]) -> Snapshot:
        """Read cursors, and what is at these places. Raises: StoreUnreachableError, StatementTimeoutError."""
        ...

    async def close(self) -> None:
        """Close every connection that it has of its own."""
        ...


class SqliteSnapshots:
    """Snapshots of a file, over the connections that other reads use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, places: Sequence[Place]) -> Snapshot:
        """Read in a transaction."""

        def read(connection: Connection) -> Snapshot:
            balances: dict[Place, list[Balance]] = {}
            for place, balance in read_balances_at(connection, places):
                balances.setdefault(place, []).append(balance)
            return Snapshot(Cursors.of(read_cursors(connection)), balances, credited_places(connection, places))

        return await self._database.read(read)

    async def close(self) -> None:
        """Leave the connections to their owner."""


class MysqlSnapshots:
    """Snapshots of a server, over connections of its own; used from one event loop."""

    def __init__(self, url: MysqlUrl, statement_ms: int) -> None:
        """statement_ms: what takes longer is ended."""
        self._url = url
        self._seconds = statement_ms / 1000
        self._idle: list[Any] = []
        self._dialect = Dialect.MARIADB  # until a connection tells
        self._lines: Sequence[bytes] = ()  # of the cursors as they were read last
        self._cursors = Cursors()

    async def take(self, places: Sequence[Place]) -> Snapshot:
        """Send one statement."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS + DATABASE_ANSWERS * self._seconds):
                while self._idle:  # any may have been closed meanwhile: a new one tells
                    try:
                        return await self._taken(self._idle.pop(), places)
                    except BROKEN as error:
                        if took_too_long(error):
                            raise
                return await self._taken(await self._connected(), places)
        except BROKEN as error:
            if took_too_long(error):
                raise StatementTimeoutError(f"took longer than {self._seconds:g} s; ask for less at once") from error
            raise unreachable(self._url, error) from error

    async def close(self) -> None:
        """Close every connection."""
        while self._idle:
            await leave(self._idle.pop())

    async def _taken(self, connection: Any, places: Sequence[Place]) -> Snapshot:  # noqa: ANN401 - the driver's
        try:
            await connection.query(statement(places, self._dialect))
            lines = [line for (line,) in connection._result.rows or ()]  # noqa: SLF001 - shown nowhere else
        except BaseException:  # cancelled too: what is still to come would be taken for the next answer
            connection.close()
            raise
        self._idle.append(connection)
        return self._snapshot(lines)

    async def _connected(self) -> Any:  # noqa: ANN401 - the driver's
        connection = await enter(self._url, autocommit=True, connect_timeout=CONNECT_SECONDS)
        try:
            await connection.query("SELECT VERSION()")
            version = str(connection._result.rows[0][0])  # noqa: SLF001 - as above
            self._dialect = Dialect.of(version)
            await connection.query(f"SET SESSION {statement_limit(version, self._seconds)}")
            await connection.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        except BaseException:
            connection.close()
            raise
        return connection

    def _snapshot(self, lines: Sequence[bytes]) -> Snapshot:
        balances: dict[Place, list[Balance]] = {}
        credited: set[Place] = set()
        cursors: list[bytes] = []
        for line in lines:
            if line.startswith(CURSOR):
                cursors.append(line)
            elif line.startswith(_BALANCE):
                _, slot, account, currency, amount, events, checksum = line.decode().split(TAB)
                balance = Balance(account, currency, Decimal(amount), int(events), int(checksum))
                balances.setdefault((int(slot), account), []).append(balance)
            else:
                _, slot, account = line.decode().split(TAB)
                credited.add((int(slot), account))
        if cursors != self._lines:
            self._lines, self._cursors = cursors, Cursors.of(map(cursor_of, cursors))
        return Snapshot(self._cursors, balances, credited)


def statement(places: Sequence[Place], dialect: Dialect) -> str:
    """Return what is asked.

    Places are a table, each of whose rows is looked up: hundreds of conditions take a server twice as long, and it may
    prefer to read everything. An account's id is harmless in a text, or becomes a hexadecimal one.
    """
    if not places:
        return _CURSORS
    row = "ROW" if dialect is Dialect.MYSQL else ""  # how a row of VALUES begins
    rows = ",".join(f"{row}({slot:d},{literal(account)})" for slot, account in places)
    return f"WITH asked(asked_slot,asked_account) AS (VALUES {rows}) {' UNION ALL '.join(_PARTS)}"
