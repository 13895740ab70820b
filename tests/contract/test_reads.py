"""Reads over every kind of store: the same answers from SQLite, MariaDB and MySQL."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import attrs
import pytest
from sqlalchemy import Connection, select, text

from billing.adapters.breakdown import charged_answer
from billing.adapters.endpoints import Endpoints, ShardDownError
from billing.adapters.gather import NotAppliedError
from billing.adapters.many import balances_answer
from billing.adapters.reads import PageQuery, Reads, UsageQuery
from billing.adapters.sql import Database, StatementTimeoutError
from billing.config.api_settings import Api, ApiLimits
from billing.config.deployment import Deployment
from billing.config.settings import Metrics, Rules, Settings, Shard, Sharding
from billing.config.source_settings import FileSource
from billing.config.store_url import MysqlUrl, SqliteUrl
from billing.cursor import Claim
from billing.limits import Limits
from billing.ports import Applied
from billing.reads.freshness import LogPosition, Want
from billing.reads.page_answers import Charged
from billing.reads.statement import Wanted
from billing.schema import records
from rules.book import Every
from sharding.shardmap import ShardMap, Spread
from tests.pipeline import LOG, Pipeline, payload
from tests.servers import query
from tests.stores import DATABASE, SHARD, TablesPlace, with_store

_T = TypeVar("_T")
SPAN = range(1_767_225_600, 1_767_225_600 + 86_400)


def deployment(place: TablesPlace, pipeline: Pipeline, **limits: int) -> Deployment:
    """Return a deployment whose only shard is the place."""
    shard = Shard(SHARD, place.url, (place.url,))
    settings = Settings(
        FileSource(Path("events.jsonl")), (shard,), Rules(Path("book.yaml")), Sharding(), Limits(), Metrics(),
        Api(Path("keys.db"), limits=ApiLimits(**limits)),
    )  # fmt: skip
    return Deployment(settings, pipeline.shardmap, pipeline.book)


def asked(found: Deployment, question: Callable[[Reads], Awaitable[_T]]) -> _T:
    """Put questions to the shard."""

    async def play() -> _T:
        async with Reads(found) as reads:
            return await question(reads)

    return asyncio.run(play())


def bill(place: TablesPlace, pipeline: Pipeline, payloads: list[bytes], start: int = 0) -> None:
    """Write events to the shard as a worker does."""

    async def scenario(store):
        await store.claim(Claim(LOG, {0: 0}, 1, 1))
        assert isinstance(await store.apply(pipeline.transaction(payloads, start)), Applied)

    with_store(place, scenario)


@pytest.fixture
def billed(tables: TablesPlace, pipeline: Pipeline) -> TablesPlace:
    """Bill sixty events of three accounts over three hours, one of them for a reseller too."""
    events = [
        payload(f"e{number:02}", f"acme-{number % 3}", time=f"2026-01-01T{number // 20:02}:{number % 60:02}:00Z",
                quantity=number, attributes={"country": "US" if number % 2 else "FR", "to": "+1"})
        for number in range(60)
    ]  # fmt: skip
    bill(tables, pipeline, [*events, payload("r1", "acme-0", quantity=10, attributes={"reseller": "shop"})])
    return tables


def test_balances_are_read_exactly_and_remembered_until_the_cursor_moves(
    billed: TablesPlace, pipeline: Pipeline
) -> None:
    """A balance would be wrong in its last places, or stay as it was after more was billed."""

    async def question(reads: Reads) -> list[list[tuple[str, str]]]:
        def amounts(answer):
            return [(one.account, one.balances[0].amount) for one in answer.balances]

        names = ["acme-0", "acme-1", "shop", "nobody"]
        first, again = [amounts(await balances_answer(reads, names)) for _ in range(2)]
        assert first == again
        await asyncio.to_thread(bill, billed, pipeline, [payload("e90", "acme-1", quantity="0.000000000001")], 61)
        alone = await reads.balance("acme-1")
        assert alone.balances[0].events == 21
        return [first, amounts(await balances_answer(reads, names))]

    before, after = asked(deployment(billed, pipeline), question)
    assert before == [
        ("acme-0", "580.000000000000"), ("acme-1", "590.000000000000"), ("shop", "1.000000000000"),
        ("nobody", "0.000000000000"),
    ]  # fmt: skip
    assert [one for one in after if one not in before] == [("acme-1", "590.000000000001")]


def test_a_thousand_accounts_are_answered_at_once(billed: TablesPlace, pipeline: Pipeline) -> None:
    """The largest request that is allowed would break a statement's bounds."""
    names = [f"acme-{number}" for number in range(1_000)]
    answer = asked(deployment(billed, pipeline), lambda reads: balances_answer(reads, names))
    assert not answer.errors
    assert sum(Decimal(one.balances[0].amount) for one in answer.balances) == 1780


