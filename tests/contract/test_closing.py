"""The contract of a shard's store for closing: what is missing to a minimum is posted once, whoever does it when."""

import asyncio
from decimal import Decimal
from functools import partial

import attrs
import pytest

from billing import upsert
from billing.adapters import close as closer
from billing.adapters.sql import run
from billing.audit import audit_shard
from billing.closing import closing
from billing.cursor import Claim
from billing.dedupe import part_keys
from billing.due import NotEndedError, read_page
from billing.errors import SettingsError, VersionFencedError
from billing.limits import Limits
from billing.ports import Applied
from sharding.key import slot_of
from tests.closing import close, plan, posted
from tests.pipeline import HOUR, LOG, payload, pipeline_in
from tests.stores import SHARD, with_store

BOOK = """
contracts: {file: contracts.csv}
charges:
- group: usage
  rules:
  - {id: sms, when: {product: sms}, price: {per_unit: 1}, per_period: {per: month, minimum: 10}}
  - id: call
    when: {product: call}
    price: {graduated: {per: {month: {zone: Europe/Berlin, anchor: 15}}, tiers: [{up_to: 2, unit: 2}, {unit: 1}]}}
    per_period: {minimum: 4, maximum: 50}
  - {id: free, when: {product: free}, price: {per_unit: 1}, per_period: {per: month, maximum: 5}}
  - {id: own, when: {product: own}, price: {per_unit: 1}, per_period: {per: {month: {anchor: {attribute: day}}}, minimum: 3}}
rollups:
- {name: monthly, every: month, by: [product]}
"""  # noqa: E501
CONTRACTS = """account,rule,minimum,discount,from,until
acme,sms,20,,2026-02-01,
idle,sms,7.25,,,2026-03-01
zoe,free,2,,,
eve,call,0,50,,
"""
SLOT, IDLE = (int(slot) for slot in slot_of(["acme", "idle"]))
JANUARY_ENDS = HOUR + 31 * 86_400
DEADLOCKS = {
    "mariadb": "SELECT VARIABLE_VALUE FROM information_schema.global_status WHERE VARIABLE_NAME='Innodb_deadlocks'",
    "mysql": "SELECT `count` FROM information_schema.innodb_metrics WHERE name='lock_deadlocks'",
}


