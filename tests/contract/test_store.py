"""The contract of a shard's store: one suite for memory, SQLite, MariaDB and MySQL.

What only tables have is checked on the three that have them. What a store refuses is in `test_store_refusals`; what
only servers can do, in `test_store_on_servers`.
"""

import json
from decimal import Decimal

import attrs
import numpy as np

from billing import schema
from billing.cursor import Claim, Standing
from sharding.key import slot_of
from tests.pipeline import HOUR, LOG, SLOT, payload, plain
from tests.stores import applied, stands, with_store

DATE = "2026-01-01"


# --- claim ---


def test_a_claim_creates_cursors_once(place):
    """A second worker would start over, and every event would be read, or billed, again."""

    async def scenario(store):
        first = await stands(store)
        assert first == Standing({0: 0, 3: 7}, 1, 1)
        assert await stands(store, Claim(LOG, {0: 99, 3: 99, 4: 5}, 1, 1)) == Standing({0: 0, 3: 7, 4: 5}, 1, 1)
        assert (await place.rows())["cursors"] == [
            (LOG, 0, 0, 1, 1, 0, 0, 0),
            (LOG, 3, 7, 1, 1, 0, 0, 0),
            (LOG, 4, 5, 1, 1, 0, 0, 0),
        ]

    with_store(place, scenario)


def test_another_log_has_cursors_of_its_own(place):
    """A topic made anew would be read from where the old one ended, and its first events never billed."""

    async def scenario(store):
        await stands(store)
        other = Claim('kafka:other"; \\ DROP', {0: 3}, 1, 1)
        assert (await stands(store, other)).positions == {0: 3}
        assert (await stands(store)).positions == {0: 0, 3: 7}

    with_store(place, scenario)


def test_a_claim_raises_versions_and_never_lowers_them(place):
    """A worker with an old price list would go on billing beside the new one, or take the shard back."""

    async def scenario(store):
        await stands(store)
        assert await stands(store, Claim(LOG, {0: 0}, 3, 2)) == Standing({0: 0}, 1, 1)
        assert await stands(store, Claim(LOG, {0: 0, 3: 0}, 2, 2)) == Standing({0: 0, 3: 7}, 3, 2)
        assert [row[:5] for row in (await place.rows())["cursors"]] == [(LOG, 0, 0, 3, 2), (LOG, 3, 7, 3, 2)]

    with_store(place, scenario)


# --- apply ---


def test_what_was_prepared_is_written_when_it_is_applied_and_only_then(place, pipeline):
    """A batch made ready while another was on its way would be written in its place, or not as it is."""
    first, second, third = (pipeline.transaction([payload(f"e{n}", quantity=n)], start=n) for n in range(3))

    async def scenario(store):
        await stands(store)
        store.prepare(second)
        await applied(store, first)
        store.prepare(second)
        store.prepare(third)
        await applied(store, second, third)
        assert [row[3] for row in (await place.rows())["records"]] == ["e0", "e1", "e2"]
        assert (await stands(store)).positions == {0: 3, 3: 7}

    with_store(place, scenario)


