"""Properties of credits: what grants have paid is what the oracle says, in any order and however the log is cut."""

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.adapters.memory import MemoryShard
from generators import oracle
from generators.oracle_credit import Credit, Terms, standing
from rules.burndown import Charged, Grant, drawn
from tests.credited import agreed, standing_of
from tests.examples import examples
from tests.pipeline import COUNTING, Pipeline, bill, pipeline_in
from tests.simulation.check import check_sums

AT_US = 1_767_225_600_000_000 + 30 * 3_600_000_000
COUNTING_HOURLY = COUNTING + "- {name: hourly, every: hour, by: [product]}\n"
HOURS = st.sampled_from([0, 1, 2, 2, 3, 4, 25, 26])  # dense, so that grants and charges meet; two days
MINUTES = st.sampled_from([0, 0, 1, 30, 59])


def _time(hour: int, minute: int) -> str:
    return f"2026-01-{1 + hour // 24:02d}T{hour % 24:02d}:{minute:02d}:00Z"


TIMES = st.builds(_time, HOURS, MINUTES)
AMOUNTS = st.sampled_from([1, "2.5", "0.000000000001", 7, "11.000000000003", 30])
USAGE = st.fixed_dictionaries(
    {
        "id": st.sampled_from("abcd"),
        "account": st.sampled_from(["acme", "acme", "acme", "zoe"]),
        "product": st.sampled_from(["sms", "call", "plain", "refund"]),
        "quantity": AMOUNTS,
        "time": TIMES,
    }
)
TERMS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["grant", "grant", "grant", "payment"]), "amount": AMOUNTS, "currency": st.just("USD")},
    optional={
        "cost": st.sampled_from([0, "0.5", None]),
        "priority": st.sampled_from([0, 1, 50, 255, 256, None]),
        "expires": st.one_of(TIMES, st.none()),
        "products": st.sampled_from([["sms"], ["call", "sms"], ["sms", "call"], ["plain"], ["fax"], [], None]),
    },
)
CREDITS = st.fixed_dictionaries(
    {
        "id": st.sampled_from("vwx"),
        "account": st.sampled_from(["acme", "acme", "acme", "zoe"]),
        "time": TIMES,
        "type": st.just("credit"),
        "credit": TERMS,
    }
)


@st.composite
def logs(draw: st.DrawFn) -> list[bytes]:
    """Return usage and credits, and copies of them, some as voids, in any order."""
    sources = [*draw(st.lists(USAGE, min_size=1, max_size=5)), *draw(st.lists(CREDITS, min_size=1, max_size=6))]
    extra = draw(st.lists(st.tuples(st.sampled_from(sources), st.sampled_from([None, "void"])), max_size=5))
    rows = draw(st.permutations([*((one, None) for one in sources), *extra]))
    return [json.dumps(row | ({} if kind is None else {"type": kind})).encode() for row, kind in rows]


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Path]:
    folder = tmp_path_factory.mktemp("counting")
    return pipeline_in(folder, charges=COUNTING_HOURLY), folder / "book.yaml"


def _check(shard: MemoryShard, expected: oracle.Expected) -> None:
    assert {place[2]: str(one.reason) for place, one in shard.tables.quarantine.items()} == expected.rejects
    for account in expected.accounts:
        agreed(shard, expected, account, AT_US)


@examples(60)
@given(log=logs(), cuts=st.sets(st.integers(1, 23)), looks=st.booleans())
def test_linear_standings_are_the_oracles(
    linear: tuple[Pipeline, Path], log: list[bytes], cuts: set[int], *, looks: bool
) -> None:
    """A customer's grants would pay more, less, or other charges than the order of drawing says."""
    pipeline, book = linear
    cuts_within = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    shard = bill(pipeline, [log[a:b] for a, b in pairwise(cuts_within)], looks=looks)
    check_sums(shard, book)
    _check(shard, oracle.run(log, book))


@examples(50)
@given(log=logs(), cuts=st.sets(st.integers(1, 23)))
def test_counting_standings_are_the_oracles(counting: tuple[Pipeline, Path], log: list[bytes], cuts: set[int]) -> None:
    """Under volume prices, which may charge below zero, grants would pay for what costs nothing any more."""
    pipeline, book = counting
    cuts_within = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    shard = bill(pipeline, [log[a:b] for a, b in pairwise(cuts_within)], looks=False)
    _check(shard, oracle.run(log, book))


@examples(40)
@given(log=logs(), data=st.data())
def test_order_changes_no_standing(linear: tuple[Pipeline, Path], log: list[bytes], data: st.DataObject) -> None:
    """Two workers that read the same log at different speeds would leave a customer with other credits."""
    pipeline, _ = linear
    bodies: dict[Any, Any] = {}
    for one in map(json.loads, log):  # of two bodies, the first counts: that is a matter of order
        said = {**one, "type": "any"}
        bodies.setdefault((one["account"], one["id"], one["time"][:10]), said)
    log = [one for one in log if (said := {**json.loads(one), "type": "any"}) in bodies.values()]
    order = data.draw(st.permutations(log))
    shards = [bill(pipeline, [piece], looks=True) for piece in (log, order)]
    accounts = [{key[1] for key in shard.tables.balances} for shard in shards]
    assert accounts[0] == accounts[1]
    for account in accounts[0]:
        first, second = (standing_of(shard, account, AT_US) for shard in shards)
        assert (first.credited, first.drawn, first.due, first.credits) == (
            second.credited, second.drawn, second.due, second.credits,
        )  # fmt: skip


GRANTS = st.builds(
    Grant,
    id=st.text("ab", min_size=1, max_size=3),
    time_us=st.integers(0, 8).map(lambda half: half * 1_800_000_000),
    amount_pico=st.integers(1, 30),
    products=st.sampled_from([frozenset(), frozenset("a"), frozenset("ab"), frozenset("bc")]),
    priority=st.integers(0, 1),
    expires_us=st.one_of(st.none(), st.integers(9, 12).map(lambda half: half * 1_800_000_000)),
    is_free=st.booleans(),
)
CHARGES = st.builds(Charged, st.integers(0, 7), st.sampled_from("abc"), st.integers(-20, 30))


def _oracle_credit(one: Grant) -> Credit:
    cost, products = Decimal(0 if one.is_free else 1), tuple(sorted(one.products))
    terms = Terms("grant", Decimal(one.amount_pico), "USD", cost, one.priority, one.expires_us, products)
    return Credit(one.id, one.time_us, terms)


@examples(150)
@given(
    grants=st.lists(GRANTS, min_size=1, max_size=7, unique_by=lambda one: (one.time_us, one.id)),
    charges=st.lists(CHARGES, min_size=1, max_size=14),
    data=st.data(),
)
def test_a_burn_down_is_the_oracles(grants: list[Grant], charges: list[Charged], data: st.DataObject) -> None:
    """What is left of a grant would be wrong, or depend on the order in which a database returns rows."""
    order = data.draw(st.permutations(grants))
    keys = [(one.time_us, one.id) for one in order]
    paid = dict(zip(keys, drawn(data.draw(st.permutations(charges)), order), strict=True))
    rows = [(one.hour * 3_600_000_000, one.product, Decimal(one.amount_pico)) for one in charges]
    left = standing(rows, list(map(_oracle_credit, grants)), 0).left
    assert paid == {(one.time_us, one.id): one.amount_pico - left[one.time_us, one.id] for one in grants}
