"""The contract of a source: files (plain and compressed), generated traffic, and a real Kafka topic."""

import asyncio
import gzip
import uuid

import pytest
import zstandard
from confluent_kafka import Producer

from billing.adapters.files import FileSource
from billing.adapters.generated import GeneratedSource
from billing.adapters.kafka import KafkaSource
from billing.cursor import Bounds
from billing.errors import LogChangedError, SourceError
from generators.workload import Workload

LINES = [b'{"n":%d}' % n for n in range(100)]
WAIT_SECONDS = 0.2


async def take(reader, wanted, records_max=7):
    """Read until the positions are reached; returns (partition, offset, payload) and checks that spans leave no gap."""
    at = dict(reader.test_positions)
    found = []
    for _ in range(500):
        if all(at[partition] >= stop for partition, stop in wanted.items()):
            return found
        generation = reader.generation
        records = await reader.read(records_max, WAIT_SECONDS)
        assert generation == reader.generation
        assert len(records) <= records_max
        for partition, span in records.spans.items():
            assert (span.start, span.stop > span.start) == (at[partition], True)
            at[partition] = span.stop
        for place in zip(records.partition.tolist(), records.offset.tolist(), records.payload, strict=True):
            span = records.spans[place[0]]
            assert span.start <= place[1] < span.stop
            found.append(place)
    pytest.fail(f"still at {at}, wanted {wanted}")


async def go(reader, positions):
    """Seek, and remember where."""
    generation = reader.generation
    await reader.seek(positions)
    assert reader.generation > generation
    reader.test_positions = dict(positions)


@pytest.fixture(params=["plain", "gz", "zst", "generated"])
def local(request, tmp_path):
    """Give a source without a server, and its payloads."""
    if request.param == "generated":
        workload = Workload(model="uniform", seed=1)
        return GeneratedSource(workload, 100), list(workload.payloads(0, 100))
    text = b"\n".join(LINES) + b"\n"
    path = tmp_path / {"plain": "log.jsonl", "gz": "log.jsonl.gz", "zst": "log.jsonl.zst"}[request.param]
    packed = {"plain": lambda data: data, "gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}
    path.write_bytes(packed[request.param](text))
    return FileSource(path, follow=False), LINES


def test_a_local_log_is_read_whole_and_from_anywhere(local):
    """After a restart a worker would read other records than the cursors count."""
    source, payloads = local

    async def scenario():
        await source.open()
        assert list(await source.partitions()) == [0]
        assert source.ownership().partitions == {0}
        bounds = (await source.bounds([0]))[0]
        assert bounds.start == 0
        reader = source.reader()
        assert (await reader.read(10, 0.0)).spans == {}
        await go(reader, {0: 0})
        found = await take(reader, {0: bounds.stop})
        assert [payload for _, _, payload in found] == payloads
        assert [partition for partition, _, _ in found] == [0] * 100
        assert (await reader.read(10, 0.0)).spans == {}
        for index in (50, 0, 99, 98):
            await go(reader, {0: found[index][1]})
            assert await take(reader, {0: bounds.stop}, 1000) == found[index:]
        await go(reader, {})
        assert (await reader.read(10, 0.0)).spans == {}
        other = source.reader()
        await go(other, {0: found[10][1]})
        assert (await take(other, {0: bounds.stop}))[0] == found[10]
        await reader.close()
        await other.close()
        await source.close()

    asyncio.run(scenario())


def log_of(path):
    """Return the identity of a file's log."""

    async def scenario():
        source = FileSource(path, follow=False)
        await source.open()
        await source.close()
        return source.log

    return asyncio.run(scenario())


def test_a_file_that_begins_differently_is_another_log(tmp_path):
    """Yesterday's cursors would skip the beginning of today's file."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"one\ntwo\n")
    before = log_of(path)
    path.write_bytes(b"one\ntwo\nthree\n")
    assert log_of(path) == before
    path.write_bytes(b"other\ntwo\n")
    assert log_of(path) != before
    assert before.startswith("file:log.jsonl:")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.jsonl", None, "none.jsonl: No such file or directory; write the path of a JSON Lines file"),
        ("bad.gz", b"plain text", "bad.gz: cannot be decompressed: "),
        ("bad.zst", b"plain text", "bad.zst: cannot be decompressed: "),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path, name, content, words):
    """A person would see a traceback instead of the name of the file."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        log_of(path)
    assert words in str(caught.value)
    assert not caught.value.may_return


def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path):
    """A half copied file would end the worker with a traceback."""
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"\n".join(b"%x" % (n**9) for n in range(5000)))[:-200])

    async def scenario():
        source = FileSource(path, follow=False)
        await source.open()
        with pytest.raises(SourceError, match=r"cut\.gz: cannot be read to its end"):
            await source.bounds([0])

    asyncio.run(scenario())


