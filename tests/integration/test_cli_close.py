"""`billing close` as its users run it: first dry, then killed, at once, and again."""

import sqlite3
from decimal import Decimal
from pathlib import Path

from tests.command import audited, billing, event, finish, start, write_events, write_settings

ACCOUNTS = 3_000  # several transactions a shard
BOOK = """
book: test
version: 1
currency: USD
contracts: {file: contracts.csv}
charges:
- group: usage
  rules:
  - {id: sms, when: {product: sms}, price: {per_unit: 1}, per_period: {per: month, minimum: 10}}
rollups:
- {name: monthly, every: month, by: [product, country]}
dimensions: [country]
"""
TOTAL = Decimal(10 * ACCOUNTS + 25)


def _billed(folder: Path, accounts: int) -> None:
    """Bill one event of each account, with a contract of one more that has none."""
    write_settings(folder)
    (folder / "book.yaml").write_text(BOOK)
    (folder / "contracts.csv").write_text("account,rule,minimum\nidle,sms,25\n")
    write_events(folder, [event(number, account=f"a{number}") for number in range(accounts)])
    assert billing("init", folder=folder).code == 0
    assert billing("run", "--until-end", folder=folder).code == 0


def _postings(folder: Path) -> int:
    count = 0
    for path in folder.glob("shard-*.db"):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        (found,) = connection.execute("SELECT COUNT(*) FROM records WHERE rule = 'minimum sms'").fetchone()
        connection.close()
        count += found
    return count


def test_a_month_is_closed_once_by_two_operators_after_one_was_killed(tmp_path: Path) -> None:
    """A month's end would charge commitments twice, or leave some out, or nobody could tell what it charged."""
    _billed(tmp_path, ACCOUNTS)
    dry = billing("close", "2026-01", "--dry-run", "--limit", "10000", folder=tmp_path)
    lines = [" ".join(line.split()) for line in dry.out.splitlines()]
    assert "shard account rule period from currency minimum charged settled before posted" in lines
    assert any(line.endswith(" a17 sms 2026-01-01T00:00:00Z USD 10.00 1.00 0.00 9.00") for line in lines)
    assert any(line.endswith(" idle sms 2026-01-01T00:00:00Z USD 25.00 0.00 0.00 25.00") for line in lines)
    assert lines[-1] == f"rule sms: to post 27025.00 USD in {ACCOUNTS + 1:,} lines"
    assert _postings(tmp_path) == 0
    killed = start("close", "2026-01", folder=tmp_path)
    while killed.poll() is None and not _postings(tmp_path):
        pass
    killed.kill()
    finish(killed)
    done = [finish(one) for one in [start("close", "2026-01", "--json", folder=tmp_path) for _ in range(2)]]
    assert [one.code for one in done] == [0, 0], done
    assert sum(of["lines"] for one in done for of in one.json["sums"]) <= ACCOUNTS + 1
    assert _postings(tmp_path) == ACCOUNTS + 1
    again = billing("close", "2026-01", folder=tmp_path)
    assert again.out == "2026-01: nothing to settle, every minimum is charged\n"
    assert audited(tmp_path)["amount"] == TOTAL
