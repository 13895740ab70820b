"""The newest events: how far the log reaches now, and the payloads at its end.

Owns how a log is looked at without being read by its group: nothing is committed and nobody's partitions move.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import attrs
import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from billing.adapters.sasl import Credentials
from billing.config import source_settings

PAYLOADS_MAX: Final = 2_000  # a share of 1 % is then told to a quarter of it
FILE_BYTES: Final = 1 << 19  # about as many events of a file
_WAIT_SECONDS: Final = 2.0
_log = structlog.get_logger()


@attrs.frozen
class Tail:
    """The log's end: next offset by partition, and payloads just before it, in no order."""

    ends: dict[int, int]
    payloads: Sequence[bytes]


NOTHING: Final = Tail({}, ())


class Newest:
    """Looks at the end of one log; of generated and compressed logs, and of one that is away, nothing is known."""

    def __init__(self, source: source_settings.Source) -> None:
        self._source = source
        self._consumer: Consumer | None = None
        self._credentials = Credentials({}, None)
        if isinstance(source, source_settings.KafkaSource):
            self._credentials = Credentials(source.options, source.password_file)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="newest")

    async def look(self) -> Tail:
        """Return the end as it is now."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look)

    async def close(self) -> None:
        """Close what looks."""
        if self._consumer is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._consumer.close)
        self._thread.shutdown()

    def _look(self) -> Tail:
        try:
            if isinstance(self._source, source_settings.KafkaSource):
                return self._look_at_topic(self._source)
            if isinstance(self._source, source_settings.FileSource) and self._source.path.suffix not in {".gz", ".zst"}:
                return _look_at_file(self._source)
        except (KafkaException, OSError) as error:
            _log.warning("the end of the log cannot be read", error=str(error))
        return NOTHING

    def _look_at_topic(self, source: source_settings.KafkaSource) -> Tail:
        if self._credentials.renew():
            self._credentials.give(self._consumer)
        if self._consumer is None:
            settings: dict[str, Any] = {
                **self._credentials.options,
                "bootstrap.servers": source.bootstrap,
                "group.id": source.group,  # which consumers need; one that is assigned by hand does not join it
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                "isolation.level": "read_committed",
                "log_level": 2,
            }
            self._consumer = Consumer(settings)
        topic = self._consumer.list_topics(source.topic, timeout=_WAIT_SECONDS).topics[source.topic]
        bounds = {
            partition: self._consumer.get_watermark_offsets(
                TopicPartition(source.topic, partition), timeout=_WAIT_SECONDS
            )
            for partition in topic.partitions
        }
        ends = {partition: bound[1] for partition, bound in bounds.items() if bound is not None}
        each = max(PAYLOADS_MAX // max(len(ends), 1), 1)
        starts = {partition: max(bounds[partition][0], end - each) for partition, end in ends.items()}
        self._consumer.assign([TopicPartition(source.topic, *place) for place in starts.items()])
        expected = sum(ends[partition] - start for partition, start in starts.items())
        messages = self._consumer.consume(expected, _WAIT_SECONDS) if expected else []
        self._consumer.unassign()
        return Tail(ends, [one.value() or b"" for one in messages if one.error() is None])


def _look_at_file(source: source_settings.FileSource) -> Tail:
    with source.path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(size - FILE_BYTES, 0))
        lines = file.read(FILE_BYTES).splitlines()
    return Tail({0: size}, lines[1 if size > FILE_BYTES else 0 :][-PAYLOADS_MAX:])
