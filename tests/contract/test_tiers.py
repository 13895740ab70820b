"""The contract of a shard's store for cumulative prices: what was used is read, settled and written as one."""

import asyncio
from decimal import Decimal

import attrs
import pytest

from billing import upsert
from billing.adapters.mysql import MysqlStore
from billing.cursor import Claim
from billing.dedupe import PartKey
from billing.event import Reason
from billing.limits import Limits
from billing.ports import Applied, Reaction, Refused
from sharding.key import slot_of
from tests.pipeline import COUNTING, DAY, HOUR, LOG, payload, pipeline_in
from tests.stores import with_store

SLOT, ZOE = (int(slot) for slot in slot_of(["acme", "zoe"]))
LATER = "2026-02-03T04:05:06Z"
MOST = "99999999999999999999999990"  # leaves room in the sums of rollups, which every store must keep


@pytest.fixture(scope="session")
def counting(tmp_path_factory):
    """Give the path from payloads to transactions by a book whose prices count."""
    return pipeline_in(tmp_path_factory.mktemp("book"), charges=COUNTING)


async def claimed(store):
    """Make the cursors."""
    await store.claim(Claim(LOG, {0: 0, 3: 0}, 1, 1))


async def applied(store, *transactions):
    """Apply transactions that must all be committed; returns them as they were written."""
    outcomes = [await store.apply(transaction) for transaction in transactions]
    assert outcomes == [Applied()] * len(transactions)
    return [outcome.written for outcome in outcomes]


def amounts(rows):
    """Return the amount of each record, by account, event and line."""
    return {(row[1], row[3], row[4]): row[7] for row in rows["records"]}


def balances(rows):
    """Return the balance of each account."""
    return {row[1]: row[4] for row in rows["balances"]}


def test_a_use_is_charged_by_what_was_used_before(place, counting):
    """Every batch would start at the first tier, or the account pay the last tier's price for everything."""
    first = counting.transaction([payload("a", quantity=4), payload("b", quantity=7), payload("c", quantity="0.5")])
    second = counting.transaction([payload("d", quantity=10), payload("e", quantity=2)], start=3)

    async def scenario(store):
        await claimed(store)
        await applied(store, first)
        rows = await place.rows()
        assert amounts(rows) == {
            ("acme", "a", 0): Decimal(4), ("acme", "a", 1): Decimal("0.01"),
            ("acme", "b", 0): Decimal("9.5"), ("acme", "b", 1): Decimal("0.01"),  # 6 * 1 + 1 * 0.5 + 3
            ("acme", "c", 0): Decimal("0.25"), ("acme", "c", 1): Decimal("0.01"),
        }  # fmt: skip
        assert rows["tiers"] == [(SLOT, "acme", "graduated", HOUR, Decimal("11.5"), 3, Decimal("13.75"))]
        await applied(store, second)
        rows = await place.rows()
        assert amounts(rows)["acme", "d", 0] == Decimal("4.625")  # 8.5 * 0.5 + 1.5 * 0.25
        assert amounts(rows)["acme", "e", 0] == Decimal("0.5")
        assert rows["tiers"] == [(SLOT, "acme", "graduated", HOUR, Decimal("23.5"), 5, Decimal("18.875"))]
        assert balances(rows) == {"acme": Decimal("18.925")}
        assert [row[5:8] for row in rows["rollups"]] == [(5, Decimal(47), Decimal("18.925"))]

    with_store(place, scenario)


def test_a_crossed_volume_tier_gives_back(place, counting):
    """The units of the period that are already paid would keep the price of the tier that was left."""

    async def scenario(store):
        await claimed(store)
        await applied(store, counting.transaction([payload("a", product="call", quantity=10)]))
        await applied(store, counting.transaction([payload("b", product="call", quantity=1)], start=1))
        rows = await place.rows()
        assert amounts(rows) == {("acme", "a", 0): Decimal(10), ("acme", "b", 0): Decimal("-4.5")}
        assert rows["tiers"] == [(SLOT, "acme", "volume", HOUR, Decimal(11), 2, Decimal("5.5"))]
        assert balances(rows) == {"acme": Decimal("5.5")}

    with_store(place, scenario)


