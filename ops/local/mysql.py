"""A MySQL or MariaDB server on a free loopback port with a private data folder.

Owns the options that the two take and their first data folder. Must not know the tables of the product.
Source of the readiness check: the server's greeting (protocol version 10), which it sends once it takes clients.
"""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

import attrs

from ops.local.errors import StartError
from ops.local.install import Kind, Say, cache_folder, database_command, silent
from ops.local.lock import folder_lock
from ops.local.process import LOOPBACK
from ops.local.server import Server

GREETING_SECONDS_MAX: Final = 2.0
GREETING_BYTES_MAX: Final = 4096
GREETING_PROTOCOL: Final = 10
INIT_SECONDS_MAX: Final = 120
PLAIN: Final = re.compile(r"[A-Za-z0-9_-]*")  # user, password and database go into SQL and URLs unquoted
REDO_MIB: Final = 256  # of a server that nobody asks for more: a stack to try things with
ROOT: Final = ["--user=root"] if os.geteuid() == 0 else []  # a server refuses to run as root unless told
TITLES: Final = {"mariadb": "MariaDB", "mysql": "MySQL"}


def _plain(_server: object, field: "attrs.Attribute[str]", value: str) -> None:
    if not PLAIN.fullmatch(value):
        raise ValueError(f"{field.name}: {value!r} may hold letters, digits, _ and - only")


@attrs.define(eq=False, kw_only=True)
class MysqlServer(Server):
    """A MySQL or MariaDB server; commits are durable, the binary log is off.

    buffer_pool_mib: pages kept in memory; redo_mib: log that a checkpoint may lag behind; user: may do everything from
    127.0.0.1; database: made at start when missing; options: further command line options, which win.
    """

    kind: Kind
    buffer_pool_mib: int = 256
    redo_mib: int = REDO_MIB
    user: str = attrs.field(default="root", validator=_plain)
    password: str = attrs.field(default="", validator=_plain)
    database: str = attrs.field(default="billing", validator=_plain)
    options: tuple[str, ...] = ()
    cache: Path = attrs.field(factory=cache_folder)
    say: Say = silent

    @property
    def data_folder(self) -> Path:
        """Where the server keeps its data."""
        return self.folder / "data"

    def url(self, database: str | None = None) -> str:
        """Return the URL of a database on this server, such as mysql://root@127.0.0.1:23456/billing."""
        secret = f":{self.password}" if self.password else ""
        return f"mysql://{self.user}{secret}@{LOOPBACK}:{self.port}/{database or self.database}"

    def mark(self) -> str:
        """Return the data folder's option."""
        return f"--datadir={self.data_folder}"

    def command(self) -> list[str]:
        """Return the server's command line."""
        redo = "innodb-log-file-size" if self.kind == "mariadb" else "innodb-redo-log-capacity"
        return [
            *database_command(self.kind, self.cache, self.say),
            self.mark(),
            *ROOT,
            f"--port={self.port}",
            f"--bind-address={LOOPBACK}",
            "--skip-name-resolve",
            "--socket=server.sock",  # within the data folder: a full path may exceed the 107 bytes of a socket's name
            f"--pid-file={self.folder / 'server.pid'}",
            f"--init-file={self.folder / 'init.sql'}",
            "--character-set-server=utf8mb4",
            "--skip-log-bin",
            "--performance-schema=0",  # 200 MiB a server on MySQL
            f"--innodb-buffer-pool-size={self.buffer_pool_mib}M",
            f"--{redo}={self.redo_mib}M",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-doublewrite=1",
            "--innodb-log-buffer-size=16M",
            "--innodb-lock-wait-timeout=5",
            "--innodb-print-all-deadlocks=1",
            "--max-allowed-packet=16M",
            "--max-connections=200",
            *(["--mysqlx=0"] if self.kind == "mysql" else []),
            *self.options,
        ]

    def prepare(self) -> None:
        """Give the server a data folder (a copy of a prepared one) and the statements that it runs at start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.data_folder.exists():
            copying = self.folder / "data.copying"
            shutil.rmtree(copying, ignore_errors=True)
            _run(["cp", "--archive", "--reflink=auto", str(self._template()), str(copying)], self.name)
            copying.rename(self.data_folder)
        account = f"'{self.user}'@'{LOOPBACK}'"
        root = f"DROP USER IF EXISTS 'root'@'{LOOPBACK}';\n" if self.user != "root" else ""  # MariaDB makes an open one
        init = self.folder / "init.sql"
        init.touch(mode=0o600)
        init.write_text(
            f"{root}"
            f"CREATE DATABASE IF NOT EXISTS `{self.database}`;\n"
            f"CREATE USER IF NOT EXISTS {account};\n"
            f"ALTER USER {account} IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
        )

    def answers(self) -> bool:
        """Say whether the server greets a client."""
        return self._greeting() is not None

    def version(self) -> str:
        """Return the version that the server itself greets with.

        Raises: StartError when it does not answer.
        """
        greeting = self._greeting()
        if greeting is None:
            raise StartError(f"{self.name}: no answer on port {self.port}; see {self.log_path}")
        return greeting

    def _greeting(self) -> str | None:
        packet = b""
        try:
            with socket.create_connection((LOOPBACK, self.port), GREETING_SECONDS_MAX) as client:
                while len(packet) < 4 + int.from_bytes(packet[:3], "little") or len(packet) < 4:  # noqa: PLR2004 - header
                    part = client.recv(GREETING_BYTES_MAX)
                    if not part or len(packet) > GREETING_BYTES_MAX:
                        return None
                    packet += part
        except OSError:
            return None
        protocol, text = packet[4], packet[5:]
        if protocol != GREETING_PROTOCOL:
            return None
        return (
            text.split(b"\0")[0].decode("ascii", "replace").removeprefix("5.5.5-")
        )  # MariaDB's prefix for old replicas

    def _template(self) -> Path:
        program = database_command(self.kind, self.cache, self.say)
        told = _run([*program, "--version"], self.name)
        found = re.search(r"Ver ([0-9.]+)", told)
        if found is None:
            raise StartError(f"{self.name}: {program[0]} is no server: --version says {told.strip()!r}; reinstall it")
        template = self.cache / f"data-{self.kind}-{found[1]}"
        if not template.is_dir():
            with folder_lock(self.cache, self.say):
                if not template.is_dir():
                    self.say(f"preparing the first data folder of {TITLES[self.kind]} {found[1]}")
                    _initialise(self.kind, program, template)
        return template


def _initialise(kind: Kind, program: list[str], template: Path) -> None:
    making = template.with_name(f"{template.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    if kind == "mariadb":
        # The installer finds the rest of the server by itself; the redo log grows at the first start.
        installer = shutil.which("mariadb-install-db") or "mariadb-install-db"
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=16M"]
        _run([installer, "--no-defaults", *ROOT, f"--datadir={making}", *options], TITLES[kind])
    else:
        options = ["--initialize-insecure", "--innodb-redo-log-capacity=16M"]
        _run([*program, *options, *ROOT, f"--datadir={making}"], TITLES[kind])
        (making / "auto.cnf").unlink()  # the server's identity: each copy makes its own
    making.rename(template)


def _run(command: list[str], name: str) -> str:
    done = subprocess.run(  # noqa: S603 - a list of our own arguments, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INIT_SECONDS_MAX,
        check=False,
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        lines = output.strip().splitlines() or ["(no output)"]
        complaint = next((line for line in lines if "[ERROR]" in line), lines[-1])
        raise StartError(f"{name}: no data folder: {Path(command[0]).name}: {complaint}")
    return output