def test_usage_is_cut_by_time_and_dimensions(billed: TablesPlace, pipeline: Pipeline) -> None:
    """A chart would show hours that were not asked for, or lose some."""

    async def question(reads: Reads):
        hourly = await reads.usage("acme-1", UsageQuery("hourly", by=(), span=SPAN))
        last = await reads.usage(
            "acme-1", UsageQuery("hourly", by=("country",), span=range(SPAN.start + 7_200, SPAN.stop))
        )
        daily = await reads.usage("acme-1", UsageQuery(every=Every.DAY, span=SPAN, fill=True))
        return hourly, last, daily

    hourly, last, daily = asked(deployment(billed, pipeline), question)
    assert [(one.bucket[11:13], one.events) for one in hourly.usage] == [("00", 7), ("01", 6), ("02", 7)]
    assert [(one.dims["country"], one.events) for one in last.usage] == [("FR", 4), ("US", 3)]
    assert (daily.rollup, len(daily.usage), daily.total.amount) == ("hourly", 1, "590.000000000000")


def test_charges_are_broken_down_by_product_and_rule(billed: TablesPlace, pipeline: Pipeline) -> None:
    """A customer would be told other sums by rule than the balance has, or by a database's float."""

    async def question(reads: Reads) -> list[list[tuple[object, ...]]]:
        spans = [Wanted(), Wanted(SPAN.start * 1_000_000, (SPAN.start + 3_600) * 1_000_000)]
        answers = [await charged_answer(reads, "acme-0", wanted) for wanted in spans]
        answers += [await charged_answer(reads, name, Wanted()) for name in ("shop", "nobody")]
        return [[attrs_of(one) for one in answer.charged] for answer in answers]

    def attrs_of(one: Charged) -> tuple[object, ...]:
        return one.product, one.rule, one.currency, one.lines, one.quantity, one.amount

    whole, hour, shop, nobody = asked(deployment(billed, pipeline), question)
    assert whole == [("sms", "unit", "USD", 21, "580.000000000000", "580.000000000000")]
    assert hour == [("sms", "unit", "USD", 8, "73.000000000000", "73.000000000000")]
    assert shop == [("sms", "share", "USD", 1, "10.000000000000", "1.000000000000")]
    assert nobody == []


def test_pages_follow_one_another_without_gap_or_repeat(billed: TablesPlace, pipeline: Pipeline) -> None:
    """A statement read in pages would miss charges or show some twice."""

    async def question(reads: Reads):
        pages, cursor = [], None
        while True:
            page = await reads.transactions("acme-0", PageQuery(rows_max=4, cursor=cursor))
            pages.append([(line.day, line.event, line.line) for line in page.transactions])
            cursor = page.next
            if cursor is None:
                break
        narrow = Wanted(since_us=(SPAN.start + 3_600) * 1_000_000, until_us=(SPAN.start + 7_200) * 1_000_000)
        hour = await reads.transactions("acme-0", PageQuery(narrow, 100))
        foreign = await reads.transactions("shop", PageQuery())
        why = await reads.explain("shop", "r1", "acme-0")
        return pages, hour.transactions, foreign.transactions, why

    pages, hour, foreign, why = asked(deployment(billed, pipeline), question)
    lines = [line for page in pages for line in page]
    assert len(lines) == len({*lines}) == 21
    assert lines == sorted(lines, reverse=True)
    assert [len(page) for page in pages] == [4, 4, 4, 4, 4, 1]
    assert sorted(line.event for line in hour) == [f"e{number}" for number in range(21, 40, 3)]
    assert [(line.event, line.origin, line.amount) for line in foreign] == [("r1", "acme-0", "1.000000000000")]
    assert why.lines[0].rule is not None
    assert why.lines[0].rule.id == "share"


