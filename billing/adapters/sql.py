"""Cold-path SQL: SQLAlchemy connections to any shard, for reads, audits and migrations.

Owns how a store URL becomes a connection, and how long a statement may take. Not for the write path.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from billing.adapters.login import enter, refusal, words_of
from billing.config.store_url import MysqlUrl, SqliteUrl, StoreUrl
from billing.errors import BillingError, StoreUnreachableError
from billing.exact import EXACT
from billing.upsert import Dialect

_NO_FILE: Final = "there is no such file"
CONNECT_SECONDS: Final = 3
_STEPS: Final = 10_000  # of SQLite's virtual machine between two looks at the clock: well below a millisecond
_TOO_LONG: Final = frozenset({3024, 1969})  # MySQL's max_execution_time, MariaDB's max_statement_time
DATABASE_ANSWERS: Final = 2  # times the statement's own limit: after that nobody is there
_T = TypeVar("_T")


class StatementTimeoutError(BillingError):
    """A statement took longer than allowed and was ended. Reaction: tell who asked to ask for less."""


async def run(url: StoreUrl, work: Callable[[Connection], _T], *, create: bool = False) -> _T:
    """Run `work` on a connection of its own, in one transaction with one consistent snapshot.

    create: make a SQLite file that does not exist. Raises StoreUnreachableError with the address and the remedy.
    """
    try:
        if isinstance(url, SqliteUrl):
            return await asyncio.to_thread(_run_sqlite, url, work, create=create)
        engine = _mysql_engine(url, poolclass=NullPool)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()
    except (DBAPIError, OSError, RuntimeError) as error:  # the last: a connection reset while it is made (asyncmy)
        raise unreachable(url, error) from error


def _run_sqlite(url: SqliteUrl, work: Callable[[Connection], _T], *, create: bool) -> _T:
    if create:
        url.path.parent.mkdir(parents=True, exist_ok=True)
    elif not url.path.is_file():
        raise OperationalError("open", None, Exception(_NO_FILE))
    engine = _sqlite_engine(url, NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text("BEGIN"))
            return work(connection)
    finally:
        engine.dispose()


class Database:
    """Connections to one store that are kept and used again, for reads only; used from one event loop.

    connections: at most so many; statement_ms: what takes longer is ended, and raises StatementTimeoutError.
    """

    def __init__(self, url: StoreUrl, connections: int, statement_ms: int) -> None:
        self._url = url
        self._connections = connections
        self._seconds = statement_ms / 1000
        self._engines: dict[bool, AsyncEngine] = {}  # by whether each statement is alone
        self._file: tuple[tuple[int, int], Engine] | None = None  # device and inode, and what reads it
        self._room = asyncio.Semaphore(connections)

    async def read(self, work: Callable[[Connection], _T], *, once: bool = False) -> _T:
        """Run `work`, which only reads, in one consistent snapshot.

        once: it asks a server one statement, which is a snapshot without a transaction: ending one would take as long
        again. Raises: StoreUnreachableError, StatementTimeoutError.
        """
        try:
            async with self._room:
                if isinstance(self._url, SqliteUrl):
                    return await asyncio.to_thread(self._read_sqlite, self._opened(self._url), work)
                return await self._read_mysql(self._url, work, once=once)
        except (DBAPIError, PoolTimeoutError, OSError, RuntimeError) as error:  # as above
            if took_too_long(error):
                raise StatementTimeoutError(f"took longer than {self._seconds:g} s; ask for less at once") from error
            raise unreachable(self._url, error) from error

    async def close(self) -> None:
        """Close every connection."""
        for engine in self._engines.values():
            await engine.dispose()
        if self._file is not None:
            self._file[1].dispose()
        self._engines, self._file = {}, None

    async def _read_mysql(self, url: MysqlUrl, work: Callable[[Connection], _T], *, once: bool) -> _T:
        engine = self._engines.get(once)
        if engine is None:
            alone = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True} if once else {}
            engine = _mysql_engine(url, pool_size=self._connections, max_overflow=0, **alone)
            event.listen(engine.sync_engine, "connect", self._prepare)
            self._engines[once] = engine
        for attempt in range(2):
            try:
                async with asyncio.timeout(CONNECT_SECONDS + DATABASE_ANSWERS * self._seconds):
                    async with engine.connect() as connection:
                        return await connection.run_sync(work)
            except DBAPIError as error:  # a kept connection may have been closed meanwhile: a new one tells
                if attempt or not error.connection_invalidated:
                    raise
        raise AssertionError("the second attempt returns or raises")

    def _prepare(self, connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT VERSION()")
            cursor.execute(f"SET SESSION {statement_limit(str(cursor.fetchone()[0]), self._seconds)}")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        finally:
            cursor.close()

    def _read_sqlite(self, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        deadline = time.monotonic() + self._seconds
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection), "SQLite's own"
            driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            connection.execute(text("BEGIN"))
            return work(connection)

    def _opened(self, url: SqliteUrl) -> Engine:
        """Return the file's engine, made again when another file has its name."""
        try:
            found = os.stat(url.path)  # noqa: PTH116 - as Path.stat, many times a second
        except FileNotFoundError:
            raise OperationalError("open", None, Exception(_NO_FILE)) from None
        identity = found.st_dev, found.st_ino
        if self._file is not None and self._file[0] != identity:
            self._file[1].dispose()
            self._file = None
        if self._file is None:
            self._file = identity, _sqlite_engine(url, QueuePool, pool_size=self._connections, max_overflow=0)
        return self._file[1]


