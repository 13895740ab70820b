"""Folding a slice into one transaction: deduplication, exact sums, the order of rows, the counts of the cursor."""

from decimal import Decimal

import attrs
import numpy as np
import pytest

from billing.batch import Slice
from billing.dedupe import PartKey, part_keys
from billing.digest import line_checksums
from billing.event import Reason
from billing.rows import decimal_texts
from billing.voids import Known
from rules.columns import Decimals
from sharding.key import slot_of
from tests.pipeline import DAY, HOUR, LOG, payload, plain


def key(event, account="acme", day=DAY):
    """Return where a part's records are."""
    return PartKey(int(slot_of([account])[0]), account, day, event)


def events_of(transaction):
    """Return account, event and amount of each record."""
    rows = plain(transaction.records)
    return list(zip(rows.account, rows.event, rows.amount, strict=True))


def counts_of(transaction):
    """Return accepted, duplicates and quarantined of the only move."""
    (move,) = transaction.moves
    return move.accepted, move.duplicates, move.quarantined


def rejects_of(transaction):
    """Return offset, account and reason of what goes to quarantine."""
    return [(reject.offset, reject.account, reject.reason) for reject in transaction.quarantine]


def test_an_empty_slice_moves_the_cursor_only(pipeline):
    """A stretch of the log without events of a shard would be read for ever."""
    transaction = pipeline.transaction([], start=5, stop=9)
    (move,) = transaction.moves
    assert attrs.astuple(move) == (0, 5, 9, 0, 0, 0, None)
    assert (transaction.log, transaction.map_version, transaction.book_version) == (LOG, 1, 1)
    assert plain(transaction.records).slot == plain(transaction.rollups).slot == plain(transaction.balances).slot == []
    assert transaction.events == 0


# --- repeats and conflicts ---


def test_a_repeat_in_the_batch_is_dropped(pipeline):
    """A producer's retry would be billed twice."""
    transaction = pipeline.transaction([payload("a"), payload("b"), payload("a"), payload("a")])
    assert events_of(transaction) == [("acme", "a", "1.000000000000"), ("acme", "b", "1.000000000000")]
    assert counts_of(transaction) == (2, 2, 0)
    assert transaction.events == 4


@pytest.mark.parametrize(
    "other",
    [{"account": "zoe"}, {"time": "2026-01-02T00:00:00Z"}, {"id": "A"}],
    ids=["account", "day", "letter case"],
)
def test_another_identity_is_no_repeat(pipeline, other):
    """Two customers' events, or one id used anew on another day, would be billed once."""
    transaction = pipeline.transaction([payload("a"), payload(**{"id": "a", **other})])
    assert counts_of(transaction) == (2, 0, 0)


def test_a_conflict_in_the_batch_is_quarantined(pipeline):
    """The same id with another body would be dropped in silence, or billed beside the first."""
    transaction = pipeline.transaction([payload("a", quantity=1), payload("a", quantity=2), payload("a", quantity=1)])
    assert events_of(transaction) == [("acme", "a", "1.000000000000")]
    assert counts_of(transaction) == (1, 1, 1)
    assert rejects_of(transaction) == [(1, "acme", Reason.CONFLICT)]
    assert transaction.quarantine[0].payload == payload("a", quantity=2)
    assert "another body" in transaction.quarantine[0].detail


def test_what_the_shard_has_is_a_repeat_or_a_conflict(pipeline):
    """After a restart, an event that was billed before would be billed again."""
    batch = pipeline.slice([payload("a"), payload("b"), payload("c")])
    digests = batch.charges.digest.tolist()
    existing = {key("a"): Known(digests[0]), key("b"): Known(digests[1] ^ 1), key("z"): Known(5)}
    transaction = pipeline.fold(batch, existing)
    assert events_of(transaction) == [("acme", "c", "1.000000000000")]
    assert counts_of(transaction) == (1, 1, 1)
    assert rejects_of(transaction) == [(1, "acme", Reason.CONFLICT)]