def test_a_spread_account_is_one_account(tables: TablesPlace, pipeline: Pipeline) -> None:
    """The largest customer's statement would be that of one of its parts, or out of order."""
    spread = ShardMap(1, (SHARD,), ShardMap.even([SHARD]).ranges, spreads={"big": Spread("event", 8)})
    wide = attrs.evolve(pipeline, shardmap=spread)
    bill(tables, wide, [payload(f"e{number:02}", "big", quantity=1) for number in range(40)])

    async def question(reads: Reads):
        lines, cursor = [], None
        while True:
            page = await reads.transactions("big", PageQuery(rows_max=7, cursor=cursor))
            lines += [line.event for line in page.transactions]
            cursor = page.next
            if cursor is None:
                return lines, await reads.balance("big"), await reads.usage("big", UsageQuery("monthly"))

    lines, balance, usage = asked(deployment(tables, wide), question)
    assert lines == [f"e{number:02}" for number in reversed(range(40))]
    assert (balance.balances[0].amount, balance.balances[0].events, balance.consistent) == ("40.000000000000", 40, True)
    assert [one.events for one in usage.usage] == [40]


@pytest.mark.parametrize(
    "ask",
    [
        lambda reads: reads.transactions("acme", PageQuery()),
        lambda reads: reads.usage("acme", UsageQuery("hourly")),
        lambda reads: charged_answer(reads, "acme", Wanted()),
    ],
    ids=["page", "usage", "breakdown"],
)
def test_an_account_is_read_by_one_statement_that_passes_over_others(
    served: TablesPlace, pipeline: Pipeline, ask: Callable[[Reads], Awaitable[object]]
) -> None:
    """Each further round trip would take as long as the question itself, and a scan longer by the day.

    Servers choose how to read by statistics, which say little of a new table for a while.
    """
    hours = [f"2026-01-{day:02}T{hour:02}:00:00Z" for day in range(1, 13) for hour in range(24)]

    async def counts() -> tuple[int, int]:
        status = dict(await served.sql("SHOW GLOBAL STATUS WHERE Variable_name REGEXP '^(Questions|Handler_read_.*)$'"))
        statements = int(str(status.pop("Questions")))
        return statements, sum(int(str(rows)) for rows in status.values())

    async def cost(work: Callable[[], Awaitable[object]]) -> tuple[int, int]:
        found = [await counts()]
        for _ in range(3):
            await work()
            found.append(await counts())
        steps = [(now[0] - before[0], now[1] - before[1]) for before, now in pairwise(found)]
        return min(step[0] for step in steps), min(
            step[1] for step in steps
        )  # a server reads some for itself, at times

    async def question(reads: Reads) -> tuple[tuple[int, int], tuple[int, int]]:
        await ask(reads)  # connections are made
        return await cost(lambda: asyncio.sleep(0)), await cost(lambda: ask(reads))

    def must_be_cheap() -> None:
        nothing, one = asked(deployment(served, pipeline), question)
        assert one[0] == nothing[0] + 1
        assert one[1] < nothing[1] + len(hours) // 4

    new = "TRUNCATE TABLE records", "TRUNCATE TABLE rollups"
    asyncio.run(served.sql("SET GLOBAL innodb_stats_auto_recalc=OFF", *new))
    try:
        bill(served, pipeline, [payload(f"e{number}", "other", time=hour) for number, hour in enumerate(hours)])
        bill(served, pipeline, [payload(f"a{number}") for number in range(9)], start=len(hours))
        must_be_cheap()
        asyncio.run(served.sql("ANALYZE TABLE records, rollups"))
        must_be_cheap()
    finally:
        asyncio.run(served.sql("SET GLOBAL innodb_stats_auto_recalc=ON"))


