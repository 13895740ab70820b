"""Properties of a batch's rows: whatever it holds, they are what sorting and adding up one by one make of it."""

from collections import defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.charge import Charges
from billing.cut import cut
from billing.digest import UINT64_MASK, line_checksums
from billing.moment import DAY_US, bucket_seconds, day_text
from billing.order import part_order
from billing.rows import decimal_texts, table_rows
from rules.book import Book
from rules.columns import Int64s
from tests.examples import examples
from tests.pipeline import Pipeline, payload, pipeline_in

# Few of everything, so that rows meet; ids that count up and ids that do not, of which one begins another.
EVENTS = st.fixed_dictionaries(
    {
        "id": st.one_of(st.sampled_from(["a", "ab", "b", "0123456789", "01234567890"]), st.uuids().map(str)),
        "account": st.sampled_from(["acme", "acme", "acme-2", "zoe", "yann"]),
        "product": st.sampled_from(["sms", "sms", "refund", "resold"]),
        "quantity": st.sampled_from([1, 2, "2.5", "0.000000000001", "9223372", 10**25]),
        "time": st.sampled_from(
            ["2026-01-01T00:00:00Z", "2026-01-31T23:59:59.999999Z", "2024-02-29T12:00:00Z", "2099-12-31T23:00:00Z"]
        ),
        "attributes": st.fixed_dictionaries(
            {"reseller": st.sampled_from(["zoe", "acme", "r"])},
            optional={"country": st.sampled_from(["US", "é"]), "to": st.sampled_from(["+1", "it's"])},
        ),
        "type": st.sampled_from(["usage", "usage", "usage", "void"]),
    }
)
LOGS = st.lists(EVENTS.map(lambda fields: payload(**fields)), max_size=60)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return pipeline_in(tmp_path_factory.mktemp("rows"))


def _slots(charges: Charges, draw: Any) -> Any:
    """Return a slot of each part: few, so that accounts share some and are spread over some."""
    few = draw.draw(st.lists(st.sampled_from([0, 1, 256, 65_535]), min_size=len(charges), max_size=len(charges)))
    return np.array(few, dtype=np.uint16)


@examples(100)
@given(LOGS, st.data())
def test_parts_stand_by_primary_key(plain: Pipeline, log: list[bytes], draw: Any) -> None:
    """Two workers would lock the same rows in different orders, and a repeat not be seen."""
    charges = plain.slice(log).charges
    slot = _slots(charges, draw)
    accounts, keys = charges.account.rows(), charges.key.to_pylist()
    days = (charges.time_us // DAY_US).tolist()
    places = [
        *zip(slot.tolist(), accounts, days, keys, strict=True)
    ]  # of visible ASCII, which compares as its bytes do
    order = part_order(charges, slot)
    voids = charges.void.tolist()
    assert order.parts.tolist() == sorted(range(len(places)), key=lambda part: (places[part], not voids[part]))
    groups = sorted({place[:2] for place in places})
    assert order.group.tolist() == [groups.index(place[:2]) for place in places]
    twins = [places.count(place) > 1 for place in places]
    assert order.voids == any(voids)
    assert ([False] * len(places) if order.twins is None else order.twins.tolist()) == twins


@examples(100)
@given(LOGS, st.data())
def test_rows_are_what_adding_up_one_by_one_makes(plain: Pipeline, log: list[bytes], draw: Any) -> None:
    """A balance would not be the sum of its records."""
    charges = plain.slice(log).charges
    slot = _slots(charges, draw)
    records, rollups, balances = table_rows(charges, slot, plain.book)
    expected_records, expected_rollups, expected_balances = _one_by_one(charges, slot, plain.book)
    # Line 0 is what a void charges until it takes something back; order among equal keys is that of the log.
    found = [(*row[:7], row[7], Fraction(row[8]), Fraction(row[9]), row[10]) for row in records.tuples()]
    assert found == expected_records
    assert [(*row[:6], Fraction(row[6]), Fraction(row[7]), row[8]) for row in rollups.tuples()] == expected_rollups
    assert [(*row[:4], Fraction(row[4]), row[5]) for row in balances.tuples()] == expected_balances


def _one_by_one(charges: Charges, slot: Any, book: Book) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the rows of all tables, sorted, with decimals as numbers."""
    accounts, keys, kept = charges.account.rows(), charges.key.to_pylist(), charges.kept.to_pylist()
    part = charges.part.tolist()
    checksums = line_checksums(charges.digest[charges.part], charges.line, charges.amount).tolist()
    quantities, amounts = ([*map(Fraction, decimal_texts(column))] for column in (charges.quantity, charges.amount))
    buckets = {one: bucket_seconds(charges.time_us, one.every).tolist() for one in book.rollups}
    records: list[Any] = []
    rollups: dict[Any, list[Any]] = defaultdict(lambda: [0, Fraction(0), Fraction(0), 0])
    balances: dict[Any, list[Any]] = defaultdict(lambda: [0, Fraction(0), Fraction(0), 0])
    for line, of in enumerate(part):
        number, time_us, void = int(charges.line[line]), int(charges.time_us[of]), bool(charges.void[of])
        owner, tail = (int(slot[of]), accounts[of]), charges.tails[charges.tail[line]]
        key = *owner, day_text(time_us // DAY_US), keys[of], not void, of, number
        rest = time_us, int(charges.digest[of]), int(charges.tail[line]), quantities[line], amounts[line]
        records.append((key, rest, kept[of] if number == 0 else ""))
        added = int(number == 0 and not void), quantities[line], amounts[line], checksums[line]
        for rollup, dims in zip(book.rollups, tail.rollup_dims, strict=True):
            _add(rollups[*owner, rollup.name, buckets[rollup][of], dims], added)
        _add(balances[*owner, tail.currency], added)
    return (
        [(*key[:4], key[-1], *rest, text) for key, rest, text in sorted(records)],
        [(*key, *sums) for key, sums in sorted(rollups.items(), key=lambda one: _bytes(one[0]))],
        [(*key, sums[0], sums[2], sums[3]) for key, sums in sorted(balances.items())],
    )


def _add(sums: list[Any], added: tuple[Any, ...]) -> None:
    sums[:] = [old + new for old, new in zip(sums, added, strict=True)]
    sums[-1] &= UINT64_MASK


def _bytes(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(one.encode() if isinstance(one, str) else one for one in key)


@examples(100)
@given(LOGS, st.integers(1, 5), st.data())
def test_each_shard_gets_its_parts_in_log_order(plain: Pipeline, log: list[bytes], shards: int, draw: Any) -> None:
    """An event would reach another shard, or none."""
    charges = plain.slice(log).charges
    numbers = st.integers(0, shards - 1)
    shard = np.array(draw.draw(st.lists(numbers, min_size=len(charges), max_size=len(charges))), dtype=np.int16)
    cuts = cut(charges, shard, shards)
    assert cuts.rows.tolist() == sorted(range(len(charges)), key=shard.tolist().__getitem__)
    for number in range(shards):
        assert _told(cuts.share(number)) == _told(charges.take(shard == number))


def _told(charges: Charges) -> list[Any]:
    columns: list[Int64s] = [
        charges.partition, charges.offset, charges.time_us, charges.digest, charges.home, charges.void, charges.part,
        charges.line, charges.tail, charges.quantity.units, charges.amount.units, charges.counter, charges.use.units,
    ]  # fmt: skip
    texts = charges.key.to_pylist(), charges.kept.to_pylist(), charges.account.rows(), charges.payload.tolist()
    return [*texts, *(column.tolist() for column in columns)]
