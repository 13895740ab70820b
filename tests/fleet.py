"""A fleet under test: real workers, as processes, between a topic and the shards of a billing.toml made for it.

Owns how tests start, stop and kill workers, what they wait for, and how they read what the shards hold.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from sqlalchemy import Connection, func, select

from billing.adapters.configured import open_source
from billing.adapters.sql import run as run_sql
from billing.cli.setup import Deployment, deployment
from billing.cursor import CursorRow
from billing.errors import SourceError, StoreUnreachableError
from billing.reads.balance import Balance, gather, read_balances_of_all, read_cursors
from billing.schema import quarantine
from generators.producer import produce
from ops.local.kafka import KafkaServer
from ops.local.mysql import MysqlServer
from ops.local.process import free_port
from tests.command import ROOT, Done, billing
from tests.servers import query

PATIENCE_SECONDS = 240.0  # a bound on waiting, not an expectation: a loaded machine may take most of it
STEP_SECONDS = 0.05
WORKER_USER = "worker"


@attrs.frozen
class Site:
    """A configuration, the topic that it reads, and the servers of its shards, in the order of shards.

    worker_config: what workers are given; the same, or one that leads to the same shards by other doors.
    """

    config: Path
    worker_config: Path
    found: Deployment
    topic: str
    kafka: KafkaServer
    servers: Sequence[MysqlServer]

    def produce(self, blocks: Iterable[Sequence[bytes]], rate: float | None = None) -> int:
        """Put payloads into the topic."""
        return produce(blocks, self.kafka.bootstrap, self.topic, rate_per_second=rate)

    def cursors(self) -> dict[str, list[CursorRow]]:
        """Return the cursors of every shard that answers."""
        return asyncio.run(self._cursors([shard.name for shard in self.found.settings.shards]))

    def cursors_of(self, shard: str) -> list[CursorRow]:
        """Return the cursors of one shard, asking no other; none while it does not answer."""
        return asyncio.run(self._cursors([shard])).get(shard, [])

    def applied(self, shard: str, partitions: Iterable[int]) -> int:
        """Return how many offsets of these partitions a shard has applied; 0 while it does not answer."""
        wanted = set(partitions)
        return sum(row.next_offset for row in self.cursors_of(shard) if row.partition in wanted)

    def log_ends(self) -> dict[int, int]:
        """Return the offset after the last record of each partition; a broker that is slow to answer is asked again."""

        async def ask() -> dict[int, int]:
            source = open_source(self.found.settings.source, follow=False)
            try:
                await source.open()
                bounds = await source.bounds(await source.partitions())
                return {partition: bound.stop for partition, bound in bounds.items()}
            finally:
                await source.close()

        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return asyncio.run(ask())
            except SourceError as error:
                if not error.may_return or time.monotonic() > deadline:
                    raise

    def wait_until_applied(self, fleet: "Fleet | None" = None) -> None:
        """Wait until every shard has applied everything that the log has now."""
        ends = {(partition, end) for partition, end in self.log_ends().items() if end}

        def is_applied() -> bool:
            if fleet is not None:
                fleet.require_alive()
            rows = self.cursors()
            return len(rows) == len(self.found.settings.shards) and all(
                ends <= {(row.partition, row.next_offset) for row in of_shard} for of_shard in rows.values()
            )

        wait_until(is_applied, "every shard has applied the log")

    def balances(self) -> dict[str, Balance]:
        """Return every account's balance, added over shards."""
        return read_balances(self.found)

    def amounts(self) -> dict[str, Decimal]:
        """Return every account's balance in currency units."""
        return {account: balance.amount for account, balance in self.balances().items()}

    def quarantined(self) -> dict[str, int]:
        """Return how many events each reason holds in quarantine."""

        def count(connection: Connection) -> list[tuple[str, int]]:
            rows = connection.execute(select(quarantine.c.reason, func.count()).group_by(quarantine.c.reason))
            return [(reason, number) for reason, number in rows]

        async def read() -> list[tuple[str, int]]:
            return [pair for shard in self.found.settings.shards for pair in await run_sql(shard.writer, count)]

        total = Counter[str]()
        for reason, number in asyncio.run(read()):
            total[reason] += number
        return dict(total)

    def audit(self) -> list[dict[str, Any]]:
        """Run `billing audit` and return what it says of each shard; fails the test unless it is clean."""
        done = self.billing("audit", "--json")
        assert done.code == 0, done
        return done.json

    def billing(self, command: str, *options: str) -> Done:
        """Run one command of `billing` on this configuration to its end."""
        return billing(command, "-c", str(self.config), *options, folder=ROOT, seconds=PATIENCE_SECONDS)

    async def _cursors(self, names: Iterable[str]) -> dict[str, list[CursorRow]]:
        found = {}
        for shard in self.found.settings.shards:
            if shard.name in names:
                try:
                    found[shard.name] = await run_sql(shard.writer, read_cursors)
                except StoreUnreachableError:
                    continue
        return found


