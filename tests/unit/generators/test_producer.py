import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard
from confluent_kafka import Consumer, Producer, TopicPartition

from generators import producer
from generators.errors import DeliveryError, FileTargetError
from generators.faults import Faults
from generators.producer import no_key, produce, write_file
from generators.workload import Workload

WORKLOAD = Workload(faults=Faults(duplicates=0.05, malformed=0.05))
EVENTS = 10_000


def contents(path: Path) -> bytes:
    match path.suffix:
        case ".gz":
            return gzip.decompress(path.read_bytes())
        case ".zst":
            return zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
        case _:
            return path.read_bytes()


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.jsonl.zst"])
def test_a_file_holds_every_payload_as_a_line(tmp_path, name):
    """Else a file would not be the log that its workload promises."""
    done: list[int] = []
    path = tmp_path / name
    assert write_file(WORKLOAD.blocks(EVENTS), path, done.append) == EVENTS
    assert contents(path).split(b"\n") == [*WORKLOAD.payloads(0, EVENTS), b""]
    assert done == [8_192, 1_808]
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["events.jsonl.gz", "events.jsonl.zst"])
def test_compressed_files_are_the_same_every_time(tmp_path, name):
    """Else a stored file could not be checked against its workload."""
    write_file(WORKLOAD.blocks(100), tmp_path / name)
    first = (tmp_path / name).read_bytes()
    write_file(WORKLOAD.blocks(100), tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_an_empty_workload_is_an_empty_file(tmp_path):
    assert write_file([], tmp_path / "none.jsonl") == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""


def test_a_file_that_failed_leaves_the_earlier_one_and_no_remains(tmp_path):
    """Else half a log would be billed as a whole one."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"earlier\n")

    def breaking() -> Iterator[list[bytes]]:
        yield [b"{}"]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_file(breaking(), path)
    assert path.read_bytes() == b"earlier\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_break_in_a_payload_is_refused(tmp_path):
    """Else one event would be read as two."""
    path = tmp_path / "events.jsonl"
    with pytest.raises(FileTargetError) as caught:
        write_file([[b"{}"], [b"{}", b'{\n"a":1}']], path)
    assert str(caught.value) == (
        f"{path}: a payload from number 1 on has a line break in it, so it cannot be a line; send it to Kafka"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_one_clear_line(tmp_path):
    path = tmp_path / "nowhere" / "events.jsonl"
    with pytest.raises(FileTargetError) as caught:
        write_file([[b"{}"]], path)
    assert str(caught.value) == (
        f"{path}: cannot be written: No such file or directory; choose a folder that exists and has room"
    )


@contextmanager
def mock_broker(**settings: int) -> Iterator[str]:
    """Yield the address of the broker that librdkafka brings along for tests: one node, in this process."""
    owner = Producer({"test.mock.num.brokers": 1, **settings})
    (node,) = owner.list_topics(timeout=10).brokers.values()
    yield f"{node.host}:{node.port}"
    owner.close()


@pytest.fixture
def broker() -> Iterator[str]:
    with mock_broker() as address:
        yield address


@pytest.fixture
def slow_broker() -> Iterator[str]:
    """Address of a broker that answers after a second."""
    with mock_broker(**{"test.mock.broker.rtt": 1_000}) as address:
        yield address


def read(bootstrap: str, topic: str, count: int) -> list[tuple[int, bytes | None, bytes]]:
    """Return (partition, key, value) of the first `count` messages of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "readers", "auto.offset.reset": "earliest"})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages = []
    while len(messages) < count:
        messages += consumer.consume(count - len(messages), timeout=10)
    consumer.close()
    return [(message.partition(), message.key(), message.value()) for message in messages]


