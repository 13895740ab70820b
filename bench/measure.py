"""Measurement: runs scenarios on real servers, and samples them.

Owns clocks, processes and probes. Must not know what figures mean or how they are shown: `figures` and `report` do.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import text

from bench import recorded
from bench.errors import MeasureError
from bench.figures import Sample, cpu_cores, growth, points, throughput, worked
from bench.probe import Probe
from bench.report import RunResult
from bench.sampler import Sampler, settled, statuses
from bench.scenario import Scenario
from bench.system import SCRAPE_SECONDS_MAX, Workers, disk_bytes, machine, pids_of, servers_of
from bench.topic import ends, is_shared
from billing.adapters.sql import run as run_sql
from billing.cli.setup import Deployment, deployment
from billing.cli.shards import audit_all
from billing.config.source_settings import KafkaSource
from billing.config.store_url import MysqlUrl
from generators.producer import key_of, no_key, produce
from generators.workload import BLOCK_EVENTS
from ops.local.server import Server

SAMPLE_SECONDS: Final = 1.0
START_SECONDS_MAX: Final = 60.0  # joining a group whose last members were killed takes ten
WARM_UP_SECONDS: Final = 15.0  # under open-loop load: workers join, and catch up on what came meanwhile
SHARE_SECONDS_MAX: Final = 20.0  # saturated workers start within seconds of each other, and then divide the partitions
LAST_SECONDS_MAX: Final = 15.0  # for workers that did not tell their counters in time

Tell = Callable[[str, int, int], None]  # what is going on, how much of it is done, how much there is


def on_servers(config: Path) -> tuple[Deployment, KafkaSource]:
    """Return a deployment and its source. Raises: MeasureError when it is not Kafka and MySQL or MariaDB."""
    found = deployment(config)
    source = found.settings.source
    if not isinstance(source, KafkaSource) or not all(
        isinstance(one.writer, MysqlUrl) for one in found.settings.shards
    ):
        raise MeasureError(f'{config}: the benchmark needs source.kind = "kafka" and shards at mysql://; correct them')
    return found, source


def run(scenario: Scenario, config: Path, tell: Tell) -> RunResult:
    """Run a scenario on an initialised deployment and return what it did.

    Raises: MeasureError when workers do not start, end early, or the deployment is not Kafka and MySQL.
    """
    prefill = None if scenario.rate_per_second else fill(scenario, config, tell)
    return run_filled(scenario, config, prefill, tell)


def run_filled(scenario: Scenario, config: Path, prefill: tuple[int, float] | None, tell: Tell) -> RunResult:
    """Run a scenario whose log was filled, as `run` does; prefill: what `fill` returned, None for open loop."""
    found, _ = on_servers(config)
    databases, broker = servers_of(config.parent)
    before = asyncio.run(statuses(found)), disk_bytes(databases), asyncio.run(settled(found))
    workers = Workers(config, scenario.workers)
    try:
        pids = {"workers": workers.pids, "database": lambda: pids_of(databases), "broker": lambda: pids_of([broker])}
        sampler = Sampler(found, pids, workers)
        samples, shared, latencies = asyncio.run(_measured(scenario, config, found, sampler, tell))
    finally:
        workers.stop()
    if killed_by := workers.killed_by():
        raise MeasureError(
            f"a worker was killed by signal {killed_by[0]}, and what it had counted is lost with it; "
            f"see {workers.log_path}, and measure again"
        )
    after = asyncio.run(statuses(found)), disk_bytes(databases)
    steady = worked(samples[shared:])
    if len(steady) < 2:  # noqa: PLR2004 - a rate needs two samples; a short log may end before all workers share it
        steady = worked(samples)
    if len(steady) < 2:  # noqa: PLR2004 - a rate needs two samples
        raise MeasureError(f"no shard applied anything; see {workers.log_path}")
    per_second = growth(steady)
    if "transactions" not in per_second:
        raise MeasureError(
            f"{_unread(steady)} of {len(steady)} samples lack a worker's counters, which did not come in "
            f"{SCRAPE_SECONDS_MAX:.0f} s each; the machine is too busy: take fewer workers, or measure longer"
        )
    grown = asyncio.run(settled(found)) - before[2]
    return RunResult(
        scenario=scenario,
        machine=machine([*(f"{kind} {version}" for kind, version in versions(found, databases, broker))]),
        seconds=steady[-1].at_seconds - steady[0].at_seconds,
        events=steady[-1].events - steady[0].events,
        prefill=prefill,
        throughput=throughput(steady),
        cores_used=cpu_cores(steady),
        worker_rss_bytes_max=max(sample.worker_rss_bytes for sample in samples),
        per_second=per_second,
        deadlocks=after[0]["deadlocks"] - before[0]["deadlocks"],
        lock_waits=after[0]["lock waits"] - before[0]["lock waits"],
        latency_ms=tuple(seconds * 1000 for seconds in latencies),
        disk_bytes_event=(after[1] - before[1]) / grown if databases and grown else None,
        ran_dry=prefill is not None and samples[-1].events - before[2] >= prefill[0],
        audit_differences=sum(one.wrong for one in audit_all(found, os.cpu_count() or 1)),
        points=tuple(points(steady)),
        unread=_unread(steady),
    )


def _unread(samples: Sequence[Sample]) -> int:
    return sum("transactions" not in sample.counters for sample in samples)


async def _measured(
    scenario: Scenario, config: Path, found: Deployment, sampler: Sampler, tell: Tell
) -> tuple[list[Sample], int, list[float]]:
    """Sample once a second, for as long as the scenario says since the workers share the log.

    Returns samples, the place of the first one since then, and latencies.
    """
    load = None
    await sampler.open()
    samples = [await sampler.sample()]
    try:
        if scenario.rate_per_second is not None:
            with config.with_name("bench-load.log").open("wb") as log:
                load = subprocess.Popen(  # noqa: ASYNC220, S603 - it only starts; our own program and options
                    _sending(scenario, config), stdout=log, stderr=log
                )
        await _until_applied(sampler, samples)
        if load is None:
            await _until_shared(scenario, config, sampler, samples)
        shared = len(samples) - 1
        probe = Probe(found, scenario) if load else None
        if probe is not None:
            samples = [await sampler.sample_at(samples[-1].at_seconds + WARM_UP_SECONDS)]
        probing = asyncio.create_task(probe.run()) if probe is not None else None
        for second in range(scenario.seconds):
            tell("measuring", second, scenario.seconds)
            samples.append(await sampler.sample_at(samples[-1].at_seconds + SAMPLE_SECONDS))
        deadline = time.monotonic() + LAST_SECONDS_MAX
        while "transactions" not in samples[-1].counters and time.monotonic() < deadline:
            samples.append(await sampler.sample())  # the last one decides what the counters say
        if probe is not None and probing is not None:
            probe.stopping = True
            await probing
            return samples, 0, probe.latencies
        return samples, shared, []
    finally:
        await sampler.close()
        if load is not None:
            load.terminate()
            load.wait()


async def _until_applied(sampler: Sampler, samples: list[Sample]) -> None:
    started = time.monotonic()
    while samples[-1].events == samples[0].events:
        if time.monotonic() - started > START_SECONDS_MAX:
            raise MeasureError(f"nothing was applied in {START_SECONDS_MAX:.0f} s; see {sampler.workers.log_path}")
        samples.append(await sampler.sample_at(samples[-1].at_seconds + SAMPLE_SECONDS))


async def _until_shared(scenario: Scenario, config: Path, sampler: Sampler, samples: list[Sample]) -> None:
    """Sample until every worker has its partitions, or has had long enough: till then fewer work than are measured."""
    _, source = on_servers(config)
    deadline = time.monotonic() + SHARE_SECONDS_MAX
    while time.monotonic() < deadline and not await asyncio.to_thread(is_shared, source, scenario.workers):
        samples.append(await sampler.sample_at(samples[-1].at_seconds + SAMPLE_SECONDS))


def _sending(scenario: Scenario, config: Path) -> list[str]:
    """Return the command of an open-loop load."""
    if scenario.events_file is not None:
        return recorded.sending(scenario.events_file, config, scenario.rate_per_second or 0.0)
    options: dict[str, object] = {"--model": scenario.model, "--seed": scenario.seed}
    options |= {"--rate": scenario.rate_per_second, "--keys": "account" if scenario.keyed else "none"}
    if scenario.exponent is not None:
        options["--exponent"] = scenario.exponent
    # Some more than the run needs: it must not end while the last seconds are measured.
    options["--events"] = scenario.events_in_log + round((scenario.rate_per_second or 0) * START_SECONDS_MAX)
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "-m", "billing", "generate", "-c", str(config), *words]


def fill(scenario: Scenario, config: Path, tell: Tell) -> tuple[int, float]:
    """See that the log holds a saturated run's events ahead; returns how many it holds and the seconds that took.

    What earlier runs left counts; what is sent goes on where the log ends, since a repeat would be dropped, not billed.
    A file is sent as it is.
    Raises: MeasureError, DeliveryError.
    """
    found, source = on_servers(config)
    sent = sum(ends(source).values())
    waiting = sent - asyncio.run(settled(found))
    done, missing = 0, max(0, scenario.events_in_log - waiting)
    if scenario.events_file is not None:
        missing = sum(map(len, recorded.blocks(scenario.events_file, scenario.events)))

    def advance(events: int) -> None:
        nonlocal done
        done += events
        tell("filling the log", done, missing)

    started = time.monotonic()
    starts = range(sent, sent + missing, BLOCK_EVENTS)
    blocks = (
        (scenario.workload.payloads(start, min(start + BLOCK_EVENTS, sent + missing)) for start in starts)
        if scenario.events_file is None
        else recorded.blocks(scenario.events_file, scenario.events)
    )
    if missing:
        key = key_of if scenario.keyed else no_key
        produce(blocks, source.bootstrap, source.topic, settings=source.options, key=key, progress=advance)
    return waiting + missing, time.monotonic() - started


def versions(found: Deployment, databases: Sequence[Server], broker: Server | None) -> list[tuple[str, str]]:
    """Return the servers' kinds, each with its version."""
    url = found.settings.shards[0].writer
    version = asyncio.run(
        run_sql(url, lambda connection: str(connection.execute(text("SELECT VERSION()")).scalar_one()))
    )
    known = [("MariaDB" if "mariadb" in version.lower() else "MySQL", version)]
    if broker is not None:
        known.append(("Kafka", broker.version()))
    return known if databases else [*known, ("servers", "elsewhere")]
