"""A one-node Kafka (KRaft: broker and controller in one process) on free loopback ports with a private log folder.

Owns the broker's settings. Must not know what is in the topics.
"""

import base64
import re
import socket
import subprocess
import time
import uuid
from concurrent.futures import Future
from pathlib import Path
from typing import Final

import attrs
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its re-exports are implicit
    AdminClient,
    ClusterMetadata,
    NewTopic,
)

from ops.local.errors import LocalServerError, StartError
from ops.local.install import Say, cache_folder, java, kafka_jars, kafka_version, silent
from ops.local.process import LOOPBACK, free_port
from ops.local.server import PROBE_SECONDS, Server

ADMIN_SECONDS_MAX: Final = 10.0
CONNECT_SECONDS_MAX: Final = 1.0
FORMAT_SECONDS_MAX: Final = 60
LOG4J: Final = Path(__file__).with_name("log4j2.properties")
MESSAGE_BYTES_MAX: Final = 16 * 2**20  # over-sized events must reach the engine, which puts them into quarantine
CLEANER_BYTES: Final = 4 * 2**20  # the default is 128 MiB, a quarter of our heap, for a compacted topic of few keys
QUIET: Final = {"log_level": 0}  # librdkafka would print every refused connection while the broker starts


@attrs.define(eq=False, kw_only=True)
class KafkaServer(Server):
    """A Kafka broker that is its own controller; topics are never made by accident and never expire.

    controller_port: used by the broker itself; heap_mib: Java's heap; settings: further server.properties, which win.
    """

    controller_port: int = attrs.field(factory=free_port)
    heap_mib: int = 512
    settings: dict[str, str] = attrs.field(factory=dict)
    cache: Path = attrs.field(factory=cache_folder)
    say: Say = silent

    @property
    def bootstrap(self) -> str:
        """Where clients connect, as host:port."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of broker and controller."""
        return (self.port, self.controller_port)

    def mark(self) -> str:
        """Return the system property that names the server's folder."""
        return f"-Dbilling.server={self.folder}"

    def command(self) -> list[str]:
        """Return the broker's command line."""
        return [
            *self._java(),
            self.mark(),
            f"-Xmx{self.heap_mib}m",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:TieredStopAtLevel=1",  # a second compiler costs a local broker more than it saves
            "-XX:+ExitOnOutOfMemoryError",
            "kafka.Kafka",
            str(self.folder / "server.properties"),
        ]

    def change_port(self) -> None:
        """Choose other free ports for the next start."""
        self.port, self.controller_port = free_port(), free_port()

    def prepare(self) -> None:
        """Write the settings and format the log folder when it is new."""
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        if (self.folder / "logs" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        settings = f"--cluster-id={cluster}", f"--config={properties}"  # "=", since an id may begin with "-"
        done = subprocess.run(  # noqa: S603 - a list of our own arguments, no shell
            [*self._java(), "kafka.tools.StorageTool", "format", *settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FORMAT_SECONDS_MAX,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stdout.decode(errors="replace").strip().splitlines() or ["(no output)"]
            raise StartError(f"{self.name}: the log folder cannot be formatted: {lines[-1]}")

    def answers(self) -> bool:
        """Say whether the broker answers a request for metadata."""
        try:
            socket.create_connection((LOOPBACK, self.port), CONNECT_SECONDS_MAX).close()
            return bool(self._admin().list_topics(timeout=CONNECT_SECONDS_MAX).brokers)
        except (OSError, KafkaException):
            return False

    def version(self) -> str:
        """Return the version of the broker's jars (Kafka's protocol does not tell it)."""
        jar = next(kafka_jars(self.cache).glob("kafka_2.13-*.jar"), None)
        found = re.search(r"-([0-9.]+)\.jar", jar.name) if jar else None
        return found[1] if found else kafka_version()

    def cluster_id(self) -> str:
        """Return the id that the cluster got when it was formatted."""
        return str(self._asked().cluster_id)

    def topics(self) -> dict[str, int]:
        """Return the number of partitions of every topic that is not Kafka's own."""
        topics = self._asked().topics
        return {name: len(topic.partitions) for name, topic in topics.items() if not name.startswith("__")}

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic and return when the broker leads all its partitions.

        Raises: LocalServerError when it exists already or Kafka refuses it.
        """
        admin = self._admin()  # its end would cancel the request: it must outlive the answer
        futures = admin.create_topics([NewTopic(name, partitions, 1)], request_timeout=ADMIN_SECONDS_MAX)
        self._done(futures[name], f"topic {name} cannot be created")
        self._wait_for_leaders(admin, name, partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic with its messages and return when the broker knows it no more.

        Raises: LocalServerError when Kafka refuses.
        """
        admin = self._admin()
        futures = admin.delete_topics([name], request_timeout=ADMIN_SECONDS_MAX)
        self._done(futures[name], f"topic {name} cannot be deleted")
        self._wait_for_leaders(admin, name, 0)

    def _wait_for_leaders(self, admin: AdminClient, topic: str, count: int) -> None:
        """Wait until a broker has caught up with its controller, which answers before the broker knows (KIP-500)."""
        deadline = time.monotonic() + ADMIN_SECONDS_MAX
        while self._leaders(admin, topic) != count:
            if time.monotonic() > deadline:
                raise LocalServerError(f"{self.name}: the broker does not show {count} partitions of topic {topic}")
            time.sleep(PROBE_SECONDS)

    def _leaders(self, admin: AdminClient, topic: str) -> int:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=ADMIN_SECONDS_MAX)[topic]
        try:
            partitions = described.result(ADMIN_SECONDS_MAX).partitions
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return 0
            raise LocalServerError(f"{self.name}: topic {topic} cannot be described: {error}") from error
        return sum(partition.leader is not None and partition.leader.id >= 0 for partition in partitions)

    def _done(self, future: Future[None], what: str) -> None:
        try:
            future.result(ADMIN_SECONDS_MAX)
        except (KafkaException, TimeoutError) as error:
            raise LocalServerError(f"{self.name}: {what}: {error}") from error

    def _asked(self) -> ClusterMetadata:
        try:
            return self._admin().list_topics(timeout=ADMIN_SECONDS_MAX)
        except KafkaException as error:
            raise StartError(f"{self.name}: no answer on port {self.port}; see {self.log_path}") from error

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})

    def _java(self) -> list[str]:
        jars = kafka_jars(self.cache, self.say)
        return [java(self.say), "-cp", f"{jars}/*", f"-Dlog4j2.configurationFile={LOG4J}", "-Djava.awt.headless=true"]

    def _settings(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.folder / "logs"),
            "auto.create.topics.enable": "false",  # a mistyped topic must fail, not start empty
            "offsets.topic.num.partitions": "4",  # the default of 50 costs 50 folders and a second at start
            "offsets.topic.replication.factor": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",  # a killed broker may register again only after it: the default is 9 s
            "log.retention.ms": "-1",  # by a message's own time: old events would be deleted while they are read
            "log.cleaner.dedupe.buffer.size": str(CLEANER_BYTES),
            "message.max.bytes": str(MESSAGE_BYTES_MAX),
            "socket.request.max.bytes": str(4 * MESSAGE_BYTES_MAX),
            "num.network.threads": "2",
            "num.io.threads": "4",
            **self.settings,
        }