def test_kafka_gets_every_payload_keyed_by_account(broker):
    """Else an account's events would be spread over partitions and lose their order."""
    done: list[int] = []
    payloads = WORKLOAD.payloads(0, 2_000)
    assert produce([payloads[:1_500], payloads[1_500:]], broker, "events", progress=done.append) == 2_000
    messages = read(broker, "events", 2_000)
    assert done == [1_500, 500]
    assert sorted(value for _, _, value in messages) == sorted(payloads)
    homes: dict[bytes, set[int]] = {}
    for partition, key, value in messages:
        if key is None:
            assert b'"account":"' not in value or b"\xc3(" in value
        else:
            assert b'"account":"' + key + b'"' in value
            homes.setdefault(key, set()).add(partition)
    assert len(homes) > 100
    assert all(len(partitions) == 1 for partitions in homes.values())
    hottest = b'"account":"acct-000000"'
    read_order = [value for _, key, value in messages if key == b"acct-000000"]
    assert read_order == [payload for payload in payloads if hottest in payload]


def test_a_paced_load_sends_everything(broker):
    """Else an open-loop benchmark would measure a smaller load than it says."""
    done: list[int] = []
    assert produce([[b"{}"] * 100], broker, "paced", rate_per_second=2_000, progress=done.append) == 100
    assert done == [40, 40, 20]


def test_a_paced_load_makes_the_next_block_while_it_sends_one(broker):
    """Else nothing would be sent while a block is made, for as long as two slices, and then two at once."""
    asked, early = threading.Event(), []

    def blocks():
        yield [b"{}"] * 100
        asked.set()
        yield [b"{}"] * 100

    sent = produce(blocks(), broker, "ahead", rate_per_second=2_000, progress=lambda _: early.append(asked.wait(30)))
    assert sent == 200
    assert early[0]


def test_a_paced_load_says_why_it_could_not_be_made(broker):
    """Else a benchmark would take a file that ends in the middle for a short load."""

    def blocks():
        yield [b"{}"] * 100
        raise FileTargetError("events.jsonl.zst: ends in the middle")

    with pytest.raises(FileTargetError, match=r"^events\.jsonl\.zst: ends in the middle$"):
        produce(blocks(), broker, "broken", rate_per_second=2_000)


def test_a_small_queue_only_slows_the_producer_down(broker):
    """Else a fast generator would lose what the broker cannot take at once."""
    settings = {"queue.buffering.max.messages": 10, "linger.ms": 0}
    assert produce([[b"{}"] * 500], broker, "small", settings=settings) == 500
    assert len(read(broker, "small", 500)) == 500


def test_payloads_without_a_key_reach_several_partitions(broker):
    """Else one worker of many would bill a hot account alone, however many there are."""
    payload, settings = b'{"account":"acct-000000"}', {"sticky.partitioning.linger.ms": 0}
    assert produce([[payload] * 200], broker, "unkeyed", settings=settings, key=no_key) == 200
    found = read(broker, "unkeyed", 200)
    assert {key for _, key, _ in found} == {None}
    assert len({partition for partition, _, _ in found}) > 1


def test_a_payload_over_the_topics_limit_is_one_clear_line(broker):
    with pytest.raises(DeliveryError) as caught:
        produce([[b"x" * 2_000_000]], broker, "events")
    assert str(caught.value).startswith(f"events at {broker}: a payload was refused: ")
    assert str(caught.value).endswith("; check the topic's limits")


def test_payloads_that_time_out_are_counted_in_one_clear_line(slow_broker, monkeypatch):
    """Else a load would look complete while part of it never arrived."""
    monkeypatch.setattr(producer, "_CONNECT_SECONDS", 30.0)  # the broker is as slow to say where partitions are
    settings = {"message.timeout.ms": 100, "linger.ms": 0, "enable.idempotence": False}
    with pytest.raises(
        DeliveryError, match=r"^events at .*: 100 payloads were not taken: .*; check the broker, then send again$"
    ):
        produce([[b"x"] * 100], slow_broker, "events", settings=settings)


def test_no_broker_is_one_clear_line():
    with pytest.raises(DeliveryError) as caught:
        produce([[b"{}"]], "127.0.0.1:1", "events")
    assert str(caught.value).startswith("127.0.0.1:1: no broker answered within 5 s (")
    assert str(caught.value).endswith("; start it, or correct address and options")