def test_a_read_of_long_lines_is_bounded(tmp_path):
    """A worker would need gigabytes for as many lines as it takes of short ones."""
    path = tmp_path / "log.jsonl"
    path.write_bytes((b"x" * 999_999 + b"\n") * 20)

    async def scenario():
        source = FileSource(path, follow=False)
        await source.open()
        reader = source.reader()
        await go(reader, {0: 0})
        sizes = []
        while len(records := await reader.read(100, WAIT_SECONDS)):
            sizes.append(len(records))
        await reader.close()
        assert sizes == [9, 9, 2]

    asyncio.run(scenario())


# --- Kafka ---


@pytest.fixture
def topic(kafka_server):
    """Give the name of a new topic with two partitions."""
    name = f"source-{uuid.uuid4().hex}"
    kafka_server.create_topic(name, 2)
    return name


def produce(server, topic, values, *partitions, commit=None):
    """Write values to partitions, or the first one, inside a transaction where `commit` says how it ends."""
    settings = {"bootstrap.servers": server.bootstrap, "linger.ms": 0}
    if commit is not None:
        settings["transactional.id"] = uuid.uuid4().hex
    producer = Producer(settings)
    if commit is not None:
        producer.init_transactions(10)
        producer.begin_transaction()
    for partition in partitions or [0]:
        for value in values:
            producer.produce(topic, value, partition=partition)
    producer.flush(10)
    if commit is not None:
        (producer.commit_transaction if commit else producer.abort_transaction)(10)


async def member(source, partitions):
    """Return a group member once it owns so many partitions."""
    reader = source.reader()
    for _ in range(200):
        await reader.read(10, 0.1)
        if len(source.ownership().partitions) == partitions:
            return reader
    pytest.fail(f"owns {source.ownership()}")


def test_a_topic_is_read_from_where_the_cursors_say(kafka_server, topic):
    """A worker would believe the group's offsets, and lose or repeat what a shard lacks or has."""
    produce(kafka_server, topic, LINES, 0)
    produce(kafka_server, topic, LINES[:20], 1)

    async def scenario():
        source = KafkaSource(kafka_server.bootstrap, topic, "g", {})
        await source.open()
        assert list(await source.partitions()) == [0, 1]
        assert await source.bounds([0, 1]) == {0: Bounds(0, 100), 1: Bounds(0, 20)}
        reader = await member(source, 2)
        await go(reader, {0: 0, 1: 5})
        found = await take(reader, {0: 100, 1: 20})
        assert [row for row in found if row[0] == 0] == [(0, n, LINES[n]) for n in range(100)]
        assert [row for row in found if row[0] == 1] == [(1, n, LINES[n]) for n in range(5, 20)]
        await source.commit({0: 100, 1: 20})
        for start in (90, 10, 99):
            await go(reader, {0: start})
            assert await take(reader, {0: 100}) == [(0, n, LINES[n]) for n in range(start, 100)]
        catchup = source.reader()
        await go(catchup, {0: 97})
        assert await take(catchup, {0: 100}) == [(0, n, LINES[n]) for n in range(97, 100)]
        await catchup.close()
        await reader.close()
        await source.close()

    asyncio.run(scenario())


def test_a_member_that_seeks_while_it_joins_passes_nothing(kafka_server):
    """All that was in the log when a worker started would be passed, if an answer about its end came after the seek."""
    topic, places = f"source-{uuid.uuid4().hex}", dict.fromkeys(range(100), 0)
    kafka_server.create_topic(topic, len(places))
    produce(kafka_server, topic, LINES[:2], *places)

    async def joined(number):
        source = KafkaSource(kafka_server.bootstrap, topic, f"{topic}-{number}", {})
        await source.open()
        reader = source.reader()
        while len(source.ownership().partitions) < len(places):
            await reader.read(10, 0.002)
        await asyncio.sleep(number * 0.002)
        await go(reader, places)
        found = await take(reader, dict.fromkeys(places, 2))
        await reader.close()
        await source.close()
        return sorted(found)

    async def scenario():
        for number in range(4):
            assert await joined(number) == [(p, n, LINES[n]) for p in places for n in range(2)]

    asyncio.run(scenario())


