"""Commands that read: what a person, a script and the API see of billed events, on SQLite shards."""

import csv
import io
import json
import socket
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.command import audited, billing, deployment, event, start, stop, until, write_settings

EVENTS = 300
ODD = "team/a?b#c%d"  # an account may have any visible character but quotes and backslash


def uncredited(amount: str, events: int) -> dict[str, object]:
    """Return the balance of an account that was never given a credit: all that it was charged is due."""
    nothing = dict.fromkeys(("credited", "granted", "drawn", "expired", "remaining"), "0.000000000000")
    return {"currency": "USD", "amount": amount, "events": events, "charged": amount, **nothing, "due": amount}


@pytest.fixture(scope="module")
def billed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bill 300 events of ten accounts, and one of an account with an odd name."""
    folder = deployment(
        tmp_path_factory.mktemp("billed"), [*map(event, range(EVENTS)), event(EVENTS, account=ODD, quantity="2.5")]
    )
    done = billing("run", "--until-end", folder=folder)
    assert done.code == 0, done
    return folder


def test_a_balance_is_exact_and_says_how_fresh_it_is(billed: Path) -> None:
    """Otherwise a customer is told a wrong debt, or an old one as if it were new."""
    answer = billing("balance", "account-3", "--json", folder=billed).json
    assert answer["account"] == "account-3"
    assert answer["balances"] == [uncredited("0.237000000000", 30)]
    assert answer["book_version"] == 1
    (place,) = answer["as_of"]
    assert place["position"] == (billed / "events.jsonl").stat().st_size
    assert place["log"].startswith("file:events.jsonl:")
    assert place["applied_at"].endswith("Z")
    assert place["lag_seconds"] >= 0
    shown = billing("balance", "account-3", folder=billed)
    assert shown.out.startswith("account-3  0.237000000000 USD  30 events\nas of 20")


def test_an_account_that_was_never_charged_owes_nothing(billed: Path) -> None:
    """Otherwise looking up a new customer is an error."""
    done = billing("balance", "nobody", "--json", folder=billed)
    assert done.code == 0
    assert done.json["balances"] == [uncredited("0.000000000000", 0)]


def test_usage_has_readable_buckets_and_named_dimensions(billed: Path) -> None:
    """Otherwise nobody can tell which hour or which country a row is about."""
    answer = billing("usage", "account-3", "--rollup", "daily-country", "--json", folder=billed).json
    assert answer["usage"] == [
        {
            "bucket": "2026-01-01T00:00:00Z",
            "dims": {"product": "sms", "country": "US"},
            "events": 30,
            "quantity": "30.000000000000",
            "amount": "0.237000000000",
        }
    ]
    assert (answer["rollup"], answer["every"], answer["currency"]) == ("daily-country", "day", "USD")
    shown = billing("usage", "account-3", "--rollup", "hourly", folder=billed).out
    assert "2026-01-01T00:00:00Z  sms" in shown
    assert "0.237000000000" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("balance", "a b"), 2, "account: 'a b' cannot be one; write 1 to 64 characters of visible ASCII"),
        (("usage", "a", "--rollup", "nope"), 2, "rollup: 'nope' is not in book test, which has: hourly, daily-country"),
        (("balance", "a", "-c", "missing.toml"), 2, "missing.toml: cannot be read (No such file or directory)"),
        (("balance",), 2, "requires an argument. See billing balance --help."),
        (("nonsense",), 2, 'Unknown command "nonsense".'),
        (("export", "balances", "--format", "xml"), 2, 'Invalid value "xml" for --format.'),
        (("export", "balances", "--format", "csv", "--out", "no/such/folder.csv"), 1, "no/such/folder.csv: cannot be"),
        (("quarantine", "retry"), 2, "--reason and --all: exactly one says which events"),
        (("quarantine", "retry", "--reason", "bad"), 2, "--reason 'bad': is not a reason; write one of undecodable,"),
        (("quarantine", "show", "0", "7"), 1, "partition 0 offset 7: no shard has it in quarantine"),
        (("serve", "--port", "0"), 2, "Must be >= 1."),
        (("generate", "--events", "5"), 2, "--out and -c: exactly one says where the events go"),
        (("generate", "--events", "5", "--accounts", "0", "--out", "x.jsonl"), 2, "accounts: 0 is out of bounds"),
        (("generate", "--events", "5", "--duplicates", "7", "--out", "x.jsonl"), 2, "faults.duplicates: 7.0 is not"),
        (("run", "--processes", "2"), 2, "--processes: only a Kafka topic has partitions to share"),
        (("stack", "status", "--dir", "none"), 1, "none: no stack here; start one: billing stack up"),
        (("stack", "up", "--dir", "none", "--shards", "0"), 2, "--shards 0: must be from 1 to 64"),
    ],
)
def test_a_mistake_is_told_in_one_line(billed: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    """Otherwise a person reads a traceback, and a script cannot tell a mistake from a failure."""
    done = billing(*arguments, folder=billed)
    assert sentence in done.one_error()
    assert done.code == code


def test_help_and_version_are_there_for_every_command(billed: Path) -> None:
    """Otherwise somebody new has to read the source."""
    top = billing("--help", folder=billed)
    for name in ("audit", "balance", "demo", "export", "generate", "init", "quarantine", "rules", "run", "serve",
                 "shards", "stack", "usage"):  # fmt: skip
        assert name in top.out
    assert billing("quarantine", "retry", "--help", folder=billed).code == 0
    assert billing("--version", folder=billed).out.startswith("billing")


def test_an_audit_by_several_processes_finds_the_same(billed: Path) -> None:
    """Otherwise whoever has many shards waits for each in turn, or learns something else than the others."""
    alone, together = (billing("audit", "--json", "--processes", str(count), folder=billed) for count in (1, 2))
    assert alone.code == together.code == 0, together
    assert [one["shard"] for one in alone.json] == ["shard-0", "shard-1"]
    assert together.json == alone.json


def test_exports_are_exact_in_both_formats(billed: Path) -> None:
    """Otherwise finance closes the month with other figures than the balances."""
    found = billing("export", "balances", "--format", "csv", folder=billed)
    rows = list(csv.DictReader(io.StringIO(found.out)))
    amounts = {row["account"]: row["amount"] for row in rows}
    assert len(amounts) == len(rows) == 11
    assert amounts["account-3"] == "0.237000000000"
    assert amounts[ODD] == "0.019750000000"
    for table in ("balances", "rollups", "records"):
        done = billing("export", table, "--format", "parquet", "--out", f"{table}.parquet", folder=billed)
        assert done.code == 0, done
        read = pq.read_table(billed / f"{table}.parquet")
        assert read.schema.field("amount").type == pa.decimal128(38, 12)
        expected = Decimal("0.0079") * EVENTS + Decimal("0.01975")
        rollups = 2 if table == "rollups" else 1
        assert sum(read["amount"].to_pylist()) == rollups * expected
        again = billing("export", table, "--format", "csv", folder=billed)
        texts = [row["amount"] for row in csv.DictReader(io.StringIO(again.out))]
        assert list(map(Decimal, texts)) == read["amount"].to_pylist()
    records = pq.read_table(billed / "records.parquet")
    assert records.num_rows == EVENTS + 1
    assert str(records["time"][0].as_py().tzinfo) == "UTC"
    assert json.loads(pq.read_table(billed / "rollups.parquet")["dims"][0].as_py())["product"] == "sms"


def test_what_accounts_have_used_of_their_tiers_is_exported(tmp_path: Path) -> None:
    """Otherwise nobody could tell a customer how much of the free units is left."""
    folder = deployment(tmp_path, [event(number, account="acme", quantity="1.5") for number in range(7)])
    tiers = '[{up_to: 10, unit: "0"}, {unit: "0.1"}]'
    (folder / "book.yaml").write_text(
        "book: counting\nversion: 1\ncurrency: USD\ncharges:\n- group: usage\n  rules:\n"
        f"  - {{id: sms, when: {{product: sms}}, price: {{graduated: {{per: month, tiers: {tiers}}}}}}}\n"
    )
    done = billing("run", "--until-end", folder=folder)
    assert done.code == 0, done
    assert audited(folder)["amount"] == Decimal("0.05")
    found = billing("export", "tiers", "--format", "csv", folder=folder)
    assert list(csv.reader(io.StringIO(found.out))) == [
        ["account", "rule", "period", "quantity", "events", "amount"],
        ["acme", "sms", "2026-01-01T00:00:00Z", "10.500000000000", "7", "0.050000000000"],
    ]


def test_a_reader_that_has_seen_enough_ends_an_export_quietly(billed: Path) -> None:
    """Otherwise `billing export | head` ends in a traceback."""
    with start("export", "records", "--format", "csv", folder=billed) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_shards_are_shown_and_verified(billed: Path) -> None:
    """Otherwise an operator cannot tell a healthy fleet from one with a shard swapped."""
    shown = billing("shards", "show", folder=billed).out
    assert "map version 1: 65,536 slots on 2 shards" in shown
    assert "sqlite:///shard-1.db" in shown
    verified = billing("shards", "verify", folder=billed)
    assert (verified.code, verified.out.splitlines()[-1]) == (
        0,
        "map version 1: every one of 65,536 slots has exactly one shard; no problem",
    )
    settings = (billed / "billing.toml").read_text()
    swapped = settings.replace("shard-0.db", "other.db").replace("shard-1.db", "shard-0.db")
    (billed / "swapped.toml").write_text(swapped)
    wrong = billing("shards", "verify", "-c", "swapped.toml", folder=billed)
    assert wrong.code == 1
    assert "shard-0: sqlite:///other.db: there is no such file; run `billing init` first" in wrong.out
    assert "shard-1: sqlite:///shard-0.db: belongs to shard shard-0" in wrong.out


def test_the_api_answers_what_the_command_answers(billed: Path) -> None:
    """Otherwise two readers of one balance disagree, or a client cannot tell its mistake from our outage."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start("serve", "--port", str(port), folder=billed)
    try:
        until(server, said=["serving", str(port)])
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=8)) as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            for account in ("account-3", "nobody", ODD):
                answer = client.get(f"/v1/accounts/{quote(account, safe='')}/balance")
                assert answer.status_code == 200
                told = billing("balance", account, "--json", folder=billed).json
                for one in (*answer.json()["as_of"], *told["as_of"]):
                    del one["lag_seconds"]  # the clock went on
                assert answer.json() | {"as_of": []} == told | {"as_of": []}
            bad = client.get("/v1/accounts/a%20b/balance")
            assert (bad.status_code, bad.headers["content-type"]) == (400, "application/problem+json")
            assert bad.json()["detail"].startswith("account: 'a b' cannot be one; write 1 to 64 characters")
            none = client.get("/v1/nothing")
            assert (none.status_code, none.headers["content-type"]) == (404, "application/problem+json")
            _check_shard_down(billed, client)
            taken = billing("serve", "--port", str(port), folder=billed)
            assert (taken.code, taken.one_error()) == (
                1,
                f"127.0.0.1:{port}: cannot be served: Address already in use; choose another --host or --port",
            )
    finally:
        done = stop(server)
    assert done.code == 0
    assert "Traceback" not in done.err


