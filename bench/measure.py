"""Measurement: runs scenarios on real servers and kernels on one core, and samples them.

Owns clocks, processes and probes. Must not know what figures mean or how they are shown: `figures` and `report` do.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import asyncmy
import attrs
from confluent_kafka import Producer
from sqlalchemy import Connection, text

from bench import kernel, scale
from bench.figures import Sample, cpu_cores, growth, throughput, worked
from bench.kernel import KernelTimes, ScaleTimes
from bench.report import RunResult
from bench.scenario import Scenario
from bench.system import (
    MeasureError,
    Workers,
    counters,
    cpu_seconds,
    disk_bytes,
    machine,
    machine_cpu_seconds,
    pids_of,
    rss_bytes_max,
    servers_of,
)
from billing.adapters.sql import run as run_sql
from billing.cli.setup import Deployment, deployment
from billing.cli.shards import audit_all
from billing.config.source_settings import KafkaSource
from billing.config.store_url import MysqlUrl
from generators.population import Model
from generators.producer import produce
from ops.local.server import Server
from rules.load import load

SAMPLE_SECONDS: Final = 1.0
START_SECONDS_MAX: Final = 60.0  # joining a group whose last members were killed takes ten
WARM_UP_SECONDS: Final = 15.0  # under open-loop load: workers join, and catch up on what came meanwhile
PROBE_SECONDS: Final = 0.05  # 20 probes a second load nothing, and make a p99 of minutes
PROBE_POLL_SECONDS: Final = 0.001  # what looking too late adds to a latency, at most, next to the query's own time
PROBE_WAIT_SECONDS_MAX: Final = 30.0

Tell = Callable[[str, int, int], None]  # what is going on, how much of it is done, how much there is


def kernel_times(model: Model, events: int, repeats: int, book: Path | None = None) -> KernelTimes:
    """Time the stages of the pure path and the whole of it, in CPU seconds, without garbage collection."""
    bodies, pricer = kernel.payloads(model, events), kernel.pricer(book)
    stages = {stage.name: _cpu_seconds(stage.work, repeats) for stage in kernel.stages(bodies, pricer)}
    return KernelTimes(model, events, stages, _cpu_seconds(lambda: kernel.whole_path(bodies, pricer), repeats))


def scale_times(model: Model, events: int, repeats: int, rules: int, prefixes: int) -> ScaleTimes:
    """Time the pure path by a small and a big book in turn, after each has seen the events once."""
    bodies = kernel.payloads(model, events)
    with TemporaryDirectory() as small, TemporaryDirectory() as big:
        path = scale.write_book(Path(big), rules, prefixes)
        (load_seconds,) = _cpu_seconds(lambda: load(path), 1)
        pricers = kernel.pricer(scale.write_book(Path(small), scale.RULES_MIN, scale.PREFIXES_MIN)), kernel.pricer(path)
    pairs: list[tuple[float, float]] = []
    for repeat in range(repeats + 1):
        seconds = {pricer: _cpu_seconds(partial(kernel.whole_path, bodies, pricer), 1)[0] for pricer in pricers}
        if repeat:
            pairs.append((seconds[pricers[0]], seconds[pricers[1]]))
    return ScaleTimes(model, events, rules, prefixes, load_seconds, tuple(pairs))


def _cpu_seconds(work: Callable[[], object], repeats: int) -> tuple[float, ...]:
    seconds = []
    for _ in range(repeats):
        gc.collect()
        gc.disable()
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
        gc.enable()
    return tuple(seconds)


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
    found, source = on_servers(config)
    databases, broker = servers_of(config.parent)
    before = asyncio.run(_statuses(found)), disk_bytes(databases), asyncio.run(settled(found))
    prefill = None if scenario.rate_per_second else _prefill(scenario, source, tell)
    workers = Workers(config, scenario.workers)
    try:
        pids = {"workers": workers.pids, "database": lambda: pids_of(databases), "broker": lambda: pids_of([broker])}
        sampler = _Sampler(found, pids, workers)
        samples, latencies = asyncio.run(_measured(scenario, config, found, sampler, tell))
    finally:
        workers.stop()
    after = asyncio.run(_statuses(found)), disk_bytes(databases)
    steady = worked(samples)
    if len(steady) < 2:  # noqa: PLR2004 - a rate needs two samples
        raise MeasureError(f"no shard applied anything; see {workers.log_path}")
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
        per_second=growth(steady),
        deadlocks=after[0]["deadlocks"] - before[0]["deadlocks"],
        lock_waits=after[0]["lock waits"] - before[0]["lock waits"],
        latency_ms=tuple(seconds * 1000 for seconds in latencies),
        disk_bytes_event=(after[1] - before[1]) / grown if databases and grown else None,
        ran_dry=prefill is not None and samples[-1].events - before[2] >= prefill[0],
        audit_differences=sum(one.wrong for one in audit_all(found, os.cpu_count() or 1)),
    )


async def _measured(
    scenario: Scenario, config: Path, found: Deployment, sampler: "_Sampler", tell: Tell
) -> tuple[list[Sample], list[float]]:
    """Sample once a second, for as long as the scenario says from the first event on; returns samples and latencies."""
    load = None
    await sampler.open()
    samples = [await sampler.sample()]
    try:
        if scenario.rate_per_second is not None:
            with config.with_name("bench-load.log").open("wb") as log:
                load = subprocess.Popen(  # noqa: ASYNC220, S603 - it only starts; our own program and options
                    _generate(scenario, config), stdout=log, stderr=log
                )
        started = time.monotonic()
        while samples[-1].events == samples[0].events:
            if time.monotonic() - started > START_SECONDS_MAX:
                raise MeasureError(f"nothing was applied in {START_SECONDS_MAX:.0f} s; see {sampler.workers.log_path}")
            samples.append(await sampler.sample_at(samples[-1].at_seconds + SAMPLE_SECONDS))
        probe = _Probe(found, scenario) if load else None
        if probe is not None:
            samples = [await sampler.sample_at(samples[-1].at_seconds + WARM_UP_SECONDS)]
        probing = asyncio.create_task(probe.run()) if probe is not None else None
        for second in range(scenario.seconds):
            tell("measuring", second, scenario.seconds)
            samples.append(await sampler.sample_at(samples[-1].at_seconds + SAMPLE_SECONDS))
        if probe is not None and probing is not None:
            probe.stopping = True
            await probing
            return samples, probe.latencies
        return samples, []
    finally:
        await sampler.close()
        if load is not None:
            load.terminate()
            load.wait()


def _generate(scenario: Scenario, config: Path) -> list[str]:
    options = {"--model": scenario.model, "--seed": scenario.seed, "--rate": scenario.rate_per_second}
    # Some more than the run needs: it must not end while the last seconds are measured.
    options["--events"] = scenario.events_in_log + round((scenario.rate_per_second or 0) * START_SECONDS_MAX)
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, "-m", "billing", "generate", "-c", str(config), *words]


def _prefill(scenario: Scenario, source: KafkaSource, tell: Tell) -> tuple[int, float]:
    """Put a saturated run's events into the log; returns how many and how many seconds that took."""
    done, total = 0, scenario.events_in_log

    def advance(events: int) -> None:
        nonlocal done
        done += events
        tell("filling the log", done, total)

    started = time.monotonic()
    blocks = scenario.workload.blocks(total)
    produce(blocks, source.bootstrap, source.topic, settings=source.options, progress=advance)
    return total, time.monotonic() - started


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


