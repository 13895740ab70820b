"""Intake: puts events that callers publish into the log, and tells where, once they are durable there.

Owns how long is waited for that. Whoever publishes the same events again changes nothing: billing drops repeats by id.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from billing.adapters.kafka import KafkaSource
from billing.adapters.republish import AppendError, append_lines
from billing.adapters.sasl import Credentials
from billing.config import source_settings
from billing.errors import BillingError, SourceError
from billing.reads.answers import Position
from generators.producer import SETTINGS, key_of

_THREADS: Final = 16  # requests that wait for the broker at once; more wait their turn
_POLL_SECONDS: Final = 0.005
_FILE_PARTITION: Final = 0

Outcome = Position | str  # where an event is durable, or why it is not known to be


class LogAwayError(BillingError):
    """The log takes nothing now. Reaction: the caller sends the same events again later; none is billed twice."""


class Intake(Protocol):
    """Takes events for one log."""

    @property
    def log(self) -> str | None:
        """Return the log's identity, where positions need it."""
        ...

    async def publish(self, payloads: Sequence[bytes]) -> list[Outcome]:
        """Return what became of each payload, in order. Raises: LogAwayError when it is the same for all."""
        ...

    async def close(self) -> None:
        """Finish."""
        ...


def open_intake(source: source_settings.Source, timeout_ms: int) -> Intake | None:
    """Return what takes events for a source; None where it takes none: generated traffic and compressed files."""
    if isinstance(source, source_settings.KafkaSource):
        return KafkaIntake(source, timeout_ms)
    if isinstance(source, source_settings.FileSource) and source.path.suffix not in {".gz", ".zst"}:
        return FileIntake(source.path)
    return None


class FileIntake:
    """The embedded log: a file of lines, synced to disk before the answer."""

    log = None  # a file is the only log of its shards

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake")

    async def publish(self, payloads: Sequence[bytes]) -> list[Outcome]:
        """Append all of them."""
        try:
            ends = await asyncio.get_running_loop().run_in_executor(self._thread, append_lines, self._path, payloads)
        except AppendError as error:
            raise LogAwayError(str(error)) from error
        return [Position(_FILE_PARTITION, end) for end in ends]

    async def close(self) -> None:
        """Finish."""
        self._thread.shutdown()


class KafkaIntake:
    """A topic; payloads are keyed by account, and durable when all in-sync replicas have them."""

    def __init__(self, source: source_settings.KafkaSource, timeout_ms: int) -> None:
        self.log: str | None = None
        self._source = source
        self._timeout_seconds = timeout_ms / 1000
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="intake")
        self._settings: dict[str, Any] = {
            **SETTINGS,
            "linger.ms": 2,  # a caller waits for it
            "message.timeout.ms": timeout_ms,
            "delivery.report.only.error": False,
        }
        self._credentials = Credentials(source.options, source.password_file)
        self._producer: Producer | None = None

    async def publish(self, payloads: Sequence[bytes]) -> list[Outcome]:
        """Send all of them, and wait for every acknowledgement."""
        if self.log is None:
            await self._identify()
        if self._credentials.renew():
            self._credentials.give(self._producer)
        outcomes = await asyncio.get_running_loop().run_in_executor(self._threads, self._publish, payloads)
        if payloads and not any(isinstance(one, Position) for one in outcomes):
            raise LogAwayError(f"{self._source.topic} at {self._source.bootstrap}: {outcomes[0]}")
        return outcomes

    async def close(self) -> None:
        """Finish what is on its way."""
        self._threads.shutdown()

    async def _identify(self) -> None:
        given = self._source
        source = KafkaSource(given.bootstrap, given.topic, given.group, given.options, given.password_file)
        try:
            await source.open()
            self.log = source.log
        except SourceError as error:
            raise LogAwayError(str(error)) from error
        finally:
            await source.close()
        given_now = self._credentials.options | {"bootstrap.servers": given.bootstrap}
        self._producer = self._producer or Producer(self._settings | given_now)

    def _publish(self, payloads: Sequence[bytes]) -> list[Outcome]:
        assert self._producer is not None, "the log is known before anything is sent"
        outcomes: list[Outcome] = ["was not acknowledged in time"] * len(payloads)
        waiting = _Countdown(len(payloads))

        def told(number: int) -> Callable[[KafkaError | None, Message], None]:
            def on_delivery(error: KafkaError | None, message: Message) -> None:
                partition, offset = message.partition(), message.offset()
                if error is None and partition is not None and offset is not None:
                    outcomes[number] = Position(partition, offset + 1)
                elif error is not None:
                    outcomes[number] = error.str()
                waiting.count()

            return on_delivery

        deadline = time.monotonic() + self._timeout_seconds
        for number, payload in enumerate(payloads):
            refused = self._send(payload, told(number), deadline)
            if refused is not None:
                outcomes[number] = refused
                waiting.count()
        while not waiting.done.is_set() and time.monotonic() < deadline + 1:  # librdkafka gives up at its own deadline
            self._producer.poll(_POLL_SECONDS)
        return list(outcomes)

    def _send(
        self, payload: bytes, on_delivery: Callable[[KafkaError | None, Message], None], deadline: float
    ) -> str | None:
        """Queue one payload; returns why it cannot be."""
        assert self._producer is not None, "as above"
        while time.monotonic() < deadline:
            try:
                self._producer.produce(self._source.topic, payload, key_of(payload), on_delivery=on_delivery)
            except BufferError:
                self._producer.poll(_POLL_SECONDS)
            except KafkaException as error:
                return str(error.args[0].str())
            else:
                return None
        return "the queue to the broker is full"


class _Countdown:
    """Counts acknowledgements, which come on whichever thread polls."""

    def __init__(self, left: int) -> None:
        self.done = threading.Event()
        self._left = left
        self._lock = threading.Lock()
        if not left:
            self.done.set()

    def count(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self.done.set()
