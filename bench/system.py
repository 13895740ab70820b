"""The system under measurement, from outside: its processes, their CPU time and memory, its disk, the machine.

Owns what the kernel and the workers' own counters tell. Must not know scenarios, nor what figures mean.
"""

import os
import platform
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Final

from bench.errors import MeasureError
from bench.figures import TAKEN_BY_HOST, WHOLE_MACHINE
from bench.report import Machine
from billing.cli.ready import make_ready
from ops.local import stack
from ops.local.errors import StackMissingError
from ops.local.process import free_port, port_is_free
from ops.local.server import Server

try:
    import psutil  # type: ignore[import-untyped]  # it ships no types
except ModuleNotFoundError as error:
    raise SystemExit("billing-bench: psutil is missing; pip install 'billing-engine[bench]'") from error

STOP_SECONDS_MAX: Final = 60.0
SCRAPE_SECONDS_MAX: Final = 5.0  # a worker that shares a core with three others answers late
_BLOCK_BYTES: Final = 512  # the unit of st_blocks, whatever the file system's own
_PORT_TRIES_MAX: Final = 100
_KILLED: Final = re.compile(r'"signal": (\d+), "event": "worker killed')
_COUNTERS: Final = {
    "transactions": re.compile(r"^billing_transactions_total\{[^}]*\} (\S+)$", re.MULTILINE),
    **{
        table: re.compile(rf'^billing_rows_written_total\{{[^}}]*table="{table}"[^}}]*\}} (\S+)$', re.MULTILINE)
        for table in ("records", "tiers", "rollups", "balances")
    },
}


def machine(servers: Sequence[str] = ()) -> Machine:
    """Return this machine."""
    told = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    return Machine(
        cpu=model[1] if model else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=psutil.virtual_memory().total // 2**20,
        kernel=platform.release(),
        python=platform.python_version(),
        servers=tuple(servers),
    )


class Workers:
    """`billing run` with its children, their log and their metrics ports."""

    def __init__(self, config: Path, count: int) -> None:
        make_ready()  # a compiler's time and memory are not the workers'
        self.ports = _adjoining_ports(count)
        self.log_path = config.with_name("bench-workers.log")
        environment = {**os.environ, "BILLING_METRICS_PORT": str(self.ports[0])}
        command = [sys.executable, "-m", "billing", "run", "-c", str(config), "--processes", str(count)]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program and options, no shell
                command, env=environment, stdout=log, stderr=log
            )

    def pids(self) -> list[int]:
        """Return the parent and the workers. Raises MeasureError when it ended."""
        if self._process.poll() is not None:
            last = (self.log_path.read_text().strip().splitlines() or ["(no log)"])[-1]
            raise MeasureError(f"the workers ended: {last}")
        parent = psutil.Process(self._process.pid)
        return [parent.pid, *(child.pid for child in parent.children(recursive=True))]

    def killed_by(self) -> list[int]:
        """Return the signals by which workers were killed; others were started in their place."""
        return [int(found) for found in _KILLED.findall(self.log_path.read_text())]

    def stop(self) -> None:
        """End it with SIGTERM, and by force when that takes too long."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _adjoining_ports(count: int) -> range:
    for _ in range(_PORT_TRIES_MAX):
        first = free_port()
        ports = range(first, first + count)
        if all(map(port_is_free, ports)):
            return ports
    raise MeasureError(f"no {count} free ports side by side; stop some servers")


def servers_of(folder: Path) -> tuple[list[Server], Server | None]:
    """Return the stack's databases and its broker; none when the folder holds no stack."""
    try:
        databases, broker = stack.servers(folder)
    except StackMissingError:
        return [], None
    return [*databases], broker


def pids_of(servers: Iterable[Server | None]) -> list[int]:
    """Return the pids of those that run."""
    return [server.pid for server in servers if server is not None and server.pid is not None]


def disk_bytes(databases: Iterable[Server]) -> int:
    """Return what the data folders take on disk: tables, logs and all."""
    size = 0
    for path in (path for server in databases for path in (server.folder / "data").rglob("*")):
        with suppress(FileNotFoundError):  # temporary tables come and go
            size += path.stat().st_blocks * _BLOCK_BYTES
    return size


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that processes have used, in kernel mode too; an ended one counts nothing."""
    seconds = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            seconds += times.user + times.system
    return seconds


def machine_cpu_seconds() -> dict[str, float]:
    """Return the CPU time that the machine has used since its start, and what its host gave to others meanwhile."""
    used = psutil.cpu_times()
    spent = float(used.user + used.nice + used.system + used.irq + used.softirq)
    return {WHOLE_MACHINE: spent, TAKEN_BY_HOST: float(used.steal)}


def rss_bytes_max(pids: Iterable[int]) -> int:
    """Return the memory of the largest process."""
    largest = 0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            largest = max(largest, psutil.Process(pid).memory_info().rss)
    return largest


def counters(port: int) -> dict[str, float] | None:
    """Return a worker's counters, summed over labels: 0 before it listens, None when it does not answer in time."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SCRAPE_SECONDS_MAX) as answer:
            page = answer.read().decode()
    except (OSError, HTTPException) as error:
        if isinstance(getattr(error, "reason", error), ConnectionRefusedError):
            return dict.fromkeys(_COUNTERS, 0.0)
        return None
    return {name: sum(map(float, pattern.findall(page))) for name, pattern in _COUNTERS.items()}
