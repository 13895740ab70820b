"""Faults of database servers: killed, restarted, frozen, gone back, read-only, full, short of packets, locked."""

import asyncio
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asyncmy.errors import MySQLError

from ops.local.mysql import MysqlServer
from tests.faults.scene import Scene
from tests.fleet import WORKER_USER, wait_until
from tests.servers import connect, query

DOWN_SECONDS = 0.0, 2.0
AWAY_SECONDS = 4.0, 12.0  # long enough for buffers to fill and the shard to be detached
FROZEN_SECONDS = 0.2, 7.0  # to longer than a worker waits for an answer
LOST_SECONDS = 0.3, 2.0  # how much a failover takes back
LOST_SECONDS_MAX = 10.0
READ_ONLY_SECONDS = 0.3, 3.0
FULL_SECONDS_MAX = 12.0
PACKET_BYTES = 16_384, 262_144
SHRUNK_SECONDS = 0.5, 3.0
LOCKED_SECONDS = 0.3, 4.0  # to longer than a server lets a session wait
KILLS = 3, 10
BALLAST_BYTES = 1 << 20


def kill(scene: Scene, draw: random.Random) -> None:
    """SIGKILL a server under load and start it again."""
    _down(scene, draw, "database killed", MysqlServer.kill, DOWN_SECONDS)


def restart(scene: Scene, draw: random.Random) -> None:
    """Stop a server in order, which tells its sessions so, and start it again."""
    _down(scene, draw, "database restarted", MysqlServer.stop, DOWN_SECONDS)


def leave(scene: Scene, draw: random.Random) -> None:
    """SIGKILL a server and leave it dead for long: its shard is detached, and catches up when it lives again."""
    _down(scene, draw, "shard dead for seconds", MysqlServer.kill, AWAY_SECONDS)


def freeze(scene: Scene, draw: random.Random) -> None:
    """SIGSTOP a server: connections stay open and nothing answers."""
    with scene.shard(draw) as number:
        seconds = draw.uniform(*FROZEN_SECONDS)
        scene.note(f"shard-{number} frozen for {seconds:.1f} s")
        scene.servers[number].pause()
        try:
            time.sleep(seconds)
        finally:
            scene.servers[number].resume()
        scene.counts["database frozen"] += 1


def fail_over(scene: Scene, draw: random.Random) -> None:
    """Replace a server by a copy of its data made a moment before: the last transactions, acknowledged, are lost."""
    with scene.shard(draw) as number:
        server, copy = scene.servers[number], scene.folder / f"copy-{number}"
        copied = _positions(scene, number)
        server.pause()
        try:
            subprocess.run(["cp", "--archive", str(server.data_folder), str(copy)], check=True)
        finally:
            server.resume()
        time.sleep(draw.uniform(*LOST_SECONDS))
        with suppress(AssertionError):  # another fault may keep everybody from writing
            wait_until(lambda: _positions(scene, number) != copied, "there is something to lose", LOST_SECONDS_MAX)
        before = _positions(scene, number)
        server.kill()
        shutil.rmtree(server.data_folder)
        subprocess.run(["cp", "--archive", str(copy), str(server.data_folder)], check=True)
        shutil.rmtree(copy)
        server.start()
        after = _positions(scene, number)
        lost = sum(max(0, at - after.get(partition, 0)) for partition, at in before.items())
        scene.note(f"shard-{number} failed over to a copy that lacks {lost:,} offsets")
        scene.counts["failover that lost transactions" if lost else "failover that lost nothing"] += 1


def refuse_writes(scene: Scene, draw: random.Random) -> None:
    """Make a server read-only for a while, in one of the three ways that workers are told of by different errors."""
    ways = {"1290": _read_only, "1792": _transactions_read_only, "1836": _innodb_read_only}
    code = draw.choice(sorted(ways))
    with scene.shard(draw) as number:
        seconds = draw.uniform(*READ_ONLY_SECONDS)
        scene.note(f"shard-{number} read-only ({code}) for {seconds:.1f} s")
        with ways[code](scene, number):
            time.sleep(seconds)
        scene.counts[f"read-only flip ({code})"] += 1


def fill_disk(scene: Scene, draw: random.Random) -> None:
    """Fill the small volume until its server refuses to write, and make room again."""
    assert scene.small is not None, "chosen only where there is a small volume"
    with scene.shard(draw, scene.small) as number:
        server = scene.servers[number]
        ballast = server.folder / "ballast"
        scene.note(f"disk of shard-{number} full")
        before = _refusals(scene, number)
        try:
            _fill(ballast)
            with suppress(AssertionError):  # it may be frozen out by another fault meanwhile
                wait_until(lambda: _refusals(scene, number) > before, "the full disk is felt", FULL_SECONDS_MAX)
        finally:
            ballast.unlink()
        server.start()  # one that did not survive it
        scene.counts["disk full"] += 1


