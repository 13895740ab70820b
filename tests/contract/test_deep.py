"""The lines that the benchmark of reads puts into tables: pages of them are where it says."""

import asyncio

from bench.reading.deep import DeepAccount, insert
from billing.adapters.reads import PageQuery, Reads
from tests.contract.test_reads import asked, deployment
from tests.pipeline import Pipeline
from tests.stores import TablesPlace

LINES = 2_500


def test_a_page_at_any_depth_has_the_lines_before_its_cursor(served: TablesPlace, pipeline: Pipeline) -> None:
    """The benchmark would time pages that are empty, or all of them the first."""
    found = deployment(served, pipeline)
    ((slot, _),) = found.shardmap.shards_of("deep-1")
    one, told = DeepAccount("deep-1", slot, LINES), []

    async def fill() -> None:
        connection = await served.session()
        try:
            await insert(connection, one, told.append)
        finally:
            connection.close()

    asyncio.run(fill())
    assert told == [LINES]

    async def question(reads: Reads) -> list[list[str]]:
        pages = [PageQuery(rows_max=3, cursor=cursor) for cursor in (None, one.cursor(1_000), one.cursor(1))]
        return [[line.event for line in (await reads.transactions("deep-1", page)).transactions] for page in pages]

    assert asked(found, question) == [
        ["deep-000000002499", "deep-000000002498", "deep-000000002497"],
        ["deep-000000000999", "deep-000000000998", "deep-000000000997"],
        ["deep-000000000000"],
    ]
