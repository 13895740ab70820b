"""The real servers of a test run: started when a test first asks, shared by all tests, stopped at the end."""

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncmy

from ops.local.install import Kind
from ops.local.kafka import KafkaServer
from ops.local.mysql import TITLES, MysqlServer
from ops.local.server import Server

SERVERS_MAX = 16  # of one kind: a test run must fit a small machine's memory


class ServerPool:
    """Servers by kind, in the order of their start; one that a test left dead or paused is revived when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._databases: dict[Kind, list[MysqlServer]] = {"mariadb": [], "mysql": []}
        self._kafka: list[KafkaServer] = []
        self._used: Counter[str] = Counter()

    def databases(self, kind: Kind, count: int) -> list[MysqlServer]:
        """Return the first `count` servers of a kind, all answering."""
        assert count <= SERVERS_MAX, f"{count} servers asked for; at most {SERVERS_MAX}"
        servers = self._databases[kind]
        while len(servers) < count:
            name = f"{kind}-{len(servers)}"
            server = MysqlServer(name=name, folder=self._folder / name, kind=kind, buffer_pool_mib=128, redo_mib=64)
            servers.append(server)
            server.start_anywhere()
            self._used[f"{TITLES[kind]} {server.version()}"] += 1
        for server in servers[:count]:
            _revive(server)
        return servers[:count]

    def kafka(self) -> KafkaServer:
        """Return the one broker, answering."""
        if not self._kafka:
            server = KafkaServer(name="kafka", folder=self._folder / "kafka")
            self._kafka.append(server)
            server.start_anywhere()
            self._used[f"Kafka {server.version()}"] += 1
        _revive(self._kafka[0])
        return self._kafka[0]

    def used(self) -> Mapping[str, int]:
        """Return how many servers were started, by name and version."""
        return self._used

    def close(self) -> None:
        """Stop every server and remove its data."""
        for server in [*self._databases["mariadb"], *self._databases["mysql"], *self._kafka]:
            server.stop()
        shutil.rmtree(self._folder)


def _revive(server: Server) -> None:
    server.resume()
    server.start()


async def connect(server: MysqlServer) -> Any:
    """Return a connection that commits each statement."""
    return await asyncmy.connect(
        host="127.0.0.1",
        port=server.port,
        user=server.user,
        password=server.password,
        db=server.database,
        autocommit=True,
        connect_timeout=5,
    )


async def query(server: MysqlServer, *statements: str) -> tuple[tuple[object, ...], ...]:
    """Run statements on a connection of their own, each committed, and return the rows of the last."""
    connection = await connect(server)
    try:
        for statement in statements:
            await connection.query(statement)
        return connection._result.rows or ()  # noqa: SLF001 - the cursor would ask for warnings on top
    finally:
        connection.close()
