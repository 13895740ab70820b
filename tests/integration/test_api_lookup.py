"""The lookup answers as the framework's route does, and answers nothing that it must not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from litestar.testing import AsyncTestClient

from billing.api.app import application
from tests.apis import OPERATOR, READ, WRITE, Site, make_site, problem, shown
from tests.command import billing, event
from tests.pipeline import credit

LONG_WAY = "?consistency=bounded"  # the default, written out: only the framework reads questions with parameters
SLASHED = "a/b%c"
RICH = "rich"  # whose answer is long enough to be compressed
CREDITS = 12


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Bill a few events, one account with a slash in its name and one with many credits among them."""
    events = [event(number) for number in range(20)] + [event(20, account=SLASHED)]
    terms = {"currency": "USD", "amount": "5", "kind": "payment"}
    payments = [credit(f"c{number}", terms, RICH) for number in range(CREDITS)]
    site = make_site(tmp_path_factory.mktemp("lookup"), [*events, *payments])
    site.bill()
    return site


class Counting:
    """An application before another one, which counts the requests that reach it."""

    def __init__(self, framework: Callable[..., Awaitable[Any]]) -> None:
        self._framework = framework
        self.requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Count, and pass on."""
        self.requests += scope["type"] == "http"
        await self._framework(scope, receive, send)


def asked(site: Site, path: str, headers: dict[str, str]) -> tuple[httpx.Response, int]:
    """Ask once; return the answer, and how many requests reached the framework."""

    async def play() -> tuple[httpx.Response, int]:
        app = application(site.found, load=lambda: site.found)
        app.app = framework = Counting(app.app)
        async with AsyncTestClient(app) as client:
            return await client.get(path, headers=headers), framework.requests

    return asyncio.run(play())


def comparable(response: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """Return what two answers to one question have in common: all but how old each says that it is."""
    headers = {name: value for name, value in response.headers.items() if name not in ("date", "content-length")}
    body = response.json() if response.content else None
    for one in (body or {}).get("as_of", ()):
        assert one.pop("lag_seconds") >= 0
    return response.status_code, headers, body


@pytest.mark.parametrize("account", ["account-3", "never-charged", SLASHED])
@pytest.mark.parametrize("encoding", ["identity", "gzip, zstd"])
def test_an_own_account_is_answered_without_the_framework_and_alike(site: Site, account: str, encoding: str) -> None:
    """The shortest way would tell another balance, or lack headers that callers and browsers rely on."""
    headers = shown(site.key(READ, accounts=["*"])) | {"accept-encoding": encoding}
    path = f"/v1/accounts/{quote(account, safe='')}/balance"
    (short, passed_on), (long, _) = asked(site, path, headers), asked(site, path + LONG_WAY, headers)
    assert passed_on == 0
    assert comparable(short) == comparable(long)
    assert short.status_code == 200
    assert int(short.headers["content-length"]) == len(short.content)
    known = headers | {"if-none-match": f'W/"x", {long.headers["etag"]}'}
    (short, passed_on), (long, _) = asked(site, path, known), asked(site, path + LONG_WAY, known)
    assert (short.status_code, short.content, passed_on) == (304, b"", 0)
    assert comparable(short) == comparable(long)


@pytest.mark.parametrize(("accepted", "encoding"), [("gzip, deflate", "gzip"), ("gzip, zstd", "zstd")])
def test_a_long_answer_is_compressed(site: Site, accepted: str, encoding: str) -> None:
    """Accounts with many credits would cost a phone more than they must."""
    headers = shown(site.key(READ, accounts=[RICH])) | {"accept-encoding": accepted}
    path = f"/v1/accounts/{RICH}/balance"
    (short, passed_on), (long, _) = asked(site, path, headers), asked(site, path + LONG_WAY, headers)
    assert (short.headers["content-encoding"], passed_on) == (encoding, 0)
    assert comparable(short) == comparable(long)
    assert len(short.json()["credits"]) == CREDITS


def test_what_is_not_the_callers_own_is_the_frameworks(site: Site) -> None:
    """A key would open other accounts on the shortest way, or an operator's look would not be recorded."""
    path = "/v1/accounts/account-3/balance"
    for key, status in (
        (None, 401),
        (site.key(READ, accounts=["account-4", "b*"]), 404),
        (site.key(WRITE, accounts=["*"]), 403),
        (site.key(READ, accounts=["*"], lasting_us=-1), 401),
        (site.key(OPERATOR), 200),
    ):
        answer, passed_on = asked(site, path, shown(key))
        assert (answer.status_code, passed_on) == (status, 1)
    assert "account-3" in (site.folder / "operators.jsonl").read_text().splitlines()[-1]