def test_existing_keys_are_those_that_part_keys_asks_for(pipeline):
    """The answer of a look would not be recognised, and its batch never get through."""
    batch = pipeline.slice([payload("a", attributes={"reseller": "zoe"}), payload("b", time="2026-01-02T00:00:00Z")])
    assert part_keys(batch) == [key("a"), key("acme a", "zoe"), key("b", day=DAY + 1)]


def test_a_foreign_part_is_dropped_but_counted_at_home_only(pipeline):
    """An event that charges two accounts would count as two, and the audit find events that do not exist."""
    batch = pipeline.slice([payload("a", quantity=10, attributes={"reseller": "zoe"})])
    digest = int(batch.charges.digest[0])
    transaction = pipeline.fold(batch, {key("acme a", "zoe"): Known(digest ^ 1)})
    assert events_of(transaction) == [("acme", "a", "10.000000000000")]
    assert counts_of(transaction) == (1, 0, 0)
    transaction = pipeline.fold(batch, {key("a"): Known(digest)})
    assert events_of(transaction) == [("zoe", "acme a", "1.000000000000")]
    assert counts_of(transaction) == (0, 1, 0)


def test_a_poisoned_event_is_quarantined_with_the_words_of_the_store(pipeline):
    """One event that a database refuses would stop its shard for ever."""
    batch = pipeline.slice([payload("a"), payload("b", quantity=10, attributes={"reseller": "zoe"}), payload("c")], 7)
    transaction = pipeline.fold(batch, poison={(0, 8): "1264 Out of range", (1, 7): "of another partition"})
    assert [event for _, event, _ in events_of(transaction)] == ["a", "c"]
    assert counts_of(transaction) == (2, 0, 1)
    assert rejects_of(transaction) == [(8, "acme", Reason.STORE_REJECTED)]
    assert transaction.quarantine[0].detail == "1264 Out of range"


def test_a_repeat_of_a_poisoned_event_is_tried_for_itself(pipeline):
    """A good event would be dropped as the repeat of one that was never billed."""
    batch = pipeline.slice([payload("a"), payload("a")])
    transaction = pipeline.fold(batch, poison={(0, 0): "refused"})
    assert events_of(transaction) == [("acme", "a", "1.000000000000")]
    assert counts_of(transaction) == (1, 0, 1)


def test_undecodable_and_unpriced_events_are_in_log_order(pipeline):
    """Quarantine would lock its rows in another order than other writers do."""
    payloads = [b"x", payload("a", product="fax"), payload("b", type="?"), payload("c"), payload("c", quantity=9)]
    transaction = pipeline.transaction(payloads)
    assert rejects_of(transaction) == [
        (0, None, Reason.UNDECODABLE),
        (1, "acme", Reason.NO_RULE),
        (2, "acme", Reason.UNKNOWN_TYPE),
        (4, "acme", Reason.CONFLICT),
    ]
    assert counts_of(transaction) == (1, 0, 4)


def test_a_batch_of_wide_repeats_folds_to_nothing(pipeline):
    """A worker would stop for good at the repeat of an event with a very large quantity."""
    batch = pipeline.slice([payload("a", quantity="99999999999999999999999999.5")])
    transaction = pipeline.fold(batch, {key("a"): Known(int(batch.charges.digest[0]))})
    assert (events_of(transaction), counts_of(transaction)) == ([], (0, 1, 0))


# --- counts ---


def test_each_partition_moves_with_its_own_counts(pipeline):
    """Conservation per partition could not be checked: what one lost another would seem to have."""
    one = pipeline.slice([payload("a"), payload("a"), b"x"], 10, 2, stop=20)
    two = pipeline.slice([payload("b", time="2026-01-02T00:00:00Z"), payload("c")], 3, 1)
    three = pipeline.slice([b"y"], 0, 5)
    transaction = pipeline.fold(Slice.concat([one, two, three]))
    assert [attrs.astuple(move) for move in transaction.moves] == [
        (1, 3, 5, 2, 0, 0, (HOUR + 86_400) * 1_000_000),
        (2, 10, 20, 1, 1, 1, HOUR * 1_000_000),
        (5, 0, 1, 0, 0, 1, None),
    ]
    assert transaction.events == 6


