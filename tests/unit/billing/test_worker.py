"""The worker's own part: tasks that cross each other."""

import asyncio

import attrs

from billing.adapters.generated import GeneratedSource
from billing.engine import CloseReader, Seek
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
        await source.seeking.wait()
        worker._execute([CloseReader(7)])  # noqa: SLF001
        await asyncio.sleep(0)
        source.may_end.set()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        await asyncio.sleep(0)
        return ends

    assert asyncio.run(scenario()) == [None, None]
