"""Commands of who keeps the databases: their schema, the shard map, the state and the audit of every shard."""

import asyncio
import multiprocessing
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Final

import msgspec
import uvloop
from rich.progress import Progress, TaskID
from rich.table import Table

from billing.adapters.check import ShardFacts, behind, facts, problems
from billing.adapters.migrate import migrate
from billing.adapters.sql import run as run_sql
from billing.adapters.users import grant_tables, make_users
from billing.audit import ShardAudit, audit_shard
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, Deployment, Processes, deployment, err, out, plain
from billing.config.database_settings import Role
from billing.config.settings import Shard
from billing.config.store_url import MysqlUrl
from billing.errors import StoreUnreachableError
from rules.book import Book
from sharding.key import SLOTS
from sharding.shardmap import ShardMap

_RANGES_MAX: Final = 8  # of a shard, listed in its row
_LOOKUPS_MAX: Final = 50  # pins and spreads listed; the map's file has them all


def init(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Create or migrate the schema on every shard. Safe to repeat.

    With a database.admin it makes the users that [database] names first, and their databases where they are missing.
    """
    found = deployment(config)
    database = found.settings.database

    async def every_shard() -> None:
        today = datetime.now(UTC).date()
        for shard in found.settings.shards:
            served = isinstance(shard.migrator, MysqlUrl)
            if served and Role.ADMIN in database.logins:
                await make_users(shard, database)
            revision = await migrate(shard.name, shard.migrator, today)
            if served and database.logins:
                await grant_tables(shard, database)
            out.print(f"{shard.name}: schema {revision} at {shard.migrator}", highlight=False)

    uvloop.run(every_shard())


def show(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show which slots each shard has, its rows and progress, and the accounts that are pinned or spread."""
    found = deployment(config)
    shardmap = found.shardmap
    states = uvloop.run(_facts(found))
    lags = behind({name: state for name, state in states.items() if isinstance(state, ShardFacts)})
    out.print(f"map version {shardmap.version}: {SLOTS:,} slots on {len(shardmap.shards)} shards", highlight=False)
    table = Table("shard", "writer", "slots", box=None, header_style="bold")
    for title in ("share", "accounts", "events", "quarantined", "behind"):
        table.add_column(title, justify="right")
    for shard in found.settings.shards:
        state = states[shard.name]
        slots = sum(one.stop - one.start for one in shardmap.ranges if one.shard == shard.name)
        place = (shard.name, str(shard.writer), _ranges(shardmap, shard.name), f"{slots / SLOTS:.1%}")
        if isinstance(state, ShardFacts):
            events = sum(row.accepted for row in state.cursors)
            quarantined = sum(row.quarantined for row in state.cursors)
            table.add_row(*place, *(f"{count:,}" for count in (state.balances, events, quarantined, lags[shard.name])))
        else:
            table.add_row(*place, "does not answer")
    out.print(table)
    lookups = [f"{account} is pinned to {name}" for account, name in sorted(shardmap.pins.items())]
    for account, spread in sorted(shardmap.spreads.items()):
        by = spread.by if isinstance(spread.by, str) else ", ".join(spread.by)
        names = sorted({shardmap.shards[shard] for _, shard in shardmap.shards_of(account)})
        lookups.append(f"{account} is spread {spread.ways} ways by {by}, over {', '.join(names)}")
    for line in islice(lookups, _LOOKUPS_MAX):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(lookups) > _LOOKUPS_MAX:
        out.print(f"and {len(lookups) - _LOOKUPS_MAX:,} accounts more; {found.settings.sharding.map} has them all")


def verify(config: ConfigPath = DEFAULT_CONFIG) -> int:
    """Check that the map covers every slot once and that every shard answers, is the right one and is up to date.

    Exit code 1 when anything is wrong.
    """
    found = deployment(config)  # a map that does not cover the slots exactly once is refused here
    states = uvloop.run(_facts(found))
    wrong = 0
    for shard in found.settings.shards:
        sentences = problems(shard, states[shard.name], found)
        wrong += len(sentences)
        for sentence in sentences or ["answers, is the right one and is up to date"]:
            out.print(f"{shard.name}: {sentence}", highlight=False, markup=False, soft_wrap=True)
    verdict = f"{wrong} problems" if wrong else f"every one of {SLOTS:,} slots has exactly one shard; no problem"
    out.print(f"map version {found.shardmap.version}: {verdict}", highlight=False, soft_wrap=True)
    return 1 if wrong else 0


async def _facts(found: Deployment) -> dict[str, ShardFacts | StoreUnreachableError]:
    states = await asyncio.gather(*(facts(shard) for shard in found.settings.shards))
    return {shard.name: state for shard, state in zip(found.settings.shards, states, strict=True)}


def _ranges(shardmap: ShardMap, name: str) -> str:
    ranges = [f"{one.start}-{one.stop}" for one in shardmap.ranges if one.shard == name]
    more = [f"and {len(ranges) - _RANGES_MAX} more"] if len(ranges) > _RANGES_MAX else []
    return " ".join((*ranges[:_RANGES_MAX], *more))


def audit(
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    json: bool = False,
    processes: Processes = 1,
) -> int:
    """Check conservation on every shard: records, rollups, balances, counters, credits and cursors agree exactly.

    Exit code 1 on any difference.

    Parameters
    ----------
    config
        The settings file.
    json
        Print one JSON document.
    processes
        How many shards are audited at the same time, each in a process of its own.
    """
    audits = audit_all(deployment(config), processes)
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(audits), indent=2) + b"\n")
    else:
        out.print(audit_table(audits))
        for one in audits:
            for sentence in one.differences:
                out.print(f"{one.shard}: {sentence}", highlight=False, markup=False, soft_wrap=True)
    wrong = sum(one.wrong for one in audits)
    if not json:
        out.print(
            "audit clean: every record, rollup, balance, counter, credit and cursor agrees"
            if not wrong
            else f"{wrong} differences"
        )
    return 1 if wrong else 0


