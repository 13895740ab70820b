"""A connection as clients meet it: lookups beside other requests, in turn and at once, and heads without end."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import uvicorn

from billing.api import front
from billing.api.app import application
from billing.api.front import Front
from tests.apis import READ, Site, make_site
from tests.command import event

_T = TypeVar("_T")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Bill a few events."""
    site = make_site(tmp_path_factory.mktemp("front"), [event(number) for number in range(10)])
    site.bill()
    return site


def played(site: Site, scenario: Callable[[int, list[str]], Awaitable[_T]]) -> tuple[_T, list[str]]:
    """Play against a server of this process, given its port; return also the paths that reached the framework."""

    async def play() -> tuple[_T, list[str]]:
        passed_on: list[str] = []
        app = application(site.found)
        framework = app.app

        async def counting(scope, receive, send) -> None:
            if scope["type"] == "http":
                passed_on.append(scope["path"])
            await framework(scope, receive, send)

        app.app = counting
        with socket.create_server(("127.0.0.1", 0)) as address:
            server = uvicorn.Server(
                uvicorn.Config(app, interface="asgi3", http=Front, ws="none", proxy_headers=False, log_config=None)
            )
            serving = asyncio.create_task(server._serve([address]))  # noqa: SLF001 - without taking signals
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            found = await scenario(address.getsockname()[1], passed_on)
            server.should_exit = True
            await serving
        return found, passed_on

    return asyncio.run(play())


def asking(path: str, key: str, *more: str, version: str = "1.1") -> bytes:
    """Return a request's head."""
    lines = [f"GET {path} HTTP/{version}", "host: a", f"authorization: Bearer {key}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one answer."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


def accounts_of(answers: list[tuple[int, dict[str, str], bytes]]) -> list[str]:
    return [json.loads(body).get("account", "") for _, _, body in answers]


def test_requests_sent_at_once_are_answered_in_their_order(site: Site) -> None:
    """A client would take one account's balance for another's."""
    key = site.key(READ, accounts=["*"])
    of_accounts = "1/balance", "2/usage?every=month", "3/balance", "4/balance"
    paths = [*(f"/v1/accounts/account-{one}" for one in of_accounts), "/healthz"]

    async def scenario(port: int, _: list[str]) -> list[tuple[int, dict[str, str], bytes]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(asking(path, key) for path in paths))
        found = [await answered(reader) for _ in paths]
        writer.close()
        return found

    answers, passed_on = played(site, scenario)
    assert [status for status, *_ in answers] == [200] * 5
    assert accounts_of(answers) == ["account-1", "account-2", "account-3", "account-4", ""]
    assert passed_on == ["/v1/accounts/account-2/usage", "/healthz"]


def test_a_body_is_never_taken_for_a_request(site: Site) -> None:
    """Whoever writes through a proxy could ask with somebody else's key."""
    key = site.key(READ, accounts=["*"])
    hidden = asking("/v1/accounts/account-1/balance", key)

    async def scenario(port: int, _: list[str]) -> list[tuple[int, dict[str, str], bytes]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/balances HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n"
        writer.write(f"{head}content-length: {len(hidden)}\r\n\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(hidden)  # in a packet of its own
        writer.write(asking("/v1/accounts/account-2/balance", key, f"content-length: {len(hidden)}") + hidden)
        writer.write(asking("/v1/accounts/account-3/balance", key))
        found = [await answered(reader) for _ in range(3)]
        writer.close()
        return found

    answers, passed_on = played(site, scenario)
    assert [status for status, *_ in answers] == [400, 200, 200]
    assert accounts_of(answers) == ["", "account-2", "account-3"]
    assert passed_on == ["/v1/balances"]


@pytest.mark.parametrize(("more", "version"), [((), "1.0"), (("connection: close",), "1.1")])
def test_a_connection_ends_where_the_client_wants_it(site: Site, more: tuple[str, ...], version: str) -> None:
    """An old client would wait for the end of the answer for ever."""
    key = site.key(READ, accounts=["*"])

    async def scenario(port: int, _: list[str]) -> tuple[tuple[int, dict[str, str], bytes], bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asking("/v1/accounts/account-1/balance", key, *more, version=version))
        found = await answered(reader), await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return found

    ((status, headers, body), rest), passed_on = played(site, scenario)
    assert (status, headers["connection"], rest, passed_on) == (200, "close", b"", [])
    assert {"date", "etag", "billing-position", "x-content-type-options"} <= {*headers}
    assert json.loads(body)["account"] == "account-1"


def test_a_client_that_goes_away_leaves(site: Site) -> None:
    """Clients that do not wait would use up the places of those that do."""
    key = site.key(READ, accounts=["*"])

    async def scenario(port: int, _: list[str]) -> int:
        for _ in range(site.found.settings.api.limits.key_requests_max + 10):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asking("/v1/accounts/account-1/balance", key))
            await writer.drain()
            writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asking("/v1/accounts/account-1/balance", key))
        status, _, _ = await answered(reader)
        writer.close()
        return status

    status, _ = played(site, scenario)
    assert status == 200


def test_a_shard_that_is_away_is_told_on_the_same_connection(site: Site) -> None:
    """Callers would be cut off, or wait for ever, where one shard is down."""
    key = site.key(READ, accounts=["*"])
    files = [Path(one.writer.path) for one in site.found.settings.shards]

    async def scenario(port: int, _: list[str]) -> list[tuple[int, dict[str, str], bytes]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for one in files:
            one.rename(one.with_suffix(".away"))
        try:
            writer.write(asking("/v1/accounts/account-3/balance", key))
            found = [await answered(reader)]
        finally:
            for one in files:
                one.with_suffix(".away").rename(one)
        await asyncio.sleep(1.1)  # as long as an endpoint that did not answer is left alone
        writer.write(asking("/v1/accounts/account-3/balance", key))
        found.append(await answered(reader))
        writer.close()
        return found

    answers, passed_on = played(site, scenario)
    assert [status for status, *_ in answers] == [503, 200]
    assert passed_on == ["/v1/accounts/account-3/balance"]


def test_heads_have_so_much_time_and_room(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody with a few connections could fill the memory, or hold them for ever."""
    monkeypatch.setattr(front, "HEAD_SECONDS", 0.3)
    key = site.key(READ, accounts=["*"])

    async def scenario(port: int, _: list[str]) -> list[bytes]:
        silent, _silent = await asyncio.open_connection("127.0.0.1", port)
        slow, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asking("/v1/accounts/account-1/balance", key))
        await answered(slow)
        large, endless = await asyncio.open_connection("127.0.0.1", port)
        endless.write(b"GET / HTTP/1.1\r\nx: ")
        for letter in b"GET ":  # never the whole
            writer.write(bytes([letter]))
            endless.write(b"x" * (front.HEAD_BYTES_MAX // 3))
            await asyncio.sleep(0.02)
        found = [await asyncio.wait_for(one.read(), 5) for one in (silent, slow, large)]
        for one in (_silent, writer, endless):
            one.close()
        return found

    (silent, slow, large), _ = played(site, scenario)
    assert (silent, slow) == (b"", b"")
    assert large.startswith(b"HTTP/1.1 431 ")
