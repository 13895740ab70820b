"""Migrations: brings one shard's schema up to date, marks whose shard it is, and keeps day partitions ahead of time.

Owns `billing init`. Idempotent; safe to run while workers write.
"""

import io
from datetime import date
from importlib.resources import files
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from billing.adapters.sql import run
from billing.config.store_url import MysqlUrl, StoreUrl
from billing.errors import StoreUnreachableError
from billing.schema import control

_MONTHS_BEFORE: Final = 2  # late events of the last two months still land in partitions of their own
_MONTHS_AHEAD: Final = 13  # a yearly `billing init` is enough
_FUTURE: Final = "p_future"


async def migrate(name: str, url: StoreUrl, today: date) -> str:
    """Create or upgrade one shard; returns the schema revision.

    Raises: StoreUnreachableError when the database does not answer, or belongs to another shard.
    """

    def work(connection: Connection) -> str:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        owner = connection.execute(select(control.c.value).where(control.c.name == "shard")).scalar_one_or_none()
        if owner is None:
            connection.execute(control.insert().values(name="shard", value=name))
        elif owner != name:
            raise StoreUnreachableError(f"{url}: belongs to shard {owner}, not {name}; correct [[shards]]")
        if isinstance(url, MysqlUrl):
            _add_partitions(connection, today)
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())

    return await run(url, work, create=True)


def newest_revision() -> str:
    """Return the schema revision that this program needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(files("ops") / "migrations"))
    return config


def _add_partitions(connection: Connection, today: date) -> None:
    """Split the last partition of `records` so that every month up to the horizon has one of its own."""
    found = connection.execute(
        text(
            "SELECT PARTITION_NAME FROM information_schema.PARTITIONS"
            " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'records'"
        )
    )
    existing = {str(name) for (name,) in found}
    wanted = [_month(today, step) for step in range(-_MONTHS_BEFORE, _MONTHS_AHEAD + 1)]
    newest = max((name for name in existing if name != _FUTURE), default="")
    missing = [month for month in wanted if _name(month) > newest]
    if not missing:
        return
    parts = [f"PARTITION {_name(month)} VALUES LESS THAN ('{_next(month).isoformat()}')" for month in missing]
    parts.append(f"PARTITION {_FUTURE} VALUES LESS THAN (MAXVALUE)")
    connection.execute(text(f"ALTER TABLE records REORGANIZE PARTITION {_FUTURE} INTO ({', '.join(parts)})"))


def _name(month: date) -> str:
    return f"p{month:%Y%m}"


def _month(day: date, step: int) -> date:
    months = day.year * 12 + day.month - 1 + step
    return date(months // 12, months % 12 + 1, 1)


def _next(month: date) -> date:
    return _month(month, 1)
