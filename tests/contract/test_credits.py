"""The contract of a shard's store for credits: written once, beside their records, and taken back by voids."""

import asyncio
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from sqlalchemy import text

from billing.adapters.sql import run
from billing.audit import audit_shard
from billing.cursor import Claim
from billing.dedupe import part_keys
from billing.event import Reason
from billing.ports import Applied, Reaction, Refused
from billing.reads.standing import read_pieces, standings
from tests.pipeline import HOUR, LOG, SLOT, credit, payload, pipeline_in
from tests.stores import with_store

NOW_US = (HOUR + 40 * 86_400) * 1_000_000
GRANT = {"kind": "grant", "amount": "30", "currency": "USD", "products": ["sms"]}
PAYMENT = {"kind": "payment", "amount": "2.000000000001", "currency": "USD"}


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """Give the path from payloads to transactions."""
    return pipeline_in(tmp_path_factory.mktemp("book"))


async def claimed(store):
    """Make the cursors."""
    await store.claim(Claim(LOG, {0: 0, 3: 0}, 1, 1))


async def bill(store, pipeline, payloads, start=0, partition=0):
    """Send payloads as the engine does: after a look, if there are voids or something exists already."""
    batch = pipeline.slice(payloads, start, partition)
    found = await store.existing(part_keys(batch)) if batch.charges.void.any() else {}
    outcome = await store.apply(pipeline.fold(batch, found))
    if isinstance(outcome, Refused):
        assert outcome.reaction is Reaction.DUPLICATES, outcome
        outcome = await store.apply(pipeline.fold(batch, await store.existing(part_keys(batch))))
    assert outcome == Applied()


def kept(rows):
    """Return event, line and amount of each row of credits."""
    return [(row[3], row[4], row[9]) for row in rows["credits"]]


def test_a_credit_is_written_as_it_was_given(place, pipeline):
    """A customer's money would be lost on the way, or come with other terms than were promised."""
    terms = {
        **GRANT,
        "cost": "25.50",
        "priority": 3,
        "expires": "2026-02-01T00:00:00+01:00",
        "products": ["refund", "sms", "sms"],
    }
    other = {**PAYMENT, "amount": 10**20}

    async def scenario(store):
        await claimed(store)
        await bill(store, pipeline, [payload("u", quantity=4), credit("g", terms), credit("p", other)])
        rows = await place.rows()
        digests = {row[3]: row[5] for row in rows["records"]}
        day = "2026-01-01"
        assert rows["credits"] == [
            (SLOT, "acme", day, "g", 0, HOUR * 1_000_000, digests["g"], "grant", "USD", Decimal(30), Decimal("25.5"), 3,
             (HOUR + 31 * 86_400 - 3_600) * 1_000_000, '["refund","sms"]'),
            (SLOT, "acme", day, "p", 0, HOUR * 1_000_000, digests["p"], "payment", "USD", Decimal(10**20),
             Decimal(10**20), 50, None, ""),
        ]  # fmt: skip
        assert [row[1:] for row in rows["balances"]] == [("acme", "USD", 3, Decimal(4), rows["balances"][0][5])]
        assert rows["cursors"][0] == (LOG, 0, 3, 1, 1, 3, 0, 0)

    with_store(place, scenario)


@pytest.mark.parametrize("together", [False, True])
def test_a_repeated_credit_counts_once(place, pipeline, together):
    """A payment that the producer sends twice would pay twice."""
    again = credit("p", {"currency": "USD", "amount": "2.0000000000010", "kind": "payment"}, attributes={})
    copies = [credit("p", PAYMENT), again]

    async def scenario(store):
        await claimed(store)
        for pieces, start in [(copies, 0)] if together else [(copies[:1], 0), (copies[1:], 1)]:
            await bill(store, pipeline, pieces, start)
        rows = await place.rows()
        assert kept(rows) == [("p", 0, Decimal("2.000000000001"))]
        assert rows["cursors"][0] == (LOG, 0, 2, 1, 1, 1, 1, 0)

    with_store(place, scenario)


def test_another_body_under_the_same_id_is_a_conflict(place, pipeline):
    """A payment whose id was used for usage, or for another amount, would vanish without a word."""

    async def scenario(store):
        await claimed(store)
        await bill(store, pipeline, [credit("p", PAYMENT), payload("u")])
        bodies = [credit("p", PAYMENT | {"amount": 3}), payload("p"), credit("u", PAYMENT), credit("p", GRANT)]
        await bill(store, pipeline, bodies, start=2)
        rows = await place.rows()
        assert kept(rows) == [("p", 0, Decimal("2.000000000001"))]
        assert [row[2:] for row in rows["quarantine"]] == [(one, "acme", Reason.CONFLICT) for one in range(2, 6)]

    with_store(place, scenario)