def test_aborted_transactions_are_passed(kafka_server, topic):
    """The cursor would wait for ever before a gap, or what a producer took back be billed."""
    produce(kafka_server, topic, LINES[:3], commit=True)
    produce(kafka_server, topic, LINES[3:6], commit=False)
    produce(kafka_server, topic, LINES[6:8], commit=True)
    produce(kafka_server, topic, LINES[8:9], commit=False)

    async def scenario():
        source = KafkaSource(kafka_server.bootstrap, topic, "g", {})
        await source.open()
        stop = (await source.bounds([0]))[0].stop
        assert stop == 13
        reader = await member(source, 2)
        await go(reader, {0: 0})
        found = await take(reader, {0: stop})
        assert [(offset, payload) for _, offset, payload in found] == [
            (0, LINES[0]), (1, LINES[1]), (2, LINES[2]), (8, LINES[6]), (9, LINES[7]),
        ]  # fmt: skip
        await reader.close()
        await source.close()

    asyncio.run(scenario())


def test_members_share_partitions_and_epochs_grow(kafka_server, topic):
    """Two workers would read the same partition for long, or a returning partition go on from an old position."""

    async def scenario():
        one, two = (KafkaSource(kafka_server.bootstrap, topic, "shared", {}) for _ in range(2))
        await one.open()
        await two.open()
        assert one.log == two.log
        first = await member(one, 2)
        epoch = one.ownership().epoch
        second = two.reader()
        for _ in range(200):
            await first.read(1, 0.05)
            await second.read(1, 0.05)
            if len(one.ownership().partitions) == len(two.ownership().partitions) == 1:
                break
        assert one.ownership().partitions | two.ownership().partitions == {0, 1}
        assert one.ownership().epoch > epoch
        epoch = one.ownership().epoch
        await second.close()
        for _ in range(200):
            await first.read(1, 0.05)
            if len(one.ownership().partitions) == 2:
                break
        assert (one.ownership().partitions, one.ownership().epoch > epoch) == ({0, 1}, True)
        await first.close()
        await one.close()
        await two.close()

    asyncio.run(scenario())


def test_a_topic_deleted_under_a_reader_is_told(kafka_server, topic):
    """An error of a topic names no partition and no offset: the worker would end with a traceback."""
    produce(kafka_server, topic, LINES[:3])
    quick = {"topic.metadata.propagation.max.ms": 100, "topic.metadata.refresh.interval.ms": 200}

    async def scenario():
        source = KafkaSource(kafka_server.bootstrap, topic, "g", quick)
        await source.open()
        reader = await member(source, 2)
        await go(reader, {0: 0})
        assert len(await take(reader, {0: 3})) == 3
        await go(reader, {0: 3})
        kafka_server.delete_topic(topic)
        with pytest.raises(LogChangedError, match="was deleted"):
            await take(reader, {0: 4})
        await reader.close()
        await source.close()

    asyncio.run(scenario())


def test_a_topic_made_anew_is_another_log(kafka_server, topic):
    """Old cursors would skip the first events of the new topic."""

    async def scenario():
        first, second, third = (KafkaSource(kafka_server.bootstrap, topic, "g", {}) for _ in range(3))
        await first.open()
        await second.open()
        assert first.log == second.log
        assert first.log.startswith(f"kafka:{kafka_server.cluster_id()}:")
        await first.verify()
        kafka_server.delete_topic(topic)
        kafka_server.create_topic(topic, 2)
        with pytest.raises(LogChangedError, match=f"topic {topic} was deleted and made anew"):
            await first.verify()
        await third.open()
        assert third.log != first.log
        await third.verify()
        for source in (first, second, third):
            await source.close()

    asyncio.run(scenario())


def test_an_offset_that_is_gone_stops_the_reader(kafka_server, topic):
    """A reader would jump to the end or to the start, and lose or repeat events in silence."""
    produce(kafka_server, topic, LINES[:5])

    async def scenario():
        source = KafkaSource(kafka_server.bootstrap, topic, "g", {})
        await source.open()
        reader = await member(source, 2)
        await go(reader, {0: 50})
        with pytest.raises(LogChangedError, match="runbook"):
            await take(reader, {0: 51})
        await reader.close()
        await source.close()

    asyncio.run(scenario())


def test_a_missing_topic_and_an_absent_broker_are_named(kafka_server):
    """Nobody would know what to correct."""

    async def error(bootstrap, topic):
        source = KafkaSource(bootstrap, topic, "g", {})
        with pytest.raises(SourceError) as caught:
            await source.open()
        await source.close()
        return caught.value

    missing = asyncio.run(error(kafka_server.bootstrap, "no-such-topic"))
    assert str(missing) == f"topic no-such-topic does not exist at {kafka_server.bootstrap}; create it first"
    assert not missing.may_return
    absent = asyncio.run(error("127.0.0.1:1", "t"))
    assert "127.0.0.1:1" in str(absent)
    assert absent.may_return
