"""The contract of a shard's store: one suite for memory, SQLite, MariaDB and MySQL.

What only tables have is checked on the three that have them; what only servers can do is in `test_store_on_servers`.
"""

import asyncio
import json
from decimal import Decimal

import attrs
import numpy as np
import pytest

from billing import schema
from billing.adapters.mysql import REACTIONS
from billing.adapters.sqlite import SqliteStore
from billing.cursor import Claim, Standing
from billing.dedupe import PartKey
from billing.ports import Reaction
from billing.voids import Known
from sharding.key import slot_of
from tests.pipeline import DAY, HOUR, LOG, payload, plain
from tests.stores import CLAIM, LIMITS, SHARD, applied, reaction_of, stands, with_store

DATE = "2026-01-01"
SLOT = int(slot_of(["acme"])[0])


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


# --- refusals ---


@pytest.mark.parametrize("wrong", ["behind", "ahead", "map", "book", "log", "unclaimed", "one of two"])
def test_a_cursor_that_does_not_match_fences_and_nothing_is_written(place, pipeline, wrong):
    """A worker that lost its partition, or has an old book, would bill what another one has billed."""
    batch = pipeline.slice([payload()], start=2)
    transaction = pipeline.fold(batch)
    changed = {
        "behind": pipeline.transaction([payload()], start=1),
        "ahead": pipeline.transaction([payload()], start=3),
        "map": attrs.evolve(transaction, map_version=2),
        "book": attrs.evolve(transaction, book_version=2),
        "log": attrs.evolve(transaction, log="another"),
        "unclaimed": pipeline.transaction([payload()], start=2, partition=1),
        "one of two": pipeline.fold(type(batch).concat([batch, pipeline.slice([payload("x")], 8, 3)])),
    }[wrong]

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([], stop=2))
        before = await place.rows()
        assert reaction_of(await store.apply(changed)) is Reaction.FENCED
        assert await place.rows() == before
        await applied(store, transaction)

    with_store(place, scenario)


def test_an_older_version_is_fenced_after_a_newer_claim(place, pipeline):
    """Events would be priced by two books at the same time."""

    async def scenario(store):
        await stands(store)
        await stands(store, Claim(LOG, {0: 0}, 1, 2))
        assert reaction_of(await store.apply(pipeline.transaction([payload()]))) is Reaction.FENCED
        assert (await place.rows())["records"] == []

    with_store(place, scenario)


def test_a_newer_claim_fences_workers_of_other_partitions(place, pipeline):
    """A price that begins with the new book would be charged in some partitions and not in others."""

    async def scenario(store):
        await stands(store, Claim(LOG, {0: 0}, 1, 1))
        await stands(store, Claim(LOG, {1: 0}, 1, 2))
        assert reaction_of(await store.apply(pipeline.transaction([payload()]))) is Reaction.FENCED
        assert (await stands(store, Claim(LOG, {0: 0}, 1, 1))).book_version == 2
        assert (await stands(store, Claim(LOG, {2: 0}, 1, 1))).book_version == 2

    with_store(place, scenario)


def test_a_repeat_is_refused_whole_then_told_and_dropped(place, pipeline):
    """An event would be billed twice, or its batch would never get through."""
    repeat = pipeline.slice([payload("new"), payload("e1", quantity=4)], start=2)
    keys = {name: PartKey(SLOT, "acme", DAY, name) for name in ("e1", "e2", "new")}

    async def scenario(store):
        await stands(store)
        first = pipeline.transaction([payload("e1", quantity=4), payload("e2")])
        await applied(store, first)
        before = await place.rows()
        assert reaction_of(await store.apply(pipeline.fold(repeat))) is Reaction.DUPLICATES
        assert await place.rows() == before
        found = await store.existing(list(keys.values()))
        assert found == {
            keys[event]: Known(digest)
            for event, digest in zip(plain(first.records).event, plain(first.records).digest, strict=True)
        }
        await applied(store, pipeline.fold(repeat, existing=found))
        rows = await place.rows()
        assert rows["cursors"][0] == (LOG, 0, 4, 1, 1, 3, 1, 0)
        assert [row[3:5] for row in rows["balances"]] == [(3, Decimal(6))]

    with_store(place, scenario)