def test_a_shard_that_is_away_is_told_by_the_framework(site: Site) -> None:
    """Callers would be told of a defect where one shard is down."""
    key = site.key(READ, accounts=["*"])
    files = [Path(one.writer.path) for one in site.found.settings.shards]
    for one in files:
        one.rename(one.with_suffix(".away"))
    try:
        answer, _ = asked(site, "/v1/accounts/account-3/balance", shown(key))
    finally:
        for one in files:
            one.with_suffix(".away").rename(one)
    assert problem(answer)["shard"]
    assert answer.status_code == 503


def served_twice(site: Site, path: str, key: Callable[[], str], between: Callable[[], Awaitable[None]]) -> list[Any]:
    """Ask one running application the same before and after something; return the answers, and what passed it.

    key: makes the key, once the application runs.
    """

    async def play() -> list[Any]:
        app = application(site.found, load=lambda: site.found)
        app.app = framework = Counting(app.app)
        async with AsyncTestClient(app) as client:
            headers = shown(key())
            first = [await client.get(path, headers=headers) for _ in range(2)][1]
            await between()
            return [first, await client.get(path, headers=headers), framework.requests]

    return asyncio.run(play())


def test_what_was_written_of_a_balance_is_not_told_after_it_changed(site: Site) -> None:
    """A balance would stay as it was looked up first, with a tag that says that nothing happened."""

    def key() -> str:
        return site.key(READ, accounts=["account-5"])

    async def bill_more() -> None:
        with (site.folder / "events.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(event(900, account="account-5")) + b"\n")
        await asyncio.to_thread(billing, "run", "--until-end", folder=site.folder)

    before, after, passed_on = served_twice(site, "/v1/accounts/account-5/balance", key, bill_more)
    assert passed_on == 0
    events = [answer.json()["balances"][0]["events"] for answer in (before, after)]
    assert events[1] == events[0] + 1
    assert before.headers["etag"] != after.headers["etag"]
    assert before.headers["billing-position"] != after.headers["billing-position"]


@pytest.mark.parametrize("end", ["revoked", "expired", "gone"])
def test_a_key_that_was_let_in_is_not_let_in_after_its_end(site: Site, end: str) -> None:
    """A key that was stolen would open accounts for as long as the server runs."""
    keys = site.found.settings.api.keys
    made: list[str] = []

    def key() -> str:
        made.append(site.key(READ, accounts=["*"], lasting_us=1_500_000 if end == "expired" else None))
        return made[0]

    async def end_it() -> None:
        if end == "revoked":
            assert site.keys.revoke(made[0].split("_")[1], "test", time.time_ns() // 1_000)
        elif end == "gone":
            keys.rename(keys.with_suffix(".away"))
        await asyncio.sleep(1.5 if end == "expired" else 0.02)  # the file is looked at every 5 ms

    try:
        before, after, passed_on = served_twice(site, "/v1/accounts/account-3/balance", key, end_it)
    finally:
        if end == "gone":
            keys.with_suffix(".away").rename(keys)
    assert [before.status_code, after.status_code, passed_on] == [200, 401, 1]


def test_lookups_count_as_requests_do(tmp_path: Path) -> None:
    """The shortest way would let in more of one key than it may ask."""
    site = make_site(tmp_path, [event(1)], "key_requests_per_second = 1")
    site.bill()
    headers = shown(site.key(READ, accounts=["*"]))

    async def scenario(client: httpx.AsyncClient) -> list[int]:
        return [(await client.get("/v1/accounts/account-1/balance", headers=headers)).status_code for _ in range(3)]

    assert site.serve(scenario) == [200, 429, 429]
