"""The audit, on shard files that are right and on ones that somebody has changed."""

import asyncio
import gc
import tracemalloc
from decimal import Decimal

import pytest
from sqlalchemy import text

from billing.adapters.sql import run
from billing.audit import DIFFERENCES_MAX, audit_shard
from billing.cursor import Claim
from billing.dedupe import part_keys
from billing.ledger import PAGE_ROWS
from billing.ports import Applied
from tests.pipeline import COUNTING, LOG, payload, pipeline_in
from tests.stores import sqlite_place, with_store


@pytest.fixture
def place(tmp_path, pipeline):
    """Give a shard with three accepted events, a repeat and a bad one."""
    return billed(tmp_path, pipeline, [
        payload("a", quantity="1.5", attributes={"reseller": "zoe"}),
        payload("b", product="refund", quantity=4),
        payload("a", quantity="1.5", attributes={"reseller": "zoe"}),
        b"bad",
        payload("c", "zoe", quantity="99999999999999999999999999.5"),
    ])  # fmt: skip


def billed(folder, pipeline, payloads):
    """Give a shard file that holds these events."""
    shard = sqlite_place(folder)

    async def scenario(store):
        await store.claim(Claim(LOG, {0: 0}, 1, 1))
        assert await store.apply(pipeline.transaction(payloads)) == Applied()

    with_store(shard, scenario)
    return shard


def audited(place, book, *changes):
    """Change the tables, then audit them; by the row, in pages and at once must be the same."""

    def work(connection):
        for change in changes:
            connection.execute(text(change))
        found, *others = (audit_shard(connection, "s1", book, page_rows=rows) for rows in (PAGE_ROWS, 3, 2, 1))
        assert others == [found] * len(others)
        return found

    return asyncio.run(run(place.url, work))


def test_what_was_applied_adds_up(place, pipeline):
    """A clean shard would be reported as wrong, and nobody believe the audit."""
    found = audited(place, pipeline.book)
    assert (found.wrong, found.differences) == (0, ())
    assert (found.accounts, found.events, found.lines, found.quarantined, found.duplicates) == (2, 3, 4, 1, 1)
    assert found.amounts == {"USD": Decimal("99999999999999999999999997.15")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE balances SET amount='0' WHERE account='acme'", "account acme: records add up to"),
        ("UPDATE balances SET checksum=checksum+1 WHERE account='zoe'", "account zoe: records add up to"),
        ("UPDATE balances SET events=events+1 WHERE account='zoe'", "balance says"),
        ("DELETE FROM balances WHERE account='zoe'", "balance says nothing"),
        ("DELETE FROM rollups WHERE account='zoe' AND rollup='monthly'", "rollup monthly says nothing"),
        ("UPDATE rollups SET amount='1' WHERE rollup='hourly' AND account='acme'", "rollup hourly says"),
        ("UPDATE records SET amount='7' WHERE event='b'", "account acme: records add up to"),
        ("UPDATE records SET digest=digest+1 WHERE event='b'", "account acme: records add up to"),
        ("DELETE FROM records WHERE event='b'", "cursors count 3 events, records have 2"),
        ("DELETE FROM quarantine", "cursors count 1 events in quarantine, it has 0"),
        ("UPDATE cursors SET accepted=4", "cursors count 4 events, records have 3"),
    ],
)
def test_every_change_is_found(place, pipeline, change, words):
    """Money would be missing, and the audit say that all is well."""
    found = audited(place, pipeline.book, change)
    assert found.wrong > 0
    assert any(words in difference for difference in found.differences), found.differences


def test_a_rollup_that_lacks_many_accounts_is_told_of_all_of_them(tmp_path, pipeline):
    """Accounts that came before the first row of a rollup would be taken for right: half a month's usage be missing."""
    place = billed(tmp_path, pipeline, [payload(f"e{number}", f"account-{number}") for number in range(50)])
    last = "(SELECT account FROM balances ORDER BY slot DESC, account DESC LIMIT 1)"
    found = audited(place, pipeline.book, f"DELETE FROM rollups WHERE rollup='monthly' AND account<>{last}")
    assert (found.wrong, len(found.differences)) == (49, DIFFERENCES_MAX)
    assert all(
        "records add up to 1.000000000000 in 1 events" in difference and "rollup monthly says nothing" in difference
        for difference in found.differences
    )


def test_currencies_of_an_account_are_compared_each(tmp_path, pipeline):
    """An account that was charged in two currencies would have their amounts added up as if they were one."""
    place = billed(tmp_path, pipeline, [payload(f"e{number}", quantity=number) for number in range(1, 5)])
    euros = "UPDATE records SET currency='EUR' WHERE event IN ('e1', 'e3')"  # now and again, in order of records
    found = audited(place, pipeline.book, euros)
    assert found.amounts == {"EUR": Decimal(4), "USD": Decimal(6)}
    said, nothing = found.differences
    assert "records add up to 4.000000000000 in 2 events" in said
    assert said.endswith("balance says nothing")
    assert "records add up to 6.000000000000 in 2 events" in nothing
    assert "balance says 10.000000000000 in 4 events" in nothing


# --- memory ---


@pytest.mark.parametrize("spread", [1, 1_000_000], ids=["one account", "an account an event"])
def test_memory_depends_on_neither_accounts_nor_records(tmp_path, pipeline, spread):
    """The audit of a shard with millions of accounts would be killed for want of memory, and so be never made."""

    def peak_bytes(events):
        folder = tmp_path / str(events)
        folder.mkdir()
        place = billed(folder, pipeline, [payload(f"e{one}", f"account-{one % spread}") for one in range(events)])

        def work(connection):
            audit_shard(connection, "s1", pipeline.book, page_rows=50)  # what is made once for all is made
            gc.freeze()  # and is not looked through for garbage
            tracemalloc.start()
            found = audit_shard(connection, "s1", pipeline.book, lambda _lines: gc.collect(), page_rows=50)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            gc.unfreeze()
            assert (found.wrong, found.events) == (0, events)
            return peak

        return asyncio.run(run(place.url, work))

    assert peak_bytes(4_000) < 1.5 * peak_bytes(500)  # of eight times as much


