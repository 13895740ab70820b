"""A fleet: several workers of one machine as processes, and the parent that watches them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import structlog

from billing.adapters.configured import open_source
from billing.adapters.sql import run as run_sql
from billing.cli.setup import Deployment
from billing.cli.work import WORKER_INDEX
from billing.config.settings import Shard
from billing.cursor import check_within
from billing.errors import SourceError, StoreUnreachableError
from billing.reads.balance import read_cursors

_RESTARTS_MAX: Final = 100  # what is killed so often will not recover by itself
_LOOK_SECONDS: Final = 0.2
_LOOK_AT_SHARDS_SECONDS: Final = 1.0
_log = structlog.get_logger()


def run_fleet(config: Path, found: Deployment, processes: int, *, until_end: bool) -> int:  # noqa: C901 - one loop
    """Run workers until SIGTERM or the end of the log; returns the exit code.

    A worker that is killed is started again; one that ends by itself has said why, and all stop.
    """
    command = [sys.executable, "-m", "billing", "run", "-c", str(config)]
    stopping = False

    def start(index: int) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(command, env={**os.environ, WORKER_INDEX: str(index)})  # noqa: S603 - ourselves
        _log.info("worker started", index=index, pid=child.pid)
        return child

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    end: _End | None = None
    children = [start(index) for index in range(processes)]
    restarts, exit_code = 0, 0
    looked_at = time.monotonic()
    while not stopping:
        time.sleep(_LOOK_SECONDS)
        if stopping:  # whoever signals a whole process group has signalled the children too
            break
        for index, child in enumerate(children):
            code = child.poll()
            if code is None:
                continue
            if code >= 0 or restarts >= _RESTARTS_MAX:
                exit_code, stopping = max(code, 1), True
                break
            restarts += 1
            _log.warning("worker killed, starting another", index=index, signal=-code)
            children[index] = start(index)
        if until_end and time.monotonic() - looked_at >= _LOOK_AT_SHARDS_SECONDS:
            if end is None:
                end = asyncio.run(_end_of_log(found))
            else:
                stopping = stopping or asyncio.run(_have_reached(found, end))
            looked_at = time.monotonic()
    _stop_all(children, 2 * found.settings.limits.graceful_stop_ms / 1000)
    return exit_code


def _stop_all(children: list[subprocess.Popen[bytes]], patience_seconds: float) -> None:
    for child in children:
        child.terminate()
    deadline = time.monotonic() + patience_seconds
    for child in children:
        try:
            child.wait(max(deadline - time.monotonic(), _LOOK_SECONDS))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@attrs.frozen
class _End:
    """Which log it was, and the offset after the last one of each partition that had any."""

    log: str
    stops: Mapping[int, int]


async def _end_of_log(found: Deployment) -> _End | None:
    """Return where the log ends, None while its broker does not answer: the workers say so, and wait for it too.

    Raises: LogChangedError where a shard stands beyond it, before anybody takes that for having reached it.
    """
    source = open_source(found.settings.source, follow=False)
    try:
        await source.open()
        standing = [await _positions(shard, source.log) for shard in found.settings.shards]
        bounds = await source.bounds(await source.partitions())
    except SourceError as error:
        if not error.may_return:
            raise
        return None
    finally:
        await source.close()
    for positions in standing:
        check_within(source.log, positions, bounds)
    return _End(source.log, {partition: bound.stop for partition, bound in bounds.items() if bound.stop > 0})


async def _have_reached(found: Deployment, end: _End) -> bool:
    """Tell whether every shard has applied the log up to its end; a shard that does not answer has not."""
    for shard in found.settings.shards:
        positions = await _positions(shard, end.log)
        if any(positions.get(partition, -1) < stop for partition, stop in end.stops.items()):
            return False
    return True


async def _positions(shard: Shard, log: str) -> Mapping[int, int]:
    """Return where a shard's cursors of this log stand; none while it does not answer."""
    try:
        rows = await run_sql(shard.primary, read_cursors)
    except StoreUnreachableError:
        return {}
    return {row.partition: row.next_offset for row in rows if row.log == log}
