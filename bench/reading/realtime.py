"""Real time: on a machine that holds everything, what answers reads goes before everything else on a CPU.

Owns which threads these are: the API's, those in which databases serve its connections, and the load's own, which else
would be late itself. Must not know what is asked.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from bench.errors import MeasureError
from bench.sampler import connect
from billing.config.store_url import MysqlUrl

_PRIORITY: Final = 10  # of SCHED_RR, 1 to 99: any goes before what has none
_THREADS: Final = "SELECT tid,host FROM information_schema.processlist"  # MariaDB's column, the system's number


def check_realtime(database: str) -> None:
    """Raise MeasureError where it cannot be had: without the right to, or on a server that does not tell threads."""
    if database != "mariadb":
        raise MeasureError("--realtime: only MariaDB tells which thread serves a connection; leave --database out")
    with realtime_here():
        pass


@contextmanager
def realtime_here() -> Iterator[None]:
    """Let the thread that calls go before others meanwhile. Raises MeasureError without the right to."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    except PermissionError:
        raise MeasureError("--realtime: takes the right to (CAP_SYS_NICE); run it as root") from None
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


async def prefer(api: int, databases: Sequence[MysqlUrl]) -> None:
    """Let every thread of the API's process, and those that serve the connections it has now, go before others."""
    process = psutil.Process(api)
    threads = [one.id for one in process.threads()]
    ports = {one.laddr.port for one in process.net_connections("tcp")}
    for url in databases:
        connection = await connect(url)
        try:
            await connection.query(_THREADS)
            rows = connection._result.rows  # noqa: SLF001 - a cursor would ask for warnings on top
        finally:
            connection.close()
        threads += [int(thread) for thread, host in rows if _port(host) in ports]
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(_PRIORITY))


def _port(host: bytes | str) -> int:
    """Return the port of a client's address; -1 of one that has none."""
    _, _, port = (host.decode() if isinstance(host, bytes) else host).rpartition(":")
    return int(port) if port.isdigit() else -1
