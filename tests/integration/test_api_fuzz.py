"""Made-up requests: whatever is asked, the answer is one that the API's own description has, and never a defect."""

import asyncio
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from tests.apis import OPERATOR, READ, WRITE, make_site, problem, shown
from tests.command import event

REQUESTS = 400
WORDS = [
    "", "0", "-1", "1", "00", "99999999999999999999", "1e9", "NaN", "true", "null", "hour", "day", "strong", "csv",
    "json", "hourly", "product", "product,country", ",,,", "2026-01-01", "2026-02-30", "9999-12-31T23:59:59Z",
    "1970-01-01",
    "account-1", "event-1", "*", "a b", "\0", "\r\nx: y", "é", "\U0001f600", "..",
    "/", "%2e%2e", "'; DROP TABLE records; --",
    "0:1", "x@0:1", "0:1," * 40, "a" * 65, "a" * 5_000, "WyIyMDI2LTAxLTAxIiwiZXZlbnQtMSIsMCwxXQ",
]  # fmt: skip
BODIES = [
    b"", b"{}", b"[]", b"null", b"{", b"[[[[", b"\xff\xfe", b'{"accounts": ["account-1", "account-1", "*"]}',
    b"[1, {}, null]",
    b'{"accounts": {"a": 1}}', b'{"id": 1e400}', b'[{"id": "\\ud800"}]', b"[" * 2_000, b'{"specversion": "1.0"}',
]  # fmt: skip
OUTSIDE = {400, 404, 405, 414, 431}  # of requests that no route of the description is meant by


def test_every_answer_is_described(tmp_path: Path) -> None:
    """A client that knows the description would meet an answer that it cannot read, or a request end the process."""
    site = make_site(tmp_path, [*map(event, range(20))])
    site.bill()
    key = site.key(READ, WRITE, OPERATOR, accounts=["*"])
    made = random.Random(20)

    async def play(client: httpx.AsyncClient) -> None:
        document = (await client.get("/v1/openapi.json")).json()
        operations = [(path, method, one) for path, of in document["paths"].items() for method, one in of.items()]
        for _ in range(REQUESTS):
            path, method, operation = made.choice(operations)
            body = made.choice([*BODIES, str(event(1)).replace("'", '"').encode()]) if method == "post" else None
            target = _target(path, operation, made)
            answer = await client.request(method.upper(), target, content=body, headers=shown(key))
            known = {int(status) for status in operation["responses"]}
            asked = (method, target[:200], body and body[:60], answer.text[:300])
            if "/.." not in target and "//" not in target:  # which mean another path
                assert answer.status_code in known, asked
            assert answer.status_code in known | OUTSIDE, asked
            assert answer.status_code < 500 or "min_position" in target, asked
            if answer.status_code >= 400:
                problem(answer)

    site.serve(lambda client: asyncio.wait_for(play(client), 240))


def _target(path: str, operation: dict[str, Any], made: random.Random) -> str:
    """Fill a path and some of its parameters with words, most of them wrong."""
    query = {}
    for parameter in operation.get("parameters", []):
        word = made.choice(WORDS)
        if parameter["in"] == "path":
            good = "account-1" if parameter["name"] == "account_id" else "event-1"
            path = path.replace(f"{{{parameter['name']}}}", quote(made.choice([word or "x", good, good]), safe=""))
        elif made.random() < 0.3 and parameter["name"] != "wait_ms":
            query[parameter["name"]] = word
    if "min_position" in query:
        query["wait_ms"] = "0"
    return f"{path}?{urlencode(query)}"