# --- counters ---

SEEN = "rule graduated in the period from 1767225600 add up to 14.000000000000 in 1 lines of 12, the counter says"


@pytest.fixture(scope="session")
def counting(tmp_path_factory):
    """Give the path by a book whose prices count, one of them from a day that events name."""
    anchored = "{per: {month: {anchor: {attribute: day}}}, tiers: [{up_to: 2, "
    charges = COUNTING.replace("{per: month, tiers: [{up_to: 2, ", anchored)
    assert anchored in charges
    return pipeline_in(tmp_path_factory.mktemp("book"), charges=charges)


@pytest.fixture
def counted(tmp_path, counting):
    """Give a shard with counters of several rules, accounts and periods, some of which overlap."""
    return billed(tmp_path, counting, [
        payload("a", quantity=12, time="2026-01-31T23:59:59.999999Z"),
        payload("b", quantity=3, time="2026-02-01T00:00:00Z"),
        payload("c", quantity=3, time="2026-04-01T00:00:00Z"),
        payload("d", product="call", quantity=11, attributes={"reseller": "zoe", "day": "1"}),
        payload("e", product="call", quantity=2, attributes={"reseller": "zoe", "day": "31"}),
        payload("f", product="call", quantity=2, time="2026-01-31T00:00:00Z",
                attributes={"reseller": "zoe", "day": "1"}),
    ])  # fmt: skip


def test_counters_agree_with_the_records_of_their_periods(counted, counting):
    """A clean shard would be reported as wrong: each month's records be compared with another month's counter."""
    found = audited(counted, counting.book)
    assert (found.wrong, found.differences) == (0, ())
    assert found.lines == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE tiers SET amount='13' WHERE rule='graduated' AND period=1767225600", f"{SEEN} 13 in 1 lines of 12"),
        (
            "UPDATE tiers SET quantity='11' WHERE rule='graduated' AND period=1767225600",
            f"{SEEN} 14.000000000000 in 1 lines of 11",
        ),
        ("UPDATE tiers SET quantity='4' WHERE rule='volume'", "rule volume in the period from 1767225600"),
        (
            "UPDATE tiers SET events=2 WHERE rule='graduated' AND period=1767225600",
            f"{SEEN} 14.000000000000 in 2 lines",
        ),
        ("DELETE FROM tiers WHERE rule='graduated' AND period=1767225600", "graduated in the period from 1769904000"),
        ("DELETE FROM tiers WHERE rule='graduated'", "in the period from 0 add up to 20.000000000000 in 3"),
        ("DELETE FROM tiers WHERE rule='share'", "rule share in all periods"),
        ("UPDATE tiers SET amount='0' WHERE rule='share'", "rule share in all periods add up to 0.950000000000 in 3"),
        ("INSERT INTO tiers VALUES (1, 'nobody', 'graduated', 0, '1', 1, '1')", "the counter says 1 in 1"),
        ("UPDATE records SET rule='plain' WHERE event='b'", "period from 1769904000 add up to 0 in 0 lines"),
    ],
)
def test_every_change_of_a_counter_is_found(counted, counting, change, words):
    """The next event of an account would be charged by a tier that it is not in, and the audit say that all is well."""
    found = audited(counted, counting.book, change)
    assert found.wrong > 0
    assert any(words in difference for difference in found.differences), found.differences


def test_a_counter_that_counts_nothing_needs_no_record(counted, counting):
    """A counter that was made for an event in quarantine would be reported as wrong."""
    empty = "INSERT INTO tiers VALUES (1, 'nobody', 'graduated', 0, '0', 0, '0.000000000000')"
    assert audited(counted, counting.book, empty).wrong == 0


def test_voids_add_up(tmp_path, counting):
    """A clean shard would be reported as wrong once something is voided, or a void that took too much be missed."""
    first = [payload("a", quantity=12), payload("b", quantity=3), payload("w", quantity=2, type="void")]
    shard = billed(tmp_path, counting, first)
    batch = counting.slice([payload("a", quantity=12, type="void"), payload("w", quantity=2)], start=3)

    async def scenario(store):
        assert await store.apply(counting.fold(batch, await store.existing(part_keys(batch)))) == Applied()

    with_store(shard, scenario)
    found = audited(shard, counting.book)
    assert (found.wrong, found.differences) == (0, ())
    assert (found.events, found.lines, found.duplicates) == (4, 7, 1)
    counted_still = "UPDATE tiers SET events=2"
    assert audited(shard, counting.book, counted_still).wrong == 1
    taken_back = "UPDATE records SET amount='-13' WHERE line=-1"
    assert audited(shard, counting.book, taken_back).wrong == 3  # balance, rollup, counter


def test_the_counter_of_a_rule_that_is_gone_may_keep_what_was_voided(tmp_path, counting, pipeline):
    """A book without a rule would make every void of what it charged a finding for ever."""
    shard = billed(tmp_path, counting, [payload("a", quantity=12)])
    batch = pipeline.slice([payload("a", quantity=12, type="void")], start=1)

    async def scenario(store):
        assert await store.apply(pipeline.fold(batch, await store.existing(part_keys(batch)))) == Applied()

    with_store(shard, scenario)
    found = audited(shard, pipeline.book, "DELETE FROM rollups WHERE rollup='hourly'")
    assert (found.wrong, found.amounts) == (0, {"USD": Decimal(0)})