def shrink_packets(scene: Scene, draw: random.Random) -> None:
    """Let a server take small packets only, for new sessions, which all are: the old ones are cut."""
    with scene.shard(draw) as number:
        small = draw.randint(*PACKET_BYTES) // 1024 * 1024
        scene.note(f"shard-{number} takes packets of {small:,} bytes")
        with _variable(scene, number, "max_allowed_packet", str(small), str(16 << 20)):
            time.sleep(draw.uniform(*SHRUNK_SECONDS))
        scene.counts["max_allowed_packet shrunk"] += 1


def hold_rows(scene: Scene, draw: random.Random) -> None:
    """Hold locks that workers need, in a session of somebody else."""
    table = draw.choice(("balances", "cursors", "records"))
    with scene.shard(draw) as number:
        seconds = draw.uniform(*LOCKED_SECONDS)
        scene.note(f"shard-{number}: rows of {table} locked for {seconds:.1f} s")
        asyncio.run(_hold_rows(scene, number, table, seconds))
        scene.counts["rows locked by another session"] += 1


def kill_sessions(scene: Scene, draw: random.Random) -> None:
    """KILL sessions of workers, or what they are doing."""
    with scene.shard(draw) as number:
        server = scene.servers[number]
        for _ in range(draw.randint(*KILLS)):
            listed = asyncio.run(query(server, "SHOW PROCESSLIST"))
            for row in (row for row in listed if _text(row[1]) == WORKER_USER):
                with suppress(MySQLError):  # ended meanwhile
                    asyncio.run(query(server, f"KILL {draw.choice(('CONNECTION', 'QUERY'))} {row[0]}"))
                    scene.counts["session killed"] += 1
            time.sleep(draw.uniform(0, 0.2))
        scene.note(f"sessions of shard-{number} killed")


def _down(
    scene: Scene, draw: random.Random, what: str, end: Callable[[MysqlServer], None], seconds: tuple[float, float]
) -> None:
    with scene.shard(draw) as number:
        server, down_seconds = scene.servers[number], draw.uniform(*seconds)
        ended_at = time.monotonic()
        end(server)
        scene.note(f"{what}: shard-{number}, {down_seconds:.1f} s")
        scene.counts[what] += 1
        time.sleep(down_seconds)
        server.start()
        if scene.alone:
            ends = scene.site.log_ends()
            wait_until(
                lambda: all(_positions(scene, number).get(partition, 0) >= end for partition, end in ends.items()),
                "a shard catches up",
            )
            scene.recoveries[f"{what}: its shard has caught up"].append(time.monotonic() - ended_at)


@contextmanager
def _read_only(scene: Scene, number: int) -> Iterator[None]:
    server = scene.servers[number]
    asyncio.run(query(server, "SET GLOBAL read_only=1"))
    try:
        yield
    finally:
        asyncio.run(query(server, "SET GLOBAL read_only=0"))


@contextmanager
def _transactions_read_only(scene: Scene, number: int) -> Iterator[None]:
    name = "tx_read_only" if scene.servers[number].kind == "mariadb" else "transaction_read_only"
    with _variable(scene, number, name, "1", "0"):
        yield


@contextmanager
def _innodb_read_only(scene: Scene, number: int) -> Iterator[None]:
    server = scene.servers[number]
    usual = server.options
    server.stop()
    server.options = (*usual, "--innodb-read-only=1")
    try:
        server.start()
        yield
    finally:
        server.options = usual
        server.restart()


@contextmanager
def _variable(scene: Scene, number: int, name: str, value: str, usual: str) -> Iterator[None]:
    """Change what new sessions begin with, and let workers begin new ones, before and after."""
    server = scene.servers[number]
    asyncio.run(query(server, f"SET GLOBAL {name}={value}"))
    scene.proxies[number].cut_all()
    try:
        yield
    finally:
        asyncio.run(query(server, f"SET GLOBAL {name}={usual}"))
        scene.proxies[number].cut_all()


async def _hold_rows(scene: Scene, number: int, table: str, seconds: float) -> None:
    connection = await connect(scene.servers[number])
    try:
        database = scene.site.found.settings.shards[number].writer.database
        await connection.query("SET SESSION innodb_lock_wait_timeout=1")
        await connection.query("BEGIN")
        with suppress(MySQLError):  # another fault's, or the workers' own locks: these hold some rows then
            await connection.query(f"SELECT 1 FROM {database}.{table} LIMIT 1000 FOR UPDATE")
        await asyncio.sleep(seconds)
        await connection.query("ROLLBACK")
    finally:
        connection.close()


def _positions(scene: Scene, number: int) -> dict[int, int]:
    return {row.partition: row.next_offset for row in scene.site.cursors_of(f"shard-{number}")}


def _refusals(scene: Scene, number: int) -> int:
    """Return how often the workers that live now have said that a shard refused something."""
    workers = list(scene.fleet.workers.values())
    said = [line for worker in workers for line in worker.said("shard refused")]
    return sum(line["shard"] == f"shard-{number}" for line in said)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(BALLAST_BYTES))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
