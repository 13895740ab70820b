"""A real workload with recognisable people and passwords: nothing that others may see shows them."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import httpx
import pytest
from asyncmy.errors import MySQLError
from cyclopts import App

from billing.adapters.login import words_of
from billing.cli import app, main
from billing.cli.setup import deployment
from billing.errors import BillingError
from billing.quarantine import Entry
from ops.local.process import free_port, port_is_free
from tests.apis import READ
from tests.apis import Site as ApiSite
from tests.command import ROOT, until
from tests.fleet import Site
from tests.pipeline import CHARGES, payload
from tests.rulebooks import book_of
from tests.servers import SecureKafka, ServerPool, query

PERSON = "zq7person"  # in every id, account and value of an attribute
SECRETS = {"url": "zq7url-s3cret", "file": "zq7file-s3cret"}
EVENTS = 300


def written(number: int, **more: object) -> bytes:
    """Write an event about somebody."""
    attributes = {"country": f"{PERSON}-country", "to": f"{PERSON}-to"}
    given = {"id": f"{PERSON}-{number}", "account": f"{PERSON}-{number % 20}", "attributes": attributes, **more}
    return payload(**given)


BAD = [
    written(1, product="nothing"),
    written(2, attributes={"reseller": f"{PERSON} is no account"}),
    written(3, account=f"{PERSON} is no account"),
    written(4, type=f"{PERSON}-type"),
    written(5, quantity=f"{PERSON}"),
    written(6, time=f"{PERSON}"),
    written(7, attributes={"nested": {PERSON: PERSON}}),
    written(8, id=f"{PERSON}" * 20),
    PERSON.encode(),
    b'{"account":"' + PERSON.encode() + b'","id":"\xff',
    written(0, quantity=5),  # conflicts with the first
]


@pytest.fixture
def site(tmp_path: Path, server_pool: ServerPool, kafka_server: SecureKafka) -> Site:
    """Make two shards, whose users have passwords in the URL and in a file, and a topic that asks for one too."""
    server = server_pool.databases("mariadb", 1)[0]
    kafka_server.admit("billing")
    topic = f"hygiene-{os.getpid()}-{time.monotonic_ns()}"
    kafka_server.create_topic(topic, 2)
    book_of(tmp_path, CHARGES)
    (tmp_path / "shard.secret").write_text(SECRETS["file"])
    (tmp_path / "kafka.secret").write_text(kafka_server.users["SCRAM-SHA-512"])
    lines = [
        '[source]\nkind = "kafka"', f'bootstrap = "localhost:{kafka_server.secure_ports["good"]}"',
        f'topic = "{topic}"',
        'group = "hygiene"\npassword_file = "kafka.secret"\n[source.options]', 'security.protocol = "SASL_SSL"',
        'sasl.mechanism = "SCRAM-SHA-512"\nsasl.username = "billing"',
        f'ssl.ca.location = "{kafka_server.authority_file}"',
        '[rules]\nbook = "book.yaml"', f"[metrics]\nport = {two_free_ports()}",
    ]  # fmt: skip
    for number, (place, secret) in enumerate(SECRETS.items()):
        user = f"'hygiene_{place}'@'%'"
        asyncio.run(
            query(
                server, f"CREATE DATABASE IF NOT EXISTS hygiene_{place}",
                f"CREATE OR REPLACE USER {user} IDENTIFIED BY '{secret}'", f"GRANT ALL ON hygiene_{place}.* TO {user}",
            )
        )  # fmt: skip
        shown = f":{secret}" if place == "url" else ""
        lines += [f'[[shards]]\nname = "shard-{number}"']
        lines += [f'writer = "mysql://hygiene_{place}{shown}@127.0.0.1:{server.port}/hygiene_{place}"']
        lines += [] if place == "url" else ['password_file = "shard.secret"']
    config = tmp_path / "billing.toml"
    config.write_text("\n".join(lines) + "\n")
    return Site(config, config, deployment(config), topic, kafka_server, [server])


def two_free_ports() -> int:
    """Return the first of two ports that nobody has."""
    while not port_is_free((port := free_port()) + 1):
        continue
    return port


def command_lines() -> str:
    """Return the command lines of all processes, as everybody on the machine can read them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found.append((entry / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue
    return "\n".join(found)


def worked(site: Site) -> str:
    """Bill everything twice with two workers; returns all that they said, their metrics and all command lines."""
    port = site.found.settings.metrics.port
    log = site.config.with_name("workers.log")
    environment = {**os.environ, "BILLING_LOG_LEVEL": "DEBUG"}
    command = [sys.executable, "-m", "billing", "run", "-c", str(site.config), "--processes", "2"]
    with log.open("wb") as stream:
        workers = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=stream)
    try:
        produce = [written(number) for number in range(EVENTS)]
        for batch in (produce, [*produce, *BAD]):  # repeats in another transaction make the server refuse, and say what
            site.produce([batch])
            site.wait_until_applied()
        metrics = [
            urllib.request.urlopen(f"http://127.0.0.1:{port + index}/metrics").read().decode() for index in range(2)
        ]
        seen = command_lines()
        assert str(site.config) in seen
    finally:
        workers.send_signal(signal.SIGTERM)
        workers.wait(60)
    assert "billing_events_quarantined_total" in "".join(metrics)
    return "\n".join([log.read_text(), *metrics, seen])


def served(site: Site) -> str:
    """Ask the API about somebody, with and without a key; returns all that it said."""
    key = ApiSite(site.config.parent).key(READ, accounts=[f"{PERSON}-*"])
    port = free_port()
    command = [sys.executable, "-m", "billing", "serve", "-c", str(site.config), "--port", str(port)]
    environment = {**os.environ, "BILLING_LOG_LEVEL": "DEBUG"}
    api = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = until(api, said=["serving"])
        where = f"http://127.0.0.1:{port}/v1/accounts/{PERSON}-1/balance"
        with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:  # it says so before it listens
            keys = [{"authorization": f"Bearer {shown}"} for shown in (key, "wrong")]
            assert [client.get(where, headers=one).status_code for one in keys] == [200, 401]
    finally:
        api.send_signal(signal.SIGTERM)
        out, err = api.communicate(timeout=60)
    said = line + out + err
    assert key not in said
    return said


def told(site: Site, *arguments: str) -> str:
    """Run a command in this process; returns what it says, also when it fails."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app(
                [*arguments, "-c", str(site.config)],
                exit_on_error=False, print_error=False, result_action="return_value",
            )  # fmt: skip
        except BillingError as error:
            err.write(str(error))
    return out.getvalue() + err.getvalue()


def wrongly_configured(site: Site) -> list[str]:
    """Return what is said when a password, an address, a database or a key is wrong."""
    text, said = site.config.read_text(), []
    (port,) = (server.port for server in site.servers)
    for old, new, words in (
        (f":{SECRETS['url']}@", f":{SECRETS['url']}-old@", "Access denied"),
        (f":{port}/hygiene_url", ":9/hygiene_url", "Can't connect"),
        (f"{port}/hygiene_url", f"{port}/hygiene_none", "hygiene_none"),
        (f"{port}/hygiene_url", f"{port}/hygiene_url?p={SECRETS['url']}", "has something after the database"),
        ("mysql://", "postgres://", "is not the URL of a store"),
        ("writer =", "writers =", "unknown key"),
    ):
        site.config.write_text(text.replace(old, new, 1))
        said.append(told(site, "audit"))
        assert words in said[-1]
    site.config.write_text(text)
    return said


def test_nothing_shows_people_or_passwords(site: Site) -> None:
    """Whoever can read logs, metrics or a process list could enter the databases, or learn who bought what and when."""
    told(site, "init")
    said = [worked(site), served(site), *wrongly_configured(site)]
    listed = "quarantine", "list", "--limit", "99"
    said += [told(site, *command) for command in (("audit",), ("shards", "show"), listed, (*listed, "--json"))]
    assert all(reason in said[-1] for reason in ("no_rule", "bad_account", "conflict", "undecodable"))
    assert PERSON in told(site, *listed, "--accounts")  # it is there to be found
    secrets = [*SECRETS.values(), *site.kafka.users.values()]
    for number, text in enumerate(said):
        found = [line for line in text.splitlines() if PERSON in line or any(one in line for one in secrets)]
        assert found == [], number


def test_a_defect_is_told_by_its_place_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message of an error that nobody foresaw would put somebody's id, or a password, into a log."""
    broken = App(name="billing")

    @broken.default
    def fails() -> None:
        raise KeyError(PERSON)

    monkeypatch.setattr("billing.cli.app", broken)
    monkeypatch.setattr(sys, "argv", ["billing"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert said.startswith("billing: unexpected KeyError at test_hygiene.py:")
    assert PERSON not in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (f"Duplicate entry '7-{PERSON}-2026-01-01' for key 'records.PRIMARY'", "1062 Duplicate entry '...'"),
        (
            f"Incorrect string value: '\\xF0{PERSON}' for column `b`.`records`.`kept` at row 1",
            "1062 Incorrect string value:",
        ),
        (f"You have an error in your SQL syntax near 'x'{PERSON}' at line 1", "1062 You have an error"),
        ("Data too long for column 'kept' at row 1", "1062 Data too long for column 'kept' at row 1"),
    ],
)
def test_what_servers_quote_is_left_out(error: str, words: str) -> None:
    """A server's own words would carry ids into the log and the quarantine listing."""
    said = words_of(MySQLError(1062, error))
    assert said.startswith(words)
    assert PERSON not in said


@pytest.mark.parametrize(
    ("detail", "plain"),
    [
        (f'the attribute "reseller" is "{PERSON}"; write 1', 'the attribute "reseller" is "..."; write 1'),
        (f'the attribute "r" is "a\\"{PERSON}"; write 1', 'the attribute "r" is "..."; write 1'),
        (f'the attribute "r" is "{PERSON}', 'the attribute "r" is "..."'),  # cut to its column's width
        ('the attribute "r" is absent; write 1', 'the attribute "r" is absent; write 1'),
    ],
)
def test_details_are_listed_without_values(detail: str, plain: str) -> None:
    """A listing that is passed on to who maintains the producer would tell whose events these were."""
    assert Entry("log", 0, 0, "", "bad_account", detail, 0, b"", retried=False).plain_detail == plain
