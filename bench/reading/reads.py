"""Reads under load: fills a deployment, serves it, and sends requests beside ingest or alone.

Owns the order of a run and its processes. What is asked is made here; when, in `openloop`; words are `reads_report`'s.
"""

import asyncio
import gc
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs
import uvloop
from sqlalchemy import func, select

from bench.errors import MeasureError
from bench.measure import START_SECONDS_MAX, Tell, on_servers, versions
from bench.reading import deep
from bench.reading.openloop import CONNECTIONS_MAX, OpenLoop, Stream, Told
from bench.reading.realtime import prefer, realtime_here
from bench.reading.report import KindResult, ReadsResult, ReadsScenario
from bench.sampler import connect, settled
from bench.system import Workers, machine, servers_of
from billing.adapters.keyfile import KeyFile
from billing.adapters.sql import run as run_sql
from billing.cli.setup import Deployment
from billing.config.store_url import MysqlUrl
from billing.keys import RANDOM_BYTES, Scope, new_key
from billing.schema import balances, cursors, records
from generators.population import Model
from generators.producer import produce
from generators.workload import Workload
from ops.local.process import free_port

HOST: Final = "127.0.0.1"
BATCH_ACCOUNTS: Final = 1_000
PAGE_LINES: Final = 100
KNOWN_ACCOUNTS: Final = 10_000  # whose balances are asked for, as often each
LARGE_ACCOUNTS: Final = 50  # whose usage is asked for: those with the most of it
WARM_UP_SECONDS: Final = 3.0  # connections are made, and caches filled
POLL_SECONDS: Final = 0.2
_DAY_US: Final = 86_400_000_000


def run(scenario: ReadsScenario, config: Path, tell: Tell) -> ReadsResult:
    """Run a scenario on an initialised deployment of Kafka and MySQL or MariaDB, and return what it did.

    Raises: MeasureError when something does not start, or ends early.
    """
    found, source = on_servers(config)
    databases, broker = servers_of(config.parent)
    workers = Workers(config, scenario.workers)
    try:
        blocks = Workload(model=Model.SKEWED, seed=scenario.seed).blocks(scenario.events)
        produce(blocks, source.bootstrap, source.topic, settings=source.options)
        _wait_until_billed(found, workers, scenario.events, tell)
        deep_accounts = deep.deep_accounts(found.shardmap, scenario.records) if scenario.records else {}
        asyncio.run(_insert(found, deep_accounts, tell))
        total, questions = asyncio.run(_questions(found, deep_accounts, random.Random(scenario.seed)))  # noqa: S311 - a load
        alone = None
        with _ingest(scenario, config):
            if scenario.ingest_per_second:
                _wait_until_ingest(found, workers)
                alone = _ingested(found, lambda: _rest(scenario.seconds, "ingest alone", tell))
            with _key(found) as key, _served(config) as (port, api):
                told: dict[str, Told] = {}
                target = _Target(port, key, api, found)

                def load() -> None:
                    with realtime_here() if scenario.realtime else nullcontext():
                        told.update(_loaded(scenario, target, questions, tell))

                beside = _ingested(found, load)
    finally:
        workers.stop()
    return ReadsResult(
        scenario=scenario,
        machine=machine([f"{kind} {version}" for kind, version in versions(found, databases, broker)]),
        records=total,
        ingest_alone=alone,
        ingest_beside=beside if scenario.ingest_per_second else None,
        kinds=tuple(
            KindResult(
                kind,
                scenario.rates[kind],
                tuple(seconds * 1000 for seconds in one.seconds),
                dict(one.errors),
                one.late_seconds_max * 1000,
            )
            for kind, one in told.items()
        ),
    )


@attrs.frozen
class _Target:
    """What is asked: its port, a key to it, its process, and what it reads."""

    port: int
    key: str
    process: int
    found: Deployment