# --- samples ---


class _Sampler:
    """Takes samples; its connections stay open, so that looking costs the system little."""

    def __init__(self, found: Deployment, groups: Mapping[str, Callable[[], list[int]]], workers: Workers) -> None:
        self.workers = workers
        self._found = found
        self._groups = groups
        self._connections: list[Any] = []

    async def open(self) -> None:
        """Connect to every shard."""
        for shard in self._found.settings.shards:
            assert isinstance(shard.writer, MysqlUrl), "checked before"
            self._connections.append(await connect(shard.writer))

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    async def sample_at(self, at_seconds: float) -> Sample:
        """Take a sample when its time has come."""
        await asyncio.sleep(max(0.0, at_seconds - time.monotonic()))
        return await self.sample()

    async def sample(self) -> Sample:
        """Take a sample now."""
        at_seconds = time.monotonic()
        events = 0
        for connection in self._connections:
            events += int(
                await _one(connection, "SELECT COALESCE(SUM(accepted+duplicates+quarantined),0) FROM cursors")
            )
        pids = {group: found for group, find in self._groups.items() if (found := find())}
        cpu = {group: cpu_seconds(found) for group, found in pids.items()} | {"whole machine": machine_cpu_seconds()}
        total = Counter[str]()
        for one in await asyncio.gather(*(asyncio.to_thread(counters, port) for port in self.workers.ports)):
            total.update(one)
        return Sample(at_seconds, events, cpu, rss_bytes_max(pids["workers"]), total)


async def connect(url: MysqlUrl) -> Any:  # noqa: ANN401 - the driver has no types
    """Return a connection that commits each statement."""
    return await asyncmy.connect(
        host=url.host, port=url.port, user=url.user, password=url.password, db=url.database, autocommit=True
    )


async def _one(connection: Any, statement: str) -> Any:  # noqa: ANN401 - as above
    await connection.query(statement)
    return connection._result.rows[0][0]  # noqa: SLF001 - a cursor would ask for warnings on top


async def settled(found: Deployment) -> int:
    """Return how many events the shards have settled since their creation."""
    query = text("SELECT COALESCE(SUM(accepted+duplicates+quarantined),0) FROM cursors")
    total = 0
    for shard in found.settings.shards:
        total += int(await run_sql(shard.writer, lambda connection: connection.execute(query).scalar_one()))
    return total


