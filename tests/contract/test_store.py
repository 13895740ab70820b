"""The contract of a shard's store: one suite for memory, SQLite, MariaDB and MySQL.

What only tables have is checked on the three that have them, and what only servers can do on the two real ones.
"""

import asyncio
import json
from decimal import Decimal

import attrs
import numpy as np
import pyarrow as pa
import pytest

from billing import schema
from billing.adapters.mysql import REACTIONS, MysqlStore
from billing.adapters.sqlite import SqliteStore
from billing.cursor import Claim, Standing
from billing.dedupe import PartKey
from billing.limits import Limits
from billing.ports import Applied, Reaction, Refused
from billing.upsert import Dialect, existing_query, lines_query, packet
from billing.voids import Known
from sharding.key import slot_of
from tests.pipeline import DAY, HOUR, LOG, payload, plain
from tests.stores import LIMITS, SHARD, with_store

CLAIM = Claim(LOG, {0: 0, 3: 7}, 1, 1)
DATE = "2026-01-01"
TRX_SECONDS = 0.11  # servers renew their list of transactions only when nobody has asked for it for 0.1 s
SLOT = int(slot_of(["acme"])[0])


def reaction_of(outcome):
    """Return the reaction of a refusal; anything else fails the test with what it was."""
    assert isinstance(outcome, Refused), outcome
    return outcome.reaction


async def stands(store, claim=CLAIM):
    """Return where a shard stands; a refusal fails the test with its words."""
    answer = await store.claim(claim)
    assert isinstance(answer, Standing), answer
    return answer


async def applied(store, *transactions):
    """Apply transactions that must all be committed."""
    for transaction in transactions:
        assert await store.apply(transaction) == Applied()


async def is_idle(place):
    """Tell whether the server has no transaction open."""
    for _ in range(10):
        await asyncio.sleep(TRX_SECONDS)
        if (await place.sql("SELECT COUNT(*) FROM information_schema.innodb_trx"))[0][0] == 0:
            return True
    return False


async def wait_for_lock_wait(place):
    """Return once a transaction on the server waits for a lock."""
    waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state='LOCK WAIT'"
    for _ in range(100):
        await asyncio.sleep(TRX_SECONDS)
        if (await place.sql(waiting))[0][0]:
            return
    pytest.fail("nothing waits for a lock")


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


def test_a_sum_wider_than_the_column_is_refused_whole(served, pipeline):
    """A balance would be cut to the largest number that fits, or the worker would stop at one account's riches."""
    most = "99999999999999999999999999"

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([payload("a", quantity=most)]))
        before = await served.rows()
        assert reaction_of(await store.apply(pipeline.transaction([payload("b")], start=1))) is Reaction.BISECT
        together = pipeline.transaction([payload("b", "zoe", quantity=most), payload("c", "zoe", quantity=most)], 1)
        assert reaction_of(await store.apply(together)) is Reaction.BISECT
        assert await served.rows() == before
        assert await is_idle(served)

    with_store(served, scenario)


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


# --- real servers ---


@pytest.mark.parametrize("commit", [True, False])
def test_a_second_writer_waits_for_the_first(served, pipeline, commit):
    """Two workers would both move the cursor, and a batch would be billed twice."""

    async def scenario(store):
        await stands(store)
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - a session of the product that stops between two statements
        await raw.query("BEGIN")
        await raw.query("UPDATE cursors SET next_offset=1 WHERE `partition`=0")
        applying = asyncio.create_task(store.apply(pipeline.transaction([payload()])))
        await wait_for_lock_wait(served)
        assert not applying.done()
        await raw.query("COMMIT" if commit else "ROLLBACK")
        outcome = await applying
        await holder.close()
        if commit:
            assert reaction_of(outcome) is Reaction.FENCED
        else:
            assert outcome == Applied()
        assert len((await served.rows())["records"]) == (0 if commit else 1)
        assert await is_idle(served)

    with_store(served, scenario)


def test_a_claim_waits_for_transactions_in_flight(served):
    """A worker would start from a cursor that a dying worker is about to move, and bill its last batch again."""

    async def scenario(store):
        await stands(store)
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - as above
        await raw.query("BEGIN")
        await raw.query("UPDATE cursors SET next_offset=42 WHERE `partition`=0")
        claiming = asyncio.create_task(stands(store))
        await wait_for_lock_wait(served)
        await raw.query("COMMIT")
        assert (await claiming).positions == {0: 42, 3: 7}
        await holder.close()

    with_store(served, scenario)