def read_balances(found: Deployment) -> dict[str, Balance]:
    """Return every account's balance, added over shards; the book has one currency."""

    async def read() -> list[Balance]:
        return [one for shard in found.settings.shards for one in await run_sql(shard.writer, read_balances_of_all)]

    return {account: balance for (account, _), balance in gather(asyncio.run(read())).items()}


def read_amounts(config: Path) -> dict[str, Decimal]:
    """Return every account's balance, in currency units, in the shards that a configuration names."""
    return {account: balance.amount for account, balance in read_balances(deployment(config)).items()}


def make_site(
    folder: Path,
    kafka: KafkaServer,
    servers: Sequence[MysqlServer],
    book: Path,
    *,
    partitions: int = 8,
    options: Mapping[str, int] | None = None,
    limits: Mapping[str, int] | None = None,
    doors: Sequence[int] = (),
    more: Sequence[str] = (),
) -> Site:
    """Make a topic, a database for each server given (a shard each) and the configuration; run `billing init`.

    options: librdkafka's; limits: of billing.toml; doors: ports by which workers, as an ordinary user, reach the
    servers, if not their own; more: lines of billing.toml. Names are new ones, so that servers can be shared by all
    tests.
    """
    mark = uuid.uuid4().hex[:8]
    topic, database = f"events-{mark}", f"billing_{mark}"
    kafka.create_topic(topic, partitions)
    lines = ["[source]", 'kind = "kafka"', f'bootstrap = "{kafka.bootstrap}"', f'topic = "{topic}"', 'group = "fleet"']
    if options:
        given = ", ".join(f'"{key}" = {value}' for key, value in options.items())
        lines.append(f"options = {{ {given} }}")
    lines += ["[rules]", f'book = "{book}"', "[limits]", *(f"{key} = {value}" for key, value in (limits or {}).items())]
    lines += more
    urls = [server.url(f"{database}_{number}") for number, server in enumerate(servers)]
    for number, server in enumerate(servers):
        statements = [f"CREATE DATABASE {database}_{number}"]
        if doors:  # root may write to a server that is read-only
            worker = f"'{WORKER_USER}'@'127.0.0.1'"
            statements += [f"CREATE USER IF NOT EXISTS {worker}", f"GRANT ALL ON {database}_{number}.* TO {worker}"]
        asyncio.run(query(server, *statements))
    config = _write_config(folder / "billing.toml", lines, urls)
    worker_config = config
    if doors:
        names = (f"{WORKER_USER}@127.0.0.1:{door}/{database}_{number}" for number, door in enumerate(doors))
        worker_config = _write_config(folder / "workers.toml", lines, [f"mysql://{name}" for name in names])
    site = Site(config, worker_config, deployment(config), topic, kafka, servers)
    done = site.billing("init")
    assert done.code == 0, done
    return site


def _write_config(path: Path, lines: Sequence[str], writers: Sequence[str]) -> Path:
    shards = [f'[[shards]]\nname = "shard-{number}"\nwriter = "{writer}"' for number, writer in enumerate(writers)]
    path.write_text("\n".join([*lines, *shards]) + "\n")
    return path


