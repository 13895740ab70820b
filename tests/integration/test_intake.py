"""Events that callers publish, in the real log."""

import asyncio
import json
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from billing.adapters.intake import FileIntake, KafkaIntake, LogAwayError, open_intake
from billing.adapters.newest import NOTHING, PAYLOADS_MAX, Newest, Tail
from billing.config.source_settings import FileSource, GeneratorSource, KafkaSource, Source
from billing.reads.answers import Position
from generators.producer import produce
from ops.local.kafka import KafkaServer

TOPIC = "intake"
PARTITIONS = 3


def logged(source: KafkaSource, count: int) -> dict[tuple[int, int], bytes]:
    """Read the topic from its start: payloads by partition and offset."""
    consumer = Consumer({"bootstrap.servers": source.bootstrap, "group.id": "test", "enable.auto.commit": False})
    found: dict[tuple[int, int], bytes] = {}
    try:
        consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
        while len(found) < count:
            for message in consumer.consume(1_000, 0.2):
                assert message.error() is None
                found[message.partition() or 0, message.offset() or 0] = message.value() or b""
    finally:
        consumer.close()
    return found


def test_positions_that_kafka_acknowledged_hold_the_events(kafka_server: KafkaServer) -> None:
    """An event would be told durable that the topic does not have, or be waited for in the wrong place."""
    kafka_server.create_topic(TOPIC, PARTITIONS)
    source = KafkaSource(kafka_server.bootstrap, TOPIC, "intake-test")
    payloads = [json.dumps({"id": f"e{n}", "account": f"a{n % 7}"}).encode() for n in range(200)]

    async def play() -> None:
        intake = KafkaIntake(source, 60_000)
        try:
            pieces = [payloads[:1], payloads[1:100], payloads[100:]]
            outcomes = [one for many in await asyncio.gather(*map(intake.publish, pieces)) for one in many]
            assert await intake.publish([]) == []
        finally:
            await intake.close()
        found = await asyncio.to_thread(logged, source, len(payloads))
        assert len(found) == len(payloads)
        for payload, outcome in zip(payloads, outcomes, strict=True):
            assert isinstance(outcome, Position)
            assert found[outcome.partition, outcome.position - 1] == payload
        partitions = {json.loads(payload)["account"]: place[0] for place, payload in found.items()}
        assert len({*partitions.values()}) > 1, "accounts are spread over partitions"
        assert all(partitions[json.loads(payload)["account"]] == place[0] for place, payload in found.items())
        assert intake.log is not None
        assert intake.log.startswith("kafka:")

    asyncio.run(asyncio.wait_for(play(), 240))


def test_a_broker_that_is_away_takes_nothing(tmp_path: Path) -> None:
    """A producer would be told that his events are safe while nobody has them."""

    async def refused(source: KafkaSource | FileSource) -> str:
        intake = open_intake(source, 200)
        assert intake is not None
        try:
            await intake.publish([b"{}"])
        except LogAwayError as error:
            return str(error)
        finally:
            await intake.close()
        return ""

    assert "no Kafka broker answers" in asyncio.run(refused(KafkaSource("127.0.0.1:1", "t", "g")))
    assert "cannot be added to" in asyncio.run(refused(FileSource(tmp_path / "none.jsonl")))
    assert open_intake(FileSource(tmp_path / "events.jsonl.gz"), 200) is None
    assert open_intake(GeneratorSource("skewed", 5), 200) is None


def test_lines_of_several_writers_stay_whole(tmp_path: Path) -> None:
    """Two processes that serve one log would tear each other's lines apart."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"first")  # without its line end

    async def play() -> list[int]:
        intakes = [FileIntake(path) for _ in range(4)]
        bodies = [[f"{number}-{line}".encode() * 50 for line in range(20)] for number in range(40)]
        results = await asyncio.gather(*(intakes[n % 4].publish(body) for n, body in enumerate(bodies)))
        for intake in intakes:
            await intake.close()
        content = path.read_bytes()
        for body, places in zip(bodies, results, strict=True):
            for payload, place in zip(body, places, strict=True):
                assert isinstance(place, Position)
                assert content[place.position - len(payload) - 1 : place.position] == payload + b"\n"
        return [len(line) for line in content.splitlines()]

    assert len(asyncio.run(play())) == 801


def test_the_newest_events_are_looked_at_without_being_read(kafka_server: KafkaServer, tmp_path: Path) -> None:
    """Operators who look at hot accounts would take partitions from a worker, or see the log's beginning for ever."""
    topic, count = "newest", 3 * PAYLOADS_MAX
    kafka_server.create_topic(topic, PARTITIONS)
    payloads = [json.dumps({"id": f"e{n}", "account": f"a{n % 50}"}).encode() for n in range(count)]
    produce([payloads], kafka_server.bootstrap, topic)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in payloads[:100]))

    async def looks(*sources: Source) -> list[Tail]:
        return [await look(source) for source in sources]

    async def look(source: Source) -> Tail:
        newest = Newest(source)
        try:
            first = await newest.look()
            again = await newest.look()
            assert first.ends == again.ends
            return again
        finally:
            await newest.close()

    kafka = KafkaSource(kafka_server.bootstrap, topic, "newest-test")
    found = asyncio.run(looks(kafka, FileSource(path), FileSource(tmp_path / "none"), GeneratorSource("skewed", 5)))
    of_topic, of_file, *nothing = found
    assert sum(of_topic.ends.values()) == count
    assert PAYLOADS_MAX / PARTITIONS <= len(of_topic.payloads) <= PAYLOADS_MAX
    assert {*of_topic.payloads} <= {*payloads}
    assert payloads[0] not in of_topic.payloads
    assert (of_file.ends, of_file.payloads) == ({0: path.stat().st_size}, payloads[:100])
    assert nothing == [NOTHING, NOTHING]