def test_accounts_rules_and_periods_count_apart(place, counting):
    """One customer would use up another one's tiers, or the new month begin where the old one ended."""
    payloads = [
        payload("a", quantity=12, attributes={"reseller": "zoe"}),
        payload("b", quantity=12, time=LATER),
        payload("c", account="zoe", quantity=12),
        payload("d", product="call", quantity=12, time=LATER),
        payload("e", product="plain", quantity=12),
        payload("f", quantity=12, time=LATER, attributes={"reseller": "zoe"}),
    ]

    async def scenario(store):
        await claimed(store)
        await applied(store, counting.transaction(payloads))
        rows = await place.rows()
        february, third = 1_769_904_000, 1_770_076_800
        assert rows["tiers"] == sorted(
            [
                (SLOT, "acme", "graduated", HOUR, Decimal(12), 1, Decimal(14)),
                (SLOT, "acme", "graduated", february, Decimal(24), 2, Decimal(19)),
                (SLOT, "acme", "volume", third, Decimal(12), 1, Decimal(6)),
                (ZOE, "zoe", "graduated", HOUR, Decimal(12), 1, Decimal(14)),
                (ZOE, "zoe", "share", HOUR, Decimal(12), 1, Decimal("0.7")),
                (ZOE, "zoe", "share", february, Decimal(12), 1, Decimal("0.7")),
            ]
        )
        assert balances(rows) == {"acme": Decimal("51.03"), "zoe": Decimal("15.41")}
        assert amounts(rows)["acme", "f", 0] == Decimal(5)

    with_store(place, scenario)


def test_a_repeat_is_not_counted(place, counting):
    """An event that is sent twice would be billed once and push its account into the next tier all the same."""
    batch = counting.slice([payload("new", quantity=3), payload("a", quantity=9)], start=1)

    async def scenario(store):
        await claimed(store)
        first = counting.transaction([payload("a", quantity=9)])
        await applied(store, first)
        before = await place.rows()
        refused = await store.apply(counting.fold(batch))
        assert isinstance(refused, Refused)
        assert refused.reaction is Reaction.DUPLICATES
        assert await place.rows() == before
        found = await store.existing([PartKey(SLOT, "acme", DAY, "a"), PartKey(SLOT, "acme", DAY, "new")])
        await applied(store, counting.fold(batch, found))
        assert (await place.rows())["tiers"] == [(SLOT, "acme", "graduated", HOUR, Decimal(12), 2, Decimal(14))]

    with_store(place, scenario)


def test_a_cursor_that_does_not_match_leaves_the_counters(place, counting):
    """A worker that lost its partition would count what another one has counted."""

    async def scenario(store):
        await claimed(store)
        await applied(store, counting.transaction([payload("a", quantity=9)]))
        before = await place.rows()
        refused = await store.apply(counting.transaction([payload("b", "zoe"), payload("c")], start=2))
        assert isinstance(refused, Refused)
        assert refused.reaction is Reaction.FENCED
        assert await place.rows() == before
        await applied(store, counting.transaction([payload("b", quantity=3)], start=1))
        assert (await place.rows())["tiers"][0][4:] == (Decimal(12), 2, Decimal(14))

    with_store(place, scenario)


def test_an_event_that_overflows_its_counter_is_quarantined_and_nobody_pays_for_it(place, counting):
    """A counter would be cut to the largest number that fits, one event stop its shard, or a share be charged alone."""
    huge = payload("b", product="call", quantity=MOST, attributes={"reseller": "zoe"})

    async def scenario(store):
        await claimed(store)
        await applied(store, counting.transaction([payload("a", product="call", quantity=MOST)]))
        payloads = [
            payload("c", "zoe"),
            huge,
            payload("d", product="plain"),
            huge,
            payload("e", product="call", quantity=0),
        ]
        (written,) = await applied(store, counting.transaction(payloads, start=1))
        rows = await place.rows()
        assert {key[1] for key in amounts(rows)} == {"a", "c", "d", "e"}
        assert rows["quarantine"] == [(LOG, 0, 2, "acme", Reason.OVERFLOW)]
        assert rows["cursors"][0][2:] == (6, 1, 1, 4, 1, 1)
        counters = {(row[1], row[2]): row[4:6] for row in rows["tiers"]}
        assert counters == {
            ("acme", "volume"): (Decimal(MOST), 2),
            ("zoe", "graduated"): (Decimal(1), 1),
            ("zoe", "share"): (Decimal(0), 0),
        }
        assert written.quarantine[0].detail == "the quantity or the amount has more than 26 digits before the point"

    with_store(place, scenario)


def test_a_batch_of_which_nothing_fits_moves_the_cursor(place, counting):
    """One account at the end of all numbers would stop its whole shard."""

    async def scenario(store):
        await claimed(store)
        await applied(store, counting.transaction([payload("a", product="call", quantity=MOST)]))
        await applied(store, counting.transaction([payload("b", product="call", quantity=10)], start=1))
        rows = await place.rows()
        assert rows["cursors"][0][2:] == (2, 1, 1, 1, 0, 1)
        assert [row[4:6] for row in rows["tiers"]] == [(Decimal(MOST), 1)]

    with_store(place, scenario)


