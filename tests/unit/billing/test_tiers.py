"""What a batch counts, and how its transaction is settled by what was used before."""

from decimal import Decimal

import numpy as np
import pytest

from billing.batch import Slice
from billing.event import Reason
from billing.rows import decimal_texts
from billing.tiers import used_of
from rules.cumulative import Used
from sharding.key import slot_of
from tests.pipeline import COUNTING, HOUR, payload, pipeline_in, plain

PICO = 10**12
FEBRUARY = 1_769_904_000
MOST = 10**26 - 1


@pytest.fixture(scope="session")
def counting(tmp_path_factory):
    """Give the path by a book whose prices count."""
    return pipeline_in(tmp_path_factory.mktemp("book"), charges=COUNTING)


def slot(account):
    """Return an account's slot."""
    return int(slot_of([account])[0])


def settled(transaction, *before):
    """Settle by (quantity, events, amount) of each counter, nothing for those not given."""
    count = len(transaction.draft.counted.keys)
    rows = [*before, *[(0, 0, 0)] * (count - len(before))]
    quantity, events, amount = zip(*rows, strict=True)
    return transaction.settled(used_of([q * PICO for q in quantity], events, [a * PICO for a in amount]))


def amounts(transaction):
    """Return the amount of each line by account, event and line."""
    rows = plain(transaction.records)
    keys = zip(rows.account, rows.event, rows.line, strict=True)
    return dict(zip(keys, map(Decimal, rows.amount), strict=True))


def tiers(transaction):
    """Return the counters as written, by account, rule and period."""
    return {row[1:4]: (Decimal(row[4]), row[5], Decimal(row[6])) for row in transaction.tiers.tuples()}


def test_linear_prices_need_no_counter(counting):
    """Every batch of a book without cumulative prices would pay for a second round trip."""
    transaction = counting.transaction([payload("a", product="plain"), b"bad"])
    assert transaction.draft is None
    assert list(transaction.tiers.tuples()) == []
    assert amounts(transaction) == {("acme", "a", 0): Decimal(1)}


def test_counters_stand_once_and_in_order_of_their_key(counting):
    """Two workers would lock counters in different order and end in a deadlock, or one counter be read twice."""
    accounts = [f"account-{number}" for number in range(40)]
    payloads = [
        payload(f"{product}{month}", account, product, time=f"2026-0{month}-01T00:00:00Z")
        for product in ("sms", "call", "plain", "sms")
        for month in (2, 1)
        for account in reversed(accounts)
    ]
    counted = counting.transaction(payloads).draft.counted
    keys = list(counted.keys.tuples())
    expected = [
        (slot(account), account, rule, period)
        for account in accounts
        for rule in ("graduated", "volume")
        for period in (HOUR, FEBRUARY)
    ]
    assert keys == sorted(expected)
    rules = [rule.id for rule in counting.book.rules]
    assert [rules[rule] for rule in counted.rule.tolist()] == [key[2] for key in keys]
    assert len(counted.line) == 160  # the repeats are dropped
    assert (np.diff(counted.line) > 0).all()


def test_uses_are_settled_in_the_order_of_the_log(counting):
    """A later event would get the cheap units of an earlier one, and a repeat of the log give other amounts."""
    payloads = [payload(name, quantity=6) for name in ("z", "m", "a")]
    transaction = settled(counting.transaction(payloads))
    assert {key[1]: amount for key, amount in amounts(transaction).items() if key[2] == 0} == {
        "z": Decimal(6), "m": Decimal(8), "a": Decimal(3),  # 6; 4 + 2 * 0.5 + 3; 6 * 0.5
    }  # fmt: skip
    assert tiers(transaction) == {("acme", "graduated", HOUR): (Decimal(18), 3, Decimal(17))}
    assert transaction.draft is None


def test_settling_again_by_another_state_starts_from_the_events(counting):
    """After a rollback, amounts of a state that never was would be written."""
    transaction = counting.transaction([payload("a", quantity=4), payload("p", product="plain", quantity=5)])
    first, second, third = (settled(transaction, *state) for state in ([], [(12, 2, 14)], []))
    assert amounts(first)["acme", "a", 0] == Decimal(4)
    assert amounts(second)["acme", "a", 0] == Decimal(2)
    assert amounts(third) == amounts(first)
    assert tiers(second) == {("acme", "graduated", HOUR): (Decimal(16), 3, Decimal(16))}
    assert amounts(second)["acme", "p", 0] == Decimal(5)
    assert decimal_texts(second.balances.amount) == ["7.010000000000"]
    assert decimal_texts(second.rollups.amount) == ["7.010000000000"]
    assert transaction.draft is not None


