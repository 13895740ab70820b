"""Encrypted connections to a real broker that asks who comes: who is wrong is told what is wrong, in one line."""

import asyncio
import shutil
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from billing.adapters.configured import open_source
from billing.adapters.intake import KafkaIntake, LogAwayError
from billing.config.settings import load
from billing.config.source_settings import KafkaSource
from billing.errors import SettingsError, SourceError
from billing.ports import Source
from generators.errors import DeliveryError
from generators.producer import produce
from tests.certificates import HOST, Authority
from tests.command import write_book, write_settings
from tests.pipeline import payload
from tests.servers import SecureKafka

SCRAM = "SCRAM-SHA-512"
WRONG = "wr0ng-s3cret"


@pytest.fixture(scope="module")
def topic(kafka_server: SecureKafka) -> str:
    """Make a topic and a user."""
    name = f"secure-{uuid.uuid4().hex[:8]}"
    kafka_server.create_topic(name, 1)
    kafka_server.admit("billing")
    return name


def read_of(found: KafkaSource, last: bytes) -> list[bytes]:
    """Publish one event more, as the API does, and read the topic from its beginning up to it."""

    async def read() -> list[bytes]:
        taken = KafkaIntake(found, 60_000)
        assert await taken.publish([last])
        await taken.close()
        opened = open_source(found, follow=False)
        await opened.open()
        reader = opened.reader()
        try:
            while not opened.ownership().partitions:
                await reader.read(10, 0.05)
            await reader.seek({0: 0})
            read: list[bytes] = []
            while last not in read:
                read += (await reader.read(10, 0.05)).payload
            return read
        finally:
            await reader.close()
            await opened.close()

    return asyncio.run(read())


def source(
    kafka: SecureKafka, folder: Path, topic: str, *, listener: str = "good", mechanism: str = SCRAM,
    password: str | None = None, authorities: str = "ca.pem",
) -> KafkaSource:  # fmt: skip
    """Read the source as a settings file has it: the password in a file, paths relative to its folder."""
    (folder / "ca.pem").write_bytes(kafka.authority_file.read_bytes())
    (folder / "kafka.secret").write_text(kafka.users[mechanism] if password is None else password)
    write_settings(folder)
    write_book(folder, {"sms": "1"})
    port = kafka.secure_ports[listener] if listener else kafka.port
    lines = [
        'kind = "kafka"', f'bootstrap = "{HOST}:{port}"', f'topic = "{topic}"', 'group = "secure"',
        'password_file = "kafka.secret"', "[source.options]", 'security.protocol = "SASL_SSL"',
        f'sasl.mechanism = "{mechanism}"', 'sasl.username = "billing"', f'ssl.ca.location = "{authorities}"',
    ]  # fmt: skip
    path = folder / "billing.toml"
    path.write_text(path.read_text().replace('kind = "file"\npath = "events.jsonl"', "\n".join(lines)))
    found = load(path, {}).source
    assert isinstance(found, KafkaSource)
    return found


async def refused(found: KafkaSource) -> SourceError:
    """Open the source, which must not succeed; what is said of it is one line without the password."""
    opened = open_source(found, follow=True)
    with pytest.raises(SourceError) as caught:
        await opened.open()
    await opened.close()
    told = str(caught.value)
    assert "\n" not in told
    assert str(found.options["sasl.password"]) not in told
    return caught.value


CASES: dict[str, dict[str, str]] = {
    "password": {"password": WRONG},
    "other": {"listener": "other"},
    "expired": {"listener": "expired"},
    "authority": {"authorities": "elsewhere.pem"},
    "plain": {"listener": ""},
    "client": {"listener": "mutual"},
}


@pytest.fixture(scope="module")
def refusals(kafka_server: SecureKafka, tmp_path_factory: pytest.TempPathFactory, topic: str) -> "Refusals":
    """Try everything that is wrong at once, since each takes as long as a broker is given to answer."""
    sources = {}
    for name, options in CASES.items():
        folder = tmp_path_factory.mktemp(name)
        Authority(folder, "elsewhere")
        sources[name] = source(kafka_server, folder, topic, **options)

    async def play() -> list[SourceError]:
        return await asyncio.gather(*map(refused, sources.values()))

    return {name: (sources[name], error) for name, error in zip(sources, asyncio.run(play()), strict=True)}


@pytest.mark.parametrize("mechanism", [SCRAM, "PLAIN"])
def test_events_are_published_and_read_encrypted(
    kafka_server: SecureKafka, tmp_path: Path, topic: str, mechanism: str
) -> None:
    """A broker that asks who comes, as every broker in production does, could not be read at all."""
    found = source(kafka_server, tmp_path, topic, mechanism=mechanism)
    *payloads, last = (payload(f"{mechanism}-{number}") for number in range(6))
    produce([payloads], found.bootstrap, topic, settings=found.options)

    assert read_of(found, last)[-6:] == [*payloads, last]


Refusals = dict[str, tuple[KafkaSource, SourceError]]


def test_a_wrong_password_ends_the_worker_with_a_reason(refusals: Refusals) -> None:
    """A worker would wait for ever for a broker that is well, and nobody would know why."""
    found, error = refusals["password"]
    assert str(error).startswith(f"{found.bootstrap}: the broker refuses this user: SASL authentication error: ")
    assert str(error).endswith("; correct sasl.username, password_file and sasl.mechanism in [source]")
    assert not error.may_return


