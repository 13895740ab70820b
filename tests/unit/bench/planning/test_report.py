"""What a plan says, in text and as a page."""

import gzip
import json
import re
from datetime import date
from html.parser import HTMLParser

import msgspec

from bench.planning.cli import Load, Spreading, result_of
from bench.planning.page import page
from bench.planning.report import plan_text
from bench.report import as_json
from sharding.mapfile import dump
from sharding.shardmap import ShardMap
from tests.planned import capacity, measurements, prices

EVEN = Spreading(accounts=20_000, exponent=0)
TODAY = date(2026, 11, 21)


def result(load=None, how=EVEN):
    load = load or Load(per_day=86_400_000, peak=10_000, headroom=(2.5,), growth=1.0, months=0, days_in_memory=0)
    return result_of(measurements(capacity()), load, how, prices(), TODAY, "billing-bench plan capacity.json")


def test_a_plan_is_told_with_all_that_it_was_made_from():
    """Else a budget would be asked for by figures that nobody can follow."""
    told = plan_text(result()).splitlines()
    assert " ".join(told[:2]) == (
        "the load: 1,000 events/s on average, 86.4 million a day, 10,000 at the peak, growth +100% a year, "
        "for 0 months, records kept 90 days; 20,000 accounts, uniform"
    )
    text = "\n".join(told)
    for row in (
        r"shards \(clusters\) +3 \(3\)",
        r"instance +one, 2 in each cluster, storage plain",
        r"accounts pinned or spread +none needed",
        r"it carries, events/s +10,000 \(10,000 to 10,000\)",
        r"its utilisation +34% \(34% to 34%\)",
        r"append to visible there +p50 105 ms, p99 697 ms",
        r"disk, fullest cluster +1,2\d\d GiB",
        r"instances, storage, I/O +4,380 USD, 362 USD, 64 USD",
        r"next doubling due +in [23] months, 2027-0[12] \([23] to [23] months\)",
        r"four +2 \(2\) +plain +no +13% +14,\d\d\d USD|four +2 \(2\) +plain +no +13% +15,\d\d\d USD",
        r"note: no latency was measured",
        r"machine: Test CPU, 2 cores, 24.0 GiB, Linux 6.1.0, Python 3.11.7, MariaDB 10.11",
        r"again: billing-bench plan capacity.json",
    ):
        assert re.search(row, text), (row, text)


def test_accounts_to_move_are_named_with_what_that_changes(tmp_path):
    """Else an operator would know that a shard is too hot and not what to do."""
    path = tmp_path / "map.yaml"
    path.write_text(dump(ShardMap.even(["north", "south"])))
    hot = Spreading(accounts=20_000, exponent=0, hot_share=0.5, map=path)
    told = result(Load(per_day=864e6, peak=40_000, headroom=(2.5,), days_in_memory=0), hot)
    text = " ".join(plan_text(told).split())
    shards = told.chosen[0].shards.mid
    assert f"with {shards} shards, {len(told.exceptions)} accounts must be pinned or spread: the hottest has 5" in text
    assert "acct-000000 (50.00% of all events): spread over " in text
    assert f"shards needed on one: more than 1,000 without, {shards} with" in text
    assert re.search(r"the map in force: 2 shards, the hottest is (north|south) with 7\d", text)
    assert "plan with --no-spread" in text
    assert told.effect.after[0] < told.effect.before[0] / 4


def test_the_document_for_machines_holds_the_whole_plan():
    """Else what a person reads could not be computed with; what never ends is null, since JSON has no infinity."""
    found = msgspec.json.decode(as_json("plan", "x", result(Load(per_day=86_400_000, peak=10_000))))["result"]
    assert found["chosen"][0]["shards"] == {"low": 3, "mid": 3, "high": 3}
    assert found["chosen"][0]["doubling_months"]["mid"] is None
    assert [each["headroom"] for each in found["targets"]] == [2.5, 8.0]
    assert found["curves"][0]["measured"]["levels"][2]["writers"] == 3


class _Seen(HTMLParser):
    """Collects what a page has and asks for."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "xlink:href", "data", "action"}]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_needs_nothing_else_and_has_its_pictures():
    """Else a manager would see an empty frame, or the plan would be told to another host."""
    drawn = page(result())
    seen = _Seen()
    seen.feed(drawn)
    assert seen.tags.count("svg") == 4
    assert not {"script", "link", "iframe", "img", "image"} & {*seen.tags}
    assert all(link.startswith("#") for link in seen.links)
    assert "url(http" not in drawn
    assert "@import" not in drawn
    assert "3 clusters of one" in seen.text
    assert page(result()) == drawn  # else two pages of one plan could not be compared


def test_accounts_are_learned_from_events_and_their_names_are_no_markup_on_the_page(tmp_path):
    """Else the plan would be for other customers, or one of them put a script before the eyes of whoever plans."""
    path = tmp_path / "events.jsonl.gz"
    names = ["<script>alert(1)</script>"] * 600 + [f"acct-{number}" for number in range(400)]
    event = {"product": "sms", "time": "2026-01-01T00:00:00Z"}
    lines = [json.dumps({"id": f"e{row}", "account": name, **event}) for row, name in enumerate(names)]
    path.write_bytes(gzip.compress("\n".join([*lines, "no event", ""]).encode()))
    found = result(Load(per_day=864e6, peak=40_000, headroom=(2.5,), days_in_memory=0), Spreading(sample=path))
    assert found.accounts == "401 accounts learned from 1,000 events"
    drawn = page(found)
    assert "<script" not in drawn
    assert "&lt;script&gt;alert(1)&lt;/script&gt; (60.00% of all events): spread over" in drawn
