"""Shards of every kind for contract tests: opened as the worker opens them, read back as plain rows."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import attrs
from sqlalchemy import Connection, Table, delete, select

from billing import schema
from billing.adapters.memory import MemoryShard, MemoryStore
from billing.adapters.migrate import migrate
from billing.adapters.mysql import MysqlStore
from billing.adapters.sql import run
from billing.adapters.sqlite import SqliteStore
from billing.config.store_url import MysqlUrl, SqliteUrl
from billing.cursor import Claim, Standing
from billing.fold import Transaction
from billing.limits import Limits
from billing.ports import Applied, Outcome, Reaction, Refused, Store
from ops.local.mysql import MysqlServer
from tests.pipeline import LOG
from tests.servers import connect, query

TODAY = date(2026, 1, 15)
LIMITS = Limits(lock_wait_seconds=1)  # the shortest: some tests wait for it
SHARD = "s1"
DATABASE = "contract"
CLAIM = Claim(LOG, {0: 0, 3: 7}, 1, 1)

Rows = Mapping[str, list[tuple[Any, ...]]]
_T = TypeVar("_T")

# What every store keeps, memory too; the rest of the columns is checked where there are tables.
COLUMNS = {
    "records": ("slot", "account", "day", "event", "line", "digest", "quantity", "amount"),
    "rollups": ("slot", "account", "rollup", "bucket", "dims", "events", "quantity", "amount", "checksum"),
    "balances": ("slot", "account", "currency", "events", "amount", "checksum"),
    "tiers": ("slot", "account", "rule", "period", "quantity", "events", "amount"),
    "credits": (
        "slot", "account", "day", "event", "line", "time_us", "digest", "kind", "currency", "amount", "cost",
        "priority", "expires_us", "products",
    ),
    "quarantine": ("log", "partition", "offset", "account", "reason"),
    "cursors": (
        "log", "partition", "next_offset", "map_version", "book_version", "accepted", "duplicates", "quarantined",
    ),
}  # fmt: skip


class MemoryPlace:
    """A shard in memory."""

    kind = "memory"

    def __init__(self) -> None:
        self.shard = MemoryShard(SHARD)

    def store(self) -> Store:
        """Return one more store on the same tables."""
        return MemoryStore(self.shard)

    async def rows(self) -> Rows:
        """Return all rows of all tables in primary-key order."""
        tables = self.shard.tables
        cursors = [(*key, *attrs.astuple(cursor)) for key, cursor in tables.cursors.items()]
        rejects = [(*key, one.account or "", str(one.reason)) for key, one in tables.quarantine.items()]
        return {
            "records": sorted((*key, *row) for key, row in tables.records.items()),
            "rollups": sorted((*key, *row) for key, row in tables.rollups.items()),
            "balances": sorted((*key, *row) for key, row in tables.balances.items()),
            "tiers": sorted((*key, *row) for key, row in tables.tiers.items()),
            "credits": sorted(attrs.astuple(row) for row in tables.credits.values()),
            "quarantine": sorted(rejects),
            "cursors": sorted(cursors),
        }


@attrs.frozen
class TablesPlace:
    """A shard in a database: SQLite, MariaDB or MySQL."""

    kind: str
    url: MysqlUrl | SqliteUrl
    server: MysqlServer | None = None

    def store(self, name: str = SHARD, limits: Limits = LIMITS) -> Store:
        """Return one more store, not yet connected."""
        if isinstance(self.url, SqliteUrl):
            return SqliteStore(name, self.url.path, payload_bytes_max=limits.quarantine_payload_bytes_max)
        return MysqlStore(name, self.url, limits)

    async def rows(self) -> Rows:
        """Return all rows of all tables in primary-key order, as the readers of the product see them."""

        def work(connection: Connection) -> Rows:
            found = {}
            for name, columns in COLUMNS.items():
                table = schema.metadata.tables[name]
                result = connection.execute(select(*(table.c[column] for column in columns)))
                found[name] = sorted(tuple(str(v) if isinstance(v, date) else v for v in row) for row in result)
            return found

        return await run(self.url, work)

    async def all_of(self, table: Table) -> list[dict[str, Any]]:
        """Return a table's rows with every column, in primary-key order."""
        query = select(table).order_by(*table.primary_key)
        return await run(self.url, lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    async def sql(self, *statements: str) -> tuple[tuple[object, ...], ...]:
        """Run statements on the server over a connection of their own."""
        assert self.server is not None, "an embedded store has no server"
        return await query(self.server, *(f"USE {DATABASE}", *statements))

    async def session(self, *statements: str) -> Any:
        """Return a connection of its own after these statements; whoever asks closes it."""
        assert self.server is not None, "an embedded store has no server"
        connection = await connect(self.server)
        for statement in (f"USE {DATABASE}", *statements):
            await connection.query(statement)
        return connection


Place = MemoryPlace | TablesPlace


def sqlite_place(folder: Path) -> TablesPlace:
    """Make a shard file."""
    url = SqliteUrl(folder / "shard.db")
    asyncio.run(migrate(SHARD, url, TODAY))
    return TablesPlace("sqlite", url)


def server_place(kind: str, server: MysqlServer) -> TablesPlace:
    """Make a shard on a server, or empty the one that an earlier test left."""
    url = MysqlUrl("127.0.0.1", server.port, server.user, server.password, DATABASE)
    place = TablesPlace(kind, url, server)

    def empty(connection: Connection) -> None:
        for name in COLUMNS:
            connection.execute(delete(schema.metadata.tables[name]))

    async def prepare() -> None:
        await query(server, f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        await migrate(SHARD, url, TODAY)
        await run(url, empty)

    asyncio.run(prepare())
    return place


def with_store(place: Place, scenario: Callable[[Store], Awaitable[_T]]) -> _T:
    """Run a scenario with one store and close it, whatever happens."""

    async def play() -> _T:
        store = place.store()
        try:
            return await scenario(store)
        finally:
            await store.close()

    return asyncio.run(play())


def reaction_of(outcome: Outcome) -> Reaction:
    """Return the reaction of a refusal; anything else fails the test with what it was."""
    assert isinstance(outcome, Refused), outcome
    return outcome.reaction


async def stands(store: Store, claim: Claim = CLAIM) -> Standing:
    """Return where a shard stands; a refusal fails the test with its words."""
    answer = await store.claim(claim)
    assert isinstance(answer, Standing), answer
    return answer


async def applied(store: Store, *transactions: Transaction) -> None:
    """Apply transactions that must all be committed."""
    for transaction in transactions:
        assert await store.apply(transaction) == Applied()