def _check_shard_down(folder: Path, client: httpx.Client) -> None:
    """Take a shard away: only its accounts cannot be read."""
    (folder / "shard-0.db").rename(folder / "away.db")
    try:
        answers = [client.get(f"/v1/accounts/account-{number}/balance") for number in range(10)]
    finally:
        (folder / "away.db").rename(folder / "shard-0.db")
    down = [one.json() for one in answers if one.status_code == 503]
    assert {one.status_code for one in answers} == {200, 503}
    assert {one["shard"] for one in down} == {"shard-0"}
    assert "shard-0.db" not in down[0]["detail"]


def test_a_spread_account_is_added_up_exactly(tmp_path: Path) -> None:
    """Otherwise the largest customer's balance is a part of itself."""
    (tmp_path / "map.yaml").write_text(
        "version: 1\nshards: [shard-0, shard-1]\n"
        "ranges: [{start: 0, stop: 32768, shard: shard-0}, {start: 32768, stop: 65536, shard: shard-1}]\n"
        "spreads: {account-3: {by: event, ways: 4}}\n"
    )
    deployment(tmp_path, list(map(event, range(EVENTS))))
    write_settings(tmp_path, more='[sharding]\nmap = "map.yaml"')
    assert billing("run", "--until-end", folder=tmp_path).code == 0
    assert audited(tmp_path)["amount"] == Decimal("0.0079") * EVENTS
    answer = billing("balance", "account-3", "--json", folder=tmp_path).json
    assert answer["balances"] == [uncredited("0.237000000000", 30)]
    found = billing("export", "balances", "--format", "csv", folder=tmp_path)
    rows = list(csv.reader(io.StringIO(found.out)))
    assert [row for row in rows if row[0] == "account-3"] == [["account-3", "USD", "30", "0.237000000000"]]
    usage = billing("usage", "account-3", "--rollup", "hourly", "--json", folder=tmp_path).json
    assert [(one["events"], one["amount"]) for one in usage["usage"]] == [(30, "0.237000000000")]
