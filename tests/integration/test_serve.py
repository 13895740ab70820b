"""The served API as users meet it: keys from the command, TLS, the Python client, and connections that misbehave."""

import datetime as dt
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from cyclopts import CycloptsError

from billing.cli import app
from billing.client import ApiError, Client
from billing.errors import BillingError
from tests.apis import make_site
from tests.command import event, start, stop, until

FEW = 200  # idle connections: more than one process may answer at once, fewer than a test may open


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bill ten events, and make a certificate."""
    folder = tmp_path_factory.mktemp("serve")
    write_certificate(folder)
    tls = 'tls_certificate = "cert.pem"\ntls_key = "key.pem"\nbody_timeout_ms = 300\nrequests_max = 50'
    make_site(folder, [*map(event, range(10))], tls).bill()
    return folder


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Give the command as a function of its arguments, in this process: it returns what is printed."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        app(
            [*arguments, "-c", str(folder / "billing.toml")],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        return capsys.readouterr().out

    return run


def write_certificate(folder: Path) -> None:
    """Make a certificate of this machine, signed by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "billing")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[int]:
    """Serve with two processes, and give the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start("serve", "--port", str(port), "--processes", "2", folder=folder)
    until(server, said=["serving https", str(port)])
    yield port
    done = stop(server)
    assert done.code == 0
    assert "Traceback" not in done.err


def transport(folder: Path) -> httpx.HTTPTransport:
    """Trust the certificate, and wait for a server that has just begun."""
    return httpx.HTTPTransport(verify=ssl.create_default_context(cafile=folder / "cert.pem"), retries=8)


def test_a_service_reads_and_publishes_with_the_client(folder: Path, served: int, command: Callable[..., str]) -> None:
    """Every service that reads balances would write its own client, with its own mistakes."""
    scopes = "--scope", "read", "--scope", "write", "--account", "account-*"
    made = json.loads(command("keys", "create", "--name", "app", *scopes, "--expires", "1h", "--json"))
    with Client(f"https://127.0.0.1:{served}", made["key"], transport(folder)) as client:
        balance = client.balance("account-3", strong=True)
        assert (balance.balances[0].amount, balance.balances[0].events) == ("0.007900000000", 1)
        many = client.balances(["account-1", "nobody"])
        assert [one.account for one in many.balances] == ["account-1"]
        assert [(one.account, one.status) for one in many.errors] == [("nobody", 404)]
        assert client.usage("account-3", every="day", since="2026-01-01", until="2026-01-02").total.events == 1
        assert [line.event for line in client.transactions("account-3", page=1)] == ["event-3"]
        assert client.explain("account-3", "event-3").total == "0.007900000000"
        published = client.publish([event(90), event(91, account="nobody")])
        assert (published.accepted, published.errors[0].status) == (1, 404)
        with pytest.raises(ApiError, match="no such account for this key") as caught:
            client.balance("nobody")
        assert caught.value.status == 404
        command("keys", "revoke", made["id"])
        with pytest.raises(ApiError, match="401: the key is revoked"):
            client.balance("account-3")
    listed = json.loads(command("keys", "list", "--json"))
    assert [(one["id"], one["state"]) for one in listed] == [(made["id"], "revoked")]
    assert made["key"].split("_", 2)[2] not in command("keys", "list")
    assert [line.split()[-2:] for line in command("keys", "log").splitlines()] == [
        ["create", made["id"]], ["revoke", made["id"]],
    ]  # fmt: skip


def test_clients_that_stall_do_not_keep_others_out(folder: Path, served: int, command: Callable[..., str]) -> None:
    """Anybody with a few connections could take the service away from everybody."""
    context = ssl.create_default_context(cafile=folder / "cert.pem")
    idle = [socket.create_connection(("127.0.0.1", served), timeout=30) for _ in range(FEW)]
    made = command("keys", "create", "--name", "w", "--scope", "write", "--account", "*").strip()
    with socket.create_connection(("127.0.0.1", served), timeout=30) as raw:
        slow = context.wrap_socket(raw, server_hostname="127.0.0.1")
        head = f"POST /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {made}\r\ncontent-length: 100\r\n\r\n"
        slow.sendall(head.encode() + b"[")
        with httpx.Client(base_url=f"https://127.0.0.1:{served}", transport=transport(folder)) as client:
            assert client.get("/healthz").json() == {"status": "ok"}
        assert slow.recv(4_096).startswith(b"HTTP/1.1 408"), "and the slow one is told"
        slow.close()
    for one in idle:
        one.close()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("keys", "create", "--name", "x"), 2, "--account: is missing; name an account"),
        (("keys", "create", "--name", "x", "--account", "a b"), 2, "--account 'a b': cannot be one"),
        (("keys", "create", "--name", "", "--account", "a"), 2, "--name: write 1 to 80 printable characters"),
        (("keys", "create", "--name", "x", "--account", "a", "--expires", "2001-01-01"), 2, "is no time to come"),
        (("keys", "create", "--name", "x", "--account", "a", "--scope", "root"), 2, 'Invalid value "root"'),
        (("keys", "revoke", "none"), 1, "'none': no key has this id"),
        (("serve", "--open", "--host", "0.0.0.0"), 1, "0.0.0.0: others reach it, so callers need keys"),
        (("transactions", "a", "--from", "soon"), 2, "--from: 'soon' is no time; write 2026-01-31"),
        (("transactions", "a", "--cursor", "x"), 2, "cursor: is none; write what `next` of the page before says"),
        (("explain", "account-3", "none"), 1, "no such event is recorded for this account"),
        (("usage", "a", "--every", "hour", "--by", "nope"), 2, "no rollup of book test has such buckets"),
        (("usage", "a", "--fill"), 2, "--fill: needs to know where to begin and end"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    command: Callable[..., str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    """A person would read a traceback, or a key be made that opens nothing or too much."""
    with pytest.raises((BillingError, CycloptsError)) as caught:
        command(*arguments)
    assert sentence in " ".join(str(caught.value).split())
    assert getattr(caught.value, "exit_code", 2) == code


def test_the_commands_show_what_the_api_answers(command: Callable[..., str]) -> None:
    """Support would tell a customer something else than the customer's own page."""
    lines = json.loads(command("transactions", "account-3", "--json"))
    assert [one["event"] for one in lines["transactions"]] == ["event-3"]
    assert "event-3" in command("transactions", "account-3")
    assert 'rule-sms: per_unit price in group usage, for product is "sms"' in command("explain", "account-3", "event-3")
    total = json.loads(command("usage", "account-3", "--every", "month", "--json"))["total"]
    assert total == {"events": 1, "quantity": "1.000000000000", "amount": "0.007900000000"}