def _loaded(
    scenario: ReadsScenario, target: _Target, questions: Mapping[str, Callable[[], tuple[str, bytes]]], tell: Tell
) -> dict[str, Told]:
    """Send the requests; what was sent to warm up does not count."""

    def ask(kind: str) -> Callable[[], bytes]:
        def made() -> bytes:
            path, body = questions[kind]()
            head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nhost: {HOST}\r\n"
            head += f"authorization: Bearer {target.key}\r\n"
            return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

        return made

    streams = [Stream(kind, rate, ask(kind)) for kind, rate in scenario.rates.items() if rate and kind in questions]
    tell("reads", 0, scenario.seconds)

    async def play() -> dict[str, Told]:
        gc.collect()
        gc.freeze()  # else the load would stand still while it looks through everything that was imported
        loop = OpenLoop(HOST, target.port, scenario.seed)
        await loop.play(streams, WARM_UP_SECONDS)
        if scenario.realtime:
            writers = [shard.writer for shard in target.found.settings.shards]
            await prefer(target.process, [url for url in writers if isinstance(url, MysqlUrl)])
        return await loop.play(streams, scenario.seconds)

    return uvloop.run(play())


async def _questions(
    found: Deployment, deep_accounts: Mapping[str, deep.DeepAccount], made: random.Random
) -> tuple[int, dict[str, Callable[[], tuple[str, bytes]]]]:
    """Return how many lines are recorded, and by kind what makes a target and a body."""
    names: list[tuple[int, str]] = []
    lines, newest_us = 0, 0
    for shard in found.settings.shards:
        rows = await run_sql(
            shard.writer,
            lambda connection: connection.execute(
                select(balances.c.events, balances.c.account).order_by(balances.c.events.desc()).limit(KNOWN_ACCOUNTS)
            ).all(),
        )
        names += [(events, account) for events, account in rows]
        lines += await run_sql(
            shard.writer, lambda connection: connection.execute(select(func.count()).select_from(records)).scalar_one()
        )
        newest_us = max(newest_us, await run_sql(
            shard.writer, lambda connection: connection.execute(select(func.max(cursors.c.time_us_max))).scalar_one()
        ))  # fmt: skip
    names.sort(reverse=True)
    accounts = [account for _, account in names[:KNOWN_ACCOUNTS]]
    end = datetime.fromtimestamp((newest_us // _DAY_US + 1) * _DAY_US / 1_000_000, UTC)
    month = f"from={end - timedelta(days=31):%Y-%m-%d}&to={end:%Y-%m-%d}"
    pages = list(deep_accounts.values())

    def of(account: str, what: str) -> tuple[str, bytes]:
        return f"/v1/accounts/{quote(account, safe='')}/{what}", b""

    looked_up = [of(account, "balance") for account in accounts]  # made once: the load must cost little

    def page() -> tuple[str, bytes]:
        if not pages:
            return of(made.choice(accounts[:LARGE_ACCOUNTS]), f"transactions?limit={PAGE_LINES}")
        one = made.choice(pages)
        return of(one.account, f"transactions?limit={PAGE_LINES}&cursor={one.cursor(made.randrange(one.lines))}")

    def batch() -> tuple[str, bytes]:
        asked = made.sample(accounts, min(BATCH_ACCOUNTS, len(accounts)))
        return "/v1/balances", json.dumps({"accounts": asked}).encode()

    return lines, {
        "balance": lambda: made.choice(looked_up),
        "batch": batch,
        "usage": lambda: of(made.choice(accounts[:LARGE_ACCOUNTS]), f"usage?every=hour&{month}"),
        "page": page
        if pages
        else lambda: of(made.choice(accounts[:LARGE_ACCOUNTS]), f"transactions?limit={PAGE_LINES}"),
    }


async def _insert(found: Deployment, deep_accounts: Mapping[str, deep.DeepAccount], tell: Tell) -> None:
    done, total = 0, sum(one.lines for one in deep_accounts.values())

    def advance(lines: int) -> None:
        nonlocal done
        done += lines
        tell("recording lines", done, total)

    for shard in found.settings.shards:
        if shard.name in deep_accounts:
            assert isinstance(shard.writer, MysqlUrl), "checked before"
            connection = await connect(shard.writer)
            try:
                await deep.insert(connection, deep_accounts[shard.name], advance)
            finally:
                connection.close()


def _wait_until_billed(found: Deployment, workers: Workers, events: int, tell: Tell) -> None:
    moved_at, before = time.monotonic(), -1
    while (done := asyncio.run(settled(found))) < events:
        workers.pids()  # raises where they ended
        if done != before:
            moved_at, before = time.monotonic(), done
        if time.monotonic() - moved_at > START_SECONDS_MAX:
            raise MeasureError(f"nothing was applied in {START_SECONDS_MAX:.0f} s; see {workers.log_path}")
        tell("billing", done, events)
        time.sleep(POLL_SECONDS)


def _wait_until_ingest(found: Deployment, workers: Workers) -> None:
    before, deadline = asyncio.run(settled(found)), time.monotonic() + START_SECONDS_MAX
    while asyncio.run(settled(found)) == before:
        workers.pids()
        if time.monotonic() > deadline:
            raise MeasureError(f"no event came in {START_SECONDS_MAX:.0f} s; see {workers.log_path}")
        time.sleep(POLL_SECONDS)


def _ingested(found: Deployment, work: Callable[[], None]) -> float:
    """Return the events a second that were settled while something was done."""
    before, began = asyncio.run(settled(found)), time.monotonic()
    work()
    return (asyncio.run(settled(found)) - before) / (time.monotonic() - began)


def _rest(seconds: int, what: str, tell: Tell) -> None:
    for second in range(seconds):
        tell(what, second, seconds)
        time.sleep(1)


@contextmanager
def _ingest(scenario: ReadsScenario, config: Path) -> Iterator[None]:
    """Send events at the rate of the scenario, other ones than before, until the end."""
    if not scenario.ingest_per_second:
        yield
        return
    seconds = 3 * scenario.seconds + START_SECONDS_MAX * 4
    command = [
        "generate", "-c", str(config), "--model", "skewed", "--seed", str(scenario.seed + 1),
        "--rate", str(scenario.ingest_per_second), "--events", str(round(scenario.ingest_per_second * seconds)),
    ]  # fmt: skip
    with _process(command, config.with_name("bench-load.log")):
        yield


@contextmanager
def _served(config: Path) -> Iterator[tuple[int, int]]:
    """Serve the API, and give its port and its process."""
    port, log = free_port(), config.with_name("bench-serve.log")
    with _process(["serve", "-c", str(config), "--port", str(port)], log) as process:
        deadline = time.monotonic() + START_SECONDS_MAX
        while f":{port}/" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise MeasureError(f"the API does not start; see {log}")
            time.sleep(POLL_SECONDS)
        yield port, process.pid


@contextmanager
def _process(arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - our own program and options, no shell
            [sys.executable, "-m", "billing", *arguments], stdout=file, stderr=file, env={**os.environ}
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def _key(found: Deployment) -> Iterator[str]:
    """Give a key that sees every account, in as many requests at once as one key may have; its file goes at the end."""
    limits = found.settings.api.limits
    assert limits.key_requests_max >= CONNECTIONS_MAX, "or the load would be refused"
    text, key = new_key(secrets.token_bytes(RANDOM_BYTES), "bench", [Scope.READ], ["*"], time.time_ns() // 1_000)
    keys = KeyFile(found.settings.api.keys)
    keys.add(key, "billing-bench")
    keys.close()
    try:
        yield text
    finally:
        for path in found.settings.api.keys.parent.glob(f"{found.settings.api.keys.name}*"):  # SQLite's own two as well
            path.unlink()