# --- sums and order ---


def test_rows_are_in_primary_key_order(pipeline):
    """Two workers would lock the same rows in different order: a deadlock a second."""
    accounts = ["zoe", "acme", "bob", "ab", "a"]
    payloads = [
        payload(f"e{n}", account, time=f"2026-01-0{day}T0{hour}:00:00Z", attributes={"country": country})
        for n, (day, hour, country) in enumerate([(2, 3, "US"), (1, 5, "DE"), (1, 4, "US"), (2, 3, "FR")])
        for account in accounts
    ] + [payload("E9", "bob", attributes={"reseller": "a", "country": "US"})]
    transaction = pipeline.transaction(payloads)
    records, rollups, balances = plain(transaction.records), plain(transaction.rollups), plain(transaction.balances)
    for columns in (
        (records.slot, records.account, records.day, records.event, records.line),
        (rollups.slot, rollups.account, rollups.rollup, rollups.bucket, rollups.dims),
        (balances.slot, balances.account, balances.currency),
    ):
        keys = list(zip(*columns, strict=True))
        assert keys == sorted(set(keys))
    assert len(records.slot) == 22
    assert len(balances.slot) == 5
    assert [account for account in balances.account if account not in accounts] == []
    assert all(slot == int(slot_of([account])[0]) for slot, account in zip(records.slot, records.account, strict=True))


def test_a_hot_row_is_touched_once(pipeline):
    """The busiest account's row would be locked and written for each of its events."""
    transaction = pipeline.transaction([payload(f"e{n}", quantity=n) for n in range(100)])
    assert (plain(transaction.balances).events, plain(transaction.balances).amount) == ([100], ["4950.000000000000"])
    assert plain(transaction.rollups).rollup == ["hourly", "monthly"]
    assert plain(transaction.rollups).events == [100, 100]
    assert [Decimal(quantity) for quantity in plain(transaction.rollups).quantity] == [4950, 4950]


def test_rollups_add_by_bucket_and_dimensions(pipeline):
    """Usage by hour and country would not add up to the balance."""
    payloads = [
        payload("a", quantity=1, attributes={"country": "US"}),
        payload("b", quantity=2, attributes={"country": "DE"}),
        payload("c", quantity=4, attributes={"country": "US"}, time="2026-01-01T00:59:59.999999Z"),
        payload("d", quantity=8, attributes={"country": "US"}, time="2026-01-01T01:00:00Z"),
        payload("e", quantity=16, product="refund", attributes={}),
    ]
    rollups = plain(pipeline.transaction(payloads).rollups)
    rows = zip(rollups.rollup, rollups.bucket, rollups.dims, rollups.events, map(Decimal, rollups.amount), strict=True)
    assert list(rows) == [
        ("hourly", HOUR, '["refund",null]', 1, -16),
        ("hourly", HOUR, '["sms","DE"]', 1, 2),
        ("hourly", HOUR, '["sms","US"]', 2, 5),
        ("hourly", HOUR + 3600, '["sms","US"]', 1, 8),
        ("monthly", HOUR, "[]", 5, -1),
    ]


def test_lines_of_one_event_count_once(pipeline):
    """An event with a fee would be counted as two events."""
    event = payload("a", quantity=10, attributes={"reseller": "acme"})
    transaction = pipeline.transaction([event])
    assert (plain(transaction.records).line, plain(transaction.records).event) == ([0, 1], ["a", "a"])
    assert plain(transaction.balances).events == [1]
    assert plain(transaction.balances).amount == ["11.000000000000"]
    assert plain(transaction.rollups).events == [1, 1]


