"""The recorded LLM trace, billed on two ways that share no server: a file into SQLite, and Kafka into MySQL."""

import subprocess
import sys

from generators import llm_trace, oracle
from rules import books_path
from tests.fleet import ROOT, fleet_of, make_site, read_amounts

BOOK = books_path() / "llm-tokens.yaml"
SHARDS = 4


def billing(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "billing", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def through_sqlite(folder):
    events, config = folder / "trace.jsonl.gz", folder / "sqlite.toml"
    lines = ["[source]", 'kind = "file"', f'path = "{events}"', "[rules]", f'book = "{BOOK}"']
    for number in range(SHARDS):
        lines += ["[[shards]]", f'name = "shard-{number}"', f'writer = "sqlite:///{folder}/shard-{number}.db"']
    config.write_text("\n".join(lines))
    billing("replay", "--out", events)
    billing("init", "-c", config)
    billing("run", "--until-end", "-c", config)
    billing("audit", "-c", config)
    return read_amounts(config)


def test_the_trace_costs_the_same_on_both_ways_to_the_last_place(tmp_path, kafka_server, mysql_server):
    """Else what a customer pays would depend on the database that an operator chose."""
    site = make_site(tmp_path, kafka_server, [mysql_server] * SHARDS, BOOK)
    billing("replay", "-c", site.config)
    with fleet_of(site, "worker") as fleet:
        site.wait_until_applied(fleet)
        assert fleet.stop() == {"worker": 0}
    audit = site.audit()
    expected = oracle.run(llm_trace.events(), BOOK)
    assert expected.accepted == llm_trace.CALLS
    assert sum(shard["events"] for shard in audit) == llm_trace.CALLS
    assert all(shard["events"] for shard in audit)  # else fewer shards than asked for did the work
    assert site.amounts() == expected.balances
    assert through_sqlite(tmp_path) == expected.balances
    assert sum(expected.balances.values()) > 0
