"""What the API answers: reads with their freshness, publishing, errors, and its own description."""

import asyncio
import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import httpx
import jsonschema
import pytest

from billing.api.examples import ANSWERS
from tests.apis import OPERATOR, READ, WRITE, Site, make_site, problem, shown
from tests.command import billing, event

EVENTS = 300
ACCOUNT = "account-3"
OF_ACCOUNT = "/v1/accounts/account-3"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Bill 300 events of ten accounts, one an hour, every third of them voice."""
    events = []
    for number in range(EVENTS):
        day, hour = divmod(number // 10, 24)
        changed = {"time": f"2026-01-{day + 1:02}T{hour:02}:30:00Z", "product": "voice" if number % 30 < 10 else "sms"}
        events.append(event(number, **changed))
    site = make_site(tmp_path_factory.mktemp("api"), events, "page_rows_max = 50\nbalances_accounts_max = 20")
    site.bill()
    return site


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    """Give a key for everything."""
    return site.key(READ, WRITE, OPERATOR, accounts=["*"])


def test_a_balance_has_a_tag_that_lasts_as_long_as_the_balance(site: Site, key: str) -> None:
    """A page that polls would load the same balance again and again, or keep an old one."""
    first = site.get(f"{OF_ACCOUNT}/balance", key)
    (found,) = first.json()["balances"]
    assert (found["currency"], found["charged"], found["due"], found["events"]) == ("USD",) + (
        "0.258000000000",
    ) * 2 + (30,)
    assert first.headers["billing-position"] == f"0:{(site.folder / 'events.jsonl').stat().st_size}"
    again = site.get(f"{OF_ACCOUNT}/balance", key, **{"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["billing-position"] == first.headers["billing-position"]
    other = site.get(f"{OF_ACCOUNT}/balance", key, **{"if-none-match": 'W/"0"'})
    assert other.status_code == 200


def test_balances_of_many_accounts_are_those_of_each(site: Site, key: str) -> None:
    """A customer list would show other balances than the customers' own pages."""
    names = [f"account-{number}" for number in range(10)] + ["nobody"]

    async def play(client: httpx.AsyncClient) -> None:
        many = await client.post("/v1/balances", json={"accounts": names}, headers=shown(key))
        assert many.status_code == 200
        assert [one["account"] for one in many.json()["balances"]] == names
        for one in many.json()["balances"]:
            single = await client.get(f"/v1/accounts/{one['account']}/balance", headers=shown(key))
            assert single.json()["balances"] == one["balances"]
        most = await client.post("/v1/balances", json={"accounts": ["a"] * 21}, headers=shown(key))
        assert problem(most)["detail"] == "accounts: 21 are too many; write at most 20"

    site.serve(play)


def test_usage_adds_up_however_it_is_cut(site: Site, key: str) -> None:
    """A chart by day would show another total than the one by hour."""
    span = "from=2026-01-01&to=2026-01-03"
    answers = {
        query: site.get(f"{OF_ACCOUNT}/usage?{span}&{query}", key).json()
        for query in ("every=hour", "every=day", "every=month", "every=day&by=country", "rollup=hourly&by=product",
                      "every=hour&fill=true", "rollup=daily-country&every=month")
    }  # fmt: skip
    for query, answer in answers.items():
        assert answer["total"] == {"events": 30, "quantity": "30.000000000000", "amount": "0.258000000000"}, query
        assert sum(Decimal(one["amount"]) for one in answer["usage"]) == Decimal("0.258")
    assert len(answers["every=hour"]["usage"]) == 30
    assert [one["bucket"] for one in answers["every=day"]["usage"]] == ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    assert answers["every=day"]["usage"][0]["dims"] == {}
    assert answers["every=day&by=country"]["usage"][0]["dims"] == {"country": "US"}
    assert answers["every=day"]["rollup"] == "daily-country", "the coarsest that fits is read"
    filled = answers["every=hour&fill=true"]["usage"]
    assert len(filled) == 48
    assert filled[-1] == {"bucket": "2026-01-02T23:00:00Z", "dims": {}, "events": 0, "quantity": "0.000000000000",
                          "amount": "0.000000000000"}  # fmt: skip
    by_product = answers["rollup=hourly&by=product"]["usage"]
    assert {one["dims"]["product"] for one in by_product} == {"sms", "voice"}