@pytest.mark.parametrize(
    ("quantities", "amount"),
    [
        (["9223372.036854775807"], "9223372.036854775807"),
        (["9223372.036854775808"], "9223372.036854775808"),
        (["9223372.036854775807", "0.000000000001"], "9223372.036854775808"),
        (["9000000"] * 3, "27000000.000000000000"),
        (["99999999999999999999999999", "0.999999999999"], "99999999999999999999999999.999999999999"),
        (["99999999999999999999999999.999999999999"] * 3, "299999999999999999999999999.999999999997"),
    ],
)
@pytest.mark.parametrize("product", ["sms", "refund"])
def test_sums_beyond_int64_are_exact(pipeline, product, quantities, amount):
    """A big customer's balance would wrap around to a debt, or lose its last places."""
    payloads = [payload(f"e{n}", product=product, quantity=q) for n, q in enumerate(quantities)]
    transaction = pipeline.transaction([*payloads, payload("small", "zoe", quantity="0.000000000001")])
    sign = "-" if product == "refund" else ""
    assert dict(zip(plain(transaction.balances).account, plain(transaction.balances).amount, strict=True)) == {
        "acme": sign + amount,
        "zoe": "0.000000000001",
    }
    rollups = plain(transaction.rollups)
    assert {value for value, account in zip(rollups.amount, rollups.account, strict=True) if account == "acme"} == {
        sign + amount
    }


def test_checksums_add_up_mod_2_64(pipeline):
    """Two shards with the same records would seem to differ, or an overflow stop the worker."""
    transaction = pipeline.transaction([payload(f"e{n}", quantity=n) for n in range(200)])
    records = plain(transaction.records)
    lines = line_checksums(
        np.array(records.digest, dtype=np.uint64),
        np.array(records.line, dtype=np.int32),
        Decimals.of_integers([int(Decimal(amount).scaleb(12)) for amount in records.amount], 12),
    )
    total = sum(lines.tolist())
    assert total > 2**64
    assert plain(transaction.balances).checksum == [total % 2**64]
    assert plain(transaction.rollups).checksum == [total % 2**64] * 2


def test_the_tail_belongs_to_the_line(pipeline):
    """A record would name the rule or product of another one."""
    payloads = [
        payload("a", product="refund"),
        payload("b", attributes={"reseller": "acme", "country": "US"}),
        payload("c", product="resold", attributes={"reseller": "zoe"}),
    ]
    records = plain(pipeline.transaction(payloads).records)
    rows = zip(records.account, records.event, records.line, records.tail, strict=True)
    assert {row[:3]: (records.tails[row[3]].product, records.tails[row[3]].rule) for row in rows} == {
        ("acme", "a", 0): ("refund", "refund"),
        ("acme", "b", 0): ("sms", "unit"),
        ("acme", "b", 1): ("sms", "share"),
        ("acme", "c", 0): ("resold", ""),
        ("zoe", "acme c", 0): ("resold", "resold"),
    }


def test_kept_attributes_stand_on_line_0_only(pipeline):
    """Each further line would store the same texts once more."""
    records = plain(pipeline.transaction([payload("a", attributes={"reseller": "acme", "to": "+1"})]).records)
    assert records.kept == ['{"to":"+1"}', ""]


@pytest.mark.parametrize(
    ("units", "scale", "texts"),
    [
        ([], 12, []),
        ([0, 7, -7], 0, ["0", "7", "-7"]),
        ([0, 1, -1, 10**12, -(10**12) - 1], 12, ["0." + "0" * 12, "0." + "0" * 11 + "1", "-0." + "0" * 11 + "1",
            "1." + "0" * 12, "-1." + "0" * 11 + "1"]),
        ([2**63 - 1, -(2**63) + 1], 12, ["9223372.036854775807", "-9223372.036854775807"]),
        ([-(2**63)], 12, ["-9223372.036854775808"]),
        ([10**38 - 1, -(10**38) + 1, 5], 12, ["9" * 26 + "." + "9" * 12, "-" + "9" * 26 + "." + "9" * 12,
            "0." + "0" * 11 + "5"]),
        ([5], 20, ["0." + "0" * 19 + "5"]),
    ],
)  # fmt: skip
def test_decimals_become_plain_text(units, scale, texts):
    """A database would be given another number than the one that was computed."""
    assert decimal_texts(Decimals.of_integers(units, scale)) == texts
