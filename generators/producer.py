"""The producer: puts payloads into a file of lines or a Kafka topic.

A shell: does I/O and knows the wall clock. Must not know what the payloads say, beyond the account that keys them.
"""

import gzip
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

import zstandard
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from generators.errors import DeliveryError, FileTargetError

_ACCOUNT: Final = re.compile(rb'"account"\s*:\s*"([!#-&(-\[\]-_a-~]{1,64})"')
_GZIP_LEVEL: Final = 3  # JSON lines shrink little more at higher levels, which take several times as long
_ZSTD_LEVEL: Final = 3
_CONNECT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_FLUSH_SECONDS: Final = 1.0  # between looks at failures while the last messages are on their way
_SLICES_PER_SECOND: Final = 50  # a paced load moves in steps of 20 ms, finer than the latencies it is used to measure
_QUEUE_MESSAGES_MAX: Final = 200_000
_QUEUE_KIB_MAX: Final = 65_536  # librdkafka's copy of what is on its way: 64 MiB
SETTINGS: Final[Mapping[str, Any]] = {
    "acks": "all",
    "enable.idempotence": True,  # retries neither repeat nor reorder, so that faults are those asked for
    "linger.ms": 20,
    "batch.num.messages": 10_000,
    "batch.size": 1_048_576,  # bytes: one batch stays below the broker's message.max.bytes once compressed
    "compression.type": "lz4",
    "queue.buffering.max.messages": _QUEUE_MESSAGES_MAX,
    "queue.buffering.max.kbytes": _QUEUE_KIB_MAX,
    "message.timeout.ms": 60_000,
    "partitioner": "murmur2_random",  # as the Java clients do: other producers' events of an account join these
    "delivery.report.only.error": True,
    "log_level": 2,  # what goes wrong is told once, in the error, and not once a retry
}


class SupportsWrite(Protocol):
    """What takes the bytes of a file, compressed or not."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


Progress = Callable[[int], object]  # takes the number of payloads done since the last call


def _silent(_: int) -> None: ...


def write_file(blocks: Iterable[Sequence[bytes]], path: Path, progress: Progress = _silent) -> int:
    """Write payloads as lines, compressed if the name ends in .gz or .zst, and return their number.

    The file appears under its name only when it is complete.

    Raises: FileTargetError when the file cannot be written or a payload has a line break in it.
    """
    partial = path.with_name(f"{path.name}.part")
    count = 0
    try:
        with partial.open("wb") as raw:
            with _compressed(raw, path.suffix) as file:
                for block in blocks:
                    file.write(_lines(block, path, count))
                    count += len(block)
                    progress(len(block))
            raw.flush()
            os.fsync(raw.fileno())
        partial.replace(path)
    except FileTargetError:
        raise
    except OSError as error:
        raise FileTargetError(
            f"{path}: cannot be written: {error.strerror}; choose a folder that exists and has room"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _lines(block: Sequence[bytes], path: Path, first: int) -> bytes:
    text = b"".join(payload + b"\n" for payload in block)
    if text.count(b"\n") != len(block):
        raise FileTargetError(
            f"{path}: a payload from number {first} on has a line break in it, so it cannot be a line; send it to Kafka"
        )
    return text


@contextmanager
def _compressed(raw: IO[bytes], suffix: str) -> Iterator[SupportsWrite]:
    match suffix:
        case ".gz":
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as file:
                yield file
        case ".zst":
            with zstandard.ZstdCompressor(level=_ZSTD_LEVEL).stream_writer(raw, closefd=False) as file:
                yield file
        case _:
            yield raw


def key_of(payload: bytes) -> bytes | None:
    """Return the account that keys a payload, so that its events keep their order in one partition; None if unread."""
    found = _ACCOUNT.search(payload)
    return found[1] if found else None


def no_key(_: bytes) -> None:
    """Key nothing: an account that has most of the events would fill one partition, and billing needs no order."""


def produce(
    blocks: Iterable[Sequence[bytes]],
    bootstrap: str,
    topic: str,
    *,
    rate_per_second: float | None = None,
    settings: Mapping[str, Any] | None = None,
    key: Callable[[bytes], bytes | None] = key_of,
    progress: Progress = _silent,
) -> int:
    """Send payloads to a topic and return their number once all are acknowledged.

    key: of a payload, which names its partition; `key_of` or `no_key`. Payloads without one go anywhere. With a
    rate, payload k is sent k / rate seconds after the first, however long the sends before it took, and a thread makes
    blocks ahead. settings: librdkafka's own (credentials, for example), which take precedence.

    Raises: DeliveryError when the broker cannot be reached or does not take every payload.
    """
    failures = _Failures(bootstrap, topic)
    producer = Producer({"bootstrap.servers": bootstrap, **SETTINGS, "error_cb": failures.heard, **(settings or {})})
    try:
        producer.list_topics(timeout=_CONNECT_SECONDS)
    except KafkaException as error:
        producer.poll(_POLL_SECONDS)  # what brokers said meanwhile, such as that they refuse this user
        raise DeliveryError(
            f"{bootstrap}: no broker answered within {_CONNECT_SECONDS:.0f} s ({failures.heard_or(error.args[0])}); "
            "start it, or correct address and options"
        ) from error
    count = 0
    for piece in _paced(blocks, rate_per_second) if rate_per_second else blocks:
        for payload in piece:
            _send(producer, topic, payload, key(payload), failures)
        producer.poll(0)
        failures.check()
        count += len(piece)
        progress(len(piece))
    while producer.flush(_FLUSH_SECONDS):
        failures.check()
    failures.check()
    return count


class _Failures:
    """What the broker refused, and the last thing it said."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.where = f"{topic} at {bootstrap}"
        self.count = 0
        self.first = ""
        self.last_heard = ""

    def heard(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - which says nothing
            self.last_heard = error.str()

    def heard_or(self, error: KafkaError) -> str:
        """Return what a broker said of itself, else the error."""
        return self.last_heard or str(error.str())

    def delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.count += 1
            self.first = self.first or error.str()

    def check(self) -> None:
        if self.count:
            heard = f" ({self.last_heard})" if self.last_heard else ""
            raise DeliveryError(
                f"{self.where}: {self.count} payloads were not taken: {self.first}{heard}; "
                "check the broker, then send again"
            )


def _send(producer: Producer, topic: str, payload: bytes, key: bytes | None, failures: _Failures) -> None:
    while True:
        try:
            producer.produce(topic, payload, key, on_delivery=failures.delivered)
        except BufferError:
            producer.poll(_POLL_SECONDS)
            failures.check()
        except KafkaException as error:
            raise DeliveryError(
                f"{failures.where}: a payload was refused: {error.args[0].str()}; check the topic's limits"
            ) from error
        else:
            return


def _paced(blocks: Iterable[Sequence[bytes]], rate_per_second: float) -> Iterator[Sequence[bytes]]:
    """Yield the payloads in small slices, each when its first payload is due; the first one when it has been made."""
    size = max(1, int(rate_per_second / _SLICES_PER_SECOND))
    begin: float | None = None
    count = 0
    for block in _made_ahead(blocks):
        begin = time.monotonic() if begin is None else begin
        for first in range(0, len(block), size):
            piece = block[first : first + size]
            time.sleep(max(0.0, begin + count / rate_per_second - time.monotonic()))
            yield piece
            count += len(piece)


def _made_ahead(blocks: Iterable[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
    """Yield blocks while a thread makes the next one, which takes longer than slices are apart."""
    made = iter(blocks)
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, made, None)
        while (block := coming.result()) is not None:
            coming = maker.submit(next, made, None)
            yield block
