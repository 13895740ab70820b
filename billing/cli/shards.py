"""Commands of who keeps the databases: the shard map and the state of every shard."""

import asyncio
from itertools import islice
from typing import Final

import uvloop
from cyclopts import App
from rich.table import Table

from billing.adapters.check import ShardFacts, behind, facts, problems
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, Deployment, deployment, out
from billing.errors import StoreUnreachableError
from sharding.key import SLOTS
from sharding.shardmap import ShardMap

_RANGES_MAX: Final = 8  # of a shard, listed in its row
_LOOKUPS_MAX: Final = 50  # pins and spreads listed; the map's file has them all


def register(app: App) -> None:
    """Add these commands."""
    group = App(name="shards", help="Look at the shard map and the shards.")
    for command in (show, verify):
        group.command(command)
    app.command(group)


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