def test_pages_hold_every_line_once_newest_day_first(site: Site, key: str) -> None:
    """A statement read page by page would miss a charge or show one twice."""

    async def play(client: httpx.AsyncClient) -> list[dict[str, object]]:
        lines: list[dict[str, object]] = []
        cursor = ""
        while True:
            page = (await client.get(f"{OF_ACCOUNT}/transactions?limit=7{cursor}", headers=shown(key))).json()
            lines += page["transactions"]
            if page["next"] is None:
                return lines
            assert len(page["transactions"]) == 7
            cursor = f"&cursor={page['next']}"

    lines = site.serve(play)
    assert sorted(one["event"] for one in lines) == sorted(f"event-{number}" for number in range(3, EVENTS, 10))
    assert [one["day"] for one in lines] == sorted((one["day"] for one in lines), reverse=True)
    assert sum(Decimal(str(one["amount"])) for one in lines) == Decimal("0.258")


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ("product=voice", 10),
        ("rule=rule-sms", 20),
        ("event=event-13", 1),
        ("event=event-14", 0),
        ("from=2026-01-02", 6),
        ("from=2026-01-01T10:00:00Z&to=2026-01-01T12:00:00Z", 2),
        ("to=2026-01-01T00:30:00Z", 0),
        ("origin=reseller&event=event-13", 0),
    ],
)
def test_filters_leave_what_was_asked_for(site: Site, key: str, query: str, events: int) -> None:
    """A dispute about one product or one day would be answered with other lines."""
    answer = site.get(f"{OF_ACCOUNT}/transactions?limit=50&{query}", key).json()
    assert len(answer["transactions"]) == events


def test_lines_as_csv_are_those_of_json(site: Site, key: str) -> None:
    """A spreadsheet would be given other charges than the page shows."""
    said = site.get(f"{OF_ACCOUNT}/transactions?limit=5", key).json()
    table = site.get(f"{OF_ACCOUNT}/transactions?limit=5&format=csv", key)
    assert table.headers["content-type"].startswith("text/csv")
    assert said["next"] in table.headers["link"]
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["event"] for row in rows] == [one["event"] for one in said["transactions"]]
    assert [row["amount"] for row in rows] == [one["amount"] for one in said["transactions"]]


def test_a_charge_is_explained_by_its_lines_and_rules(site: Site, key: str) -> None:
    """Nobody could answer "why this charge"."""
    answer = site.get(f"{OF_ACCOUNT}/transactions/event-13/explain", key).json()
    (line,) = answer["lines"]
    assert (line["line"]["rule"], line["line"]["amount"], answer["total"]) == ("rule-sms",) + ("0.007900000000",) * 2
    assert line["rule"]["when"] == {"product": '"sms"'}
    assert line["same_book"] is True
    assert problem(site.get(f"{OF_ACCOUNT}/transactions/event-14/explain", key))["status"] == 404


def test_an_event_is_explained_before_it_is_sent(site: Site, key: str) -> None:
    """A producer could not ask what an event would cost."""

    async def play(client: httpx.AsyncClient) -> None:
        asked = await client.post(f"{OF_ACCOUNT}/explain", json=event(3), headers=shown(key))
        assert asked.json()["groups"][0]["winner"] == "rule-sms"
        assert asked.json()["rows"]["balances"][0]["amount"] == "0.0079"
        other = await client.post(f"{OF_ACCOUNT}/explain", json=event(4), headers=shown(key))
        assert problem(other)["status"] == 404
        none = await client.post(f"{OF_ACCOUNT}/explain", content=b"{", headers=shown(key))
        assert problem(none)["status"] == 400

    site.serve(play)


