"""Cold-path SQL: SQLAlchemy connections to any shard, for reads, audits and migrations.

Owns how a store URL becomes a connection. Not for the write path.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Final, TypeVar

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from billing.errors import StoreUnreachableError
from billing.store_url import MysqlUrl, SqliteUrl, StoreUrl

_EXACT: Final = Context(prec=80)
_NO_FILE: Final = "there is no such file"
_T = TypeVar("_T")


async def run(url: StoreUrl, work: Callable[[Connection], _T], *, create: bool = False) -> _T:
    """Run `work` on a connection of its own, in one transaction with one consistent snapshot.

    create: make a SQLite file that does not exist. Raises StoreUnreachableError with the address and the remedy.
    """
    try:
        if isinstance(url, SqliteUrl):
            return await asyncio.to_thread(_run_sqlite, url, work, create=create)
        return await _run_mysql(url, work)
    except (DBAPIError, OSError, RuntimeError) as error:  # the last: a connection reset while it is made (asyncmy)
        reason = error.orig if isinstance(error, DBAPIError) else error
        words = " ".join(map(str, getattr(reason, "args", ()))) or str(reason)
        missing = "no such table" in words or "1146" in words or words == _NO_FILE
        remedy = "run `billing init` first" if missing else "check that it runs and that the URL in [[shards]] is right"
        raise StoreUnreachableError(f"{url}: {words}; {remedy}") from error


def _run_sqlite(url: SqliteUrl, work: Callable[[Connection], _T], *, create: bool) -> _T:
    if create:
        url.path.parent.mkdir(parents=True, exist_ok=True)
    elif not url.path.is_file():
        raise OperationalError("open", None, Exception(_NO_FILE))
    engine = create_engine(f"sqlite:///{url.path}", poolclass=NullPool)
    event.listen(engine, "connect", _sqlite_connected)
    try:
        with engine.begin() as connection:
            connection.execute(text("BEGIN"))
            return work(connection)
    finally:
        engine.dispose()


def _sqlite_connected(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's advice: let BEGIN be ours
    connection.create_aggregate("decimal_sum", 1, _DecimalSum)  # type: ignore[arg-type]  # typeshed: integers only


class _DecimalSum:
    """SUM as servers have it for DECIMAL; SQLite's own adds floats."""

    def __init__(self) -> None:
        self._total = Decimal(0)

    def step(self, amount: str) -> None:
        """Add one."""
        self._total = _EXACT.add(self._total, Decimal(amount))

    def finalize(self) -> str:
        """Return the sum."""
        return f"{self._total:f}"


async def _run_mysql(url: MysqlUrl, work: Callable[[Connection], _T]) -> _T:
    target = URL.create("mysql+asyncmy", url.user, url.password or None, url.host, url.port, url.database)
    engine = create_async_engine(target, poolclass=NullPool, isolation_level="REPEATABLE READ")
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