def audit_all(found: Deployment, processes: int = 1) -> list[ShardAudit]:
    """Audit every shard: one after another, or several at a time in processes of their own."""
    shards = found.settings.shards
    with Progress(console=err, disable=not sys.stderr.isatty(), transient=True) as progress:
        if processes == 1 or len(shards) == 1:
            return [_audit(shard, found.book, _line_counter(progress, shard.name)) for shard in shards]
        bar = progress.add_task("audit", total=len(shards))
        spawned = multiprocessing.get_context("spawn")  # a fork would copy what driver and loop hold open
        with ProcessPoolExecutor(min(processes, len(shards)), spawned) as pool:
            audits = []
            for one in pool.map(partial(_audit, book=found.book), shards):
                audits.append(one)
                progress.update(bar, advance=1)
        return audits


def _line_counter(progress: Progress, shard: str) -> Callable[[int], None]:
    bar: TaskID = progress.add_task(f"audit {shard}", total=None)
    return lambda lines: progress.update(bar, advance=lines)


def _audit(shard: Shard, book: Book, on_lines: Callable[[int], None] = lambda _lines: None) -> ShardAudit:
    return uvloop.run(run_sql(shard.primary, partial(audit_shard, shard=shard.name, book=book, on_lines=on_lines)))


def audit_table(audits: Sequence[ShardAudit]) -> Table:
    """Return one row a shard."""
    table = Table("shard", box=None, header_style="bold")
    for title in ("accounts", "events", "lines", "duplicates", "quarantined", "amount", "credited", "differences"):
        table.add_column(title, justify="right")
    for one in audits:
        counts = (one.accounts, one.events, one.lines, one.duplicates, one.quarantined)
        sums = (_sums(one.amounts), _sums(one.credited))
        table.add_row(one.shard, *(f"{count:,}" for count in counts), *sums, str(one.wrong))
    return table


def _sums(amounts: Mapping[str, Decimal]) -> str:
    return " ".join(f"{plain(amount)} {currency}" for currency, amount in sorted(amounts.items()))
