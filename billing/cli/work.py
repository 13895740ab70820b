"""Commands of the team that runs the fleet: init, run, audit, generate."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import structlog
import uvloop
from cyclopts import App, Parameter
from cyclopts.validators import Number
from prometheus_client import start_http_server
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from billing import settings as configured
from billing import source_settings
from billing.adapters import open_source, open_store
from billing.adapters.migrate import migrate
from billing.adapters.sql import run as run_sql
from billing.audit import ShardAudit, audit_shard
from billing.cli.fleet import WORKER_INDEX, run_fleet
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, Deployment, deployment, err, out, plain
from billing.errors import SettingsError, VersionFencedError
from billing.worker import Worker
from generators import llm_trace
from generators.faults import Faults
from generators.producer import produce, write_file
from generators.workload import Workload
from rules.pricer import Pricer

PROCESSES_MAX: Final = 64
EVENTS_MAX: Final = 10**12
_log = structlog.get_logger()


def register(app: App) -> None:
    """Add these commands."""
    for command in (init, run, audit, generate, replay):
        app.command(command)


def init(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Create or migrate the schema on every shard. Safe to repeat."""
    found = deployment(config)

    async def every_shard() -> None:
        today = datetime.now(UTC).date()
        for shard in found.settings.shards:
            revision = await migrate(shard.name, shard.writer, today)
            out.print(f"{shard.name}: schema {revision} at {shard.writer}", highlight=False)

    uvloop.run(every_shard())


def run(
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    until_end: bool = False,
    processes: Annotated[int, Parameter(validator=Number(gte=1, lte=PROCESSES_MAX))] = 1,
) -> int:
    """Bill events: read the log, price, and write to the shards, until stopped by SIGTERM.

    Parameters
    ----------
    config
        The settings file.
    until_end
        Stop when everything that the log held at the start is applied.
    processes
        How many workers share the log's partitions (Kafka only).
    """
    found = deployment(config)
    if processes == 1:
        _listen(found)
        work_with_newest(config, found, until_end=until_end)
        return 0
    if not isinstance(found.settings.source, source_settings.KafkaSource):
        raise SettingsError("--processes: only a Kafka topic has partitions to share; write --processes 1")
    return run_fleet(config, found, processes, until_end=until_end)


def work_with_newest(config: Path, found: Deployment, *, until_end: bool) -> None:
    """Run one worker, again with what the files say now whenever a worker with a newer book or map has fenced it.

    Raises: VersionFencedError when the files here are no newer than what it worked with.
    """
    while True:
        try:
            work(found, until_end=until_end)
        except VersionFencedError as fenced:
            newest = deployment(config)
            if (newest.book.version, newest.shardmap.version) == (found.book.version, found.shardmap.version):
                raise
            _log.warning("reloaded", why=str(fenced), book=newest.book.version, map=newest.shardmap.version)
            found = newest
        else:
            return


def _listen(found: Deployment) -> None:
    """Serve metrics, where the settings say so."""
    port = found.settings.metrics.port
    if port:
        start_http_server(port + int(os.environ.get(WORKER_INDEX, "0")), addr="127.0.0.1")


def work(found: Deployment, *, until_end: bool) -> int:
    """Run one worker in this process; returns the number of events it settled."""
    settled = 0
    with _progress() as progress:
        bar = progress.add_task("billing", total=None)

        def on_settled(events: int) -> None:
            nonlocal settled
            settled += events
            progress.update(bar, advance=events)

        async def serve() -> None:
            source = open_source(found.settings.source, follow=not until_end)
            limits = found.settings.limits
            worker = Worker(
                source,
                {shard.name: open_store(shard, limits) for shard in found.settings.shards},
                found.shardmap,
                Pricer(found.book),
                limits,
                from_earliest=getattr(found.settings.source, "start", "zero") == "earliest",
                on_settled=on_settled,
            )
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, worker.stop)
            await worker.run(until_end=until_end)

        started = time.perf_counter()
        uvloop.run(serve())
        seconds = time.perf_counter() - started
    _log.info("stopped", events=settled, seconds=round(seconds, 1), events_per_second=round(settled / seconds))
    return settled


