"""What the migrations create is what the product reads: the same columns and keys on every kind of server."""

import asyncio
from datetime import date

import pytest
from sqlalchemy import Connection, inspect, text

from billing import schema
from billing.adapters.migrate import migrate
from billing.adapters.sql import run
from billing.config.store_url import MysqlUrl, SqliteUrl
from billing.errors import StoreUnreachableError
from tests.servers import query

TODAY = date(2026, 1, 15)


@pytest.fixture(params=["sqlite", "mariadb", "mysql"])
def url(request, tmp_path):
    """Give the URL of an empty database."""
    if request.param == "sqlite":
        return SqliteUrl(tmp_path / "shard.db")
    if request.param == "mariadb":
        server = request.getfixturevalue("mariadb_servers")(1)[0]
    else:
        server = request.getfixturevalue("mysql_server")
    asyncio.run(query(server, "DROP DATABASE IF EXISTS fresh", "CREATE DATABASE fresh"))
    return MysqlUrl("127.0.0.1", server.port, server.user, server.password, "fresh")


def found(connection: Connection):
    """Return columns with their nullability, and the primary key, of every table."""
    inspector = inspect(connection)
    return {
        table: (
            [(column["name"], column["nullable"]) for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table)["constrained_columns"],
        )
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def partitions(connection: Connection):
    """Return name and upper bound of each partition of records."""
    return [
        (str(name), bound if isinstance(bound, str) else bound.decode())
        for name, bound in connection.execute(
            text(
                "SELECT PARTITION_NAME, PARTITION_DESCRIPTION FROM information_schema.PARTITIONS"
                " WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME='records' ORDER BY PARTITION_ORDINAL_POSITION"
            )
        )
    ]


def test_tables_are_as_the_schema_says(url):
    """A read would name a column that is not there, or rows be kept under another key than they are looked for."""
    assert asyncio.run(migrate("s1", url, TODAY)) == "0003"
    tables = asyncio.run(run(url, found))
    expected = {
        name: (
            [(column.name, column.nullable) for column in table.columns],
            [column.name for column in table.primary_key],
        )
        for name, table in schema.metadata.tables.items()
    }
    assert tables == expected


def test_migrating_again_is_harmless(url):
    """`billing init` before every start would fail, or lose what is there."""

    def fill(connection):
        connection.execute(schema.cursors.insert().values(
            log="l", partition=0, next_offset=5, map_version=1, book_version=1, accepted=1, duplicates=0, quarantined=0,
            time_us_max=0, applied_at_us=0,
        ))  # fmt: skip

    asyncio.run(migrate("s1", url, TODAY))
    before = asyncio.run(run(url, found))
    asyncio.run(run(url, fill))
    assert asyncio.run(migrate("s1", url, TODAY)) == "0003"
    assert asyncio.run(run(url, found)) == before
    offsets = asyncio.run(
        run(url, lambda connection: connection.execute(text("SELECT next_offset FROM cursors")).all())
    )
    assert offsets == [(5,)]


def test_another_shards_database_is_refused(url):
    """Two shards would share one database after a copied line in a configuration."""
    asyncio.run(migrate("s1", url, TODAY))
    with pytest.raises(StoreUnreachableError, match="belongs to shard s1, not s2; correct"):
        asyncio.run(migrate("s2", url, TODAY))


def test_records_have_a_partition_for_each_month_around_today(url):
    """Retention could not drop a month, and all new records would land in one endless partition."""
    if isinstance(url, SqliteUrl):
        asyncio.run(migrate("s1", url, TODAY))
        return
    asyncio.run(migrate("s1", url, TODAY))
    first = asyncio.run(run(url, partitions))
    assert (first[0], first[1], first[-2], first[-1]) == (
        ("p202511", "'2025-12-01'"),
        ("p202512", "'2026-01-01'"),
        ("p202702", "'2027-03-01'"),
        ("p_future", "MAXVALUE"),
    )
    assert len(first) == 17
    asyncio.run(migrate("s1", url, TODAY))
    assert asyncio.run(run(url, partitions)) == first
    asyncio.run(migrate("s1", url, date(2026, 3, 1)))
    later = asyncio.run(run(url, partitions))
    assert later[:16] == first[:16]
    assert [name for name, _ in later[16:]] == ["p202703", "p202704", "p_future"]