def test_a_transaction_writes_every_table_and_moves_the_cursor(place, pipeline):
    """Records, rollups and balances would tell three different stories of the same events."""
    payloads = [
        payload("e2", quantity="1.5", attributes={"country": "US"}),
        payload("e1", quantity=2),
        payload("e1", account="zoe", time="2026-01-01T01:30:00Z"),
    ]
    transaction = pipeline.transaction(payloads, stop=5)
    digest = dict(zip(plain(transaction.records).event, plain(transaction.records).digest, strict=True))

    async def scenario(store):
        await stands(store)
        await applied(store, transaction)
        rows = await place.rows()
        zoe = int(slot_of(["zoe"])[0])
        assert [row[:5] + row[6:] for row in rows["records"]] == sorted(
            [
                (SLOT, "acme", DATE, "e1", 0, Decimal(2), Decimal(2)),
                (SLOT, "acme", DATE, "e2", 0, Decimal("1.5"), Decimal("1.5")),
                (zoe, "zoe", DATE, "e1", 0, Decimal(1), Decimal(1)),
            ]
        )
        assert [row[5] for row in rows["records"] if row[3] == "e2"] == [digest["e2"]]
        assert [row[:8] for row in rows["rollups"]] == sorted(
            [
                (SLOT, "acme", "hourly", HOUR, '["sms","US"]', 1, Decimal("1.5"), Decimal("1.5")),
                (SLOT, "acme", "hourly", HOUR, '["sms",null]', 1, Decimal(2), Decimal(2)),
                (SLOT, "acme", "monthly", HOUR, "[]", 2, Decimal("3.5"), Decimal("3.5")),
                (zoe, "zoe", "hourly", HOUR + 3600, '["sms",null]', 1, Decimal(1), Decimal(1)),
                (zoe, "zoe", "monthly", HOUR, "[]", 1, Decimal(1), Decimal(1)),
            ]
        )
        assert [row[:5] for row in rows["balances"]] == sorted(
            [(SLOT, "acme", "USD", 2, Decimal("3.5")), (zoe, "zoe", "USD", 1, Decimal(1))]
        )
        checksums = {row[1]: row[5] for row in rows["balances"]}
        assert checksums == dict(
            zip(plain(transaction.balances).account, plain(transaction.balances).checksum, strict=True)
        )
        assert rows["cursors"] == [(LOG, 0, 5, 1, 1, 3, 0, 0), (LOG, 3, 7, 1, 1, 0, 0, 0)]
        assert rows["quarantine"] == []

    with_store(place, scenario)


def test_a_second_transaction_adds_to_the_first(place, pipeline):
    """The last batch would be the whole balance."""

    async def scenario(store):
        await stands(store)
        first = pipeline.transaction([payload("a", quantity="0.000000000001")])
        second = pipeline.transaction([payload("b", quantity="99999999999999.999999999999")], start=1)
        await applied(store, first, second)
        rows = await place.rows()
        assert rows["cursors"][0] == (LOG, 0, 2, 1, 1, 2, 0, 0)
        checksum = (plain(first.balances).checksum[0] + plain(second.balances).checksum[0]) % 2**64
        assert rows["balances"] == [(SLOT, "acme", "USD", 2, Decimal(10**14), checksum)]
        assert [row[5:] for row in rows["rollups"]] == [(2, Decimal(10**14), Decimal(10**14), checksum)] * 2

    with_store(place, scenario)


def test_a_stretch_without_events_moves_the_cursor(place, pipeline):
    """A shard would read the same stretch of other shards' events again at every start."""

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([], stop=1000), pipeline.transaction([], 1000, stop=1001))
        rows = await place.rows()
        assert rows["cursors"][0] == (LOG, 0, 1001, 1, 1, 0, 0, 0)
        assert rows["records"] == []

    with_store(place, scenario)


def test_several_partitions_move_together(place, pipeline):
    """Half a transaction would be counted as applied, and the other half billed again."""
    spans = {0: (0, 2), 3: (7, 9)}
    one, two = (pipeline.slice([payload(f"p{p}")], start, p, stop=stop) for p, (start, stop) in spans.items())
    transaction = pipeline.fold(type(one).concat([one, two]))

    async def scenario(store):
        await stands(store)
        await applied(store, transaction)
        assert (await place.rows())["cursors"] == [(LOG, 0, 2, 1, 1, 1, 0, 0), (LOG, 3, 9, 1, 1, 1, 0, 0)]

    with_store(place, scenario)


def test_an_event_that_charges_others_is_written_under_its_origin(place, pipeline):
    """A reseller's own event of the same id would be taken for a repeat, and one of the two never billed."""

    async def scenario(store):
        await stands(store)
        await applied(
            store,
            pipeline.transaction(
                [
                    payload("e1", quantity=10, attributes={"reseller": "zoe"}),
                    payload("e1", account="zoe", quantity=3),
                    payload("e2", product="resold", quantity=5, attributes={"reseller": "zoe"}),
                ]
            ),
        )
        found = {(row[1], row[3]): row[6:] for row in (await place.rows())["records"]}
        assert found == {
            ("acme", "e1"): (Decimal(10), Decimal(10)),
            ("acme", "e2"): (Decimal(0), Decimal(0)),
            ("zoe", "acme e1"): (Decimal(10), Decimal(1)),
            ("zoe", "acme e2"): (Decimal(5), Decimal(5)),
            ("zoe", "e1"): (Decimal(3), Decimal(3)),
        }
        assert {row[1]: row[3:5] for row in (await place.rows())["balances"]} == {
            "acme": (2, Decimal(10)),
            "zoe": (3, Decimal(9)),
        }

    with_store(place, scenario)


