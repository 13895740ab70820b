"""The contract of a shard's store: what it refuses, and how it keeps the events that cannot be billed."""

import asyncio
from decimal import Decimal

import attrs
import pytest

from billing import schema
from billing.adapters.mysql import REACTIONS
from billing.adapters.sqlite import SqliteStore
from billing.cursor import Claim
from billing.dedupe import PartKey
from billing.ports import Reaction
from billing.voids import Known
from sharding.key import slot_of
from tests.pipeline import DAY, LOG, SLOT, payload, plain
from tests.stores import CLAIM, LIMITS, SHARD, applied, reaction_of, stands, with_store

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
