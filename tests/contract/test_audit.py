"""The contract of the audit with every kind of tables: pages that fit together, one moment, and no row read twice."""

import asyncio
import threading
from collections import Counter
from decimal import Decimal

import pytest
from sqlalchemy import text

from billing.adapters.sql import run
from billing.audit import audit_shard
from billing.cursor import Claim
from billing.ledger import PAGE_ROWS
from billing.ports import Applied
from sharding.key import slot_of
from tests.pipeline import COUNTING, LOG, payload, pipeline_in
from tests.stores import with_store

MONTHS = "2026-03", "2025-12", "2026-01", "2026-02"  # each a partition of its own, in another order than the log's
WIDE = 120  # events of one account, more than a page of any size below but the greatest


def neighbours(count):
    """Return accounts of which each shares its slot with another, some of them a beginning of the other."""
    names = [f"{stem}{number}" for number in range(2_000) for stem in ("acct-", "Acct-", "a.")]
    by_slot = {}
    for name, slot in zip(names, slot_of(names).tolist(), strict=True):
        by_slot.setdefault(slot, []).append(name)
    shared = [name for of_slot in by_slot.values() if len(of_slot) > 1 for name in of_slot]
    assert len(shared) >= count
    return shared[:count]


ACCOUNTS = neighbours(40)
EVENTS = [
    *(payload(f"w{one}", "wide", time=f"{MONTHS[one % 4]}-0{one % 9 + 1}T00:00:00Z") for one in range(WIDE)),
    *(
        payload(f"{name}-{month}", name, product=product, time=f"{month}-01T00:00:00Z", attributes={"reseller": "zoe"})
        for name in ACCOUNTS
        for month, product in zip(MONTHS, ("sms", "call", "plain", "sms"), strict=True)
    ),
]  # fmt: skip


@pytest.fixture(scope="session")
def counting(tmp_path_factory):
    """Give the path from payloads to transactions by a book whose prices count."""
    return pipeline_in(tmp_path_factory.mktemp("book"), charges=COUNTING)


def bill(place, pipeline, payloads, start=0):
    """Bill events."""

    async def scenario(store):
        await store.claim(Claim(LOG, {0: 0}, 1, 1))
        assert await store.apply(pipeline.transaction(payloads, start=start)) == Applied()

    with_store(place, scenario)


def audited(place, book, page_rows, *changes):
    """Change the tables, then audit them, and leave them as they were."""

    def work(connection):
        for change in changes:
            connection.execute(text(change))
        found = audit_shard(connection, "s1", book, page_rows=page_rows)
        connection.rollback()
        return found

    return asyncio.run(run(place.url, work))


CHANGES = [
    (),
    ("UPDATE records SET amount=amount+1 WHERE account='wide' AND line=0",),
    ("DELETE FROM balances",),
    ("DELETE FROM rollups WHERE account='wide'",),
    ("DELETE FROM tiers WHERE account='zoe'",),
    ("DELETE FROM records WHERE account<>'wide'",),
]


@pytest.mark.parametrize("changes", CHANGES)
def test_pages_of_every_size_add_up_to_the_same(tables, counting, changes):
    """Rows between two pages would be left out or added twice: a sound shard be called wrong, or a wrong one sound."""
    bill(tables, counting, EVENTS)
    found = audited(tables, counting.book, PAGE_ROWS, *changes)
    assert bool(found.wrong) == bool(changes), found.differences
    for rows in (1, 7, 64):
        assert audited(tables, counting.book, rows, *changes) == found


def test_every_account_is_added_up(tables, counting):
    """An account would be skipped, and with it all that is wrong about it."""
    bill(tables, counting, EVENTS)
    found = audited(tables, counting.book, 16)
    assert (found.wrong, found.differences) == (0, ())
    assert (found.accounts, found.events, found.quarantined) == (len(ACCOUNTS) + 2, len(EVENTS), 0)
    with_balances = asyncio.run(tables.rows())["balances"]
    assert found.amounts == {"USD": sum((row[4] for row in with_balances), Decimal(0))}


def test_the_audit_sees_one_moment_while_workers_write(tables, counting):
    """Whoever audits a running fleet would be told of differences that are none, and soon believe no audit."""
    bill(tables, counting, EVENTS)
    written = []

    def write(_lines):
        """Bill more of the same accounts, from where the audit has not been and from where it has."""
        more = [payload(f"m{len(written)}-{name}", name) for name in ("wide", *ACCOUNTS)]
        start = len(EVENTS) + len(written)
        writer = threading.Thread(target=bill, args=(tables, counting, more, start))  # it has a loop of its own
        writer.start()
        writer.join(60)
        assert not writer.is_alive()
        written.extend(more)

    async def audit():
        return await run(
            tables.url, lambda connection: audit_shard(connection, "s1", counting.book, write, page_rows=100)
        )

    found = asyncio.run(audit())
    assert (found.wrong, found.differences) == (0, ())
    assert found.events == len(EVENTS)
    after = audited(tables, counting.book, PAGE_ROWS)
    assert (after.wrong, after.events) == (0, len(EVENTS) + len(written))
    assert written


def test_a_page_reads_no_row_of_the_pages_before(served, counting):
    """Each page would read its table from the start: an audit of a large shard would take days, not minutes."""
    bill(served, counting, EVENTS)
    rows = sum(map(len, asyncio.run(served.rows()).values()))

    def reads(connection):
        """Return how many rows this connection has found by reading on from the one before."""
        status = connection.execute(text("SHOW SESSION STATUS LIKE 'Handler_read_%next'")).all()
        return Counter({name: int(value) for name, value in status})

    def work(connection):
        before = reads(connection)
        audit_shard(connection, "s1", counting.book, page_rows=10)
        return reads(connection) - before

    read = asyncio.run(run(served.url, work))
    assert rows > 900
    assert read.total() < 2 * rows, read  # all pages before would be 30 times
