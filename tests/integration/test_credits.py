"""Credits from a file of events to what people and scripts read, on SQLite shards, one account spread over both."""

import asyncio
import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest

from billing.adapters.reads import Reads
from billing.config.deployment import load_deployment
from billing.reads.answers import BalanceAnswer
from generators import oracle
from generators.faults import Faults
from generators.workload import Workload
from rules import books_path
from tests.command import billing, deployment, event, write_settings

EVENTS = 2_000
BOOK = books_path() / "telecom.yaml"
MAP = """
version: 1
shards: [shard-0, shard-1]
ranges: [{start: 0, stop: 32768, shard: shard-0}, {start: 32768, stop: 65536, shard: shard-1}]
spreads: {acct-000000: {by: event, ways: 4}}
"""
GRANT = {"kind": "grant", "amount": "1", "currency": "USD", "products": ["sms"], "expires": "2026-02-01T00:00:00Z"}
PAYMENT = {"kind": "payment", "amount": "0.1", "currency": "USD"}


def credit(name: str, terms: dict[str, object], **changed: object) -> dict[str, object]:
    """Return a credit event of account-3."""
    plain = {"id": name, "account": "account-3", "time": "2026-01-01T00:00:00Z", "type": "credit", "credit": terms}
    return plain | changed


def standings(folder: Path, accounts: list[str]) -> dict[str, BalanceAnswer]:
    """Read balances as commands and the API do."""

    async def read() -> dict[str, BalanceAnswer]:
        reads = Reads(load_deployment(folder / "billing.toml", {}))
        return {account: await reads.balance(account) for account in accounts}

    return asyncio.run(read())


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bill generated traffic with credits, repeats, conflicts and bad events, one account of it on both shards."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "map.yaml").write_text(MAP)
    write_settings(folder, more='[sharding]\nmap = "map.yaml"')
    settings = folder / "billing.toml"
    text = settings.read_text().replace('[sharding]\nmap = "map.yaml"\n', "")
    settings.write_text(text.replace("book.yaml", str(BOOK)) + '\n[sharding]\nmap = "map.yaml"\n')
    faults = Faults(duplicates=0.1, malformed=0.1, out_of_order=0.2, late=0.1)
    workload = Workload(accounts=20, credits=0.1, faults=faults)
    (folder / "events.jsonl").write_bytes(b"".join(body + b"\n" for body in workload.payloads(0, EVENTS)))
    assert billing("init", folder=folder).code == 0
    done = billing("run", "--until-end", folder=folder)
    assert done.code == 0, done
    return folder


def test_generated_credits_are_what_the_oracle_says(generated: Path) -> None:
    """Credits of real traffic, out of order, repeated and spread over shards, would not be what they should."""
    expected = oracle.run((generated / "events.jsonl").read_bytes().splitlines(), BOOK)
    found = standings(generated, sorted(expected.credits))
    assert len(found) > 10
    assert len({answer.balances[0].drawn for answer in found.values()}) > 10
    at_us = 1_790_000_000_000_000  # after the year of the traffic: whatever the clock says, what expires has expired
    for account, answer in found.items():
        (balance,), wanted = answer.balances, expected.standing(account, at_us)
        assert (Decimal(balance.charged), Decimal(balance.credited)) == (wanted.charged, wanted.credited)
        assert (Decimal(balance.granted), Decimal(balance.drawn)) == (wanted.granted, wanted.drawn)
        assert (Decimal(balance.expired) + Decimal(balance.remaining), Decimal(balance.due)) == (
            wanted.expired + wanted.remaining, wanted.due,
        )  # fmt: skip
        left = {one.id: Decimal(one.expired) + Decimal(one.remaining) for one in answer.credits}
        assert left == {name: amount for (_, name), amount in wanted.left.items()}


def test_the_audit_adds_up_what_balances_say(generated: Path) -> None:
    """A payment could be lost between the table and the customer's balance without anybody knowing."""
    audits = billing("audit", "--json", folder=generated)
    assert audits.code == 0, audits.out
    total = sum(Decimal(one["credited"].get("USD", 0)) for one in audits.json)
    rows = list(csv.DictReader(io.StringIO(billing("export", "credits", "--format", "csv", folder=generated).out)))
    answers = standings(generated, sorted({row["account"] for row in rows})).values()
    assert total == sum(Decimal(answer.balances[0].credited) for answer in answers) > 0
    assert sum(one["credits"] for one in audits.json) == sum(len(answer.credits) for answer in answers)
    assert sum(Decimal(row["amount"]) for row in rows) == total


def test_people_see_what_is_left_of_each_grant(tmp_path: Path) -> None:
    """A customer who asks what a credit has paid would get no answer."""
    usage = [event(number) for number in range(3, 1_000, 10)]  # of account-3, 100 times 0.0079
    credits = [  # noqa: A001 - the noun
        credit("grant-1", GRANT), credit("payment-1", PAYMENT), credit("grant-2", GRANT), credit("grant-1", GRANT),
        credit("grant-2", GRANT, type="void"), credit("bad-1", PAYMENT | {"currency": "EUR"}),
        credit("bad-2", GRANT | {"products": ["fax"]}), credit("bad-3", PAYMENT | {"amount": "-1"}),
        credit("bad-4", GRANT | {"expires": "2026-01-01T00:00:00Z"}), credit("bad-5", GRANT, product="sms"),
    ]  # fmt: skip
    deployment(tmp_path, usage + credits)
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    answer = billing("balance", "account-3", "--json", folder=tmp_path).json
    (balance,) = answer["balances"]
    places = {name: value.rstrip("0") for name, value in balance.items() if name not in {"currency", "events"}}
    assert places == {
        "amount": "0.79", "charged": "0.79", "credited": "1.1", "granted": "1.", "drawn": "0.79", "expired": "0.21",
        "remaining": "0.1", "due": "0.",
    }  # fmt: skip
    assert [(one["id"], one["kind"], one["products"], one["drawn"][:4]) for one in answer["credits"]] == [
        ("grant-1", "grant", ["sms"], "0.79"), ("payment-1", "payment", [], "0.00"),
    ]  # fmt: skip
    shown = billing("balance", "account-3", folder=tmp_path).out
    assert "charged 0.790000000000, credited 1.100000000000, of which granted 1.000000000000" in shown
    assert "grant-1" in shown
    held = billing("quarantine", "list", "--json", folder=tmp_path).json
    assert {one["reason"]: one["events"] for one in held["reasons"]} == {
        "wrong_currency": 1, "unknown_scope": 1, "bad_credit": 2, "bad_field": 1,
    }  # fmt: skip