def test_workers_that_start_together_do_not_deadlock(served):
    """A fleet that starts with a new book would be told off by its own shards, and each error is a second's wait."""

    async def scenario(store):
        other = served.store()
        for version in range(1, 40):
            standing = await asyncio.gather(
                stands(store, Claim(LOG, {0: 0, 2: 0}, version, version)),
                stands(other, Claim(LOG, {1: 0, 3: 0}, version, version)),
            )
            assert [one.positions for one in standing] == [{0: 0, 2: 0}, {1: 0, 3: 0}]
        await other.close()

    with_store(served, scenario)


def test_existing_waits_for_a_record_in_flight(served, pipeline):
    """A record that is just being committed would be looked for in vain, round after round."""

    async def scenario(store):
        await stands(store)
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - as above
        await applied(store, pipeline.transaction([payload("e1")]))
        await raw.query("BEGIN")
        await raw.query("UPDATE records SET digest=77")
        looking = asyncio.create_task(store.existing([PartKey(SLOT, "acme", DAY, "e1")]))
        await wait_for_lock_wait(served)
        await raw.query("COMMIT")
        assert await looking == {PartKey(SLOT, "acme", DAY, "e1"): Known(77)}
        await holder.close()

    with_store(served, scenario)


def test_a_lock_that_never_comes_is_given_up_whole(served, pipeline):
    """A lock timeout rolls back one statement only: the rest of the batch would be committed by the next BEGIN."""

    async def scenario(store):
        await stands(store)
        await applied(store, pipeline.transaction([payload("old")]))
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - as above
        await raw.query("BEGIN")
        await raw.query("UPDATE balances SET events=events")
        before = await served.rows()
        refused = await store.apply(pipeline.transaction([payload("new")], start=1))
        assert reaction_of(refused) is Reaction.RETRY
        assert "at balances" in refused.detail
        await raw.query("ROLLBACK")
        await holder.close()
        await applied(store, pipeline.transaction([], 1, stop=2))
        after = await served.rows()
        assert {name: rows for name, rows in after.items() if name != "cursors"} == {
            name: rows for name, rows in before.items() if name != "cursors"
        }

    with_store(served, scenario)


def test_a_killed_connection_writes_nothing_and_the_next_call_connects_again(served, pipeline):
    """A half batch would be committed, or a worker would need a restart after every network fault."""

    async def scenario(store):
        await stands(store)
        holder = served.store()
        await stands(holder)
        raw = holder._connection  # noqa: SLF001 - as above
        await raw.query("BEGIN")
        await raw.query("UPDATE cursors SET map_version=map_version, applied_at_us=1 WHERE `partition`=0")
        applying = asyncio.create_task(store.apply(pipeline.transaction([payload()])))
        await wait_for_lock_wait(served)
        await served.sql(f"KILL {store._connection.thread_id()}")  # noqa: SLF001 - the session to kill
        assert reaction_of(await applying) is Reaction.RECONNECT
        await raw.query("ROLLBACK")
        await holder.close()
        assert (await served.rows())["records"] == []
        await stands(store)
        await applied(store, pipeline.transaction([payload()]))

    with_store(served, scenario)


class Wire:
    """A relay in front of a server that can swallow answers and then cut the connection."""

    def __init__(self, port):
        self._port = port
        self.deaf = False
        self._server = None
        self._tasks = set()

    async def open(self):
        """Listen on a free port and return it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def close(self):
        """Cut everything."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            up = asyncio.create_task(self._pump(reader, far_writer, answers=False))
            await self._pump(far_reader, writer, answers=True)
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
        finally:
            self._tasks.discard(task)
            writer.close()
            far_writer.close()

    async def _pump(self, source, target, *, answers):
        while data := await source.read(65536):
            if answers and self.deaf:
                return
            target.write(data)
            await target.drain()


def test_a_commit_whose_answer_is_lost_is_found_by_the_next_claim(served, pipeline):
    """The batch would be sent a second time: billed twice, or an account's worker stopped for good."""

    async def scenario(_store):
        wire = Wire(served.url.port)
        store = MysqlStore(SHARD, attrs.evolve(served.url, port=await wire.open()), LIMITS)
        await stands(store)
        wire.deaf = True
        assert reaction_of(await store.apply(pipeline.transaction([payload()]))) is Reaction.RECONNECT
        wire.deaf = False
        assert (await stands(store)).positions == {0: 1, 3: 7}
        assert len((await served.rows())["records"]) == 1
        assert reaction_of(await store.apply(pipeline.transaction([payload()]))) is Reaction.FENCED
        await store.close()
        await wire.close()

    with_store(served, scenario)


def test_a_transaction_larger_than_the_limit_is_to_be_split(served, pipeline):
    """A batch of large events would be sent for ever and refused for ever."""
    events = [payload(f"e{i}", attributes={"to": "x" * 1000}) for i in range(300)]

    async def scenario(_store):
        store = served.store(limits=Limits(batch_bytes_max=262_144))
        await stands(store)
        assert reaction_of(await store.apply(pipeline.transaction(events))) is Reaction.SPLIT
        await applied(store, pipeline.transaction(events[:150]))
        await store.close()

    with_store(served, scenario)


