import json
from decimal import Decimal

import pytest

from generators import oracle
from generators.faults import Faults
from generators.oracle import Total
from generators.workload import Workload

BOOK = """
book: b
version: 1
currency: USD
dimensions: [country]
charges:
  - group: usage
    rules:
      - {id: sms, when: {product: sms}, price: {per_unit: "0.5"}}
      - {id: mms, when: {product: mms}, price: {per_unit: 2}}
      - {id: call, when: {product: [voice, lookup]}, price: {flat: 3}}
  - group: fee
    rules: [{id: att, when: {product: sms, carrier: att}, price: {flat: "0.125"}}]
  - group: reseller
    rules:
      - id: share
        when: {reseller: {exists: true}}
        charge: {attribute: reseller}
        price: {percentage: {of: usage, rate: "0.1"}}
rollups:
  - {name: hourly, every: hour, by: [product, country]}
  - {name: daily, every: day}
  - {name: monthly, every: month, by: [account]}
"""
HOUR_US, DAY_US, NEW_YEAR_US = 3_600_000_000, 86_400_000_000, 1_767_225_600_000_000


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "b.yaml"
    path.write_text(BOOK)
    return path


def body(number: int, time: str = "2026-01-01T00:30:00Z", **fields: object) -> bytes:
    plain = {"id": f"e{number}", "account": "a", "product": "sms", "time": time}
    return json.dumps(plain | fields).encode()


def test_sums_by_account_rule_and_rollup(book):
    """Else the audit would be compared with other sums than the tables hold (worked by hand)."""
    expected = oracle.run(
        [
            body(1, quantity=2, attributes={"country": "US", "carrier": "att", "reseller": "r"}),
            body(2, "2026-01-01T01:00:00Z", product="mms"),
            body(3, "2026-02-01T00:00:00Z", quantity="0.5", attributes={"country": "US"}),
        ],
        book,
    )
    one = Decimal(1)
    assert (expected.events, expected.accepted, expected.duplicates, expected.lines) == (3, 3, 0, 5)
    assert expected.balances == {"a": Decimal("3.375"), "r": Decimal("0.1")}
    assert expected.accounts["a"] == Total(Decimal("3.375"), Decimal("5.5"), lines=4, events=3)
    assert expected.rules == {
        ("a", "sms"): Total(Decimal("1.25"), Decimal("2.5"), lines=2, events=2),
        ("a", "mms"): Total(Decimal(2), one, lines=1, events=1),
        ("a", "att"): Total(Decimal("0.125"), Decimal(2), lines=1, events=1),
        ("r", "share"): Total(Decimal("0.1"), Decimal(2), lines=1, events=1),
    }
    february_us = NEW_YEAR_US + 31 * DAY_US
    assert expected.rollups == {
        ("a", "hourly", NEW_YEAR_US, ("sms", "US")): Total(Decimal("1.125"), Decimal(4), lines=2, events=1),
        ("r", "hourly", NEW_YEAR_US, ("sms", "US")): Total(Decimal("0.1"), Decimal(2), lines=1, events=1),
        ("a", "hourly", NEW_YEAR_US + HOUR_US, ("mms", None)): Total(Decimal(2), one, lines=1, events=1),
        ("a", "hourly", february_us, ("sms", "US")): Total(Decimal("0.25"), Decimal("0.5"), lines=1, events=1),
        ("a", "daily", NEW_YEAR_US, ()): Total(Decimal("3.125"), Decimal(5), lines=3, events=2),
        ("r", "daily", NEW_YEAR_US, ()): Total(Decimal("0.1"), Decimal(2), lines=1, events=1),
        ("a", "daily", february_us, ()): Total(Decimal("0.25"), Decimal("0.5"), lines=1, events=1),
        ("a", "monthly", NEW_YEAR_US, ("a",)): Total(Decimal("3.125"), Decimal(5), lines=3, events=2),
        ("r", "monthly", NEW_YEAR_US, ("a",)): Total(Decimal("0.1"), Decimal(2), lines=1, events=1),
        ("a", "monthly", february_us, ("a",)): Total(Decimal("0.25"), Decimal("0.5"), lines=1, events=1),
    }


def test_the_same_event_again_is_dropped_however_it_is_written(book):
    """Else a producer's retry would be billed."""
    cloud = {
        "specversion": "1.0",
        "id": "e1",
        "source": "s",
        "type": "t",
        "time": "2026-01-01T01:30:00+01:00",
        "data": {"product": "sms", "account": "a", "quantity": "1.0", "attributes": {}},
    }
    expected = oracle.run([body(1), body(1), body(1, quantity=1), json.dumps(cloud).encode()], book)
    assert (expected.accepted, expected.duplicates, expected.rejects) == (1, 3, {})
    assert expected.balances == {"a": Decimal("0.5")}


def test_the_same_identity_with_another_body_is_a_conflict(book):
    """Else the second of two different events would be lost without a trace."""
    log = [body(1), body(1, quantity=2), body(1, product="mms"), body(1, attributes={"x": ""}), body(1)]
    expected = oracle.run([*log, body(1, "2026-01-01T00:30:00.000001Z")], book)
    assert (expected.accepted, expected.duplicates) == (1, 1)
    assert expected.rejects == {1: "conflict", 2: "conflict", 3: "conflict", 5: "conflict"}


def test_identity_is_account_day_and_id(book):
    """Else two customers' events with one id would be taken for one."""
    log = [body(1), body(1, account="b"), body(1, "2026-01-02T00:00:00Z"), body(1, "2026-01-01T23:59:59-01:00")]
    expected = oracle.run(log, book)
    assert (expected.accepted, expected.duplicates) == (3, 0)
    assert expected.rejects == {3: "conflict"}


def test_a_rejected_event_does_not_take_its_identity(book):
    """Else a corrected event could never be billed."""
    expected = oracle.run([body(1, product="fax"), body(1), body(1, product="fax")], book)
    assert (expected.accepted, expected.rejects) == (1, {0: "no_rule", 2: "no_rule"})


def test_a_long_dimension_is_a_bad_field(book):
    """Else a rollup's key would be cut off, or its row refused."""
    log = [body(1, attributes={"country": "x" * 65}), body(2, attributes={"country": "é" * 32})]
    assert oracle.run(log, book).rejects == {0: "bad_field"}


def test_quarantined_counts_by_reason(book):
    expected = oracle.run([b"{", b"}", body(1, product="fax"), body(2)], book)
    assert expected.quarantined == {"undecodable": 2, "no_rule": 1}


@pytest.mark.parametrize("model", ["uniform", "skewed", "hot-shard"])
def test_the_planned_faults_are_what_the_oracle_finds(book, model):
    """Else either the plan or the oracle is wrong, and an exact count of the quarantine would prove nothing."""
    faults = Faults(duplicates=0.1, late=0.1, out_of_order=0.2, malformed=0.1)
    workload = Workload(model=model, seed=11, faults=faults)
    expected = oracle.run((payload for block in workload.blocks(20_000) for payload in block), book)
    kinds = workload.kinds(0, 20_000)
    assert expected.quarantined == workload.rejects(20_000)
    assert (expected.accepted, expected.duplicates) == (kinds.count("ordinary"), kinds.count("duplicate"))
    assert set(expected.rejects) == {at for at, kind in enumerate(kinds) if kind not in {"ordinary", "duplicate"}}
    for name in ("hourly", "daily", "monthly"):
        total = sum(total.amount for key, total in expected.rollups.items() if key[1] == name)
        assert total == sum(expected.balances.values())
    assert sum(total.amount for total in expected.rules.values()) == sum(expected.balances.values())
