"""What a deployment refuses although its settings, its map and its book are each valid."""

import pytest

from billing.config.deployment import load_deployment, scattered_counters
from billing.errors import SettingsError
from sharding.shardmap import ShardMap, Spread
from tests.rulebooks import book_of

GRADUATED = 'price: {graduated: {per: month, tiers: [{unit: "0.1"}]}}'


def scattered(folder, rule, **spreads):
    """Return the accounts whose counters a map would keep in several places."""
    book = book_of(
        folder,
        f"accounts: {{file: accounts.csv}}\ncharges:\n- group: usage\n  rules:\n  - {{id: api, {rule}}}\n",
        accounts="account\n",
    )
    even = ShardMap.even(["s1", "s2"])
    shardmap = ShardMap(1, even.shards, even.ranges, spreads=spreads)
    return [(account, found.id) for account, found in scattered_counters(shardmap, book)]


@pytest.mark.parametrize(
    ("rule", "by"),
    [
        (GRADUATED, "event"),
        (f"when: {{country: US}}, {GRADUATED}", "event"),
        (f"when: {{country: [US, PR]}}, {GRADUATED}", ("country",)),
        (f"when: {{country: {{not: US}}}}, {GRADUATED}", ("country",)),
        (f"when: {{country: US}}, {GRADUATED}", ("country", "carrier")),
        (f"when: {{account: {{prefix: a}}}}, {GRADUATED}", ("country",)),
        (f"when: {{account: other}}, charge: {{attribute: payer}}, {GRADUATED}", ("country",)),
        (f"when: {{account: other}}, charge: {{parent: true}}, {GRADUATED}", ("country",)),
    ],
)
def test_a_counter_in_several_places_is_found(tmp_path, rule, by):
    """Each place would start at the first tier: the account would get the free units several times."""
    assert scattered(tmp_path, rule, acme=Spread(by, 2)) == [("acme", "api")]


@pytest.mark.parametrize(
    ("rule", "by"),
    [
        ("price: {per_unit: 1}", "event"),
        (f"when: {{country: US}}, {GRADUATED}", ("country",)),
        (f"when: {{country: {{prefix: U, not: CA}}, carrier: [att]}}, {GRADUATED}", ("carrier",)),
        (f"when: {{country: US, carrier: att, product: sms}}, {GRADUATED}", ("carrier", "country")),
        (f"when: {{account: other}}, {GRADUATED}", "event"),
        (f"when: {{account: {{not: acme}}}}, {GRADUATED}", "event"),
    ],
)
def test_a_counter_that_stays_together_is_no_fault(tmp_path, rule, by):
    """A hot account could not be spread at all once any price of its book counts."""
    assert scattered(tmp_path, rule, acme=Spread(by, 2)) == []


def test_a_map_that_scatters_a_counter_is_refused_in_one_line(tmp_path):
    """Workers would start, and bill every spread account by as many counters as it has slots."""
    book_of(tmp_path, f"charges:\n- group: usage\n  rules:\n  - {{id: api, {GRADUATED}}}\n")
    (tmp_path / "events.jsonl").write_text("")
    (tmp_path / "map.yaml").write_text(
        "version: 2\nshards: [s1]\nranges: [{start: 0, stop: 65536, shard: s1}]\n"
        "spreads:\n  acme: {by: event, ways: 4}\n"
    )
    config = tmp_path / "billing.toml"
    config.write_text(
        '[source]\nkind = "file"\npath = "events.jsonl"\n[[shards]]\nname = "s1"\nwriter = "sqlite:///s1.db"\n'
        '[rules]\nbook = "book.yaml"\n[sharding]\nmap = "map.yaml"\n'
    )
    with pytest.raises(SettingsError) as caught:
        load_deployment(config, {})
    assert str(caught.value) == (
        f"{tmp_path}/map.yaml: spreads.acme: spreads what rule api of book test counts together; spread the account by "
        "attributes that the rule's `when` fixes to one value, or not at all"
    )
