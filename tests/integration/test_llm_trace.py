"""The recorded LLM trace, billed on two ways that share no server: a file into SQLite, and Kafka into MySQL."""

from generators import llm_trace, oracle
from rules import books_path
from tests.command import billing
from tests.fleet import fleet_of, make_site, read_amounts

BOOK = books_path() / "llm-tokens.yaml"
SHARDS = 4


def through_sqlite(folder):
    events, config = folder / "trace.jsonl.gz", folder / "sqlite.toml"
    lines = ["[source]", 'kind = "file"', f'path = "{events}"', "[rules]", f'book = "{BOOK}"']
    for number in range(SHARDS):
        lines += ["[[shards]]", f'name = "shard-{number}"', f'writer = "sqlite:///{folder}/shard-{number}.db"']
    config.write_text("\n".join(lines))
    assert billing("replay", "--out", str(events), folder=folder).code == 0
    for command in (("init",), ("run", "--until-end"), ("audit",)):
        assert billing(*command, "-c", str(config), folder=folder).code == 0
    return read_amounts(config)


def test_the_trace_costs_the_same_on_both_ways_to_the_last_place(tmp_path, kafka_server, mysql_server):
    """Else what a customer pays would depend on the database that an operator chose."""
    site = make_site(tmp_path, kafka_server, [mysql_server] * SHARDS, BOOK)
    assert site.billing("replay").code == 0
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
