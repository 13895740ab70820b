"""The command of the team that runs the fleet: run."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

import structlog
import uvloop
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from billing.adapters.configured import open_source, open_store
from billing.adapters.monitor import serve_vitals
from billing.cli.ready import make_ready
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, Deployment, Processes, deployment, err
from billing.config import source_settings
from billing.config.settings import PORT_MAX
from billing.errors import SettingsError, VersionFencedError
from billing.vitals import Vitals
from billing.worker import Worker
from rules.pricer import Pricer

WORKER_INDEX: Final = "BILLING_WORKER_INDEX"  # set for each process of a fleet; its metrics port is the base plus this
_log = structlog.get_logger()


def run(
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    until_end: bool = False,
    processes: Processes = 1,
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
        vitals = _listen(found)
        make_ready(lambda: vitals.beat(time.monotonic()))
        work_with_newest(config, found, vitals, until_end=until_end)
        return 0
    if found.settings.metrics.port + processes - 1 > PORT_MAX:
        raise SettingsError(f"metrics.port: {processes} processes take a port each, from this one on; name a lower one")
    if not isinstance(found.settings.source, source_settings.KafkaSource):
        raise SettingsError("--processes: only a Kafka topic has partitions to share; write --processes 1")
    from billing.cli.fleet import run_fleet  # noqa: PLC0415 - a worker does without what looks after several

    return run_fleet(config, found, processes, until_end=until_end)


def work_with_newest(config: Path, found: Deployment, vitals: Vitals, *, until_end: bool) -> None:
    """Run one worker, again with what the files say now whenever a worker with a newer book or map has fenced it.

    Raises: VersionFencedError when the files here are no newer than what it worked with.
    """
    while True:
        try:
            work(found, vitals, until_end=until_end)
        except VersionFencedError as fenced:
            newest = deployment(config)
            if (newest.book.version, newest.shardmap.version) == (found.book.version, found.shardmap.version):
                raise
            _log.warning("reloaded", why=str(fenced), book=newest.book.version, map=newest.shardmap.version)
            found = newest
        else:
            return


def _listen(found: Deployment) -> Vitals:
    """Serve metrics and health, where the settings say so; returns whom the worker tells."""
    vitals = Vitals(time.monotonic())
    metrics = found.settings.metrics
    if metrics.port:
        serve_vitals(vitals, metrics.host, metrics.port + int(os.environ.get(WORKER_INDEX, "0")))
    return vitals


def work(found: Deployment, vitals: Vitals | None = None, *, until_end: bool) -> int:
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
                vitals=vitals,
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
