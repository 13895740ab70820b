"""A Redis server on a free loopback port that keeps everything in memory.

Owns its options. Must not know what is counted in it.
"""

import re
import socket
import subprocess
from typing import Final

import attrs

from ops.local.errors import StartError
from ops.local.install import Say, cache_folder, redis_command, silent
from ops.local.process import LOOPBACK
from ops.local.server import Server

_ANSWER_SECONDS_MAX: Final = 2.0
_PONG: Final = b"+PONG\r\n"


@attrs.define(eq=False, kw_only=True)
class RedisServer(Server):
    """A Redis server that writes nothing to disk: what is fastest, and lost when it ends."""

    say: Say = silent

    def mark(self) -> str:
        """Return its folder, which its command line names."""
        return str(self.folder / "data")

    def command(self) -> list[str]:
        """Return the server's command line."""
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": self.mark(),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "set-proc-title": "no",  # or its folder, by which it is recognised, would be gone from its command line
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [redis_command(cache_folder(), self.say), *words]

    def prepare(self) -> None:
        """Make its folder."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)

    def answers(self) -> bool:
        """Say whether the server answers a PING."""
        try:
            with socket.create_connection((LOOPBACK, self.port), _ANSWER_SECONDS_MAX) as client:
                client.sendall(b"PING\r\n")
                return client.recv(len(_PONG)) == _PONG
        except OSError:
            return False

    def version(self) -> str:
        """Return the version of the program. Raises: StartError when it does not tell."""
        told = subprocess.run([self.command()[0], "--version"], capture_output=True, check=False)  # noqa: S603 - our own
        found = re.search(rb"v=([0-9.]+)", told.stdout)
        if found is None:
            raise StartError(f"{self.name}: {self.command()[0]} is no server; reinstall it")
        return found[1].decode()
