"""Kafka as the log: group membership, reads from explicit offsets, and the identity of a topic.

Owns the consumer's settings. A committed group offset is a hint for lag monitors and is never read back; what a group
assigns is a hint too: the cursors in the shards decide.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakSet

import numpy as np
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from billing.adapters.broker import Heard
from billing.adapters.sasl import Credentials, Options
from billing.batch import Span
from billing.cursor import Bounds
from billing.errors import LogChangedError, SourceError
from billing.ports import Ownership, Records

_REQUEST_SECONDS: Final = 10.0  # watermarks; a broker that needs longer counts as away
_OPEN_SECONDS: Final = 3.0  # the first question: a mistyped address is told soon, and a stop waits no longer
_HEAR_SECONDS: Final = 0.1  # what was said before a question failed is there already
_WARNING_SECONDS: Final = 1.0  # a broker that refuses says so again with every try
_KEEPALIVE_SECONDS: Final = 1.0  # how often a consumer without appetite is polled, so that rebalances go on
_ABSENT_TIMES: Final = 3  # questions in a row after which a topic is gone, and no broker is only just starting
_TRANSIENT: Final = frozenset(
    {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE}  # noqa: SLF001
)
_T = TypeVar("_T")
_log = structlog.get_logger()


class KafkaSource:
    """One topic, read as a member of a group. Keeps the contract of `billing.ports.Source`.

    bootstrap: `host:port,...`; options: further librdkafka settings, such as security ones; password_file: where
    sasl.password is, which may change.
    """

    def __init__(
        self, bootstrap: str, topic: str, group: str, options: Options, password_file: Path | None = None
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._group = group
        self._credentials = Credentials(options, password_file)
        self._log = ""
        self._topic_id = ""
        self._absent = 0
        self._admin: AdminClient | None = None
        self._partitions: list[int] = []
        self._member: KafkaReader | None = None
        self._readers: WeakSet[KafkaReader] = WeakSet()
        self._watcher: Consumer | None = None
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-meta")

    @property
    def log(self) -> str:
        """Return `kafka:CLUSTER:TOPIC`, both as the ids that brokers give, so that a topic made anew is another log."""
        return self._log

    async def open(self) -> None:
        """Find the topic. Raises SourceError with the address where no broker answers, or the topic does not exist."""
        self._log = await self._in_thread(self._identify)

    def reader(self) -> "KafkaReader":
        """Return a reader: the first one is the group's member, others read what they are told."""
        reader = KafkaReader(self._settings(), self._topic, subscribe=self._member is None)
        self._member = self._member or reader
        self._readers.add(reader)
        return reader

    def ownership(self) -> Ownership:
        """Return what the group has assigned to this member."""
        return Ownership(frozenset(), 0) if self._member is None else self._member.ownership

    async def partitions(self) -> Sequence[int]:
        """Return every partition of the topic, known once opened."""
        return self._partitions

    async def bounds(self, partitions: Sequence[int]) -> Mapping[int, Bounds]:
        """Return low and high watermarks. Raises SourceError where no broker answers."""
        return await self._in_thread(self._watermarks, partitions)

    async def verify(self) -> None:
        """Ask for the topic's id: librdkafka goes on silently in a new topic of the same name."""
        await self._in_thread(self._verify)

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Commit group offsets as a hint, without waiting for the answer."""
        if self._member is not None and positions:
            self._member.hint(positions)

    async def close(self) -> None:
        """Close what `bounds` used; readers are closed by who reads."""
        if self._watcher is not None:
            await self._in_thread(self._watcher.close)
        self._threads.shutdown()

    async def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:  # noqa: ANN401 - passed through
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _common(self) -> dict[str, Any]:
        return {**self._credentials.options, "bootstrap.servers": self._bootstrap, "logger": _Quiet()}

    def _settings(self) -> dict[str, Any]:
        return {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,  # how long a killed worker's partitions wait for another
            "fetch.wait.max.ms": 100,  # what comes is answered at once; a partition that is new waits for the rest
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": 8_192,  # with the buffers of the lanes, what bounds a worker's memory
            "queued.min.messages": 5_000,  # of each partition: half a read, so that the next one finds some
            "fetch.message.max.bytes": 1_048_576,  # of each partition in one answer; a larger message still comes
            "fetch.max.bytes": 8_388_608,  # one answer of a broker, and at least one message
            **self._common(),
            "group.id": self._group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,  # tells positions past aborted transactions and control records
            "auto.offset.reset": "error",  # never jump silently
            "isolation.level": "read_committed",
        }

    def _identify(self) -> str:
        heard = Heard()
        try:
            self._credentials.renew()
            self._admin = AdminClient(self._common() | {"error_cb": heard})
            cluster = self._admin.describe_cluster(request_timeout=_OPEN_SECONDS).result(2 * _OPEN_SECONDS)
            topic = self._describe(self._admin)
        except (KafkaException, TimeoutError) as error:
            raise self._refusal(error, heard) from error
        self._partitions = sorted(partition.id for partition in topic.partitions)
        self._topic_id = str(topic.topic_id)
        return f"kafka:{cluster.cluster_id}:{topic.topic_id}"

    def _refusal(self, error: KafkaException | TimeoutError, heard: Heard) -> SourceError:
        if self._admin is None:
            return SourceError(f"source.options: {_said(error)}; correct them")
        if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return SourceError(f"topic {self._topic} does not exist at {self._bootstrap}; create it first")
        self._admin.poll(_HEAR_SECONDS)
        return heard.refusal(self._common()) or SourceError(
            f"no Kafka broker answers at {self._bootstrap}{_said(error, ': ')}; start it, or correct source.bootstrap",
            may_return=True,
        )

    def _describe(self, admin: AdminClient) -> Any:  # noqa: ANN401 - confluent-kafka does not export its type
        described = admin.describe_topics(TopicCollection([self._topic]), request_timeout=_OPEN_SECONDS)
        return described[self._topic].result(2 * _OPEN_SECONDS)

    def _verify(self) -> None:
        assert self._admin is not None, "opened"
        self._admin.poll(0)  # what it has to say is heard, or it would be kept
        if self._credentials.renew():
            for client in (self._admin, self._watcher, *self._readers):
                self._credentials.give(client)
            _log.info("the broker's password has changed")
        try:
            found = str(self._describe(self._admin).topic_id)
        except (KafkaException, TimeoutError) as error:
            unknown = isinstance(error, KafkaException) and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            self._absent = self._absent + 1 if unknown else 0
            if self._absent >= _ABSENT_TIMES:
                raise LogChangedError(f"topic {self._topic} was deleted; see runbook: log changed") from error
            return
        self._absent = 0
        if found != self._topic_id:
            raise LogChangedError(
                f"topic {self._topic} was deleted and made anew: its offsets mean other events; "
                "see runbook: log changed"
            )

    def _watermarks(self, partitions: Sequence[int]) -> Mapping[int, Bounds]:
        if self._watcher is None:
            self._watcher = Consumer(self._settings())
        bounds = {}
        for partition in partitions:
            try:
                low, high = self._watcher.get_watermark_offsets(
                    TopicPartition(self._topic, partition), _REQUEST_SECONDS
                )
            except KafkaException as error:
                raise SourceError(
                    f"no answer about {self._topic} partition {partition} at {self._bootstrap}: {error.args[0].str()}",
                    may_return=True,
                ) from error
            bounds[partition] = Bounds(low, high)
        return bounds


class KafkaReader:
    """A position in a topic. A `billing.ports.Reader` whose blocking calls run in a thread of its own."""

    def __init__(self, settings: dict[str, Any], topic: str, *, subscribe: bool) -> None:
        self.generation = 0
        self.ownership = Ownership(frozenset(), 0)
        self._topic = topic
        self._positions: dict[int, int] = {}
        self._polled_at = time.monotonic()
        self._warned_at = -_WARNING_SECONDS
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-read")
        self._consumer = Consumer(settings)
        self._subscribed = subscribe
        if subscribe:
            self._consumer.subscribe(
                [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )

    async def read(self, records_max: int, wait_seconds: float, gather_seconds: float = 0.0) -> Records:
        """Return the next records."""
        return await self._in_thread(self._read, records_max, wait_seconds, gather_seconds)

    async def idle(self) -> None:
        """Serve rebalances now and then, reading nothing."""
        if time.monotonic() - self._polled_at >= _KEEPALIVE_SECONDS:
            await self._in_thread(self._serve)

    async def seek(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions from these offsets."""
        self.generation += 1
        await self._in_thread(self._seek, dict(positions))

    async def close(self) -> None:
        """Leave the group."""
        await self._in_thread(self._consumer.close)
        self._thread.shutdown()

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Enter with these the next time that a broker asks; from any thread."""
        self._thread.submit(self._consumer.set_sasl_credentials, username, password)

    def hint(self, positions: Mapping[int, int]) -> None:
        """Commit group offsets of assigned partitions, asynchronously."""
        offsets = [
            TopicPartition(self._topic, p, offset) for p, offset in positions.items() if p in self.ownership.partitions
        ]
        if offsets:
            with suppress(KafkaException):  # a rebalance under way; the next hint comes soon
                self._consumer.commit(offsets=offsets, asynchronous=True)

    async def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:  # noqa: ANN401 - passed through
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _read(self, records_max: int, wait_seconds: float, gather_seconds: float) -> Records:
        self._polled_at = time.monotonic()
        positions = self._positions  # a rebalance replaces them while messages come
        messages = self._consumer.consume(1, wait_seconds)  # returns with the first, and with more only after its time
        if messages and records_max > 1:
            messages += self._consumer.consume(records_max - 1, gather_seconds)
        stops: dict[int, int] = {}
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            for message in messages:
                if (error := message.error()) is not None:
                    self._note(message, error, stops)
        partition = np.fromiter(map(Message.partition, good), np.int32, len(good))
        here = np.isin(partition, list(positions))
        if not here.all():  # of partitions that were just taken away
            good = [good[row] for row in np.flatnonzero(here).tolist()]
            partition = partition[here]
        offset = np.fromiter(map(Message.offset, good), np.int64, len(good))
        for one in np.unique(partition).tolist():
            stops[one] = max(stops.get(one, 0), int(offset[partition == one].max()) + 1)
        spans = {}
        for one, stop in stops.items():
            if stop > positions[one]:
                spans[one] = Span(positions[one], stop)
                positions[one] = stop
        return Records(partition, offset, [value or b"" for value in map(Message.value, good)], spans)

    def _note(self, message: Message, error: KafkaError, stops: dict[int, int]) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes are public under this name
            partition, offset = _place(message)
            if partition in self._positions:
                stops[partition] = max(stops.get(partition, 0), offset)
        elif code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
            raise LogChangedError(
                f"{self._topic} partition {message.partition()} no longer has the offset that is next: {error.str()}; "
                "see runbook: log changed"
            )
        elif code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise LogChangedError(f"topic {self._topic} was deleted; see runbook: log changed")
        elif error.fatal():
            raise SourceError(f"Kafka refuses this worker for good: {error.str()}")
        elif code not in _TRANSIENT and time.monotonic() - self._warned_at >= _WARNING_SECONDS:
            self._warned_at = time.monotonic()
            _log.warning("kafka", error=error.str())

    def _serve(self) -> None:
        """Poll with everything paused: rebalances and heartbeats go on, no record is taken."""
        self._polled_at = time.monotonic()
        self._consumer.pause(self._consumer.assignment())
        for message in self._consumer.consume(1, 0.0):
            error = message.error()
            if error is None:  # taken in spite of the pause: read it again later
                self._seek(dict(self._positions))
            else:
                self._note(message, error, {})
        self._consumer.resume([one for one in self._consumer.assignment() if one.partition in self._positions])

    def _seek(self, positions: dict[int, int]) -> None:
        """Begin to fetch anew, from offsets that are numbers.

        Never from "the end" with a `Consumer.seek` afterwards: an answer about the end that comes after the seek makes
        librdkafka 2.16 ask again and go on from there, past all records in between (`rd_kafka_toppar_handle_Offset` in
        its rdkafka_partition.c).
        """
        self._positions = {}
        if self._subscribed:
            positions = {p: offset for p, offset in positions.items() if p in self.ownership.partitions}
        places = [TopicPartition(self._topic, p, offset) for p, offset in positions.items()]
        try:
            if self._subscribed:
                self._consumer.incremental_unassign(self._consumer.assignment())
                self._consumer.incremental_assign(places)
            else:
                self._consumer.assign(places)
        except KafkaException as error:
            raise SourceError(f"cannot read {self._topic} from {positions}: {error.args[0].str()}") from error
        self._positions = positions

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([])  # nothing is read until the shards have said from where
        if partitions or self.ownership.epoch == 0:  # else a cooperative rebalance that gives this member nothing new
            self._own(self.ownership.partitions | {one.partition for one in partitions})

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {one.partition for one in partitions}
        consumer.incremental_unassign([one for one in consumer.assignment() if one.partition in gone])
        self._positions = {partition: at for partition, at in self._positions.items() if partition not in gone}
        self._own(self.ownership.partitions - gone)

    def _own(self, partitions: frozenset[int]) -> None:
        self.ownership = Ownership(partitions, self.ownership.epoch + 1)
        self.generation += 1


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None, "a record and the end of a partition name it"
    assert offset is not None, "and their offset"
    return partition, offset


class _Quiet:
    """librdkafka's log lines, given to the structured log instead of stderr."""

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Take one line."""
        _log.debug("librdkafka", level=level, line=message % arguments if arguments else message)

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda message, *arguments, **_: self.log(0, message, *arguments)


def _said(error: KafkaException | TimeoutError, before: str = "") -> str:
    return f"{before}{error.args[0].str()}" if isinstance(error, KafkaException) else f"{before}no answer in time"
