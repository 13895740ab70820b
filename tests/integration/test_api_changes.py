"""What the API does while the world changes under it: newer books, shards that lag, sums that differ, operators."""

import asyncio
import json
import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from billing.cli import app
from tests.apis import OPERATOR, READ, Site, make_site, problem, shown
from tests.command import billing, event, write_book

GRANT = {"kind": "grant", "amount": "1", "currency": "USD"}
PRICES = {"sms": "0.0079"}
MAP = """version: 1
shards: [shard-0, shard-1]
ranges: [{start: 0, stop: 32768, shard: shard-0}, {start: 32768, stop: 65536, shard: shard-1}]
spreads: {wide: {by: event, ways: 8}}
"""


def append(path: Path, *lines: str) -> None:
    """Add lines to a file."""
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_an_account_whose_sums_differ_is_told_with_a_problem(tmp_path: Path) -> None:
    """A damaged sum would be shown as a balance, or take the answers of all other accounts away."""
    credit = {"id": "g", "account": "account-3", "time": "2026-01-01T00:00:00Z", "type": "credit", "credit": GRANT}
    site = make_site(tmp_path, [*map(event, range(20)), credit], "", PRICES)
    site.bill()
    for shard in tmp_path.glob("shard-*.db"):
        with sqlite3.connect(shard) as file:
            file.execute("UPDATE rollups SET amount = '9.000000000000' WHERE account = 'account-3'")
        file.close()
    key = site.key(READ, accounts=["*"])
    told = problem(site.get("/v1/accounts/account-3/balance", key))
    assert (told["status"], told["title"]) == (503, "Service Unavailable")
    assert "differ; run billing audit" in told["detail"]
    many = site.serve(
        lambda client: client.post("/v1/balances", json={"accounts": ["account-3", "account-4"]}, headers=shown(key))
    )
    assert many.status_code == 207
    assert [(one["account"], one["status"]) for one in many.json()["errors"]] == [("account-3", 503)]
    assert [one["account"] for one in many.json()["balances"]] == ["account-4"]
    lines = site.get("/v1/accounts/account-3/transactions", key).raise_for_status().json()["transactions"]
    assert [(one["event"], one["attributes"].get("priority")) for one in lines] == [
        ("g", "50"), ("event-3", None), ("event-13", None),
    ]  # fmt: skip
    made = site.get("/v1/accounts/account-3/charged", key).raise_for_status().json()["charged"]
    assert [(one["rule"], one["lines"]) for one in made] == [("rule-sms", 2)], "a credit is no charge"


def test_a_newer_book_is_read_once_shards_were_written_with_it(tmp_path: Path) -> None:
    """Operators would be shown the rules of yesterday, and explanations name none, until somebody restarts the API."""
    site = make_site(tmp_path, [*map(event, range(10))], "", PRICES)
    site.bill()
    key = site.key(READ, OPERATOR, accounts=["*"])

    async def play(client: httpx.AsyncClient) -> None:
        async def get(path: str) -> dict[str, object]:
            return (await client.get(path, headers=shown(key))).raise_for_status().json()

        assert (await get("/v1/book"))["version"] == 1
        write_book(tmp_path, {"fax": "0.5", **PRICES}, version=2)
        append(tmp_path / "events.jsonl", json.dumps(event(77, product="fax")))
        assert (await asyncio.to_thread(lambda: billing("run", "--until-end", folder=tmp_path))).code == 0
        assert (await get("/v1/accounts/account-7/balance?consistency=strong"))["book_version"] == 2
        async with asyncio.timeout(60):
            while (await get("/v1/book"))["version"] != 2:  # noqa: ASYNC110 - what is waited for is another task's
                await asyncio.sleep(0.05)
        explained = await get("/v1/accounts/account-7/transactions/event-77/explain")
        assert [(one["rule"]["id"], one["same_book"]) for one in explained["lines"]] == [("rule-fax", True)]

    site.serve(play)


