"""`billing demo`: the main job in a minute, embedded, for who is new."""

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import Progress
from rich.table import Table

from billing.adapters.configured import workload_of
from billing.adapters.sql import run as run_sql
from billing.cli.ready import make_ready
from billing.cli.setup import Deployment, command, counted, deployment, err, out, plain
from billing.cli.shards import audit_all, init
from billing.cli.work import work
from billing.config import source_settings
from billing.errors import SettingsError
from billing.reads.balance import Balance, ChargeRow, gather, read_balances_of_all, read_top_charges
from generators import oracle
from generators.names import display_name
from rules import books_path

_LARGEST: Final = 8
_TOP_CHARGES: Final = 5
_MARK: Final = "billing.toml"


def demo(
    *,
    events: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000_000))] = 200_000,
    model: Literal["uniform", "skewed", "hot-shard"] = "skewed",
    shards: Annotated[int, Parameter(validator=Number(gte=1, lte=64))] = 4,
    folder: Annotated[Path, Parameter(name="--dir")] = Path(".demo"),
    serve: bool = False,
) -> int:
    """Bill synthetic telecom traffic into SQLite shards, look at the result, and check it against an independent sum.

    Parameters
    ----------
    events
        How many events.
    model
        How they spread over accounts.
    shards
        How many SQLite files to shard over.
    folder
        Where to put them; a demo that is there already is replaced.
    serve
        Afterwards, serve the balances over HTTP.
    """
    config = _prepare(folder, events, model, shards)
    found = deployment(config)
    assert isinstance(found.settings.source, source_settings.GeneratorSource), "the demo writes its own settings"
    out.print(f"[bold]billing demo[/]: {events:,} {model} events, {shards} SQLite shards")
    init(config)
    make_ready()
    started = time.perf_counter()
    work(found, until_end=True)
    seconds = time.perf_counter() - started
    out.print(f"billed {events:,} events in {seconds:.1f} s: [bold]{events / seconds:,.0f} events/s[/], exactly once")
    balances = uvloop.run(_balances(found))
    largest = sorted(balances.values(), key=lambda one: (-one.amount, one.account))[:_LARGEST]
    out.print(_largest_table(largest))
    account = largest[0].account
    out.print(_charges_table(account, uvloop.run(_top_charges(found, account))))
    wrong = sum(one.wrong for one in audit_all(found))
    expected = _expected(found.settings.source, found.settings.rules.book)
    differing = _differences(balances.values(), expected.balances)
    if wrong or differing:
        out.print(
            f"[red]audit failed[/]: {wrong} differences inside shards, {differing} balances differ from the oracle"
        )
        return 1
    total = sum((one.amount for one in balances.values()), Decimal(0))
    out.print(
        f"[green]audit clean[/]: {len(balances):,} balances, {plain(total)} {found.book.currency} in all, "
        "equal to an independent decimal oracle to the last place"
    )
    _say_next(config, account)
    if serve:
        from billing.cli.look import serve as serve_api  # noqa: PLC0415 - the HTTP server is only loaded when wanted

        serve_api(config, open_to_all=True)
    return 0


def _prepare(folder: Path, events: int, model: str, shards: int) -> Path:
    """Make an empty demo folder with its settings. Raises SettingsError for a folder that holds something else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise SettingsError(f"--dir: {folder} holds something that is not a demo; write another folder")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    lines = ["[source]", 'kind = "generator"', f'model = "{model}"', f"events = {events}", "seed = 1", ""]
    lines += ["[rules]", f'book = "{books_path() / "telecom.yaml"}"', ""]
    for index in range(shards):
        lines += ["[[shards]]", f'name = "shard-{index}"', f'writer = "sqlite:///shard-{index}.db"', ""]
    config = folder / _MARK
    config.write_text("\n".join(lines))
    return config


async def _balances(found: Deployment) -> Mapping[tuple[str, str], Balance]:
    pieces: list[Balance] = []
    for shard in found.settings.shards:
        pieces += await run_sql(shard.readers[0], read_balances_of_all)
    return gather(pieces)


async def _top_charges(found: Deployment, account: str) -> list[ChargeRow]:
    rows: list[ChargeRow] = []
    for slot, shard in found.shardmap.shards_of(account):
        name = found.shardmap.shards[shard]
        url = next(one.readers[0] for one in found.settings.shards if one.name == name)
        rows += await run_sql(url, partial(read_top_charges, account=account, slots=[slot], limit=_TOP_CHARGES))
    return sorted(rows, key=lambda one: -one.amount)[:_TOP_CHARGES]


def _expected(source: source_settings.GeneratorSource, book: Path) -> oracle.Expected:
    with Progress(console=err, disable=not err.is_terminal, transient=True) as progress:
        blocks = progress.track(workload_of(source).blocks(source.events), description="oracle", total=None)
        return oracle.run((payload for block in blocks for payload in block), book)


def _differences(found: Iterable[Balance], expected: Mapping[str, Decimal]) -> int:
    amounts = {one.account: one.amount for one in found}
    return sum(amounts.get(account) != expected.get(account) for account in amounts.keys() | expected.keys())


def _largest_table(largest: Sequence[Balance]) -> Table:
    table = Table("account", "customer", title="the biggest accounts", title_justify="left", box=None)
    table.add_column("events", justify="right")
    table.add_column("balance", justify="right")
    for one in largest:
        number = int(one.account.rpartition("-")[2])
        table.add_row(one.account, display_name(number), f"{one.events:,}", f"{plain(one.amount)} {one.currency}")
    return table


def _charges_table(account: str, rows: Sequence[ChargeRow]) -> Table:
    table = Table("day", "event", "product", "rule", title=f"top charges of {account}", title_justify="left", box=None)
    table.add_column("quantity", justify="right")
    table.add_column("amount", justify="right")
    for row in rows:
        table.add_row(row.day, row.event, row.product, row.rule, counted(row.quantity), plain(row.amount))
    return table


def _say_next(config: Path, account: str) -> None:
    out.print("\n[bold]try next[/]")
    for line, why in (
        (f"balance {account} -c {config}", "one balance"),
        (f"usage {account} --rollup hourly -c {config}", "its usage by hour"),
        (f"audit -c {config}", "recompute every sum from the records"),
        (f"run -c {config} --until-end", "run again: nothing is billed twice"),
        ("stack up --shards 4", "the same on real Kafka and MariaDB, no Docker"),
    ):
        out.print(f"  {command()} {line}  [dim]# {why}[/]", highlight=False, soft_wrap=True)