def test_batches_of_several_reads_share_their_counters(counting):
    """Events of two reads would be charged from the same quantity, or from each other's counter."""
    one = counting.slice([payload("a", product="call", quantity=10), payload("b", quantity=9)])
    two = counting.slice([payload("c", quantity=1), payload("d", quantity=1), payload("e", product="call")], start=2)
    whole = Slice.concat([one, two])
    transaction = settled(counting.fold(whole))
    assert tiers(transaction) == {
        ("acme", "graduated", HOUR): (Decimal(11), 3, Decimal("13.5")),
        ("acme", "volume", HOUR): (Decimal(11), 2, Decimal("5.5")),
    }
    assert amounts(transaction)["acme", "d", 0] == Decimal("3.5")
    head, tail = whole.split(3)
    assert amounts(settled(counting.fold(tail), (10, 2, 10), (10, 1, 10))) == {
        ("acme", "d", 0): Decimal("3.5"), ("acme", "d", 1): Decimal("0.01"), ("acme", "e", 0): Decimal("-4.5"),
    }  # fmt: skip
    assert len(head) == 3


def test_an_event_that_charges_only_others_counts_for_them(counting):
    """Its own account would be given the reseller's counter."""
    batch = counting.slice([payload("a", product="plain", quantity=3, attributes={"reseller": "zoe"})])
    transaction = settled(counting.fold(batch))
    assert tiers(transaction) == {("zoe", "share", HOUR): (Decimal(3), 1, Decimal("0.25"))}
    assert amounts(transaction) == {("acme", "a", 0): Decimal(3), ("zoe", "acme a", 0): Decimal("0.25")}


# --- overflow ---


def test_nobody_pays_for_an_event_that_overflows_and_the_others_are_charged(counting):
    """A fee would be charged for an event that is in quarantine, or sound events be held back with it."""
    resold = {"reseller": "zoe"}
    payloads = [payload("a", quantity=3, attributes=resold), payload("b", quantity=1), payload("c", quantity=1)]
    transaction = counting.transaction([*payloads, payload("d", "zoe", "call")])
    keys = list(transaction.draft.counted.keys.tuples())
    state = [(MOST - 2, 5, 9) if key[1:3] == ("acme", "graduated") else (0, 0, 0) for key in keys]
    finished = settled(transaction, *state)
    assert {key[1] for key in amounts(finished)} == {"b", "c", "d"}
    assert [(one.offset, one.account, one.reason) for one in finished.quarantine] == [(0, "acme", Reason.OVERFLOW)]
    (move,) = finished.moves
    assert (move.accepted, move.duplicates, move.quarantined) == (3, 0, 1)
    found = tiers(finished)
    assert found["acme", "graduated", HOUR][:2] == (Decimal(MOST), 7)
    assert found["zoe", "share", HOUR] == (Decimal(0), 0, Decimal(0))
    assert found["zoe", "volume", HOUR] == (Decimal(1), 1, Decimal(1))


def test_copies_of_an_event_that_overflows_are_what_they_are(counting):
    """The worker would stop at a counter that it has not locked, or bill a copy of what is in quarantine."""
    payloads = [payload("a", quantity=5), payload("a", quantity=5), payload("a", product="call"), payload("b")]
    finished = settled(counting.transaction(payloads), (MOST - 2, 5, 9))
    assert [(one.offset, one.reason) for one in finished.quarantine] == [(0, Reason.OVERFLOW), (2, Reason.CONFLICT)]
    (move,) = finished.moves
    assert (move.accepted, move.duplicates, move.quarantined) == (1, 1, 2)
    assert tiers(finished) == {("acme", "graduated", HOUR): (Decimal(MOST - 1), 6, pytest.approx(Decimal(9), abs=1))}


def test_a_batch_that_overflows_whole_leaves_its_counters_as_they_were(counting):
    """The counter would be emptied, and the account start again at its first tier."""
    finished = settled(counting.transaction([payload("a")]), (MOST, 5, 9))
    assert (len(finished.records), len(finished.balances)) == (0, 0)
    assert tiers(finished) == {("acme", "graduated", HOUR): (Decimal(MOST), 5, Decimal(9))}
    assert finished.draft is None


def test_what_was_read_is_used_exactly():
    """A store that reads large counters as floats or wraps them would charge anything."""
    used = used_of([MOST * PICO + 1, 2], [3, 4], [-1, 0])
    assert isinstance(used, Used)
    assert decimal_texts(used.quantity) == [f"{MOST}.000000000001", "0.000000000002"]
    assert decimal_texts(used.amount) == ["-0.000000000001", "0.000000000000"]
    assert used.events.dtype == np.int64