class _Speed(ProgressColumn):
    """Events a second over the last moments."""

    def render(self, task: Task) -> Text:
        """Write the speed, once there is one."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


def _progress() -> Progress:
    """Return a bar that shows on a terminal only."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events"),
        _Speed(),
        TimeElapsedColumn(),
        console=err,
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def audit(config: ConfigPath = DEFAULT_CONFIG, *, json: bool = False) -> int:
    """Check conservation on every shard: records, rollups, balances, counters, credits and cursors agree exactly.

    Exit code 1 on any difference.

    Parameters
    ----------
    config
        The settings file.
    json
        Print one JSON document.
    """
    found = deployment(config)
    audits = uvloop.run(audit_all(found))
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


async def audit_all(found: Deployment) -> list[ShardAudit]:
    """Audit every shard, one after another."""
    with Progress(console=err, disable=not sys.stderr.isatty(), transient=True) as progress:
        audits = []
        for shard in found.settings.shards:
            bar = progress.add_task(f"audit {shard.name}", total=None)

            def advance(lines: int, bar: TaskID = bar) -> None:
                progress.update(bar, advance=lines)

            work = partial(audit_shard, shard=shard.name, book=found.book, on_lines=advance)
            audits.append(await run_sql(shard.writer, work))
        return audits


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


def generate(
    *,
    model: Literal["uniform", "skewed", "hot-shard"] = "skewed",
    family: Literal["telecom", "llm"] = "telecom",
    events: Annotated[int, Parameter(validator=Number(gte=1, lte=EVENTS_MAX))] = 100_000,
    seed: int = 1,
    accounts: int = 10_000,
    exponent: float = 1.1,
    arrivals: Literal["steady", "diurnal", "burst"] = "steady",
    duplicates: float = 0.0,
    malformed: float = 0.0,
    late: float = 0.0,
    out_of_order: float = 0.0,
    credits: float = 0.0,  # noqa: A002 - the noun
    rate: float | None = None,
    out_file: Annotated[Path | None, Parameter(name="--out")] = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
) -> None:
    """Make traffic: to a file (--out, plain or .gz or .zst) or to the Kafka topic of a settings file (-c).

    Parameters
    ----------
    model
        How events spread over accounts.
    family
        What the events are of.
    events
        How many log positions, faulty ones included.
    seed
        The same seed gives the same bytes.
    accounts
        Accounts of the skewed model.
    exponent
        Skew of the skewed model: 0 is even, 1 is Zipf's.
    arrivals
        How events spread over time.
    duplicates, malformed, late, out_of_order
        Shares of events with that fault, 0 to 1.
    credits
        Share of payments and grants among the events, 0 to 1.
    rate
        Events a second to send (Kafka only); as fast as possible without it.
    out_file
        A file to write.
    config
        A settings file whose Kafka topic to fill.
    """
    faults = Faults(duplicates=duplicates, late=late, out_of_order=out_of_order, malformed=malformed)
    workload = Workload(
        model=model,
        seed=seed,
        family=family,
        accounts=accounts,
        exponent=exponent,
        arrivals=arrivals,
        faults=faults,
        credits=credits,
    )
    deliver(workload.blocks(events), events, out_file, config, rate)


def replay(
    *,
    out_file: Annotated[Path | None, Parameter(name="--out")] = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
) -> None:
    """Make events of the recorded LLM inference trace: to a file (--out) or to the Kafka topic of a settings file (-c).

    Parameters
    ----------
    out_file
        A file to write, plain or .gz or .zst.
    config
        A settings file whose Kafka topic to fill.
    """
    payloads = list(llm_trace.events())
    deliver([payloads], len(payloads), out_file, config, None)


def deliver(
    blocks: Iterable[Sequence[bytes]], events: int, out_file: Path | None, config: Path | None, rate: float | None
) -> None:
    """Write payloads to where the user said. Raises SettingsError when that is nowhere, or two places."""
    if (out_file is None) == (config is None):
        raise SettingsError("--out and -c: exactly one says where the events go; write --out FILE or -c billing.toml")
    with Progress(*Progress.get_default_columns(), console=err, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("events", total=events)

        def advance(count: int) -> None:
            progress.update(bar, advance=count)

        if out_file is not None:
            written, where = write_file(blocks, out_file, advance), str(out_file)
        else:
            assert config is not None, "checked above"
            source = configured.load(config, os.environ).source
            if not isinstance(source, source_settings.KafkaSource):
                raise SettingsError(f"{config}: source.kind: is not kafka; write --out FILE to make a file")
            written = produce(
                blocks, source.bootstrap, source.topic, rate_per_second=rate, settings=source.options, progress=advance
            )
            where = f"topic {source.topic} at {source.bootstrap}"
    out.print(f"{written:,} events to {where}", highlight=False)
