"""MySQL, MariaDB and Aurora MySQL as a shard: one connection, one packet a transaction.

Owns the connection's settings and the one table of server errors and reactions. SQL text comes from `billing.upsert`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncmy.constants import CLIENT
from asyncmy.errors import MySQLError

from billing.adapters.login import BROKEN, enter, leave, words_of
from billing.adapters.login import refusal as told
from billing.config.store_url import MysqlUrl
from billing.cursor import Claim, Standing
from billing.dedupe import PartKey
from billing.fold import Transaction
from billing.limits import Limits
from billing.moment import day_number
from billing.ports import Applied, Outcome, Reaction, Refused
from billing.tiers import TierKeys, used_of
from billing.upsert import (
    IDLE_AGAIN,
    Dialect,
    Packet,
    claim_statements,
    counters_packet,
    existing_query,
    lines_query,
    packet,
)
from billing.voids import Known, KnownLine
from rules.cumulative import Used

# Codes: MySQL 9 "Server Error Message Reference", MariaDB "Error Codes"; 2xxx are the client's own.
REACTIONS: Final[Mapping[int, Reaction]] = {
    1020: Reaction.RETRY,  # record has changed since last read (MariaDB snapshot isolation)
    1205: Reaction.RETRY,  # lock wait timeout; the server rolled back one statement only
    1213: Reaction.RETRY,  # deadlock
    1317: Reaction.RETRY,  # query interrupted
    1040: Reaction.RECONNECT,  # too many connections
    1053: Reaction.RECONNECT,  # server shutdown in progress
    1927: Reaction.RECONNECT,  # connection was killed (MariaDB)
    2006: Reaction.RECONNECT,  # server has gone away
    2013: Reaction.RECONNECT,  # lost connection during query
    2055: Reaction.RECONNECT,  # lost connection, with system error
    4031: Reaction.RECONNECT,  # disconnected by the server because of inactivity
    1290: Reaction.RESOLVE_WRITER,  # server runs with --read-only
    1792: Reaction.RESOLVE_WRITER,  # read-only transaction
    1836: Reaction.RESOLVE_WRITER,  # read-only mode
    1153: Reaction.SPLIT,  # packet bigger than max_allowed_packet
    1021: Reaction.PAUSE,  # disk full
    1114: Reaction.PAUSE,  # table is full
    1048: Reaction.BISECT,  # column cannot be null
    1264: Reaction.BISECT,  # out of range
    1366: Reaction.BISECT,  # incorrect value
    1406: Reaction.BISECT,  # data too long
    1690: Reaction.BISECT,  # value out of range in an expression
    1062: Reaction.DUPLICATES,  # duplicate key: only `records` is inserted plainly
    1242: Reaction.FENCED,  # the guard's subquery returned two rows: a cursor did not match
}
_ROLLED_BACK_HERE: Final = frozenset({Reaction.RETRY, Reaction.BISECT, Reaction.DUPLICATES, Reaction.FENCED})
_PACKET_OVERHEAD_BYTES: Final = 1_024  # command byte, headers, and room that nobody has to count
_SQL_MODE: Final = "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"


class MysqlStore:
    """The writer of one shard.

    url: where the writer answers; limits bound the packet (below the server's max_allowed_packet), the wait for another
    worker's rows, and everything else. Keeps the contract of `billing.ports.Store`.
    """

    def __init__(self, name: str, url: MysqlUrl, limits: Limits) -> None:
        self.name = name
        self._url = url
        self._limits = limits
        self._timeout_seconds = limits.apply_timeout_ms / 1000
        # A question waits for other sessions' locks at most: a shard that hangs must not hold up a start for long.
        self._question_seconds = limits.lock_wait_seconds + limits.connect_timeout_ms / 1000
        self._connection: Any = None
        self._dialect = Dialect.MYSQL
        self._packet_bytes_max = limits.batch_bytes_max
        self._prepared: tuple[Transaction, Packet] | None = None
        self.server = "not connected yet"

    async def claim(self, claim: Claim) -> Standing | Refused:
        """Create missing cursors, take over older versions, return where every cursor stands."""
        results = await self._guarded(claim_statements(claim))
        if isinstance(results, Refused):
            return results
        _, ((map_version, book_version),), _, rows = results
        return Standing(dict(rows), map_version, book_version)

    async def apply(self, transaction: Transaction) -> Outcome:
        """Send one packet, or two where counters must be read in between; commit is the last statement."""
        refused = await self._connect()
        if refused is not None:
            return refused
        try:
            if (counters := transaction.counters) is not None:
                before = await self._lock_counters(counters)
                if isinstance(before, Refused):
                    return before
                transaction = transaction.settled(before)
            answer = await self._send(self._planned(transaction))
        except BaseException:  # cancelled or failed with a transaction open: the connection is of no more use
            self._drop()
            raise
        return answer if isinstance(answer, Refused) else Applied(transaction)

    def prepare(self, transaction: Transaction) -> None:
        """Write the packet, unless counters must be read first."""
        if self._connection is not None and transaction.counters is None:
            self._prepared = transaction, self._planned(transaction)

    def _planned(self, transaction: Transaction) -> Packet:
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared[0] is transaction:
            return prepared[1]
        return packet(transaction, self._dialect, self._limits.quarantine_payload_bytes_max)

    async def _lock_counters(self, keys: TierKeys) -> Used | Refused:
        """Begin a transaction and read counters that nobody else can change until it ends."""
        rows = await self._send(counters_packet(keys, self._dialect))
        if isinstance(rows, Refused):
            return rows
        assert len(rows) == len(keys), "counters were made where they were missing"
        _, quantities, events, amounts = zip(*sorted(rows), strict=True)
        return used_of(list(map(_pico, quantities)), events, list(map(_pico, amounts)))

    async def _send(self, planned: Packet) -> Sequence[tuple[Any, ...]] | Refused:
        """Send a packet; returns the rows of its last statement. After a refusal no transaction is open."""
        if len(planned.text) > self._packet_bytes_max:
            words = f"{len(planned.text)} bytes of SQL; {self._packet_bytes_max} fit one packet"
            await self._roll_back()
            return Refused(Reaction.SPLIT, words)
        answered = 0
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._connection.query(planned.text)
                answered = 1
                while self._connection._result.has_next:  # noqa: SLF001 - asyncmy shows it nowhere else
                    await self._connection.next_result()
                    answered += 1
                return self._connection._result.rows or ()  # noqa: SLF001 - as above
        except BROKEN as error:
            return await self._refusal(error, planned.statements[min(answered, len(planned.statements) - 1)])

    async def existing(self, keys: Sequence[PartKey]) -> Mapping[PartKey, Known] | Refused:
        """Look parts up by primary key, waiting for transactions that are writing them."""
        if not keys:
            return {}
        refused = await self._connect()
        if refused is not None:
            return refused
        usual, voids = [key for key in keys if not key.void], list({key for key in keys if key.void})
        asked = (existing_query, usual), (lines_query, voids)
        queries = [query(some, self._dialect) for query, some in asked if some]
        longest = max(map(len, queries))
        if longest > self._packet_bytes_max:
            return Refused(Reaction.SPLIT, f"{longest} bytes of SQL; {self._packet_bytes_max} fit one packet")
        results = await self._guarded(["BEGIN", *queries, "COMMIT"])
        if isinstance(results, Refused):
            return results
        found = {}
        if usual:
            found = {_part_key(row): Known(row[4]) for row in results[1]}
        lines: dict[PartKey, list[tuple[int, int, KnownLine]]] = {}
        for row in results[-2] if voids else ():
            lines.setdefault(_part_key(row), []).append((row[4], row[5], _known_line(row[6:])))
        return found | {key: Known.of_rows(rows) for key, rows in lines.items()}

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await leave(connection)

    async def _guarded(self, statements: Sequence[str | bytes]) -> list[Sequence[tuple[Any, ...]]] | Refused:
        """Run statements one by one; returns the rows of each."""
        refused = await self._connect()
        if refused is not None:
            return refused
        results = []
        try:
            async with asyncio.timeout(self._question_seconds):
                for statement in statements:
                    await self._connection.query(statement)
                    results.append(self._connection._result.rows or ())  # noqa: SLF001 - as above
        except BROKEN as error:
            return await self._refusal(error, "claim")
        except BaseException:  # as in apply
            self._drop()
            raise
        return results

    async def _refusal(self, error: Exception, statement: str) -> Refused:
        """Map an error to its reaction and leave no transaction open behind it."""
        code = error.args[0] if isinstance(error, MySQLError) and error.args else None
        reaction = REACTIONS.get(code, Reaction.RECONNECT) if isinstance(code, int) else Reaction.RECONNECT
        if reaction in _ROLLED_BACK_HERE:
            await self._roll_back()
        else:
            self._drop()
        words = f"{type(error).__name__} {words_of(error)}".strip()
        return Refused(reaction, f"{self.name} at {statement}: {words}")

    async def _roll_back(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for statement in ("ROLLBACK", IDLE_AGAIN):
                    await self._connection.query(statement)
        except BROKEN:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._prepared = None  # the next server may be of another dialect

    async def _connect(self) -> Refused | None:
        if self._connection is not None:
            return None
        where = f"{self._url.host}:{self._url.port}"
        try:
            async with asyncio.timeout(self._limits.connect_timeout_ms / 1000):
                self._connection = await enter(
                    self._url, autocommit=True, charset="utf8mb4", client_flag=CLIENT.MULTI_STATEMENTS
                )
                refusal = await self._prepare_session()
        except BROKEN as error:
            self._drop()
            return Refused(Reaction.RECONNECT, f"{self.name} at {where}: {told(self._url, error)}")
        if refusal is not None:
            self._drop()
            return Refused(Reaction.RESOLVE_WRITER, f"{self.name} at {where}: {refusal}")
        return None

    async def _prepare_session(self) -> str | None:
        """Set what correctness depends on, and check that it is in force; returns why this endpoint will not do."""
        await self._connection.query(
            f"SET SESSION sql_mode='{_SQL_MODE}', innodb_lock_wait_timeout={self._limits.lock_wait_seconds:d}"
        )
        await self._connection.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        await self._connection.query(
            "SELECT VERSION(), @@SESSION.sql_mode, @@innodb_read_only, @@GLOBAL.read_only, @@max_allowed_packet"
        )
        version, sql_mode, innodb_read_only, read_only, packet_bytes = self._connection._result.rows[0]  # noqa: SLF001
        self.server = _text(version)
        self._dialect = Dialect.of(self.server)
        # A server cuts the connection while a longer packet is still on its way, so that error 1153 is often not heard.
        self._packet_bytes_max = min(self._limits.batch_bytes_max, int(packet_bytes) - _PACKET_OVERHEAD_BYTES)
        if "STRICT_ALL_TABLES" not in _text(sql_mode):
            return "refuses strict sql_mode"
        if int(innodb_read_only) or _text(read_only) not in {"0", "OFF"}:
            return "is read-only"
        await self._connection.query("SELECT value FROM control WHERE name='shard'")
        rows = self._connection._result.rows  # noqa: SLF001
        found = _text(rows[0][0]) if rows else "none"
        return None if found == self.name else f"belongs to shard {found}; check [[shards]] or run `billing init`"


def _part_key(row: Sequence[Any]) -> PartKey:
    slot, account, day, event = row[:4]
    return PartKey(slot, account.decode(), day_number(_text(day)), event.decode())


def _known_line(cells: Sequence[Any]) -> KnownLine:
    product, rule, currency, book_version, quantity, amount = cells
    return KnownLine(_text(product), _text(rule), _text(currency), book_version, _pico(quantity), _pico(amount))


def _pico(value: Any) -> int:  # noqa: ANN401 - as below
    """Read the text of a DECIMAL(38,12), which always has its twelve places, as 1e-12."""
    return int(_text(value).replace(".", ""))


def _text(value: Any) -> str:  # noqa: ANN401 - whatever the driver made of a text column
    return value.decode() if isinstance(value, bytes) else str(value)