@pytest.mark.parametrize("batches", [[0, 3], [0, 1, 3], [0, 1, 2, 3]])
def test_a_void_reverses_a_credit_once(place, pipeline, batches):
    """A payment that bounced would stay on the account, or be taken back twice."""
    void = credit("g", GRANT, type="void")
    payloads = [credit("g", GRANT), void, void]

    async def scenario(store):
        await claimed(store)
        for start, stop in pairwise(batches):
            await bill(store, pipeline, payloads[start:stop], start)
        rows = await place.rows()
        assert kept(rows) == [("g", -1, Decimal(-30)), ("g", 0, Decimal(30))]
        assert rows["cursors"][0] == (LOG, 0, 3, 1, 1, 2, 1, 0)

    with_store(place, scenario)


@pytest.mark.parametrize("together", [False, True])
def test_a_credit_that_comes_after_its_void_is_never_given(place, pipeline, together):
    """Whether a bounced payment counts would depend on which of two partitions is read faster."""
    payloads = [credit("g", GRANT, type="void"), credit("g", GRANT)]

    async def scenario(store):
        await claimed(store)
        if together:
            await bill(store, pipeline, payloads)
        else:
            await bill(store, pipeline, payloads[:1])
            await bill(store, pipeline, payloads[1:], partition=3)
        assert kept(await place.rows()) == []

    with_store(place, scenario)


def test_a_void_that_did_not_see_its_credit_collides_with_it(place, pipeline):
    """A credit and its void, written at the same time by two workers, would both stand."""
    batch = pipeline.slice([credit("g", GRANT, type="void")], 0, 3)

    async def scenario(store):
        await claimed(store)
        blind = pipeline.fold(batch, await store.existing(part_keys(batch)))
        await bill(store, pipeline, [credit("g", GRANT)])
        refused = await store.apply(blind)
        assert isinstance(refused, Refused)
        assert refused.reaction is Reaction.DUPLICATES
        assert await store.apply(pipeline.fold(batch, await store.existing(part_keys(batch)))) == Applied()
        assert kept(await place.rows()) == [("g", -1, Decimal(-30)), ("g", 0, Decimal(30))]

    with_store(place, scenario)


def test_a_refused_transaction_writes_no_credit(place, pipeline):
    """A worker that was fenced would have given its credits all the same, and the next one gives them again."""

    async def scenario(store):
        await claimed(store)
        behind = pipeline.transaction([credit("g", GRANT)], start=7)
        refused = await store.apply(behind)
        assert isinstance(refused, Refused)
        assert refused.reaction is Reaction.FENCED
        assert kept(await place.rows()) == []

    with_store(place, scenario)


LOGGED = [
    payload("u1", quantity=10),
    payload("u2", quantity="5.5", time="2026-01-02T10:30:00Z"),
    payload("u3", product="refund", quantity=1, time="2026-01-02T11:00:00Z"),
    payload("u4", quantity=3, time="2026-02-20T00:00:00Z"),
    credit("g1", GRANT | {"amount": 12, "expires": "2026-01-02T10:59:00Z"}),
    credit("g2", {"kind": "grant", "amount": "1.25", "currency": "USD", "cost": 1}, time="2026-01-02T10:59:59Z"),
    credit("g3", GRANT),
    credit("g3", GRANT, type="void"),
    credit("p", PAYMENT),
]


def standing_of(place, pipeline):
    """Return the standing of the account as the tables of a shard say it."""
    rollup = next(one for one in pipeline.book.rollups if one.name == "hourly")
    (found,) = standings(
        [asyncio.run(run(place.url, lambda to: read_pieces(to, "acme", [SLOT], rollup, None)))], "USD", NOW_US
    )
    return found


