"""The tables of a comparison, and the hashes of Redis: emptied before a contender works, read back after it.

A shell: owns the queries. Must not know who wrote what is read.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import redis
from sqlalchemy import Connection, select, text

from bench.contenders import claim
from bench.sampler import connect
from bench.work import Aggregates, Pricing, Rows
from billing.adapters.sql import run as run_sql
from billing.config.deployment import Deployment
from billing.config.store_url import MysqlUrl
from billing.schema import cursors, metadata
from billing.upsert import Dialect, claim_statements
from ops.local.process import LOOPBACK

_KEYS_AT_ONCE: Final = 1_000


def empty(found: Deployment, pricing: Pricing, partitions: Sequence[int]) -> None:
    """Empty every table that events fill, and make cursors for these partitions."""

    def truncated(connection: Connection) -> None:
        for table in metadata.sorted_tables:
            if table.name != "control":  # says which shard this is
                connection.execute(text(f"TRUNCATE TABLE {table.name}"))
        for statement in claim_statements(claim(pricing, partitions)) if partitions else ():
            connection.execute(text(statement))

    for shard in found.settings.shards:
        asyncio.run(run_sql(shard.writer, truncated))


async def dialect_of(url: MysqlUrl) -> Dialect:
    """Return which server it is."""
    return Dialect.of(
        await run_sql(url, lambda connection: str(connection.execute(text("SELECT VERSION()")).scalar_one()))
    )


def stops_of(connection: Connection) -> dict[int, int]:
    """Return the next offset of each partition by a shard's cursors."""
    rows = connection.execute(select(cursors.c.partition, cursors.c.next_offset))
    return {row.partition: row.next_offset for row in rows}


async def held(url: MysqlUrl) -> Aggregates:
    """Return what a shard holds, decimals as integers of 1e-12."""
    connection = await connect(url)
    try:
        rollups = await _rows(connection, "rollups", ("account", "rollup", "bucket", "dims"), ("quantity", "amount"))
        balances = await _rows(connection, "balances", ("account", "currency"), ("amount",))
        return Aggregates(rollups, balances)
    finally:
        connection.close()


async def _rows(connection: Any, table: str, key: Sequence[str], decimals: Sequence[str]) -> Rows:  # noqa: ANN401 - the driver
    amounts = ",".join(f"CAST({column} AS CHAR)" for column in decimals)
    await connection.query(f"SELECT slot,{','.join(key)},events,{amounts},checksum FROM {table}")
    width = len(key) + 1
    return {
        tuple(map(_text, row[:width])): (
            row[width],
            *(int(_text(one).replace(".", "")) for one in row[width + 1 : -1]),
            row[-1],
        )
        for row in connection._result.rows  # noqa: SLF001 - a cursor would ask for warnings on top
    }


def _text(value: Any) -> Any:  # noqa: ANN401 - integers stay
    return value.decode() if isinstance(value, bytes) else value


def counted(port: int) -> dict[str, dict[str, int]]:
    """Return every hash of a Redis."""
    client = redis.Redis(host=LOOPBACK, port=port)
    found: dict[str, dict[str, int]] = {}
    keys: list[bytes] = []
    for key in [*client.scan_iter(count=_KEYS_AT_ONCE), None]:
        if key is not None:
            keys.append(key)
        if keys and (key is None or len(keys) == _KEYS_AT_ONCE):
            pipeline = client.pipeline(transaction=False)
            for one in keys:
                pipeline.hgetall(one)
            for one, fields in zip(keys, pipeline.execute(), strict=True):
                found[one.decode()] = {field.decode(): int(value) for field, value in fields.items()}
            keys = []
    client.close()
    return found