def test_a_wrong_password_is_told_to_who_publishes(refusals: Refusals, topic: str) -> None:
    """Events that the API does not take, or that are generated, would be lost with no more said than a timeout."""
    found, _ = refusals["password"]

    def generated() -> None:
        with pytest.raises(DeliveryError, match=r"no broker answered within 5 s .*SASL authentication error") as caught:
            produce([[payload()]], found.bootstrap, topic, settings=found.options)
        assert WRONG not in str(caught.value)

    async def taken() -> None:
        with pytest.raises(LogAwayError, match="the broker refuses this user"):
            await KafkaIntake(found, 3_000).publish([payload()])

    async def both() -> None:
        await asyncio.gather(asyncio.to_thread(generated), taken())

    asyncio.run(both())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("other", "is not for localhost; write the host that it names, or give it another one"),
        ("expired", "has expired; renew it, or correct the clock"),
        ("authority", "is by no authority in {authorities}; name the file with its authority"),
    ],
)
def test_a_wrong_certificate_is_refused(refusals: Refusals, name: str, sentence: str) -> None:
    """Whoever answers in the broker's place would be given the password, and could bill people what he likes."""
    found, error = refusals[name]
    told = sentence.format(authorities=found.options["ssl.ca.location"])
    assert str(error) == f"{found.bootstrap}: the server's certificate {told}"
    assert error.may_return  # renewed, it is good again


def test_a_listener_that_does_not_encrypt_is_told(refusals: Refusals) -> None:
    """A mistyped port would look like a broker that is down."""
    _, error = refusals["plain"]
    assert "no encrypted connection can be made" in str(error)
    assert str(error).endswith("; check that this listener speaks TLS")


def test_a_missing_certificate_is_told(refusals: Refusals) -> None:
    """A broker that knows clients by certificates would look like one that is down."""
    found, error = refusals["client"]
    assert str(error).startswith(
        f"{found.bootstrap}: the broker does not take this client's certificate, or there is none ("
    )
    assert str(error).endswith("; correct ssl.certificate.location and ssl.key.location")
    assert error.may_return  # as one that has expired and is renewed


def test_wrong_options_are_told(kafka_server: SecureKafka, tmp_path: Path, topic: str) -> None:
    """A missing file of authorities would be a traceback, or fall back to those of the system."""
    with pytest.raises(
        SettingsError, match=r"source\.options\.ssl\.ca\.location: .*none\.pem does not exist; name a file"
    ):
        source(kafka_server, tmp_path, topic, authorities="none.pem")
    (tmp_path / "empty.pem").touch()
    error = asyncio.run(refused(source(kafka_server, tmp_path, topic, authorities="empty.pem")))
    assert str(error).startswith("source.options: ")
    assert "ssl.ca.location failed" in str(error)


def mutual(kafka: SecureKafka, folder: Path, topic: str, more: Sequence[str]) -> KafkaSource:
    """Read the source of a listener that asks for certificates and no passwords."""
    found = source(kafka, folder, topic, listener="mutual")
    path = folder / "billing.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("sasl.", "password_file"))]
    at = lines.index('security.protocol = "SASL_SSL"')
    path.write_text("\n".join([*lines[:at], 'security.protocol = "SSL"', *more, *lines[at + 1 :]]))
    found = load(path, {}).source
    assert isinstance(found, KafkaSource)
    return found


def test_a_certificate_lets_in_where_the_broker_asks_for_one(
    kafka_server: SecureKafka, tmp_path: Path, topic: str
) -> None:
    """Brokers that know clients by certificates, and not by passwords, could not be read."""
    shutil.copy(kafka_server.folder / "client.crt", tmp_path)
    shutil.copy(kafka_server.folder / "client.key", tmp_path)
    named = ['ssl.certificate.location = "client.crt"', 'ssl.key.location = "client.key"']
    last = payload("mutual")
    assert read_of(mutual(kafka_server, tmp_path, topic, named), last)[-1] == last


async def patiently(opened: Source) -> int:
    """Return where the only partition ends, asking as long as a worker would: a connection may just have ended."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return (await opened.bounds([0]))[0].stop
        except SourceError as error:
            if not error.may_return or time.monotonic() > deadline:
                raise
            await opened.verify()
            await asyncio.sleep(0.2)


def test_a_new_password_is_taken_from_its_file(kafka_server: SecureKafka, tmp_path: Path, topic: str) -> None:
    """Whoever rotates a password would have to restart every worker, or find them without a log hours later."""
    kafka_server.admit("billing", "before-s3cret")
    try:
        found = source(kafka_server, tmp_path, topic, password="before-s3cret")
        found = attrs.evolve(found, options={**found.options, "connections.max.idle.ms": 500})  # they end soon

        async def rotate() -> None:
            opened = open_source(found, follow=True)
            await opened.open()
            member = opened.reader()
            while not opened.ownership().partitions:
                await member.read(10, 0.05)
            await member.seek({0: 0})
            await opened.bounds([0])
            taken = KafkaIntake(found, 60_000)
            await taken.publish([payload("before")])
            (tmp_path / "kafka.secret").write_text("after-s3cret")
            kafka_server.admit("billing", "after-s3cret")
            for number in range(3):
                await asyncio.sleep(1)  # long enough for every connection that was open to end
                await opened.verify()
                assert await patiently(opened) > number
                last = payload(f"rotated-{number}")
                await taken.publish([last])
                while last not in (await member.read(100, 0.05)).payload:
                    continue
            await taken.close()
            await member.close()
            await opened.close()

        asyncio.run(rotate())
    finally:
        kafka_server.admit("billing")
