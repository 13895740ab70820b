"""Properties of voids: whatever is voided, when, and however the log is cut, balances are what the oracle says."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.adapters.memory import MemoryShard
from billing.tail import ZERO_LINE_RULE
from generators import oracle
from generators.oracle_event import parse
from tests.examples import examples
from tests.pipeline import COUNTING, LOG, Pipeline, bill, payload, pipeline_in
from tests.simulation.check import check_sums

# Few of everything, so that events, their repeats, conflicts and voids meet.
EVENTS = st.fixed_dictionaries(
    {
        "id": st.sampled_from("abc"),
        "account": st.sampled_from(["acme", "acme", "zoe"]),
        "product": st.sampled_from(["sms", "sms", "call", "plain", "refund", "fax"]),
        "quantity": st.sampled_from([1, 1, "2.5", 7, 11]),
        "reseller": st.sampled_from([None, "zoe", "acme", "yann", "not an account"]),
        "type": st.sampled_from(["usage", "usage", "void"]),
    }
)


@st.composite
def logs(draw: st.DrawFn) -> list[bytes]:
    """Return events, and copies of them as events and voids, in any order."""
    sources = draw(st.lists(EVENTS, min_size=1, max_size=5))
    rows = draw(st.lists(st.tuples(st.sampled_from(sources), st.sampled_from(["usage", "void", None])), max_size=20))
    return [_payload(row | ({} if kind is None else {"type": kind})) for row, kind in rows]


def _payload(row: dict[str, Any]) -> bytes:
    reseller = row["reseller"]
    attributes = {} if reseller is None else {"attributes": {"reseller": reseller}}
    rest = {name: value for name, value in row.items() if name != "reseller"}
    return payload(**rest, **attributes)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Path]:
    folder = tmp_path_factory.mktemp("counting")
    return pipeline_in(folder, charges=COUNTING), folder / "book.yaml"


def _check(shard: MemoryShard, expected: oracle.Expected, book: Path) -> None:
    tables = shard.tables
    check_sums(shard, book)
    # Line 0 of an event that charges others only: the oracle has no line there.
    empty = [(key[1], 1 if key[4] == 0 else -1) for key, tail in tables.tails.items() if tail.rule == ZERO_LINE_RULE]
    found = {
        account: (events - sum(sign for of, sign in empty if of == account), amount)
        for (_, account, _), (events, amount, _) in tables.balances.items()
    }
    wanted = {account: (total.events, total.amount) for account, total in expected.accounts.items()}
    assert _nonzero(found) == _nonzero(wanted)
    cursor = tables.cursors[LOG, 0]
    assert (cursor.accepted, cursor.duplicates) == (expected.accepted, expected.duplicates)
    assert len(tables.records) - len(empty) == expected.lines
    assert {place[2]: str(one.reason) for place, one in tables.quarantine.items()} == expected.rejects
    for (_, account, rule, _), (quantity, events, amount) in tables.tiers.items():
        total = expected.rules[account, rule]  # all events are of one period
        used = amount if rule == "share" else quantity
        assert (used if rule == "share" else total.quantity, events, amount) == (used, total.lines, total.amount)


@examples(250)
@given(log=logs(), cuts=st.sets(st.integers(1, 19)), looks=st.booleans())
def test_linear_balances_are_the_oracles(
    linear: tuple[Pipeline, Path], log: list[bytes], cuts: set[int], *, looks: bool
) -> None:
    """A void would take back more, less, or something else than its event was charged."""
    pipeline, book = linear
    edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    shard = bill(pipeline, [log[a:b] for a, b in pairwise(edges)], looks=looks)
    _check(shard, oracle.run(log, book), book)


@examples(250)
@given(log=logs(), cuts=st.sets(st.integers(1, 19)), looks=st.booleans())
def test_counting_balances_are_the_oracles(
    counting: tuple[Pipeline, Path], log: list[bytes], cuts: set[int], *, looks: bool
) -> None:
    """Where a batch ends would decide in which tier an event is that comes after a void."""
    pipeline, book = counting
    edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    shard = bill(pipeline, [log[a:b] for a, b in pairwise(edges)], looks=looks)
    _check(shard, oracle.run(log, book), book)


@examples(150)
@given(log=logs(), data=st.data())
def test_order_changes_no_linear_balance(linear: tuple[Pipeline, Path], log: list[bytes], data: st.DataObject) -> None:
    """Two workers that read the same log at different speeds would make different bills."""
    pipeline, _ = linear
    bodies = {}
    for one in log:  # of two bodies, the first is billed: that is a matter of order
        event = attrs.asdict(parse(one)) if b"not an account" not in one else None
        if event is not None:
            bodies.setdefault((event["account"], event["id"]), {**event, "is_void": None})
    log = [one for one in log if _same(bodies, one)]
    order = data.draw(st.permutations(log))
    amounts = [
        {row[1]: sums[:2] for row, sums in bill(pipeline, [piece], looks=True).tables.balances.items()}
        for piece in (log, order)
    ]
    assert _nonzero(amounts[0]) == _nonzero(amounts[1])


def _same(bodies: dict[Any, Any], one: bytes) -> bool:
    event = attrs.asdict(parse(one))
    return bodies.get((event["account"], event["id"])) == {**event, "is_void": None}


def _nonzero(sums: dict[str, tuple[int, Decimal]]) -> dict[str, tuple[int, Decimal]]:
    return {account: one for account, one in sums.items() if any(one)}
