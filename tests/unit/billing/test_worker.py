"""The worker's own part: tasks that cross each other."""

import asyncio

import attrs
import pytest

from billing.adapters.generated import GeneratedSource
from billing.adapters.memory import MemoryShard, MemoryStore
from billing.cursor import Claim
from billing.effects import CloseReader, Seek
from billing.errors import LogChangedError
from billing.limits import Limits
from billing.worker import Worker
from generators.workload import Workload
from rules.pricer import Pricer
from sharding.shardmap import ShardMap
from tests.rulebooks import book_of


@attrs.define
class SlowSource(GeneratedSource):
    """Generated traffic whose readers take their time to seek."""

    seeking: asyncio.Event = attrs.Factory(asyncio.Event)
    may_end: asyncio.Event = attrs.Factory(asyncio.Event)

    def __attrs_post_init__(self):
        super().__init__(Workload(), 10)

    def reader(self):
        """Return a reader that seeks when it may."""
        reader = super().reader()
        seek = reader.seek

        async def slowly(positions):
            self.seeking.set()
            await self.may_end.wait()
            await seek(positions)

        reader.seek = slowly
        return reader


def test_a_reader_closed_while_it_seeks_is_forgotten(tmp_path):
    """A shard that comes back while its catch-up begins would end the worker."""
    book = book_of(tmp_path, "charges: [{group: usage, rules: [{id: r, when: {product: sms}, price: {flat: 1}}]}]")

    async def scenario():
        source = SlowSource()
        worker = Worker(source, {"a": None}, ShardMap.even(["a"]), Pricer(book), Limits())
        ends = []
        worker._ended = lambda task: ends.append(task.exception())  # noqa: SLF001
        worker._execute([Seek(7, {0: 0})])  # noqa: SLF001 - what the engine says
        await asyncio.wait_for(source.seeking.wait(), 60)
        worker._execute([CloseReader(7)])  # noqa: SLF001
        await asyncio.sleep(0)
        source.may_end.set()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        await asyncio.sleep(0)
        return ends

    assert asyncio.run(scenario()) == [None, None]


def test_a_log_that_ends_before_a_cursor_stops_the_worker(tmp_path):
    """A shard that was ahead of the others would take the next events of a log that lost its end for billed ones."""
    book = book_of(tmp_path, "charges: [{group: usage, rules: [{id: r, when: {product: sms}, price: {flat: 1}}]}]")
    source, shards = GeneratedSource(Workload(), 10), [MemoryShard("a"), MemoryShard("b")]
    for shard, stands in zip(shards, (5, 12), strict=True):
        shard.claim(Claim(source.log, {0: stands}, 1, 1))
    stores = {shard.name: MemoryStore(shard) for shard in shards}

    async def scenario():
        await asyncio.wait_for(Worker(source, stores, ShardMap.even(["a", "b"]), Pricer(book), Limits()).run(), 60)

    with pytest.raises(
        LogChangedError, match="ends at offset 10, but a shard has applied up to 12: the log was truncated"
    ):
        asyncio.run(scenario())