def test_operators_see_book_and_shards(site: Site, key: str) -> None:
    """Nobody could tell from afar which book is in force, or which shard lags."""
    book, shards = (site.get(f"/v1/{what}", key).json() for what in ("book", "shards"))
    assert (book["name"], book["version"], book["rules_total"]) == ("test", 1, 2)
    assert [one["shard"] for one in shards["shards"]] == ["shard-0", "shard-1"]
    assert sum(one["accepted"] for one in shards["shards"]) == EVENTS
    assert {one["behind"] for one in shards["shards"]} == {0}
    (site.folder / "shard-1.db").rename(site.folder / "away.db")
    try:
        down = site.get("/v1/shards", key).json()["shards"]
    finally:
        (site.folder / "away.db").rename(site.folder / "shard-1.db")
    assert [one["answers"] for one in down] == [True, False]


def test_a_shard_that_is_down_concerns_its_accounts_only(site: Site, key: str) -> None:
    """One database's outage would take every customer's balance away."""
    names = [f"account-{number}" for number in range(10)]
    (site.folder / "shard-0.db").rename(site.folder / "away.db")

    async def play(client: httpx.AsyncClient) -> httpx.Response:
        for name in names:
            single = await client.get(f"/v1/accounts/{name}/balance", headers=shown(key))
            assert single.status_code in (200, 503)
            if single.status_code == 503:
                assert problem(single)["shard"] == "shard-0"
                assert single.headers["retry-after"] == "5"
                assert str(site.folder) not in single.text
        return await client.post("/v1/balances", json={"accounts": names}, headers=shown(key))

    try:
        many = site.serve(play)
    finally:
        (site.folder / "away.db").rename(site.folder / "shard-0.db")
    assert many.status_code == 207
    told, errors = (many.json()[part] for part in ("balances", "errors"))
    assert {one["account"] for one in (*told, *errors)} == {*names}
    assert told
    assert {one["status"] for one in errors} == {503}


def test_what_was_acknowledged_is_read_when_its_position_is_waited_for(tmp_path: Path) -> None:
    """A caller would not see what he has just published, and publish it again."""
    site = make_site(tmp_path, [event(0)])
    key = site.key(READ, WRITE, accounts=["acme"])

    def sent(number: int) -> dict[str, object]:
        return event(number, account="acme")

    def wrapped(number: int) -> dict[str, object]:
        plain = sent(number)
        head = {"specversion": "1.0", "id": plain.pop("id"), "time": plain.pop("time"), "source": "test"}
        return {**head, "type": "usage", "data": plain}

    async def play(client: httpx.AsyncClient) -> None:
        body = [sent(1), wrapped(2), sent(1), {**sent(3), "time": "yesterday"}, event(4, account="globex"), 7]
        answer = await client.post("/v1/events", content=json.dumps(body, indent=1), headers=shown(key))
        assert answer.status_code == 207
        said = answer.json()
        assert said["accepted"] == 3
        assert [(one["index"], one["status"]) for one in said["errors"]] == [(3, 422), (4, 404), (5, 422)]
        early = await client.get(f"/v1/accounts/acme/balance?wait_ms=20&min_position={said['min_position']}",
                                 headers=shown(key))  # fmt: skip
        assert problem(early)["status"] == 503
        waiting = asyncio.create_task(
            client.get(
                f"/v1/accounts/acme/balance?wait_ms=5000&consistency=strong&min_position={said['min_position']}",
                headers=shown(key),
            )
        )
        done = await asyncio.to_thread(lambda: billing("run", "--until-end", folder=tmp_path))
        assert done.code == 0, done
        found = await waiting
        if found.status_code == 503:  # a slow machine bills for longer than one may wait
            found = await client.get(f"/v1/accounts/acme/balance?min_position={said['min_position']}",
                                     headers=shown(key))  # fmt: skip
        (balance,) = found.json()["balances"]
        assert (balance["amount"], balance["events"]) == ("0.015800000000", 2)

    site.serve(play)