def test_existing_finds_by_the_whole_key(place, pipeline):
    """An event of another account or day would be dropped as a repeat and never billed."""

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([payload("e1", attributes={"reseller": "zoe"})]))
        zoe = int(slot_of(["zoe"])[0])
        mine, theirs = PartKey(SLOT, "acme", DAY, "e1"), PartKey(zoe, "zoe", DAY, "acme e1")
        others = [
            attrs.evolve(mine, slot=SLOT ^ 1),
            attrs.evolve(mine, account="Acme"),
            attrs.evolve(mine, day=DAY + 1),
            attrs.evolve(mine, key="e1 "),
            attrs.evolve(mine, key="E1"),
            attrs.evolve(theirs, key="e1"),
        ]
        found = await store.existing([others[0], mine, *others[1:], theirs])
        assert set(found) == {mine, theirs}
        assert await store.existing([]) == {}

    with_store(place, scenario)


# --- quarantine ---

HOSTILE = b"\x00\xff'\"`\\; DROP TABLE balances; -- \xf0\x9f\x92\xa3\n\x1a %s"


def test_bad_events_are_kept_as_they_came(tables, pipeline):
    """What a person needs to correct an event would be lost, or its bytes would be run as SQL."""
    long = b'{"id":1}' + b" " * (LIMITS.quarantine_payload_bytes_max + 10)

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([HOSTILE, payload("ok"), payload("e1", type="x"), long]))
        rows = await tables.all_of(schema.quarantine)
        kept = [(row["offset"], row["account"], row["reason"], row["payload_bytes"], row["payload"]) for row in rows]
        assert kept == [
            (0, "", "undecodable", len(HOSTILE), HOSTILE),
            (2, "acme", "unknown_type", len(payload("e1", type="x")), payload("e1", type="x")),
            (3, "", "too_large", len(long), long[: LIMITS.quarantine_payload_bytes_max]),
        ]
        assert [row["detail"] for row in rows][1:] == [
            "type is not one of credit, usage, void",
            f"{len(long)} bytes; 65536 are allowed",
        ]
        assert (await tables.rows())["cursors"][0] == (LOG, 0, 4, 1, 1, 1, 0, 3)

    with_store(tables, scenario)


def test_a_detail_wider_than_its_column_is_cut(tables, pipeline):
    """One event with a long unknown field would be refused by the database for ever, and its shard stand still."""
    bad = payload(**{"é" * 400: 1})

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([bad]))
        (row,) = await tables.all_of(schema.quarantine)
        assert row["reason"] == "bad_field"
        assert row["detail"].startswith("Object contains unknown field `éééé")

    with_store(tables, scenario)


def test_a_bad_event_read_again_is_in_quarantine_once(place, pipeline):
    """After a database went back in time, its bad events would stop it for ever."""
    transaction = pipeline.transaction([b"not json"])
    again = attrs.evolve(transaction, moves=[attrs.evolve(transaction.moves[0], start=1, stop=2)])

    async def scenario(store):
        await stands(store)
        await applied(store, transaction, again)
        assert [row[2:] for row in (await place.rows())["quarantine"]] == [(0, "", "undecodable")]

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


# --- the wrong database ---


def test_a_database_of_another_shard_is_refused(tables, pipeline):
    """Two shards' accounts would be written into one database by a mistyped URL."""

    async def scenario(_store):
        other = tables.store("s2")
        try:
            for answer in (
                await other.claim(CLAIM),
                await other.apply(pipeline.transaction([payload()])),
                await other.existing([PartKey(SLOT, "acme", DAY, "e1")]),
            ):
                assert reaction_of(answer) in {Reaction.RESOLVE_WRITER, Reaction.RECONNECT}
                assert "belongs to shard s1" in answer.detail
        finally:
            await other.close()
        assert (await tables.rows())["cursors"] == []

    with_store(tables, scenario)


def test_a_missing_file_is_refused_and_not_created(tmp_path):
    """A mistyped path would silently become a second, empty shard."""

    async def scenario():
        store = SqliteStore(SHARD, tmp_path / "none.db", payload_bytes_max=1024)
        answer = await store.claim(CLAIM)
        assert reaction_of(answer) is Reaction.RECONNECT
        assert "none.db" in answer.detail
        await store.close()

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []


def test_reactions_cover_what_the_design_names():
    """An error of a server would be taken for another one, and money lost or billed twice."""
    assert {reaction: sorted(code for code in REACTIONS if REACTIONS[code] is reaction) for reaction in Reaction} == {
        Reaction.RETRY: [1020, 1205, 1213, 1317],
        Reaction.RECONNECT: [1040, 1053, 1927, 2006, 2013, 2055, 4031],
        Reaction.RESOLVE_WRITER: [1290, 1792, 1836],
        Reaction.SPLIT: [1153],
        Reaction.PAUSE: [1021, 1114],
        Reaction.BISECT: [1048, 1264, 1366, 1406, 1690],
        Reaction.DUPLICATES: [1062],
        Reaction.FENCED: [1242],
    }
