"""Endpoints: which of a shard's databases a read is sent to: readers within the lag bound, else the writer.

Owns what counts as too far behind, and how long one that does not answer is left alone. Must not know accounts.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Final, Generic, TypeVar

import attrs
from sqlalchemy import Connection

from billing.adapters.snapshot import MysqlSnapshots, Place, Snapshot, Snapshots, SqliteSnapshots
from billing.adapters.sql import Database
from billing.config.api_settings import ApiLimits
from billing.config.settings import Shard
from billing.config.store_url import MysqlUrl, StoreUrl
from billing.cursor import CursorRow
from billing.errors import StoreUnreachableError
from billing.reads.answers import AsOf
from billing.reads.balance import read_cursors
from billing.reads.freshness import Cursors
from billing.reads.question import Question

_REST_SECONDS: Final = 1.0  # how long an endpoint that did not answer is not asked again, so that requests fail at once
_T = TypeVar("_T")
Work = Callable[[Connection, Cursors], _T]  # what is read, in the snapshot of these cursors
_Positions = Mapping[tuple[str, int], int]


class ShardDownError(StoreUnreachableError):
    """No endpoint of a shard answers; `shard` is its name. Concerns the accounts on it and no others."""

    def __init__(self, shard: str, sentence: str) -> None:
        super().__init__(f"{shard}: {sentence}")
        self.shard = shard


@attrs.frozen
class Found(Generic[_T]):
    """What a shard had, and the cursors of the same snapshot; at_us: when, microseconds since 1970-01-01 UTC."""

    rows: _T
    cursors: Cursors
    at_us: int

    @cached_property
    def as_of(self) -> list[AsOf]:
        """How far this reaches, written once for all who share it."""
        return self.cursors.as_of(self.at_us)

    @cached_property
    def as_of_json(self) -> bytes:
        """The same as JSON."""
        return self.cursors.as_of_json(self.at_us)


class Endpoints:
    """The databases of one shard; used from one event loop."""

    def __init__(self, shard: Shard, limits: ApiLimits) -> None:
        self.name = shard.name
        self._lag_seconds = limits.reader_lag_ms_max / 1000
        self._writer = shard.primary
        self._readers = [url for url in dict.fromkeys(shard.readers) if url != shard.primary]
        self._databases = {
            url: Database(url, limits.connections_max, limits.statement_timeout_ms)
            for url in (*self._readers, self._writer)
        }
        self._snapshots: dict[StoreUrl, Snapshots] = {
            url: MysqlSnapshots(url, limits.statement_timeout_ms)
            if isinstance(url, MysqlUrl)
            else SqliteSnapshots(database)
            for url, database in self._databases.items()
        }
        self._heavy = asyncio.Semaphore(limits.connections_max // 2)  # cheap reads always find a connection
        self._resting: dict[StoreUrl, tuple[float, StoreUnreachableError]] = {}
        self._samples: list[tuple[float, _Positions]] = []  # of the writer: when, and where its cursors stood
        self._turn = 0

    async def ask(self, asked: Work[_T] | Question[_T], *, strong: bool = False, heavy: bool = False) -> Found[_T]:
        """Ask a reader within the lag bound, else the writer; strong: the writer at once.

        heavy: may take long, and leaves half of the connections to others. Raises: ShardDownError,
        StatementTimeoutError.
        """
        is_question = isinstance(asked, Question)

        def in_one_snapshot(connection: Connection) -> Found[_T]:
            if isinstance(asked, Question):
                found, cursors = asked.ask(connection)
            else:
                cursors = Cursors.of(read_cursors(connection))
                found = asked(connection, cursors)
            return Found(found, cursors, time.time_ns() // 1_000)

        async def read(url: StoreUrl) -> Found[_T]:
            return await self._databases[url].read(in_one_snapshot, once=is_question)

        if heavy:
            async with self._heavy:
                return await self._ask(read, strong=strong)
        return await self._ask(read, strong=strong)

    async def snapshot(self, places: Sequence[Place], *, strong: bool = False) -> Found[Snapshot]:
        """Read balances at places, from where `ask` would. Raises as `ask`."""

        async def read(url: StoreUrl) -> Found[Snapshot]:
            found = await self._snapshots[url].take(places)
            return Found(found, found.cursors, time.time_ns() // 1_000)

        return await self._ask(read, strong=strong)

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(one.close() for one in self._snapshots.values()))
        await asyncio.gather(*(database.close() for database in self._databases.values()))

    async def _ask(self, read: Callable[[StoreUrl], Awaitable[Found[_T]]], *, strong: bool) -> Found[_T]:
        behind: Found[_T] | None = None
        refusal: StoreUnreachableError | None = None
        due = {} if strong or not self._readers else await self._due()
        for url in self._order(strong=strong):
            try:
                found = await self._read(url, read)
            except StoreUnreachableError as error:
                refusal = refusal or error
                continue
            if url == self._writer or _reaches(found.cursors, due):
                return found
            behind = found
        if behind is not None:  # the writer is away: a late answer, which says how late it is, is better than none
            return behind
        assert refusal is not None, "every endpoint answered or refused"
        raise ShardDownError(self.name, str(refusal)) from refusal

    def _order(self, *, strong: bool) -> list[StoreUrl]:
        if strong or not self._readers:
            return [self._writer]
        self._turn = (self._turn + 1) % len(self._readers)
        return [*self._readers[self._turn :], *self._readers[: self._turn], self._writer]

    async def _read(self, url: StoreUrl, read: Callable[[StoreUrl], Awaitable[_T]]) -> _T:
        if url in self._resting:
            until, error = self._resting[url]
            if time.monotonic() < until:
                raise error
            del self._resting[url]
        try:
            return await read(url)
        except StoreUnreachableError as error:
            self._resting[url] = time.monotonic() + _REST_SECONDS, error
            raise

    async def _due(self) -> _Positions:
        """Return where the writer stood one lag bound ago, at least; nothing while that is not known.

        The writer is asked twice in every lag bound, while there are readers to compare with it.
        """
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] > self._lag_seconds / 2:
            try:
                cursors = (await self._read(self._writer, self._cursors)).cursors
            except StoreUnreachableError:
                return {}
            self._samples.append((now, {(row.log, row.partition): row.next_offset for row in cursors}))
        old = [sample for sample in self._samples if now - sample[0] >= self._lag_seconds]
        if old:
            self._samples = self._samples[len(old) - 1 :]
            return old[-1][1]
        return self._samples[0][1]

    async def _cursors(self, url: StoreUrl) -> Snapshot:
        return await self._snapshots[url].take([])


def _reaches(cursors: Sequence[CursorRow], due: _Positions) -> bool:
    found = {(row.log, row.partition): row.next_offset for row in cursors}
    return all(found.get(place, 0) >= position for place, position in due.items())