@pytest.fixture
def lagging(tmp_path: Path) -> tuple[Site, str]:
    """Bill sixty events of an account on both shards, of which the second has half."""
    site = make_site(tmp_path, [event(n, account="wide") for n in range(30)], "wait_ms_max = 60000", PRICES)
    (tmp_path / "map.yaml").write_text(MAP)
    append(tmp_path / "billing.toml", '\n[sharding]\nmap = "map.yaml"')
    site.bill()
    for name in tmp_path.glob("shard-1.db*"):
        shutil.copy(name, tmp_path / f"old-{name.name}")
    append(tmp_path / "events.jsonl", *(json.dumps(event(n, account="wide")) for n in range(30, 60)))
    site.bill()
    for name in tmp_path.glob("shard-1.db*"):
        name.unlink()
    for name in tmp_path.glob("old-*"):
        name.rename(tmp_path / name.name.removeprefix("old-"))
    return site, site.key(READ, accounts=["*"])


def test_of_many_accounts_one_on_lagging_shards_is_told_from_one_position(lagging: tuple[Site, str]) -> None:
    """A list of customers would show a sum of one shard's today and another's yesterday as if it were a balance."""
    site, key = lagging

    async def play(client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        def ask(query: str) -> asyncio.Task[httpx.Response]:
            body = {"accounts": ["wide", "nobody"]}
            return asyncio.create_task(client.post(f"/v1/balances{query}", json=body, headers=shown(key), timeout=90))

        loose = await ask("")
        strong = ask("?consistency=strong&wait_ms=60000")
        done = await asyncio.to_thread(lambda: billing("run", "--until-end", folder=site.folder))
        assert done.code == 0
        return loose, await strong

    loose, strong = (one.raise_for_status().json() for one in site.serve(play))
    assert loose["consistent"] is False
    assert "consistent" not in strong, "which is told only where it is not so"
    amounts = [[Decimal(one["balances"][0]["amount"]) for one in answer["balances"]] for answer in (loose, strong)]
    assert amounts[1] == [60 * Decimal("0.0079"), 0]
    assert amounts[0][0] < amounts[1][0]


def test_what_operators_do_is_recorded_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could tell afterwards which operator has looked at a customer's account."""
    site = make_site(tmp_path, [*map(event, range(10))], "", PRICES)
    operator, own = site.key(OPERATOR), site.key(READ, OPERATOR, accounts=["account-1"])
    plain = site.key(READ, accounts=["*"])

    async def play(client: httpx.AsyncClient) -> None:
        for key in (operator, own, plain):
            for path in ("/v1/shards", "/v1/shards", "/v1/accounts/account-1/balance"):
                await client.get(path, headers=shown(key))
            await client.post("/v1/balances", json={"accounts": ["account-1"]}, headers=shown(key))

    site.serve(play)
    lines = [json.loads(line) for line in (tmp_path / "operators.jsonl").read_text().splitlines()]
    ids = {operator.split("_")[1]: "operator", own.split("_")[1]: "own"}
    assert [(ids[one["who"]], one["did"]) for one in lines] == [
        ("operator", "GET /v1/shards"), ("operator", "GET /v1/accounts/account-1/balance"),
        ("operator", "POST /v1/balances"), ("own", "GET /v1/shards"),
    ]  # fmt: skip
    assert all(one["at"].endswith("Z") for one in lines)
    assert (tmp_path / "operators.jsonl").stat().st_mode & 0o077 == 0
    capsys.readouterr()
    app(["keys", "log", "--operators", "-c", str(tmp_path / "billing.toml")], exit_on_error=False,
        print_error=False, result_action="return_value")  # fmt: skip
    printed = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert printed == [[one["at"], one["who"], one["did"]] for one in lines]


def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    """An operator could fill the disk first, and then look at whatever he likes."""
    site = make_site(tmp_path, [], "", PRICES)
    (tmp_path / "operators.jsonl").mkdir()
    operator, plain = site.key(OPERATOR), site.key(READ, accounts=["a"])
    for path in ("/v1/shards", "/v1/load", "/v1/accounts/a/balance"):
        refused = problem(site.get(path, operator))
        assert (refused["status"], refused["detail"]) == (
            503, "operators' actions cannot be recorded now, so none is done",
        )  # fmt: skip
    assert site.get("/v1/accounts/a/balance", plain).status_code == 200