def test_a_statement_that_takes_too_long_is_ended(tables: TablesPlace) -> None:
    """One question would hold a connection, and the database, for as long as it likes."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
    slow = f"{endless} SELECT COUNT(*) FROM n AS a, n AS b, n AS c, n AS d WHERE a.i + b.i + c.i + d.i < 0"

    async def play() -> None:
        database = Database(tables.url, 2, 100)
        try:
            for _ in range(2):  # the connection is of use afterwards
                with pytest.raises(StatementTimeoutError):
                    await database.read(lambda connection: connection.execute(text(slow)).all())
                assert await database.read(_count) == 0
        finally:
            await database.close()

    asyncio.run(play())


def _count(connection: Connection) -> int:
    return len(connection.execute(select(records.c.slot)).all())


def test_connections_that_the_server_cut_meanwhile_are_made_anew(served: TablesPlace, pipeline: Pipeline) -> None:
    """After a night without questions, or a restart of the database, the first caller would get an error."""
    bill(served, pipeline, [payload("e1", "acme")])
    server = served.server
    assert server is not None

    async def question(reads: Reads) -> list[int]:
        found = [(await reads.balance("acme")).balances[0].events]
        ids = await query(server, "SELECT id FROM information_schema.processlist WHERE db='contract'")
        await query(server, *(f"KILL {number}" for (number,) in ids))
        found.append((await reads.balance("acme")).balances[0].events)
        return found

    assert asked(deployment(served, pipeline), question) == [1, 1]


def test_a_wait_for_a_position_ends_when_it_is_applied_or_over(billed: TablesPlace, pipeline: Pipeline) -> None:
    """A caller would read before his own write, or hang."""

    async def question(reads: Reads) -> int:
        with pytest.raises(NotAppliedError):
            await reads.balance("acme-1", Want(applied=LogPosition(None, {0: 62}), wait_seconds=0.02))
        with pytest.raises(NotAppliedError):
            await reads.balance("acme-1", Want(applied=LogPosition("other", {0: 1}), wait_seconds=0.02))
        waiting = asyncio.create_task(reads.balance("acme-1", Want(applied=LogPosition(LOG, {0: 62}), wait_seconds=60)))
        await asyncio.to_thread(bill, billed, pipeline, [payload("e90", "acme-1")], 61)
        return (await waiting).balances[0].events

    assert asked(deployment(billed, pipeline), question) == 21


def test_readers_too_far_behind_are_not_asked(served: TablesPlace, pipeline: Pipeline) -> None:
    """A balance would be hours old while the database next to it knows better."""
    writer = served.url
    assert isinstance(writer, MysqlUrl)
    reader = attrs.evolve(writer, database="lagging")
    away = attrs.evolve(writer, port=1)
    bill(served, pipeline, [payload("e1")])
    copied = [f"CREATE TABLE lagging.{name} LIKE {DATABASE}.{name}" for name in ("balances", "cursors")]
    copied += [f"INSERT INTO lagging.{name} SELECT * FROM {DATABASE}.{name}" for name in ("balances", "cursors")]
    assert served.server is not None
    asyncio.run(query(served.server, "DROP DATABASE IF EXISTS lagging", "CREATE DATABASE lagging", *copied))

    async def position(endpoints: Endpoints, *, strong: bool = False) -> int:
        found = await endpoints.ask(lambda *_: None, strong=strong)
        return max(row.next_offset for row in found.cursors)

    async def play() -> None:
        endpoints = Endpoints(Shard(SHARD, writer, (reader,)), ApiLimits(reader_lag_ms_max=100))
        alone = Endpoints(Shard(SHARD, away, (reader,)), ApiLimits(reader_lag_ms_max=100))
        dead = Endpoints(Shard(SHARD, writer, (away,)), ApiLimits())
        try:
            assert await position(endpoints) == 1, "the reader is as far as the writer"
            await asyncio.to_thread(bill, served, pipeline, [payload("e2")], 1)
            assert await position(endpoints, strong=True) == 2
            async with asyncio.timeout(60):
                while await position(endpoints) == 1:  # noqa: ASYNC110 - until the new position is older than the bound
                    await asyncio.sleep(0.02)
            assert await position(alone) == 1, "a late answer is better than none"
            assert await position(dead) == 2, "the writer stands in for a reader that is down"
            with pytest.raises(ShardDownError):
                await position(alone, strong=True)
        finally:
            for one in (endpoints, alone, dead):
                await one.close()

    asyncio.run(play())


def test_an_engine_survives_a_lost_connection(served: TablesPlace, pipeline: Pipeline) -> None:
    """After a restart of the database, or an idle night, every read would fail once for each connection."""

    async def question(reads: Reads) -> None:
        before = await reads.transactions("acme", PageQuery())
        ids = await served.sql(
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = DATABASE()"
        )
        assert ids, "there is a connection to lose"
        await served.sql(*(f"KILL {one}" for (one,) in ids))
        after = await reads.transactions("acme", PageQuery())
        assert after.transactions == before.transactions

    asked(deployment(served, pipeline), question)


def test_a_missing_file_is_a_shard_that_is_down(tmp_path: Path, pipeline: Pipeline) -> None:
    """An empty new file would be made, and everybody's balance read as zero."""
    place = TablesPlace("sqlite", SqliteUrl(tmp_path / "none.db"))
    with pytest.raises(ShardDownError, match="there is no such file"):
        asked(deployment(place, pipeline), lambda reads: reads.balance("acme"))
    assert not (tmp_path / "none.db").exists()
