"""Checks of a shard's place in the fleet: whose it is, which schema it has, and what its cursors were written with.

Owns what is wrong with a shard that answers. Not its sums: those are the audit's.
"""

from collections.abc import Mapping, Sequence

import attrs
from sqlalchemy import Connection, func, select, text

from billing.adapters.migrate import newest_revision
from billing.adapters.sql import run
from billing.config.deployment import Deployment
from billing.config.settings import Shard
from billing.cursor import CursorRow
from billing.errors import StoreUnreachableError
from billing.reads.balance import read_cursors
from billing.schema import balances, control


@attrs.frozen
class ShardFacts:
    """What a shard says of itself; rows of `balances` count accounts and currencies."""

    owner: str | None
    revision: str
    balances: int
    cursors: Sequence[CursorRow]

    @property
    def positions(self) -> dict[tuple[str, int], int]:
        """Return the next offset by log and partition."""
        return {(row.log, row.partition): row.next_offset for row in self.cursors}


def read_facts(connection: Connection) -> ShardFacts:
    """Read what a shard says of itself, from one snapshot."""
    owner = connection.execute(select(control.c.value).where(control.c.name == "shard")).scalar_one_or_none()
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    rows = connection.execute(select(func.count()).select_from(balances)).scalar_one()
    return ShardFacts(owner, str(revision), rows, read_cursors(connection))


async def facts(shard: Shard) -> ShardFacts | StoreUnreachableError:
    """Ask a shard's writer; one that does not answer answers with its error."""
    try:
        return await run(shard.primary, read_facts)
    except StoreUnreachableError as error:
        return error


def behind(found: Mapping[str, ShardFacts]) -> dict[str, int]:
    """Return how many offsets each shard is behind the one that is furthest, over all partitions."""
    furthest: dict[tuple[str, int], int] = {}
    for one in found.values():
        for place, position in one.positions.items():
            furthest[place] = max(position, furthest.get(place, 0))
    return {
        name: sum(position - one.positions.get(place, 0) for place, position in furthest.items())
        for name, one in found.items()
    }


def problems(shard: Shard, found: ShardFacts | StoreUnreachableError, deployment: Deployment) -> list[str]:
    """Return what is wrong with a shard, one sentence each; nothing when all is well."""
    if isinstance(found, StoreUnreachableError):
        return [str(found)]
    wrong = []
    if found.owner != shard.name:
        wrong.append(
            f"{shard.writer}: belongs to shard {found.owner or '(none)'}; correct [[shards]], or run billing init"
        )
    newest = newest_revision()
    if found.revision != newest:
        wrong.append(f"{shard.writer}: schema {found.revision} is not {newest}; run billing init")
    for what, ours, theirs in (
        ("map", deployment.shardmap.version, max((row.map_version for row in found.cursors), default=0)),
        ("book", deployment.book.version, max((row.book_version for row in found.cursors), default=0)),
    ):
        if theirs > ours:
            wrong.append(f"{shard.writer}: was written with {what} version {theirs}, not {ours}; use the newer {what}")
    return wrong
