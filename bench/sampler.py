"""Samples of a system at work: what its shards, its workers and the kernel tell, once a second.

A shell: owns the connections that look, and how long any look may take. Must not know scenarios or what figures mean.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import asyncmy
from sqlalchemy import Connection, text

from bench.errors import MeasureError
from bench.figures import Sample
from bench.system import Workers, counters, cpu_seconds, machine_cpu_seconds, rss_bytes_max
from billing.adapters.sql import run as run_sql
from billing.config.deployment import Deployment
from billing.config.store_url import MysqlUrl

ANSWER_SECONDS_MAX: Final = 30.0  # a server under full load answers a look-up by key in milliseconds
_SETTLED: Final = "SELECT COALESCE(SUM(accepted+duplicates+quarantined),0) FROM cursors"
_STATEMENTS: Final = (
    "SHOW GLOBAL STATUS LIKE 'Questions'"  # each statement of a packet counts; the sampler's few do too
)


class Sampler:
    """Takes samples; its connections stay open, so that looking costs the system little."""

    def __init__(self, found: Deployment, groups: Mapping[str, Callable[[], list[int]]], workers: Workers) -> None:
        self.workers = workers
        self._found = found
        self._groups = groups
        self._connections: list[Any] = []
        self._one_each: list[Any] = []  # a connection of each server

    async def open(self) -> None:
        """Connect to every shard."""
        places = set()
        for shard in self._found.settings.shards:
            assert isinstance(shard.writer, MysqlUrl), "checked before"
            self._connections.append(await connect(shard.writer))
            if shard.writer.place()[:2] not in places:
                places.add(shard.writer.place()[:2])
                self._one_each.append(self._connections[-1])

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    async def sample_at(self, at_seconds: float) -> Sample:
        """Take a sample when its time has come."""
        await asyncio.sleep(max(0.0, at_seconds - time.monotonic()))
        return await self.sample()

    async def sample(self) -> Sample:
        """Take a sample now. Raises: MeasureError when a shard does not answer, or the workers ended."""
        # Workers first: they may be slow to answer, and everything else is to be of one moment.
        told = await asyncio.gather(*(asyncio.to_thread(counters, port) for port in self.workers.ports))
        at_seconds = time.monotonic()
        events = [int(await one(connection, _SETTLED)) for connection in self._connections]
        statements = [float(await one(connection, _STATEMENTS, 1)) for connection in self._one_each]
        pids = {group: found for group, find in self._groups.items() if (found := find())}
        cpu = {group: cpu_seconds(found) for group, found in pids.items()} | machine_cpu_seconds()
        total = Counter[str]({"statements": sum(statements)})
        answers = [each for each in told if each is not None]
        if len(answers) == len(told):  # a sum that lacks a worker is no sum
            for each in answers:
                total.update(each)
        return Sample(at_seconds, sum(events), cpu, rss_bytes_max(pids["workers"]), total, tuple(events))


async def connect(url: MysqlUrl) -> Any:  # noqa: ANN401 - the driver has no types
    """Return a connection that commits each statement."""
    return await asyncmy.connect(
        host=url.host, port=url.port, user=url.user, password=url.password, db=url.database, autocommit=True
    )


async def one(connection: Any, statement: str, column: int = 0) -> Any:  # noqa: ANN401 - as above
    """Return a column of the first row. Raises: MeasureError when the server does not answer."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await connection.query(statement)
    except TimeoutError as error:
        raise MeasureError(f"a database did not answer in {ANSWER_SECONDS_MAX:.0f} s; see its log") from error
    return connection._result.rows[0][column]  # noqa: SLF001 - a cursor would ask for warnings on top


async def settled(found: Deployment) -> int:
    """Return how many events the shards have settled since their creation."""
    query = text("SELECT COALESCE(SUM(accepted+duplicates+quarantined),0) FROM cursors")
    total = 0
    for shard in found.settings.shards:
        total += int(await run_sql(shard.writer, lambda connection: connection.execute(query).scalar_one()))
    return total


async def statuses(found: Deployment) -> dict[str, int]:
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
