"""A server's life: start, answer, stop, kill, restart, pause.

Owns the order of these steps and their time limits. Must not know which server it is: subclasses say how to
start it and how to tell that it answers.
"""

import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

import attrs

from ops.local.errors import PortTakenError, StartError
from ops.local.process import Identity, free_port, is_child_alive, port_is_free, spawn
from ops.local.quota import Quota

START_SECONDS_MAX: Final = 180.0  # a bound: crash recovery of a large redo log, on a machine that others use too
STOP_SECONDS_MAX: Final = 30.0
KILL_SECONDS_MAX: Final = 10.0
PORT_SECONDS_MAX: Final = 2.0  # a server that was just killed by somebody else may still be closing its port
PROBE_SECONDS: Final = 0.03
START_TRIES_MAX: Final = 3  # a free port can be taken between its choice and its use
LOG_BYTES_MAX: Final = 4 * 2**20  # rotated at start, one old file kept
COMPLAINTS: Final = ("[ERROR]", " ERROR ", "Exception")
PORT_TAKEN: Final = "Address already in use"


@attrs.define(eq=False, kw_only=True)
class Server(ABC):
    """A handle on one server on 127.0.0.1 with a private data folder; it may or may not be running.

    name: as shown to people; folder: absolute, everything of this server; port: where it answers;
    outlives_parent: whether the server stays when the process that started it ends; cores: how many it may keep busy,
    None for all.
    """

    name: str
    folder: Path
    port: int = attrs.field(factory=free_port)
    outlives_parent: bool = False
    cores: float | None = None
    _pid: int | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that starts the server in the foreground."""

    @abstractmethod
    def mark(self) -> str:
        """Return the one argument of the command that only this server has."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder ready; does nothing when it is."""

    @abstractmethod
    def answers(self) -> bool:
        """Ask the server itself, over its port, whether it is ready for clients."""

    @abstractmethod
    def version(self) -> str:
        """Return the server's version, such as 10.11.19-MariaDB."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that the server listens on."""
        return (self.port,)

    @property
    def log_path(self) -> Path:
        """The server's own log."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """The pid of the running server, None when it does not run (a paused one does)."""
        identity = self._identity()
        if self._pid is None or not identity.matches(self._pid):
            self._pid = identity.find()
        return self._pid

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self.pid is not None

    def start(self) -> None:
        """Start the server and return when it answers; a running one is left alone.

        Raises: PortTakenError when another program has the port; StartError, with the log's complaint, when the
        server ends or does not answer within `START_SECONDS_MAX`. Nothing is left running then.
        """
        if self.running:
            return
        self.prepare()
        self._wait_for_ports()
        log_from = self._rotated_log_size()
        self._pid = spawn(self.command(), self.log_path, outlives_parent=self.outlives_parent)
        try:
            if self._quota is not None:
                self._quota.enforce(self._pid)
            self._wait_for_answer(self._pid, log_from)
        except BaseException:
            self.kill()
            raise

    def start_anywhere(self) -> None:
        """Start a new server, on another free port when its own was taken meanwhile."""
        for _ in range(START_TRIES_MAX - 1):
            try:
                return self.start()
            except PortTakenError:
                self.change_port()
        return self.start()

    def change_port(self) -> None:
        """Choose another free port for the next start."""
        self.port = free_port()

    def stop(self) -> None:
        """End the server in order, by force when that takes longer than `STOP_SECONDS_MAX`."""
        pid = self.pid
        if pid is None:
            return
        self.resume()  # a paused process takes no signal but SIGKILL
        if not self._identity().end(pid, signal.SIGTERM, STOP_SECONDS_MAX):
            self.kill()
        self._lift_quota()

    def kill(self) -> None:
        """End the server with SIGKILL, as a power cut would, and return when it is gone."""
        pid = self.pid
        if pid is None:
            return
        if not self._identity().end(pid, signal.SIGKILL, KILL_SECONDS_MAX):
            raise StartError(f"{self.name}: pid {pid} does not end on SIGKILL; its disk may hang, see {self.folder}")
        self._lift_quota()

    def restart(self) -> None:
        """Stop the server if it runs, and start it on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""
        pid = self.pid
        if pid is not None:
            self._identity().send(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        pid = self.pid
        if pid is not None:
            self._identity().send(pid, signal.SIGCONT)

    def complaint(self, log_from: int = 0) -> str:
        """Return the log's first line that reports an error (later ones follow from it), else its last line.

        log_from: bytes of the log to skip, those of earlier starts.
        """
        try:
            with self.log_path.open("rb") as log:
                log.seek(log_from)
                lines = [line.strip() for line in log.read(LOG_BYTES_MAX).decode(errors="replace").splitlines()]
        except FileNotFoundError:
            return "(no log)"
        lines = [line for line in lines if line] or ["(the log is empty)"]
        return next((line for line in lines if any(word in line for word in COMPLAINTS)), lines[-1])

    def _identity(self) -> Identity:
        return Identity(self.mark())

    @property
    def _quota(self) -> Quota | None:
        return None if self.cores is None else Quota(f"billing-{self.name}-{self.port}", self.cores)

    def _lift_quota(self) -> None:
        if self._quota is not None:
            self._quota.lift()

    def _rotated_log_size(self) -> int:
        if not self.log_path.exists():
            return 0
        size = self.log_path.stat().st_size
        if size <= LOG_BYTES_MAX:
            return size
        self.log_path.replace(self.log_path.with_suffix(".log.old"))
        return 0

    def _wait_for_ports(self) -> None:
        deadline_seconds = time.monotonic() + PORT_SECONDS_MAX
        for port in self.ports:
            while not port_is_free(port):
                if time.monotonic() > deadline_seconds:
                    raise PortTakenError(f"{self.name}: port {port} is in use by another program; end that program")
                time.sleep(PROBE_SECONDS)

    def _wait_for_answer(self, pid: int, log_from: int) -> None:
        deadline_seconds = time.monotonic() + START_SECONDS_MAX
        while not self.answers():
            if not is_child_alive(pid):
                self._raise_start_error("ended at once", log_from)
            if time.monotonic() > deadline_seconds:
                self._raise_start_error(f"does not answer after {START_SECONDS_MAX:.0f} s", log_from)
            time.sleep(PROBE_SECONDS)

    def _raise_start_error(self, what: str, log_from: int) -> None:
        line = self.complaint(log_from)
        error = PortTakenError if PORT_TAKEN in line else StartError
        raise error(f"{self.name}: {what} on port {self.port}: {line} (log: {self.log_path})")