def _sqlite_engine(url: SqliteUrl, pool: type[QueuePool | NullPool], **more: int) -> Engine:
    unbound = {"check_same_thread": False}
    engine = create_engine(f"sqlite:///{url.path}", poolclass=pool, connect_args=unbound, hide_parameters=True, **more)
    event.listen(engine, "connect", _sqlite_connected)
    return engine


def _sqlite_connected(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's advice: let BEGIN be ours
    connection.create_aggregate("decimal_sum", 1, _DecimalSum)  # type: ignore[arg-type]  # typeshed: integers only


class _DecimalSum:
    """SUM as servers have it for DECIMAL; SQLite's own adds floats."""

    def __init__(self) -> None:
        self._total = Decimal(0)

    def step(self, amount: str) -> None:
        """Add one."""
        self._total = EXACT.add(self._total, Decimal(amount))

    def finalize(self) -> str:
        """Return the sum."""
        return f"{self._total:f}"


def _mysql_engine(url: MysqlUrl, **more: Any) -> AsyncEngine:  # noqa: ANN401 - passed on
    """Return the engine; errors of its statements show no values, which may be about people, or passwords."""
    options = {"isolation_level": "REPEATABLE READ", "hide_parameters": True} | more
    connecting = {"async_creator_fn": partial(enter, url), "connect_timeout": CONNECT_SECONDS}
    return create_async_engine("mysql+asyncmy://", connect_args=connecting, **options)


def statement_limit(version: str, seconds: float) -> str:
    """Return the setting that ends statements which take longer, as a server of this version has it."""
    if Dialect.of(version) is Dialect.MARIADB:
        return f"max_statement_time={seconds:f}"
    return f"max_execution_time={seconds * 1000:.0f}"


def took_too_long(error: Exception) -> bool:
    """Tell whether a statement was ended because it took longer than allowed."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    arguments: tuple[object, ...] = getattr(origin, "args", ())
    return len(arguments) > 0 and (arguments[0] in _TOO_LONG or arguments[0] == "interrupted")


def unreachable(url: StoreUrl, error: Exception) -> StoreUnreachableError:
    """Return what a driver's error means to who reads: what is wrong with which store, and the remedy."""
    words = words_of(error) or "no answer in time"
    if "no such table" in words or "1146" in words or words == _NO_FILE:
        return StoreUnreachableError(f"{url}: {words}; run `billing init` first")
    if isinstance(url, MysqlUrl):
        return StoreUnreachableError(f"{url}: {refusal(url, error)}")
    return StoreUnreachableError(f"{url}: {words}; check that the path in [[shards]] is right")