# --- money ---


def test_amounts_of_26_digits_and_12_places_are_exact(place, pipeline):
    """Large accounts would be rounded, by a float or by a column that is too narrow."""
    most = "99999999999999999999999998.999999999999"

    async def scenario(store):
        await stands(store)
        await applied(
            store,
            pipeline.transaction([payload("a", quantity=most)]),
            pipeline.transaction([payload("b", quantity="1.000000000000")], start=1),
            pipeline.transaction([payload("c", account="zoe", product="refund", quantity=most)], start=2),
            pipeline.transaction([payload("d", account="zoe", product="refund", quantity="0.000000000001")], start=3),
        )
        balances = {row[1]: row[4] for row in (await place.rows())["balances"]}
        assert balances == {
            "acme": Decimal("99999999999999999999999999.999999999999"),
            "zoe": Decimal(-99999999999999999999999999),
        }
        records = {row[3]: row[6:] for row in (await place.rows())["records"]}
        assert records["a"] == (Decimal(most), Decimal(most))
        assert records["c"] == (Decimal(most), Decimal(most).copy_negate())

    with_store(place, scenario)


def test_checksums_wrap_at_64_bits(place, pipeline):
    """An error of the column type would stop the shard, or two equal shards would look different."""

    def with_checksum(transaction, checksum):
        rollups = attrs.evolve(
            transaction.rollups, checksum=np.full(len(transaction.rollups), checksum, dtype=np.uint64)
        )
        return attrs.evolve(
            transaction,
            rollups=rollups,
            balances=attrs.evolve(transaction.balances, checksum=np.array([checksum], dtype=np.uint64)),
        )

    async def scenario(store):
        await stands(store)
        expected = 0
        for offset, checksum in enumerate([2**64 - 1, 1, 2**63, 2**63 - 1, 2, 2**64 - 1, 2**64 - 1]):
            await applied(store, with_checksum(pipeline.transaction([payload(f"e{offset}")], offset), checksum))
            expected = (expected + checksum) % 2**64
            rows = await place.rows()
            assert [row[5] for row in rows["balances"]] == [expected]
            assert [row[8] for row in rows["rollups"]] == [expected] * 2

    with_store(place, scenario)


# --- every column ---


def test_every_column_is_written(tables, pipeline):
    """A statement would show the wrong product, rule, time or number, although the sums are right."""
    to = "+1'\"`\\\x00\n%s é 💣; --"
    event = payload(
        "!#$%&()*+,-./:;<=>?@[]^_{|}~",
        time="2026-01-31T23:59:59.123456+00:00",
        quantity="0.5",
        attributes={"to": to, "country": "C'\\\"é"},
    )

    async def scenario(store):
        await stands(store)
        transaction = pipeline.transaction([event], stop=2)
        await applied(store, transaction)
        (record,) = await tables.all_of(schema.records)
        time_us = 1_769_903_999_123_456
        assert {**record, "day": str(record["day"]), "kept": json.loads(record["kept"])} == {
            "slot": SLOT,
            "account": "acme",
            "day": "2026-01-31",
            "event": "!#$%&()*+,-./:;<=>?@[]^_{|}~",
            "line": 0,
            "time_us": time_us,
            "digest": int(transaction.records.digest[0]),
            "product": "sms",
            "rule": "unit",
            "currency": "USD",
            "book_version": 1,
            "quantity": Decimal("0.5"),
            "amount": Decimal("0.5"),
            "kept": {"to": to},
        }
        rollups = {row["rollup"]: row for row in await tables.all_of(schema.rollups)}
        assert json.loads(rollups["hourly"]["dims"]) == ["sms", "C'\\\"é"]
        assert rollups["hourly"]["bucket"] == 1_769_903_999 // 3600 * 3600
        cursor = (await tables.all_of(schema.cursors))[0]
        assert cursor["time_us_max"] == time_us
        assert cursor["applied_at_us"] > time_us
        await applied(store, pipeline.transaction([payload("early")], start=2))
        assert (await tables.all_of(schema.cursors))[0]["time_us_max"] == time_us

    with_store(tables, scenario)
