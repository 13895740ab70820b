"""The topic of a benchmark: how much it holds, filling it, and reading it again from the beginning.

A shell: owns a consumer that belongs to no group. Must not know what is measured.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Final

import numpy as np
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from bench.errors import MeasureError
from billing.batch import Span
from billing.config.source_settings import KafkaSource
from billing.ports import Records

ANSWER_SECONDS_MAX: Final = 30.0  # a broker that is busy writing answers in less
POLL_SECONDS: Final = 0.05  # the client waits for so long to give a full read, and gives what it has then


def ends(source: KafkaSource) -> dict[int, int]:
    """Return the offset after the last record of each partition. Raises: MeasureError when no broker answers."""
    with closing(_consumer(source)) as consumer:
        topics = consumer.list_topics(source.topic, ANSWER_SECONDS_MAX).topics
        found = {}
        for partition in sorted(topics[source.topic].partitions):
            bounds = consumer.get_watermark_offsets(TopicPartition(source.topic, partition), ANSWER_SECONDS_MAX)
            if bounds is None:
                raise MeasureError(f"{source.topic} partition {partition}: no answer in {ANSWER_SECONDS_MAX:.0f} s")
            found[partition] = bounds[1]
        return found


def is_shared(source: KafkaSource, members: int) -> bool:
    """Say whether so many workers are in the group and own all partitions; not, where the broker does not tell."""
    admin = AdminClient({**source.options, "bootstrap.servers": source.bootstrap, "log_level": 0})
    asked = admin.describe_consumer_groups([source.group], request_timeout=ANSWER_SECONDS_MAX)
    try:
        told = asked[source.group].result(ANSWER_SECONDS_MAX)
        partitions = len(admin.list_topics(source.topic, ANSWER_SECONDS_MAX).topics[source.topic].partitions)
    except (KafkaException, TimeoutError):
        return False
    owned = [member.assignment.topic_partitions if member.assignment else [] for member in told.members]
    return len(owned) == members and sum(map(len, owned)) == partitions


def prefix(ends_of: Mapping[int, int], events: int) -> dict[int, int]:
    """Return where to stop in each partition for about so many events, taken from each as evenly as it is filled."""
    total = sum(ends_of.values())
    if events >= total:
        return dict(ends_of)
    return {partition: -(-end * events // total) for partition, end in ends_of.items()}


def read(source: KafkaSource, stops: Mapping[int, int], records_max: int) -> Iterator[Records]:
    """Yield the records of each partition below its stop, from offset 0 on, at most so many at a time.

    The topic has neither transactions nor gaps. Raises: MeasureError when the broker stops answering.
    """
    at = {partition: 0 for partition, stop in stops.items() if stop}
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    with closing(_consumer(source)) as consumer:
        consumer.assign([TopicPartition(source.topic, partition, 0) for partition in at])
        while any(at[partition] < stops[partition] for partition in at):
            messages = consumer.consume(records_max, POLL_SECONDS)
            if messages:
                deadline = time.monotonic() + ANSWER_SECONDS_MAX
            elif time.monotonic() > deadline:
                raise MeasureError(
                    f"{source.topic}: no record came in {ANSWER_SECONDS_MAX:.0f} s; see the broker's log"
                )
            partitions, offsets, payloads, before = [], [], [], dict(at)
            for message in messages:
                if (error := message.error()) is not None:
                    raise MeasureError(f"{source.topic}: {error.str()}")
                partition, offset = message.partition(), message.offset()
                assert partition is not None, "a record names its partition"
                assert offset is not None, "and its offset"
                if offset < stops[partition]:
                    partitions.append(partition)
                    offsets.append(offset)
                    payloads.append(message.value() or b"")
                    at[partition] = offset + 1
            spans = {
                partition: Span(start, at[partition]) for partition, start in before.items() if at[partition] > start
            }
            done = [TopicPartition(source.topic, partition) for partition in spans if at[partition] == stops[partition]]
            if done:
                consumer.pause(done)
            if spans:
                numbers = np.array(partitions, dtype=np.int32), np.array(offsets, dtype=np.int64)
                yield Records(*numbers, payloads, spans)


def _consumer(source: KafkaSource) -> Consumer:
    return Consumer(
        {
            **source.options,
            "bootstrap.servers": source.bootstrap,
            "group.id": "billing-bench",  # asked for by the client; it joins none
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": 65_536,
            "log_level": 0,
        }
    )
