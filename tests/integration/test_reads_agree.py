"""The same accounts, read in every way that there is, after a log with faults under workers that are killed."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from billing.cli import app
from billing.client import Client
from generators import oracle
from generators.faults import Faults
from generators.workload import Workload
from rules import books_path
from tests.apis import READ, WRITE, Site, shown
from tests.command import event, served
from tests.fleet import Fleet, fleet_of, make_site, wait_until
from tests.fleet import Site as Shards
from tests.servers import query

EVENTS = int(os.environ.get("READS_EVENTS", "20000"))
KILLS = int(os.environ.get("READS_KILLS", "1"))
BOOK = books_path() / "telecom.yaml"
WORKLOAD = Workload(
    model="skewed", seed=29, accounts=300, faults=Faults(duplicates=0.05, malformed=0.01, late=0.02, out_of_order=0.02)
)
SPREAD = "acct-000000"  # the busiest
GROUP_OPTIONS = {"session.timeout.ms": 6_000}  # the least that a broker allows
ACCOUNTS = 4  # read in every way: the busiest, and others of all sizes
MAP = """version: 1
shards: [shard-0, shard-1]
ranges: [{start: 0, stop: 32768, shard: shard-0}, {start: 32768, stop: 65536, shard: shard-1}]
spreads: {%s: {by: event, ways: 4}}
"""


@pytest.fixture
def shards(tmp_path: Path, server_pool, kafka_server) -> Shards:
    """Make two shards; one account is spread over both."""
    (tmp_path / "map.yaml").write_text(MAP % SPREAD)
    servers = server_pool.databases("mariadb", 1) * 2
    return make_site(
        tmp_path, kafka_server, servers, BOOK, options=GROUP_OPTIONS, more=["[sharding]", 'map = "map.yaml"']
    )


@pytest.fixture
def command(shards: Shards, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Give `billing` as a function of its arguments, in this process: it returns what is printed."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        app([*arguments, "-c", str(shards.config)], exit_on_error=False, print_error=False,
            result_action="return_value")  # fmt: skip
        return capsys.readouterr().out

    return run


def test_every_way_to_read_says_the_same(shards: Shards, tmp_path: Path, command: Callable[..., str]) -> None:
    """A customer, support, an auditor and the database would each know another amount of the same account."""
    expected = oracle.run((one for block in WORKLOAD.blocks(EVENTS) for one in block), BOOK)
    sizes = sorted(expected.accounts, key=lambda one: -expected.accounts[one].lines)
    assert sizes[0] == SPREAD
    accounts = sizes[:: len(sizes) // (ACCOUNTS - 1)][:ACCOUNTS]
    with served(tmp_path) as base, fleet_of(shards, "first", "second") as fleet:
        key = Site(tmp_path).key(READ, WRITE, accounts=["*"])
        for part in parts():
            shards.produce(part)
            kill(fleet)
        fresh_reads(base, key)
        shards.wait_until_applied(fleet)
        assert shards.quarantined() == expected.quarantined
        with Client(base, key) as client:
            for account in accounts:
                agree(shards, client, command, account, expected)
                found = httpx.get(f"{base}/v1/accounts/{account}/charged", headers=shown(key), timeout=120)
                assert rule_sums(found) == {
                    rule: total.amount for (charged, rule), total in expected.rules.items() if charged == account
                }
            many = client.balances([*expected.accounts], strong=True)
        assert {one.account: Decimal(one.balances[0].amount) for one in many.balances} == expected.balances
    assert sum(one["wrong"] for one in shards.audit()) == 0


def parts() -> Iterator[list[list[bytes]]]:
    """Yield the log in pieces, between which something fails."""
    size = -(-EVENTS // (KILLS + 1))
    for start in range(0, EVENTS, size):
        yield [WORKLOAD.payloads(start, min(start + size, EVENTS))]


def kill(fleet: Fleet) -> None:
    """End a worker in the middle of what it does, and start another in its place."""
    before = sum(row.next_offset for rows in fleet.site.cursors().values() for row in rows)
    wait_until(
        lambda: sum(row.next_offset for rows in fleet.site.cursors().values() for row in rows) > before, "work goes on"
    )
    assert fleet.workers["first"].kill() == -9
    fleet.start("first")


def fresh_reads(base: str, key: str) -> None:
    """Publish while the workers are busy or joining, and read at once what was acknowledged."""
    with Client(base, key) as client:
        for number in range(3):
            price = {"product": "lookup", "id": f"fresh-{number}", "account": "fresh"}
            done = client.publish([event(0, **price), event(0, **price)])
            assert (done.accepted, done.errors) == (2, [])
            wait_until(lambda done=done: applied(base, key, done.min_position), "it is applied")
            (balance,) = client.balance("fresh", strong=True, min_position=done.min_position).balances
            assert (balance.events, Decimal(balance.amount)) == (number + 1, (number + 1) * Decimal("0.005"))


def applied(base: str, key: str, position: str) -> bool:
    """Tell whether a strong read at a position is answered, in the time that one may wait; what it says is right."""
    asked = {"min_position": position, "consistency": "strong", "wait_ms": "5000"}
    answer = httpx.get(f"{base}/v1/accounts/fresh/balance", params=asked, headers=shown(key), timeout=60)
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == 200


def agree(shards: Shards, client: Client, command: Callable[..., str], account: str, expected: oracle.Expected) -> None:
    """Read an account in every way."""
    total = expected.accounts[account]
    told = client.balance(account, strong=True)
    assert told.consistent
    (balance,) = told.balances
    assert (Decimal(balance.charged), balance.events) == (total.amount, total.events), account
    assert f'"{balance.charged}"' in command("balance", account, "--json")
    sums = [asyncio.run(query(server, sql(url, account))) for server, url in places(shards)]
    assert sum(Decimal(str(amount)) for ((amount, _),) in sums) == total.amount
    assert sum(int(lines) for ((_, lines),) in sums) == total.lines
    usage = client.usage(account, every="month", since="2025-01-01", until="2028-01-01").total
    assert (Decimal(usage.amount), usage.events) == (total.amount, total.events)
    lines = list(client.transactions(account, page=1_000))
    assert len(lines) == total.lines
    assert len({(line.day, line.event, line.line, line.origin) for line in lines}) == total.lines, "each once"
    assert sum(Decimal(line.amount) for line in lines) == total.amount


def rule_sums(answer: httpx.Response) -> dict[str, Decimal]:
    """Return what each rule charged, over products."""
    sums: dict[str, Decimal] = {}
    for one in answer.raise_for_status().json()["charged"]:
        sums[one["rule"]] = sums.get(one["rule"], Decimal(0)) + Decimal(one["amount"])
    return sums


def places(shards: Shards) -> Sequence[tuple[object, str]]:
    """Return each shard's server and the name of its database."""
    return [
        (server, str(shard.writer).rpartition("/")[2])
        for server, shard in zip(shards.servers, shards.found.settings.shards, strict=True)
    ]


def sql(database: str, account: str) -> str:
    """Return a select that adds an account up from its records."""
    return f"SELECT COALESCE(SUM(amount),0), COUNT(*) FROM {database}.records WHERE account='{account}'"
