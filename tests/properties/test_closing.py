"""Properties of closing: whenever it is done, in the end each account has paid its use, or else its minimum."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.cursor import Claim
from billing.dedupe import part_keys
from billing.due import NotEndedError
from billing.errors import SettingsError
from billing.ports import Applied
from generators import oracle, oracle_close, oracle_files
from generators.oracle_period import name_of
from rules.commitment import SETTLED_AS
from rules.load import load
from sharding.shardmap import ShardMap
from tests.closing import close
from tests.examples import examples
from tests.pipeline import LOG, Pipeline, payload
from tests.rulebooks import rules_of
from tests.stores import MemoryPlace

AT_LAST = 1_830_297_600  # 2028-01-01T00:00:00Z
PERIODS = [
    "month",
    "month",
    "day",
    "year",
    "{year: {anchor: 04-01, zone: America/Havana}}",
    "{month: {anchor: 31, zone: America/New_York}}",
    "{month: {anchor: {attribute: day}}}",
    "{hour: {zone: Australia/Lord_Howe}}",
]
MINIMUMS = ["0", "1", "7.25", "40", "0.01"]
LINEAR = st.builds(
    "price: {}, per_period: {{per: {}, minimum: {}{}}}".format,
    st.sampled_from(["{per_unit: 1}", '{per_unit: "-0.5"}', "{flat: 2}", '{percentage: {rate: "0.1", fixed: 1}}']),
    st.sampled_from(PERIODS),
    st.sampled_from(MINIMUMS).map('"{}"'.format),
    st.sampled_from(["", "", ", maximum: 41"]),
)
CUMULATIVE = st.builds(
    "price: {{{}: {{per: {}, tiers: [{{up_to: 3, unit: 2}}, {{unit: 1}}]}}}}, {}".format,
    st.sampled_from(["graduated", "volume"]),
    st.sampled_from(PERIODS),
    st.sampled_from(["per_period: {minimum: 9}", "per_period: {minimum: 0}", "round: {places: 2}"]),
)
CONTRACTS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b", "idle"]), st.sampled_from(["r0", "r1", "r2"])),
    st.tuples(
        st.sampled_from(MINIMUMS),
        st.sampled_from(["", "2026-01-01", "2026-01-31T05:00:00Z"]),
        st.sampled_from(["", "2026-02-15", "2026-04-01T04:00:00Z"]),
    ),
    max_size=4,
)
TIMES = [
    *("2025-12-31T23:30:00Z", "2026-01-01T00:00:00Z", "2026-01-30T12:00:00Z", "2026-01-31T05:00:00Z"),
    *("2026-02-28T23:59:59Z", "2026-04-01T03:59:59Z", "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"),
    "2026-04-04T15:45:00Z",
]
NAMES = ["2025", "2026", "2025-12", "2026-01", "2026-02", "2026-03", "2026-04", "2026-04-04", "2026-04-05T01"]
EVENTS = st.fixed_dictionaries(
    {
        "id": st.sampled_from("cdef"),
        "account": st.sampled_from("ab"),
        "product": st.sampled_from(["p0", "p1", "p2"]),
        "time": st.sampled_from(TIMES),
        "quantity": st.sampled_from([1, 2, "0.5", 30]),
        "attributes": st.sampled_from([{"day": "1"}, {"day": "31"}, {"day": "15"}, {}]),
        "type": st.sampled_from(["usage", "usage", "usage", "void"]),
    }
)
CLOSES = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1_767_139_200, AT_LAST)), max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("book")


def _pipeline(folder: Path, rules: Sequence[str], contracts: dict[tuple[str, str], tuple[str, str, str]]) -> Pipeline:
    rows = [(*key, *row) for key, row in contracts.items() if "per_period" in rules[int(key[1][1:])]]
    (folder / "contracts.csv").write_text(
        "\n".join(map(",".join, [("account", "rule", "minimum", "from", "until"), *rows]))
    )
    book = rules_of(folder, *(f"when: {{product: p{i}}}, {rule}" for i, rule in enumerate(rules)))
    path = folder / "book.yaml"
    if rows:
        path.write_text(f"contracts: {{file: contracts.csv}}\n{path.read_text()}")
        book = load(path)
    return Pipeline(book, ShardMap.even(["s1"]))


def _copies(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make each void a copy of the first event of its identity: of two bodies, one is a conflict, told elsewhere."""
    first: dict[object, dict[str, Any]] = {}
    return [
        {**first.setdefault((row["account"], row["time"][:10], row["id"]), row), "type": row["type"]} for row in rows
    ]


@examples(60)
@given(
    rules=st.lists(st.one_of(LINEAR, CUMULATIVE), min_size=3, max_size=3),
    contracts=CONTRACTS,
    rows=st.lists(EVENTS, max_size=12),
    cuts=st.sets(st.integers(1, 11), max_size=4),
    data=st.data(),
)
def test_everybody_has_paid_use_or_minimum(
    folder: Path,
    rules: list[str],
    contracts: dict[tuple[str, str], tuple[str, str, str]],
    rows: list[dict[str, Any]],
    cuts: set[int],
    data: st.DataObject,
) -> None:
    """Late events, voids, or a close between them would leave somebody with a commitment too much or too little."""
    pipeline = _pipeline(folder, rules, contracts)
    log = [payload(**row) for row in _copies(rows)]
    edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    place = MemoryPlace()

    async def scenario() -> set[str]:
        store, closed = place.store(), set()
        await store.claim(Claim(LOG, {0: 0}, 1, 1))
        for start, stop in pairwise(edges):
            batch = pipeline.slice(log[start:stop], start)
            found = await store.existing(part_keys(batch))
            assert await store.apply(pipeline.fold(batch, found)) == Applied()
            for name, now in data.draw(CLOSES):
                try:
                    await close(place, store, pipeline, name, now)
                    closed.add(name)
                except (NotEndedError, SettingsError):  # still running, or nobody has a minimum in periods like this
                    continue
        return closed

    closed = asyncio.run(scenario())
    expected = oracle.run(log, folder / "book.yaml")
    book = oracle_files.load(folder / "book.yaml")
    pers = {rule.id: rule.per for _, of_group in book.groups for rule in of_group}
    used = {name_of(pers[rule], start) for _, rule, start in expected.counters if pers[rule] is not None}
    for name in sorted(closed | used | {"2026", "2026-01"}):
        try:
            asyncio.run(close(place, place.store(), pipeline, name, AT_LAST))
            closed.add(name)
        except SettingsError:
            continue
    wanted: dict[Any, Decimal] = {}
    for name in closed:
        wanted |= oracle_close.missing(book, expected.counters, name)
    tables = place.shard.tables
    posted = {
        (account, rule.removeprefix(SETTLED_AS), start): amount
        for (_, account, rule, start), (_, _, amount) in tables.tiers.items()
        if rule.startswith(SETTLED_AS)
    }
    assert {key: amount for key, amount in posted.items() if amount} == wanted
    balances = dict(expected.balances)
    for (account, _, _), amount in wanted.items():
        balances[account] = balances.get(account, Decimal(0)) + amount
    found = {account: amount for (_, account, _), (_, amount, _) in tables.balances.items()}
    assert {key: one for key, one in found.items() if one} == {key: one for key, one in balances.items() if one}
    lines = {account: Decimal(0) for account in found}
    for (_, account, *_), (_, _, amount) in tables.records.items():
        lines[account] += amount
    assert lines == found