def test_a_single_event_is_taken_or_refused_with_its_reason(tmp_path: Path) -> None:
    """A producer of single events would have to look into a list to learn that one was refused."""
    site = make_site(tmp_path, [])
    key = site.key(WRITE, accounts=["acme"])
    cases = [
        (json.dumps(event(1, account="acme")), 202, ""),
        (json.dumps(event(1, account="acme", quantity=-1)), 422, "bad_field: quantity"),
        (json.dumps(event(1, account="globex")), 404, "unknown_account"),
        ("", 400, "the body is not JSON"),
        ("[1", 400, "the body is not JSON"),
        ("7", 422, "undecodable"),
        ("[]", 202, ""),
        ("[" * 100_000, 400, "the body is not JSON"),
        ('{"id": "a\nb"}', 400, "the body is not JSON"),
        ("[" + ",".join(["1"] * 10_001) + "]", 400, "10,001 events; write at most 10,000"),
    ]

    async def play(client: httpx.AsyncClient) -> None:
        for body, status, detail in cases:
            answer = await client.post("/v1/events", content=body, headers=shown(key))
            assert answer.status_code == status, (body[:50], answer.text)
            if status >= 400:
                assert problem(answer)["detail"].startswith(detail)

    site.serve(play)
    assert len((tmp_path / "events.jsonl").read_bytes().splitlines()) == 1


def test_nothing_is_acknowledged_that_the_log_does_not_have(tmp_path: Path) -> None:
    """A producer would forget an event that nobody has."""
    site = make_site(tmp_path, [])
    key = site.key(WRITE, accounts=["*"])
    (tmp_path / "events.jsonl").unlink()

    async def play(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/v1/events", json=[event(1)], headers=shown(key))

    answer = site.serve(play)
    assert problem(answer)["status"] == 503
    assert "retry-after" in answer.headers
    (tmp_path / "billing.toml").write_text(
        (tmp_path / "billing.toml").read_text().replace('kind = "file"\npath = "events.jsonl"',
                                                        'kind = "generator"\nmodel = "skewed"\nevents = 5')
    )  # fmt: skip
    assert problem(site.serve(play))["status"] == 501


HOSTILE = [
    ("GET", f"{OF_ACCOUNT}/usage?from=2026-02-01&to=2026-01-01", 400),
    ("GET", f"{OF_ACCOUNT}/usage?every=hour&from=1970-01-01&to=2100-01-01", 400),
    ("GET", f"{OF_ACCOUNT}/usage?every=month&from=1970-01-01&to=2026-01-01&fill=true", 400),
    ("GET", f"{OF_ACCOUNT}/usage?from=9999-99-99", 400),
    ("GET", f"{OF_ACCOUNT}/usage?from=0001-01-01", 400),
    ("GET", f"{OF_ACCOUNT}/usage?rollup=nope", 400),
    ("GET", f"{OF_ACCOUNT}/usage?rollup=daily-country&every=hour", 400),
    ("GET", f"{OF_ACCOUNT}/usage?by=nope", 400),
    ("GET", f"{OF_ACCOUNT}/usage?every=week", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?limit=0", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?limit=51", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?limit=999999999999999999999", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?cursor=!", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?cursor=WzFd", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?cursor={'A' * 401}", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?origin=acme", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?product=%27%20OR%201%3D1--", 400),
    ("GET", f"{OF_ACCOUNT}/transactions?format=xml", 400),
    ("GET", f"{OF_ACCOUNT}/transactions/%00/explain", 400),
    ("GET", "/v1/accounts/%00/balance", 400),
    ("GET", "/v1/accounts/%F0%9F%98%80/balance", 400),
    ("GET", f"/v1/accounts/{'a' * 65}/balance", 400),
    ("GET", "/v1/accounts/%ZZ%/balance", 200),  # a percent sign is visible ASCII
    ("GET", "/v1/accounts//balance", 404),
    ("GET", f"{OF_ACCOUNT}/balance?consistency=weak", 400),
    ("GET", f"{OF_ACCOUNT}/balance?min_position=nonsense", 400),
    ("GET", f"{OF_ACCOUNT}/balance?min_position=0:{10**30}", 400),
    ("GET", f"{OF_ACCOUNT}/balance?wait_ms=-1", 400),
    ("GET", f"{OF_ACCOUNT}/balance?wait_ms=1e9", 400),
    ("GET", f"{OF_ACCOUNT}/balance?min_position=9:1&wait_ms=0", 503),
    ("DELETE", f"{OF_ACCOUNT}/balance", 405),
    ("GET", "/v1/events", 405),
    ("GET", "/../../etc/passwd", 404),
    ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
    ("POST", "/v1/balances", 400),
]


def test_hostile_questions_are_answered_with_problems(site: Site, key: str) -> None:
    """A mistyped or malicious request would end in a defect, or be answered as if it were a good one."""

    async def play(client: httpx.AsyncClient) -> None:
        for method, path, status in HOSTILE:
            answer = await client.request(method, path, headers=shown(key))
            assert answer.status_code == status, (method, path, answer.text)
            if status >= 400:
                problem(answer)
        for body in (b"", b"[]", b"{}", b'{"accounts": []}', b'{"accounts": [1]}', b'{"accounts": ["a b"]}', b"\xff"):
            answer = await client.post("/v1/balances", content=body, headers=shown(key))
            assert problem(answer)["status"] == 400, body

    site.serve(play)


def test_too_much_at_once_is_refused_quickly_and_the_rest_answered(tmp_path: Path) -> None:
    """One caller's loop would make every other caller wait."""
    site = make_site(tmp_path, [], "key_requests_max = 2\nkey_requests_per_second = 5\nbody_bytes_max = 65536")
    noisy, quiet = (site.key(READ, WRITE, accounts=["*"]) for _ in range(2))

    async def play(client: httpx.AsyncClient) -> None:
        slow = f"{OF_ACCOUNT}/balance?min_position=0:99&wait_ms=1500"
        waiting = [asyncio.create_task(client.get(slow, headers=shown(noisy))) for _ in range(2)]
        while not all(task.done() for task in waiting):
            refused = await client.get(f"{OF_ACCOUNT}/balance", headers=shown(noisy))
            if refused.status_code == 429:
                break
        assert problem(refused)["status"] == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.get(f"{OF_ACCOUNT}/balance", headers=shown(quiet))).status_code == 200
        await asyncio.gather(*waiting)
        statuses = [(await client.get(f"{OF_ACCOUNT}/balance", headers=shown(quiet))).status_code for _ in range(20)]
        assert statuses.count(429) > 0, "twenty in a moment are more than five a second"

    site.serve(play)
    other = site.key(WRITE, accounts=["*"])
    huge = site.serve(lambda client: client.post("/v1/events", content=b" " * 65_537, headers=shown(other)))
    assert problem(huge)["status"] == 413