def test_counters_of_26_digits_and_12_places_are_exact(place, counting):
    """The last units of a large account would be lost in a float, and a tier be crossed too late."""

    async def scenario(store):
        await claimed(store)
        nearly = payload("a", product="call", quantity="99999999999999999999999998.999999999999")
        await applied(store, counting.transaction([nearly]))
        await applied(store, counting.transaction([payload("b", product="call", quantity="0.000000000004")], start=1))
        rows = await place.rows()
        assert rows["tiers"][0][4] == Decimal("99999999999999999999999999.000000000003")
        # Totals: half of ..98.999999999999 and of ..99.000000000003, each rounded half even at twelve places.
        assert amounts(rows)["acme", "b", 0] == Decimal("0.000000000002")

    with_store(place, scenario)


# --- what only servers can do ---


def test_a_second_worker_waits_for_the_first(served, counting):
    """Two workers would both charge from the same quantity: the account would get a tier twice."""

    async def scenario(store):
        other = served.store(limits=Limits(lock_wait_seconds=10))
        await claimed(store)
        blocker = f"INSERT INTO tiers VALUES ({SLOT},'acme','graduated',{HOUR},15,1,15.5)"
        held = await served.session("BEGIN", blocker)
        waiting = asyncio.create_task(other.apply(counting.transaction([payload("a", quantity=10)])))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await held.query("COMMIT")
        held.close()
        assert await waiting == Applied()
        await other.close()
        rows = await served.rows()
        assert rows["tiers"] == [(SLOT, "acme", "graduated", HOUR, Decimal(25), 2, Decimal("19.25"))]
        assert amounts(rows)["acme", "a", 0] == Decimal("3.75")  # 5 * 0.5 + 5 * 0.25

    with_store(served, scenario)


def test_workers_that_count_for_different_accounts_do_not_wait(served, counting):
    """Each would lock what the other needs, as long as few accounts have counters."""

    async def scenario(store):
        other = served.store(limits=Limits(lock_wait_seconds=1))
        await claimed(store)
        held = await served.session("BEGIN", f"INSERT INTO tiers VALUES ({ZOE},'zoe','graduated',{HOUR},15,1,15.5)")
        assert await other.apply(counting.transaction([payload("a", quantity=10)])) == Applied()
        await held.query("COMMIT")
        held.close()
        await other.close()

    with_store(served, scenario)


def test_a_worker_that_is_gone_between_the_packets_gives_its_counters_back(served, counting, monkeypatch):
    """An account would be locked for eight hours by a machine that lost its power at the wrong moment."""
    monkeypatch.setattr(upsert, "IDLE_TRANSACTION_SECONDS", 1)
    transaction = counting.transaction([payload("a", quantity=10)])

    async def scenario(store):
        await claimed(store)
        gone = served.store()
        assert not (await gone.existing([PartKey(SLOT, "acme", DAY, "a")]))
        await gone._lock_counters(transaction.draft.counted.keys)  # noqa: SLF001 - stops where a crash may stop it
        refused = Refused(Reaction.RETRY, "not tried yet")
        for _ in range(20):  # each waits a second for the lock
            if refused != Applied():
                refused = await store.apply(transaction)
        assert refused == Applied()
        late = await gone.apply(transaction)  # it is back, and believes that nothing has happened
        assert isinstance(late, Refused)
        assert late.reaction is Reaction.RECONNECT
        await gone.close()
        assert [row[4:] for row in (await served.rows())["tiers"]] == [(Decimal(10), 1, Decimal(10))]
        left = await store._guarded(["SELECT @@SESSION.wait_timeout > 60"])  # noqa: SLF001 - asks in its session
        assert left == [((1,),)]

    with_store(served, scenario)


def test_what_ends_between_the_packets_leaves_nothing(served, counting):
    """The next batch would commit half of this one, or its counters stay locked for all others."""
    transaction = counting.transaction([payload("a", quantity=10)])
    small = Limits(batch_bytes_max=900)

    async def scenario(store):
        await claimed(store)
        before = await served.rows()
        counted = attrs.evolve(transaction.draft.counted, rule=transaction.draft.counted.rule + 100)
        broken = attrs.evolve(transaction, draft=attrs.evolve(transaction.draft, counted=counted))
        with pytest.raises(IndexError):
            await store.apply(broken)
        narrow = served.store(limits=small)
        refused = await narrow.apply(transaction)  # the counters fit, the records do not
        assert isinstance(refused, Refused), refused
        assert refused.reaction is Reaction.SPLIT
        assert await served.rows() == before
        await applied(store, transaction)
        assert isinstance(narrow, MysqlStore)
        await applied(narrow, counting.transaction([], start=1, stop=2))
        await narrow.close()
        assert transaction.counters is not None
        assert [row[4:] for row in (await served.rows())["tiers"]] == [(Decimal(10), 1, Decimal(10))]

    with_store(served, scenario)
