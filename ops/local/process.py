"""One server process: start it, recognise it later, signal it, wait for its end.

Owns process ids and ports. Must not know what the process serves. Linux only (/proc, pidfd).

A process is recognised by its command line alone (one telling argument, such as its data folder), so that there
is no pid file which could go stale and name a stranger.
"""

import os
import select
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from ops.local.errors import InstallError, StartError

LOOPBACK: Final = "127.0.0.1"
PORTS: Final = range(
    20_000, 32_000
)  # below Linux's ephemeral range, else a client's socket can sit on a stopped server's port
PORT_TRIES_MAX: Final = 200

# A death signal is sent when the *thread* that started the child ends: this one lasts as long as the interpreter.
_SPAWNER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn-server")


def free_port() -> int:
    """Return a loopback port that nobody listens on, chosen at random so that two callers rarely meet."""
    for _ in range(PORT_TRIES_MAX):
        port = PORTS[int.from_bytes(os.urandom(4)) % len(PORTS)]
        if port_is_free(port):
            return port
    raise StartError(
        f"no free port of {PORT_TRIES_MAX} tried between {PORTS.start} and {PORTS.stop}; stop some servers"
    )


def port_is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port in TIME_WAIT is free
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


@attrs.frozen
class Identity:
    """How a process is recognised: by one argument that no other process of this machine has."""

    mark: str

    def matches(self, pid: int) -> bool:
        """Say whether this pid is the process (an ended one that nobody waited for is not)."""
        return self.mark in _command_line(pid)

    def find(self) -> int | None:
        """Return the pid of the process, or None when it does not run."""
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        return next((pid for pid in pids if self.matches(pid)), None)

    def send(self, pid: int, number: signal.Signals) -> None:
        """Send a signal, to this process and never to a later owner of its pid."""
        with _handle(pid) as handle:
            if handle is not None and self.matches(pid):
                _signal(handle, number)

    def end(self, pid: int, number: signal.Signals, timeout_seconds: float) -> bool:
        """Send a signal that should end the process, wait for its end and return whether it came in time.

        The end is the kernel's: every file and port of the process is closed by then.
        """
        with _handle(pid) as handle:
            if handle is None or not self.matches(pid):
                return True
            _signal(handle, number)
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            ended = bool(poll.poll(timeout_seconds * 1000))
        with suppress(ChildProcessError):  # started by another process: not ours to collect
            os.waitpid(pid, os.WNOHANG)
        return ended


def spawn(command: Sequence[str], log_path: Path, *, outlives_parent: bool) -> int:
    """Start a process in a session of its own, output appended to the log, and return its pid.

    Without `outlives_parent` the kernel kills it when this interpreter ends, however it ends.
    """
    return _SPAWNER.submit(_spawn, list(command), log_path, outlives_parent=outlives_parent).result()


def _spawn(command: list[str], log_path: Path, *, outlives_parent: bool) -> int:
    if not outlives_parent:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise InstallError("setpriv is missing; install the package util-linux")
        command = [setpriv, "--pdeathsig", "KILL", "--", *command]
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log_path), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT],
        )
    except OSError as error:
        raise StartError(f"{command[0]}: cannot be started: {error.strerror}; see {log_path}") from error


def is_child_alive(pid: int) -> bool:
    """Say whether a process that this interpreter started still runs; collects it when it ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:  # ended meanwhile
        return []


@contextmanager
def _handle(pid: int) -> Iterator[int | None]:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _signal(handle: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)