def test_a_server_with_a_smaller_packet_is_obeyed(served, pipeline):
    """The server would cut the connection in the middle of each packet, and the shard would never move."""
    events = [payload(f"e{i}", attributes={"to": "x" * 1000}) for i in range(1500)]

    async def scenario(_store):
        (before,) = (await served.sql("SELECT @@GLOBAL.max_allowed_packet"))[0]
        await served.sql("SET GLOBAL max_allowed_packet=1048576")
        store = served.store()
        try:
            await stands(store)
            assert reaction_of(await store.apply(pipeline.transaction(events))) is Reaction.SPLIT
            await applied(store, pipeline.transaction(events[:500]))
        finally:
            await served.sql(f"SET GLOBAL max_allowed_packet={before}")
            await store.close()

    with_store(served, scenario)


def test_a_server_that_becomes_read_only_is_left_for_its_writer(served, pipeline):
    """After a failover the old writer would be asked for ever, and the shard would stand still."""
    variable = "super_read_only" if served.kind == "mysql" else "read_only"
    user = "plain"

    async def scenario(_store):
        await served.sql(
            f"CREATE USER IF NOT EXISTS {user}@'127.0.0.1'", f"GRANT ALL ON contract.* TO {user}@'127.0.0.1'"
        )
        url = attrs.evolve(served.url, user=user, password="")
        store, late = MysqlStore(SHARD, url, LIMITS), MysqlStore(SHARD, url, LIMITS)
        await stands(store)
        await served.sql(f"SET GLOBAL {variable}=ON")
        try:
            refused = await store.apply(pipeline.transaction([payload()]))
            fresh = await late.claim(CLAIM)
        finally:
            await served.sql(f"SET GLOBAL {variable}=OFF", "SET GLOBAL read_only=OFF")
        assert reaction_of(refused) is Reaction.RESOLVE_WRITER
        assert reaction_of(fresh) is Reaction.RESOLVE_WRITER
        assert "is read-only" in fresh.detail
        assert (await served.rows())["records"] == []
        await applied(store, pipeline.transaction([payload()]))
        await store.close()
        await late.close()

    with_store(served, scenario)


def test_an_address_where_nothing_answers_is_named(served):
    """Nobody would know which of thirty databases is away."""

    async def scenario(_store):
        store = MysqlStore(SHARD, attrs.evolve(served.url, port=1), LIMITS)
        refused = await store.claim(CLAIM)
        assert reaction_of(refused) is Reaction.RECONNECT
        assert "127.0.0.1:1" in refused.detail
        await store.close()

    with_store(served, scenario)


def test_a_session_is_strict_and_read_committed_whatever_the_server_says(served, pipeline):
    """A lax server would cut amounts to what fits, with a warning that nobody reads."""

    async def scenario(_store):
        (mode,) = (await served.sql("SELECT @@GLOBAL.sql_mode"))[0]
        await served.sql("SET GLOBAL sql_mode=''", "SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        store = served.store()
        try:
            await stands(store)
            raw = store._connection  # noqa: SLF001 - the session whose settings are checked
            await raw.query("SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation','transaction_isolation')")
            assert {row[1] for row in raw._result.rows} == {"READ-COMMITTED"}  # noqa: SLF001
            wide = pipeline.transaction([payload()])
            wide = attrs.evolve(wide, records=attrs.evolve(wide.records, kept=pa.array(["x" * 5000])))
            assert reaction_of(await store.apply(wide)) is Reaction.BISECT
            assert (await served.rows())["records"] == []
        finally:
            await served.sql(f"SET GLOBAL sql_mode='{mode}'", "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await store.close()

    with_store(served, scenario)


def test_no_statement_of_a_transaction_warns(served, pipeline):
    """Each warning costs a round trip, and hides the one that matters."""
    payloads = [*(payload(f"e{i}", attributes={"country": "US", "to": "é'"}) for i in range(3)), b"bad"]

    async def scenario(store):
        await stands(store)
        planned = packet(pipeline.transaction(payloads), Dialect.of(store.server), 65_536)
        statements = planned.text.decode().split(";")
        assert len(statements) == len(planned.statements)
        raw = store._connection  # noqa: SLF001 - the session of the product
        keys, dialect = [PartKey(SLOT, "acme", DAY, "e1")], Dialect.of(store.server)
        for statement in [*statements, existing_query(keys, dialect), lines_query(keys, dialect)]:
            await raw.query(statement)
            assert raw._result.warning_count == 0, statement  # noqa: SLF001
        assert len((await served.rows())["records"]) == 3

    with_store(served, scenario)