@pytest.fixture(scope="session")
def bound(tmp_path_factory):
    """Give the path from payloads to transactions by a book with minimums."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "contracts.csv").write_text(CONTRACTS)
    return pipeline_in(folder, charges=BOOK)


async def billed(store, pipeline, *payloads, start=0):
    """Bill events of partition 0 from an offset on."""
    await store.claim(Claim(LOG, {0: 0}, 1, 1))
    for offset, one in enumerate(payloads, start):
        batch = pipeline.slice([one], start=offset)
        known = await store.existing([key for key in part_keys(batch) if key.void])
        assert await store.apply(pipeline.fold(batch, known)) == Applied()


def balances(rows):
    """Return the balance of each account."""
    return {row[1]: row[4] for row in rows["balances"]}


async def clean(place, pipeline):
    """Tell that records, rollups, balances and counters agree; a shard in memory has no audit."""
    if place.kind == "memory":
        return True
    audited = await run(place.url, partial(audit_shard, shard=SHARD, book=pipeline.book))
    assert audited.differences == ()
    return True


def test_what_is_missing_is_posted_once(place, bound):
    """A commitment would be charged twice when a nervous operator repeats the command, or never."""

    async def scenario(store):
        await billed(store, bound, payload("a", quantity=4), payload("b", "zoe", quantity=12))
        assert posted(await close(place, None, bound, "2026-01")) == {
            ("acme", "sms"): Decimal(6), ("idle", "sms"): Decimal("7.25"), ("zoe", "free"): Decimal(2),
        }  # fmt: skip
        assert balances(await place.rows()) == {"acme": Decimal(4), "zoe": Decimal(12)}
        assert len(await close(place, store, bound, "2026-01")) == 3
        rows = await place.rows()
        assert balances(rows) == {"acme": Decimal(10), "idle": Decimal("7.25"), "zoe": Decimal(14)}
        assert await close(place, store, bound, "2026-01") == []
        assert await place.rows() == rows
        assert [row for row in rows["records"] if row[1] == "acme"][1][:5] == (
            SLOT, "acme", "2026-01-31", f"minimum sms {HOUR}", 1,
        )  # fmt: skip
        assert [row for row in rows["tiers"] if row[1] == "idle"] == [
            (IDLE, "idle", "minimum sms", HOUR, Decimal(0), 1, Decimal("7.25")),
            (IDLE, "idle", "sms", HOUR, Decimal(0), 0, Decimal(0)),
        ]
        assert [row[3:8] for row in rows["rollups"] if row[1] == "acme"] == [
            (HOUR, '["period minimum"]', 0, Decimal(0), Decimal(6)),
            (HOUR, '["sms"]', 1, Decimal(4), Decimal(4)),
        ]
        assert {row[1]: row[3] for row in rows["balances"]} == {"acme": 1, "idle": 0, "zoe": 1}
        assert await clean(place, bound)

    with_store(place, scenario)


def test_late_events_and_voids_are_settled_by_the_next_close(place, bound):
    """Who sends events late would pay the commitment and the use, who takes them back neither."""
    late = payload("b", quantity=5)
    voided = payload("b", quantity=5, type="void")
    more = payload("c", quantity=40)

    async def scenario(store):
        await billed(store, bound, payload("a", quantity=4))
        for start, event, change, total in (
            (1, late, "-5", 10), (2, voided, "5", 10), (3, more, "-6", 44),
        ):  # fmt: skip
            await close(place, store, bound, "2026-01")
            await billed(store, bound, event, start=start)
            found = await close(place, store, bound, "2026-01")
            assert posted(found) == {("acme", "sms"): Decimal(change)}
            assert balances(await place.rows())["acme"] == total
        records = [
            row for row in (await place.rows())["records"] if row[3].startswith("minimum sms") and row[1] == "acme"
        ]
        assert [(row[4], row[7]) for row in records] == [
            (1, Decimal(6)), (2, Decimal(-5)), (3, Decimal(5)), (4, Decimal(-6)),
        ]  # fmt: skip
        assert await clean(place, bound)

    with_store(place, scenario)


def test_use_that_was_taken_back_owes_nothing(place, bound):
    """An account whose only event was a mistake would be charged the minimum of the book for it."""
    mistake, promised = payload("a", "zoe"), payload("b", "idle")

    async def scenario(store):
        await billed(store, bound, mistake, promised)
        await close(place, store, bound, "2026-01", only=["sms"])
        assert balances(await place.rows()) == {"zoe": Decimal(10), "idle": Decimal("7.25")}
        await billed(store, bound, payload("a", "zoe", type="void"), payload("b", "idle", type="void"), start=2)
        assert posted(await close(place, store, bound, "2026-01", only=["sms"])) == {
            ("zoe", "sms"): Decimal(-9), ("idle", "sms"): Decimal(1),
        }  # fmt: skip
        assert balances(await place.rows()) == {"zoe": Decimal(0), "idle": Decimal("7.25")}
        assert await clean(place, bound)

    with_store(place, scenario)


def test_each_period_is_its_own(place, bound):
    """January would be closed with February, by its minimum, or the use of one month make up for another."""
    berlin = payload("b", product="call", time="2026-02-14T22:30:00Z", quantity=1)  # still in the month from 15 January
    after = payload("c", product="call", time="2026-02-14T23:30:00Z", quantity=1)

    async def scenario(store):
        february = "2026-02-03T00:00:00Z"
        await billed(store, bound, payload("a", quantity=4), payload("d", time=february, quantity=8), berlin, after)
        assert posted(await close(place, store, bound, "2026-02", only=["sms"])) == {
            ("acme", "sms"): Decimal(12), ("idle", "sms"): Decimal("7.25"),
        }  # fmt: skip
        assert posted(await close(place, store, bound, "2026-01", only=["call", "sms"])) == {
            ("acme", "sms"): Decimal(6), ("acme", "call"): Decimal(2), ("idle", "sms"): Decimal("7.25"),
        }  # fmt: skip
        assert posted(await close(place, store, bound, "2026-02", only=["call"])) == {("acme", "call"): Decimal(2)}
        assert posted(await close(place, store, bound, "2026-03", only=["sms"])) == {("acme", "sms"): Decimal(20)}
        times = [row[2] for row in (await place.rows())["records"] if row[3].startswith("minimum call")]
        assert times == ["2026-02-14", "2026-03-14"]
        assert await clean(place, bound)

    with_store(place, scenario)


def test_periods_that_events_anchor_are_closed_account_by_account(place, bound):
    """An account whose month is still running would be charged its minimum while it still uses it up."""
    events = [
        payload("a", product="own", quantity=1, attributes={"day": "1"}),
        payload("b", "zoe", product="own", quantity=1, time="2026-01-30T12:00:00Z", attributes={"day": "20"}),
        payload("c", "eve", product="own", quantity=1, time="2026-02-28T12:00:00Z", attributes={"day": "31"}),
    ]

    async def scenario(store):
        await billed(store, bound, *events)
        found = await close(place, store, bound, "2026-01", JANUARY_ENDS, only=["own"])
        assert posted(found) == {("acme", "own"): Decimal(2)}
        assert posted(await close(place, store, bound, "2026-01", only=["own"])) == {("zoe", "own"): Decimal(2)}
        end_of_march = HOUR + 89 * 86_400
        assert await close(place, store, bound, "2026-02", end_of_march - 1, only=["own"]) == []
        found = await close(place, store, bound, "2026-02", end_of_march, only=["own"])
        assert posted(found) == {("eve", "own"): Decimal(2)}
        assert await clean(place, bound)

    with_store(place, scenario)


def test_a_newer_book_fences_the_close(place, bound):
    """A forgotten machine with last year's book would charge last year's commitments, or write to slots that moved."""

    async def scenario(store):
        await billed(store, bound, payload("a", quantity=4))
        await store.claim(Claim(LOG, {0: 0}, 1, 2))
        before = await place.rows()
        with pytest.raises(VersionFencedError, match="newer map or book: close by that one"):
            await close(place, store, bound, "2026-01")
        assert await place.rows() == before

    with_store(place, scenario)


def test_a_book_without_the_minimum_gives_back(place, bound):
    """A minimum that was a mistake in the book would have to be taken back by hand."""
    rules = [attrs.evolve(rule, period_minimum_pico=None) if rule.id == "sms" else rule for rule in bound.book.rules]
    without = attrs.evolve(bound, book=attrs.evolve(bound.book, rules=tuple(rules)))

    async def scenario(store):
        await billed(store, bound, payload("a", quantity=4))
        await close(place, store, bound, "2026-01", only=["sms"])
        assert posted(await close(place, store, without, "2026-01", only=["sms"])) == {("acme", "sms"): Decimal(-6)}
        assert balances(await place.rows())["acme"] == Decimal(4)
        assert await clean(place, without)

    with_store(place, scenario)


def test_counters_are_read_page_by_page(tables, bound, monkeypatch):
    """The accounts behind the first page would never be closed, or those at its edge twice."""
    monkeypatch.setattr(closer, "PAGE_ROWS", 3)
    monkeypatch.setattr(closer, "POSTINGS_MAX", 2)
    names = [f"account-{number}" for number in range(11)]

    async def scenario(store):
        await billed(store, bound, *(payload("a", name, quantity=number) for number, name in enumerate(names)))
        found = await close(tables, store, bound, "2026-01", only=["sms"])
        assert posted(found) == {(name, "sms"): Decimal(10 - i) for i, name in enumerate(names[:10])} | {
            ("idle", "sms"): Decimal("7.25")
        }
        planned = plan(bound, "2026-01", only=["sms"])
        rows = await run(tables.url, partial(read_page, plan=planned, after=None, rows_max=1_000))
        charged = {row.account: (row.charged_pico, row.lines, row.posted_pico) for row in rows if row.rule == "sms"}
        assert charged["account-3"] == (3 * 10**12, 1, 7 * 10**12)
        assert charged["account-10"] == (10 * 10**12, 0, 0)
        assert await close(tables, store, bound, "2026-01", only=["sms"]) == []

    with_store(tables, scenario)


def test_a_period_that_has_not_ended_is_not_closed(bound):
    """Customers would be charged the minimum in the middle of the month."""
    with pytest.raises(NotEndedError) as refused:
        plan(bound, "2026-01", JANUARY_ENDS - 1, ["sms"])
    assert str(refused.value) == "2026-01 has not ended for rule sms: it ends at 2026-02-01T00:00:00Z; close it then"
    assert plan(bound, "2026-01", JANUARY_ENDS, ["sms"]).rules == {"sms": 0}
    with pytest.raises(NotEndedError, match="rule call: it ends at 2026-02-14T23:00:00Z; close it then, or only rules"):
        plan(bound, "2026-01", JANUARY_ENDS)


@pytest.mark.parametrize(
    ("period", "only", "words"),
    [
        ("2026-1", (), "'2026-1' names no period; write 2026, 2026-01, 2026-01-31 or 2026-01-31T23"),
        ("2026-13", (), "'2026-13' names no period"),
        ("0026", (), "'0026' names no period"),
        ("2026", (), "2026: no rule of book test has a minimum by the year; add `per_period: {per: year, minimum:"),
        ("2026-01-01", ["sms"], '--rule "sms": no rule of book test with this id counts by the day'),
        (
            "2026-01",
            ["smss"],
            '--rule "smss": no rule of book test with this id counts by the month; did you mean "sms"',
        ),
    ],
)
def test_what_cannot_be_closed_is_told(bound, period, only, words):
    """A slip in the month would close nothing and look like success."""
    with pytest.raises(SettingsError) as refused:
        plan(bound, period, only=only)
    assert str(refused.value).startswith(words)


# --- what only servers can do ---


def test_a_close_that_is_gone_between_its_packets_leaves_nothing(served, bound, monkeypatch):
    """A laptop that is shut in the middle of the command would lock accounts, or charge a part without its balance."""
    monkeypatch.setattr(upsert, "IDLE_TRANSACTION_SECONDS", 1)

    async def scenario(store):
        await billed(store, bound, payload("a", quantity=4))
        before = await served.rows()
        gone = served.store()
        dues = [one.due for one in await close(served, None, bound, "2026-01", only=["sms"])]
        half = closing(dues, bound.book, 1)
        await gone._connect()  # noqa: SLF001 - stops where a crash may stop it
        await gone._lock_counters(half.counters)  # noqa: SLF001 - as above
        assert await served.rows() == before
        assert len(await close(served, store, bound, "2026-01", only=["sms"])) == 2
        await gone.close()
        assert balances(await served.rows()) == {"acme": Decimal(10), "idle": Decimal("7.25")}
        assert await clean(served, bound)

    with_store(served, scenario)


def test_operators_and_workers_at_the_same_time(served, bound):
    """Two people close the month while late events come in: somebody would be charged twice, or all stand still."""
    events, workers = 60, (0, 1)

    async def work(partition):
        store = served.store(limits=Limits(lock_wait_seconds=20))
        await store.claim(Claim(LOG, {partition: 0}, 1, 1))
        for number in range(events):
            name = f"account-{number % 7}"
            batch = bound.slice([payload(f"{partition}-{number}", name)], start=number, partition=partition)
            assert await store.apply(bound.fold(batch)) == Applied()
        await store.close()

    async def operate():
        store = served.store(limits=Limits(lock_wait_seconds=20))
        for _ in range(8):
            await close(served, store, bound, "2026-01", only=["sms"])
        await store.close()

    async def scenario(store):
        before = await served.sql(DEADLOCKS[served.kind])
        await asyncio.gather(*(work(partition) for partition in workers), operate(), operate())
        assert await served.sql(DEADLOCKS[served.kind]) == before
        await close(served, store, bound, "2026-01", only=["sms"])
        used = {f"account-{n}": sum(number % 7 == n for number in range(events)) * len(workers) for n in range(7)}
        expected = {name: Decimal(max(10, count)) for name, count in used.items()} | {"idle": Decimal("7.25")}
        assert balances(await served.rows()) == expected
        assert await clean(served, bound)

    with_store(served, scenario)