def test_answers_are_compressed_for_who_takes_it(site: Site, key: str) -> None:
    """A page of lines would take ten times as long on a phone."""
    path = f"{OF_ACCOUNT}/transactions?limit=50"
    plain = site.get(path, key, **{"accept-encoding": "identity"})
    for encoding in ("zstd", "gzip"):
        packed = site.get(path, key, **{"accept-encoding": encoding})
        assert packed.headers["content-encoding"] == encoding
        assert packed.json()["transactions"] == plain.json()["transactions"]
    assert "content-encoding" not in plain.headers


def test_the_description_is_complete_and_its_examples_are_true(site: Site) -> None:
    """A client generated from it would not understand the answers."""
    document = site.get("/v1/openapi.json").json()
    operations = {(path, method): one for path, of in document["paths"].items() for method, one in of.items()}
    assert len(operations) == 13
    shown_examples = 0
    for (path, method), operation in operations.items():
        assert operation["summary"], path
        assert operation["description"], path
        if path != "/healthz":
            assert {"401", "429"} <= operation["responses"].keys(), (path, method)
        for response in operation["responses"].values():
            for media in response.get("content", {}).values():
                for example in media.get("examples", {}).values():
                    schema = media["schema"] | {"components": document["components"]}
                    jsonschema.validate(example["value"], schema)
                    shown_examples += 1
    assert shown_examples >= len(ANSWERS)


def test_everybody_is_let_in_only_where_that_was_asked_for(site: Site) -> None:
    """A demo could not be looked at, or a real server would be open."""
    path = f"{OF_ACCOUNT}/balance"
    assert site.get(path).status_code == 401
    assert site.serve(lambda client: client.get(path), open_to_all=True).status_code == 200