def test_a_standing_adds_up(tables, pipeline):
    """A customer would be told to have more, or less, than the account was given and charged."""

    async def scenario(store):
        await claimed(store)
        await bill(store, pipeline, LOGGED)

    with_store(tables, scenario)
    found = standing_of(tables, pipeline)
    # g1 pays 10 of the first day and 2 of u2's 5.5; g2 pays 1.25 of u2's hour; the refund, which is a product of its
    # own, lowers nothing that grants pay, but what is due: 17.5 - 13.25 = 4.25, of which p pays 2.000000000001.
    assert {one.credit.id: (one.drawn, one.expired, one.remaining) for one in found.credits} == {
        "g1": (Decimal(12), Decimal(0), Decimal(0)),
        "g2": (Decimal("1.25"), Decimal(0), Decimal(0)),
        "p": (Decimal("2.000000000001"), Decimal(0), Decimal(0)),
    }
    assert found.charged == Decimal("17.5")
    assert (found.credited, found.granted) == (Decimal("15.250000000001"), Decimal("13.25"))
    assert (found.drawn, found.expired, found.remaining) == (Decimal("15.250000000001"), Decimal(0), Decimal(0))
    assert found.due == Decimal("2.249999999999")


def test_edges_of_other_shards_change_nothing(tables, pipeline):
    """The balance of a spread account would depend on which of its shards holds the grants."""

    async def scenario(store):
        await claimed(store)
        await bill(store, pipeline, LOGGED)

    with_store(tables, scenario)
    rollup = next(one for one in pipeline.book.rollups if one.name == "hourly")
    own = asyncio.run(run(tables.url, lambda to: read_pieces(to, "acme", [SLOT], rollup, None)))
    many = (*own.edges, *range(own.edges[-1] + 1, own.edges[-1] + 300))  # more than fit one statement
    finer = asyncio.run(run(tables.url, lambda to: read_pieces(to, "acme", [SLOT], rollup, many)))
    assert standings([finer], "USD", NOW_US) == standings([own], "USD", NOW_US)
    nothing = msgspec.structs.replace(own, balances=[], credits=[], charges=[])
    assert standings([nothing, own], "USD", NOW_US) == standings([own], "USD", NOW_US)


CHANGES = {
    "DELETE FROM credits WHERE event='p'": "credits lacks credit p of 2026-01-01, which has a record",
    "UPDATE credits SET amount='3' WHERE event='p'": "credit p of 2026-01-01 is",
    "UPDATE credits SET amount='-3' WHERE event='g3' AND line=-1": "takes back 3",
    "UPDATE credits SET priority=1 WHERE event='g1'": "credit g1 of 2026-01-01 is",
    "UPDATE credits SET expires_us=NULL WHERE event='g1'": "credit g1 of 2026-01-01 is",
    "UPDATE credits SET digest=7 WHERE event='g2'": "credit g2 of 2026-01-02 is",
    "DELETE FROM credits WHERE event='g3' AND line=-1": "credits lacks the void of credit g3",
    "UPDATE credits SET event='p2' WHERE event='p'": "credits has credit p2 of 2026-01-01, of which there is no",
    "DELETE FROM records WHERE event='g2'": "credits has credit g2 of 2026-01-02, of which there is no record",
}


def test_the_audit_notices(tables, pipeline):
    """A credit that was lost, doubled or changed would be found by the customer, not by us."""

    async def scenario(store):
        await claimed(store)
        await bill(store, pipeline, LOGGED)

    with_store(tables, scenario)

    def audited(connection, *changes):
        for one in changes:
            connection.execute(text(one))
        found = [audit_shard(connection, "s1", pipeline.book, page_rows=rows) for rows in (10_000, 2, 1)]
        connection.rollback()
        assert found[1:] == found[:1] * 2
        return found[0]

    clean = asyncio.run(run(tables.url, audited))
    assert (clean.wrong, clean.differences) == (0, ())
    assert (clean.credits, clean.credited) == (3, {"USD": Decimal("15.250000000001")})
    assert clean.credited["USD"] == standing_of(tables, pipeline).credited
    for change, words in CHANGES.items():
        found = asyncio.run(run(tables.url, lambda connection, change=change: audited(connection, change)))
        assert any(words in sentence for sentence in found.differences), (change, found.differences)


def test_a_credit_whose_record_is_gone_is_not_given_again(tables, pipeline):
    """When old records are dropped, a repeat of an old payment would pay once more, or its shard stand still."""

    async def scenario(store):
        await claimed(store)
        await bill(store, pipeline, [credit("p", PAYMENT)])

        def forget(connection):
            connection.execute(text("DELETE FROM records"))

        await run(tables.url, forget)
        await bill(store, pipeline, [credit("p", PAYMENT)], start=1)
        assert kept(await tables.rows()) == [("p", 0, Decimal("2.000000000001"))]

    with_store(tables, scenario)
