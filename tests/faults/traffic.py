"""Traffic of a campaign: events on their way into the topic, some of them again, in other words, or never committed.

Owns what is sent and what the topic holds in the end. Must not know what fails meanwhile.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from generators.defects import CONFLICTING
from generators.faults import ORDINARY, Faults
from generators.workload import Workload
from tests.fleet import PATIENCE_SECONDS, Site

PIECE_EVENTS = 100
CONFLICTS = 0.05  # of a storm: the same identity with another body
POLL_SECONDS = 0.1
TRANSACTION_MS_MAX = 60_000  # the default of what a broker waits for
SETTINGS = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 5,
    "partitioner": "murmur2_random",
    "message.timeout.ms": round(PATIENCE_SECONDS * 1000),  # a broker that is killed meanwhile comes back
    "log_level": 0,
}


class Traffic:
    """Sends one workload, stretch by stretch; `settled` is where it stood at the last moment when all was applied.

    sent: what was acknowledged, or committed, so far; storm_events: of the stretch that a storm repeats a part of.
    """

    def __init__(self, site: Site, seed: int, partitions: int, storm_events: int) -> None:
        faults = Faults(duplicates=0.05, malformed=0.01, late=0.01, out_of_order=0.2)
        self.workload = Workload(model="skewed", seed=seed, accounts=5_000, faults=faults)
        self.position = 0
        self.settled = 0
        self.sent = 0
        self._site = site
        self._partitions = partitions
        self._storm_events = storm_events
        self._lock = threading.Lock()
        self._failures: list[str] = []
        self._settings = {"bootstrap.servers": site.kafka.bootstrap, **SETTINGS}
        self._producer = Producer(self._settings)

    def flow(self, rate: float, is_over: Callable[[], bool]) -> None:
        """Send events at a rate a second until it is over."""
        begin, count = time.monotonic(), 0
        while not is_over():
            self.send(self.next(PIECE_EVENTS))
            count += PIECE_EVENTS
            time.sleep(max(0.0, begin + count / rate - time.monotonic()))

    def next(self, count: int) -> list[bytes]:
        """Take the next events of the workload; each is sent once, by whoever took it."""
        with self._lock:
            start, self.position = self.position, self.position + count
            return self.workload.payloads(start, start + count)

    def send(self, payloads: Sequence[bytes], partitions: Sequence[int] = ()) -> None:
        """Send payloads, to their accounts' partitions if none are given."""
        for number, payload in enumerate(payloads):
            place = {"partition": partitions[number]} if partitions else {"key": _account(payload)}
            while True:
                try:
                    self._producer.produce(self._site.topic, payload, on_delivery=self._delivered, **place)
                    break
                except BufferError:
                    self._producer.poll(POLL_SECONDS)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything is acknowledged; fails the test when something never was."""
        left = self._producer.flush(PATIENCE_SECONDS)
        assert not left, f"{left} events never reached the topic"
        assert not self._failures, f"{len(self._failures)} events were refused: {self._failures[0]}"

    def storm(self, share: float, draw: random.Random) -> tuple[int, int]:
        """Send earlier events again, to partitions where they never were; returns repeats and conflicts.

        share: of the stretch that is repeated. Earlier: applied by every shard, so that nobody can doubt which body
        came first.
        """
        if not self.settled:
            return 0, 0
        with self._lock:
            start = draw.randrange(max(1, self.settled - self._storm_events))
            stop = min(start + self._storm_events, self.settled)
            rows = list(zip(self.workload.payloads(start, stop), self.workload.kinds(start, stop), strict=True))
        chosen = draw.sample(rows, round(share * len(rows)))
        payloads, conflicts = [], 0
        for payload, kind in chosen:
            contradicts = kind == ORDINARY and draw.random() < CONFLICTS
            conflicts += contradicts
            payloads.append(CONFLICTING.damage(payload, 0) if contradicts else payload)
        self.send(payloads, [draw.randrange(self._partitions) for _ in payloads])
        return len(payloads) - conflicts, conflicts

    def transactions(self, count: int, draw: random.Random) -> int:
        """Send events in transactions of Kafka, each after an aborted one with the same identities; returns `count`.

        What was aborted has other bodies: billed, it would make conflicts of the events that follow.
        """
        settings = {"transactional.id": uuid.uuid4().hex, "message.timeout.ms": TRANSACTION_MS_MAX}
        producer = Producer({**self._settings, **settings})
        producer.init_transactions(PATIENCE_SECONDS)
        for _ in range(count):
            with self._lock:
                start, self.position = self.position, self.position + draw.randrange(1, 40)
                stretch = start, self.position
                rows = list(zip(self.workload.payloads(*stretch), self.workload.kinds(*stretch), strict=True))
            wrong = [CONFLICTING.damage(payload, 0) if kind == ORDINARY else payload for payload, kind in rows]
            for payloads, is_committed in ((wrong, False), ([payload for payload, _ in rows], True)):
                producer.begin_transaction()
                for payload in payloads:
                    producer.produce(self._site.topic, payload, key=_account(payload))
                producer.flush(PATIENCE_SECONDS)
                end = producer.commit_transaction if is_committed else producer.abort_transaction
                end(PATIENCE_SECONDS)
            with self._lock:
                self.sent += len(rows)
        return count

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        with self._lock:
            if error is None:
                self.sent += 1
            else:
                self._failures.append(error.str())


def read_topic(site: Site) -> list[bytes]:
    """Return every committed event of a topic in the order in which they were sent: what the oracle is asked about."""
    settings = {
        "bootstrap.servers": site.kafka.bootstrap,
        "group.id": uuid.uuid4().hex,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
    }
    ends = site.log_ends()
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(site.topic, partition, 0) for partition in ends])
    found, missing, latest = [], set(ends), dict.fromkeys(ends, 0)
    while missing:
        for message in consumer.consume(10_000, 1.0):
            error, partition = message.error(), message.partition()
            if error is None:  # two producers' clocks may cross within a partition; its own order counts
                latest[partition] = max(latest[partition], message.timestamp()[1])
                found.append((latest[partition], partition, message.offset(), message.value() or b""))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes are public so
                missing.discard(partition)
            else:
                raise KafkaException(error)
    consumer.close()
    found.sort()
    return [payload for _, _, _, payload in found]


def _account(payload: bytes) -> bytes | None:
    """Return what stands between the quotes after "account": events of one account share a partition."""
    _, found, rest = payload.partition(b'"account":"')
    return rest.partition(b'"')[0] if found else None