@attrs.define(eq=False)
class WorkerProcess:
    """One `billing run` and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path
    metrics_port: int

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one kind, oldest first."""
        return [line for line in self.lines() if line["event"] == event]

    def lines(self) -> list[dict[str, Any]]:
        """Return the log; lines that are no JSON are a traceback, and fail the test."""
        texts = self.log_path.read_text().splitlines(keepends=True)
        whole = [text for text in texts if text.endswith("\n")]
        assert all(text.startswith("{") for text in whole), "".join(texts)
        return [json.loads(text) for text in whole]

    def partitions(self) -> frozenset[int]:
        """Return the partitions that it was assigned last."""
        said = self.said("partitions assigned")
        return frozenset(said[-1]["partitions"]) if said else frozenset()

    def apply_seconds(self) -> dict[str, tuple[float, float]]:
        """Return, by shard, how long all transactions took together and how many there were."""
        page = self.page()
        sums = dict(re.findall(r'^billing_apply_seconds_sum\{shard="([^"]+)"\} (\S+)$', page, re.MULTILINE))
        counts = dict(re.findall(r'^billing_apply_seconds_count\{shard="([^"]+)"\} (\S+)$', page, re.MULTILINE))
        return {shard: (float(sums[shard]), float(count)) for shard, count in counts.items()}

    def page(self) -> str:
        """Return its metrics as Prometheus scrapes them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            page: str = answer.read().decode()
            return page

    def figure(self, series: str) -> float | None:
        """Return a metric of it, `name{label="value"}`; None while it has no such series."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.page(), re.MULTILINE)
        return float(found[1]) if found else None

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Return what it answers to /readyz: status, 0 while it does not listen, and body."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, {}

    def kill(self) -> int:
        """End it with SIGKILL and return its exit code, which is another one if it had ended before."""
        self.process.kill()
        return self.process.wait()

    def terminate(self) -> int:
        """Ask it to stop with SIGTERM and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


class Fleet:
    """Workers of one site; the test kills and replaces them as it likes."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.workers: dict[str, WorkerProcess] = {}
        self.history: list[WorkerProcess] = []  # everyone who ever worked, the dead ones too

    def start(self, name: str) -> WorkerProcess:
        """Start a worker, in the place of a dead one of that name."""
        log_path = self.site.config.with_name(f"{name}-{len(self.history)}.log")
        port = free_port()
        environment = {**os.environ, "BILLING_METRICS_PORT": str(port)}
        command = [sys.executable, "-m", "billing", "run", "-c", str(self.site.worker_config)]
        with log_path.open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.workers[name] = WorkerProcess(name, process, log_path, port)
        self.history.append(self.workers[name])
        return self.workers[name]

    def wait_until_shared(self) -> None:
        """Wait until the workers own all partitions, each some and none two."""
        every = set(self.site.log_ends())

        def is_shared() -> bool:
            self.require_alive()
            owned = [worker.partitions() for worker in self.workers.values()]
            return all(owned) and sum(map(len, owned)) == len(every) and every == set().union(*owned)

        wait_until(is_shared, "the workers share the partitions")

    def require_alive(self) -> None:
        """Fail when a worker has ended that nobody asked to."""
        for worker in self.workers.values():
            assert worker.process.poll() is None, f"{worker.name} ended: {worker.log_path.read_text()}"

    def stop(self) -> dict[str, int]:
        """Stop all workers with SIGTERM and return their exit codes."""
        return {name: worker.terminate() for name, worker in self.workers.items()}


@contextmanager
def fleet_of(site: Site, *names: str) -> Iterator[Fleet]:
    """Start workers and wait until they share the topic, if any are named; what still runs at the end is killed."""
    fleet = Fleet(site)
    try:
        for name in names:
            fleet.start(name)
        if names:
            fleet.wait_until_shared()
        yield fleet
    finally:
        for worker in fleet.workers.values():
            worker.kill()


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for something that must come; fails the test when it does not."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(STEP_SECONDS)
