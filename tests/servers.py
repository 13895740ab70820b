"""The real servers of a test run: started when a test first asks, shared by all tests, stopped at the end."""

import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncmy
import attrs
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from ops.local.install import Kind
from ops.local.kafka import KafkaServer
from ops.local.mysql import TITLES, MysqlServer
from ops.local.process import LOOPBACK, free_port
from ops.local.server import Server
from tests.certificates import HOST, Authority

_DAY = timedelta(days=1)
_CERTIFICATES = {
    "good": (HOST, _DAY), "other": ("broker.example", _DAY), "expired": (HOST, -_DAY), "mutual": (HOST, _DAY),
}  # fmt: skip
SERVERS_MAX = 16  # of one kind: a test run must fit a small machine's memory


@attrs.define(eq=False, kw_only=True)
class SecureKafka(KafkaServer):
    """A broker with listeners that encrypt and ask who comes, each with a certificate of its own, by `authority`.

    `good` is for localhost, `other` for another host, `expired` ended yesterday. Users: `users`, by mechanism. `mutual`
    asks for no password, but for a certificate by the same authority: `client.crt` with `client.key` is one.
    """

    users: dict[str, str] = attrs.field(factory=lambda: {"SCRAM-SHA-512": "scr4m-s3cret", "PLAIN": "pl4in-s3cret"})
    secure_ports: dict[str, int] = attrs.field(factory=lambda: {name: free_port() for name in _CERTIFICATES})

    @property
    def authority_file(self) -> Path:
        """The authority's certificate."""
        return self.folder / "authority.pem"

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port that the server listens on."""
        return (self.port, self.controller_port, *self.secure_ports.values())

    def change_port(self) -> None:
        """Choose other free ports for the next start."""
        KafkaServer.change_port(self)
        self.secure_ports = {name: free_port() for name in self.secure_ports}

    def prepare(self) -> None:
        """Make certificates and settings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.authority_file.exists():
            authority = Authority(self.folder)
            for name, (host, lasting) in _CERTIFICATES.items():
                certificate, key = authority.issue(name, host, lasting=lasting)
                (self.folder / f"{name}.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
            authority.issue("client", "billing.example")
        self.settings = self._listeners()
        KafkaServer.prepare(self)

    def admit(self, user: str, password: str = "") -> None:
        """Make a user for SCRAM, or change its password; who comes with PLAIN stands in the settings."""
        secret = password or self.users["SCRAM-SHA-512"]
        asked = UserScramCredentialUpsertion(
            user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), secret.encode()
        )
        admin = AdminClient({"bootstrap.servers": self.bootstrap})  # its end would cancel the request
        admin.alter_user_scram_credentials([asked])[user].result(60)

    def _listeners(self) -> dict[str, str]:
        plain = {"PLAINTEXT": self.port, "CONTROLLER": self.controller_port}
        advertised = {"PLAINTEXT": f"{LOOPBACK}:{self.port}"}
        advertised |= {name: f"{HOST}:{port}" for name, port in self.secure_ports.items()}
        protocols = {
            "PLAINTEXT": "PLAINTEXT",
            "CONTROLLER": "PLAINTEXT",
            **dict.fromkeys(self.secure_ports, "SASL_SSL"),
            "mutual": "SSL",
        }
        kinds = "org.apache.kafka.common.security"
        found = {
            "listeners": ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in (plain | self.secure_ports).items()),
            "advertised.listeners": ",".join(f"{name}://{place}" for name, place in advertised.items()),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        }
        for name in self.secure_ports:
            of = f"listener.name.{name}"
            found |= {
                f"{of}.ssl.keystore.type": "PEM",
                f"{of}.ssl.keystore.location": str(self.folder / f"{name}.pem"),
                f"{of}.sasl.enabled.mechanisms": ",".join(self.users),
                f"{of}.scram-sha-512.sasl.jaas.config": f"{kinds}.scram.ScramLoginModule required;",
                f"{of}.plain.sasl.jaas.config": (
                    f'{kinds}.plain.PlainLoginModule required user_billing="{self.users["PLAIN"]}";'
                ),
            }
        return found | {
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.location": str(self.authority_file),
        }


class ServerPool:
    """Servers by kind, in the order of their start; one that a test left dead or paused is revived when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._databases: dict[Kind, list[MysqlServer]] = {"mariadb": [], "mysql": []}
        self._kafka: list[SecureKafka] = []
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

    def kafka(self) -> "SecureKafka":
        """Return the one broker, answering."""
        if not self._kafka:
            (self._folder / "kafka").mkdir()
            server = SecureKafka(name="kafka", folder=self._folder / "kafka")
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