async def _statuses(found: Deployment) -> dict[str, int]:
    """Return deadlocks and lock waits of all servers since their start."""
    total = {"deadlocks": 0, "lock waits": 0}
    servers = {url.place()[:2]: url for url in (shard.writer for shard in found.settings.shards)}
    for url in servers.values():
        for name, count in (await run_sql(url, _status)).items():
            total[name] += count
    return total


def _status(connection: Connection) -> dict[str, int]:
    """Return what one server counts.

    Source: "Server Status Variables" of MariaDB (Innodb_deadlocks) and of MySQL, where INNODB_METRICS has deadlocks.
    """
    names = {"Innodb_deadlocks": "deadlocks", "Innodb_row_lock_waits": "lock waits"}
    rows = connection.execute(
        text("SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_deadlocks','Innodb_row_lock_waits')")
    )
    found = {names[name]: int(value) for name, value in rows}
    if "deadlocks" not in found:
        query = text("SELECT `count` FROM information_schema.innodb_metrics WHERE name='lock_deadlocks'")
        found["deadlocks"] = int(connection.execute(query).scalar_one())
    return found


# --- latency ---


@attrs.define(eq=False)
class _Target:
    """An account of the probe on one shard: when its events were due, and how many of them have been seen."""

    account: str
    slot: int
    url: MysqlUrl
    due_seconds: list[float] = attrs.Factory(list)
    seen: int = 0
    waiting: asyncio.Event = attrs.Factory(asyncio.Event)


class _Probe:
    """Sends an event every 50 ms, to each shard in turn, and watches until it counts in a balance.

    Latencies run from the moment that an event was due, which is its timestamp in Kafka too: a sender that is late
    itself hides nothing.
    """

    def __init__(self, found: Deployment, scenario: Scenario) -> None:
        source = found.settings.source
        assert isinstance(source, KafkaSource), "checked before"
        self.latencies: list[float] = []
        self.stopping = False
        self._source = source
        self._mark = f"{time.time_ns():x}"
        self._body = json.loads(scenario.workload.payloads(0, 1)[0])
        self._targets = [self._target(found, number) for number in range(len(found.shardmap.shards))]

    def _target(self, found: Deployment, number: int) -> _Target:
        """Make an account that lives on this shard; of a few hundred names one does."""
        name = found.shardmap.shards[number]
        for attempt in range(100_000):
            account = f"probe-{self._mark}-{attempt}"
            places = found.shardmap.shards_of(account)
            if len(places) == 1 and places[0][1] == number:
                url = next(shard.writer for shard in found.settings.shards if shard.name == name)
                assert isinstance(url, MysqlUrl), "checked before"
                return _Target(account, places[0][0], url)
        raise MeasureError(f"no account was found that the map puts on {name}; a shard needs slots")

    async def run(self) -> None:
        """Probe until told to stop and everything sent was seen, or given up."""
        producer = Producer({**self._source.options, "bootstrap.servers": self._source.bootstrap, "linger.ms": 0})
        watchers = [asyncio.create_task(self._watch(target)) for target in self._targets]
        began, began_wall = time.monotonic(), time.time()
        sent = 0
        while not self.stopping:
            due = sent * PROBE_SECONDS
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            target = self._targets[sent % len(self._targets)]
            body = {**self._body, "id": f"probe-{sent:012d}", "account": target.account}
            timestamp_ms = round((began_wall + due) * 1000)
            producer.produce(
                self._source.topic, json.dumps(body).encode(), target.account.encode(), timestamp=timestamp_ms
            )
            producer.poll(0)
            target.due_seconds.append(began + due)
            target.waiting.set()
            sent += 1
        deadline = time.monotonic() + PROBE_WAIT_SECONDS_MAX
        while any(target.waiting.is_set() for target in self._targets):
            if time.monotonic() > deadline:
                lost = sum(len(target.due_seconds) - target.seen for target in self._targets)
                raise MeasureError(
                    f"{lost} probes were not billed in {PROBE_WAIT_SECONDS_MAX:.0f} s; the load is too high"
                )
            await asyncio.sleep(PROBE_SECONDS)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)

    async def _watch(self, target: _Target) -> None:
        connection = await connect(target.url)
        query = (
            "SELECT COALESCE(SUM(events),0) FROM balances "
            f"WHERE slot={target.slot:d} AND account='{target.account}'"  # made above, of harmless characters
        )
        try:
            while True:
                await target.waiting.wait()
                visible = int(await _one(connection, query))
                now = time.monotonic()
                self.latencies += [now - due for due in target.due_seconds[target.seen : visible]]
                target.seen = visible
                if visible == len(target.due_seconds):
                    target.waiting.clear()
                else:
                    await asyncio.sleep(PROBE_POLL_SECONDS)
        finally:
            connection.close()
