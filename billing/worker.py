"""The worker: executes the engine's effects and tells it what came of them; decides nothing.

Owns tasks, timers and the order of shutdown. One event loop; readers and embedded stores do their blocking work in
threads.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog

from billing import metrics
from billing.cursor import Bounds, Claim, Standing, begun_late, check_within
from billing.effects import Apply, Check, ClaimCursors, CloseReader, Effect, Halt, Look, Seek, Settled, Troubled
from billing.engine import MAIN, Engine
from billing.errors import SourceError
from billing.heap import give_memory_back, share_heap
from billing.limits import Limits
from billing.policy import backoff_ms, rest_seconds
from billing.ports import Outcome, Ownership, Reader, Refused, Source, Store
from billing.pricing import Pricer
from billing.vitals import Vitals
from sharding.shardmap import ShardMap

_READ_WAIT_SECONDS: Final = 0.05  # for something to come: how late an idle reader sees that it was told to stop
_GATHER_SECONDS: Final = 0.001, 0.01  # least and most; between them as long as the last read took: what a read costs
_PAUSE_SECONDS: Final = 0.005  # how long a reader without appetite rests
_AHEAD_SECONDS: Final = 0.002  # after a transaction began: it is on its way by then
_COMMIT_SECONDS: Final = 5.0  # how often the log is told, as a hint, where this worker stands
_TIDY_SECONDS: Final = 1.0  # how often memory that is not in use is given back
_VERIFY_SECONDS: Final = 1.0  # how often the log is asked whether it is still itself; more often costs its broker work
_BEAT_SECONDS: Final = 1.0  # how often a worker says that it is alive
_LOOK_SECONDS: Final = 5.0  # how often the log is asked where it begins and ends: two requests a partition
_COLLECT_OBJECTS: Final = 50_000  # containers made between two looks for cycles: several batches
_REPEAT_LOG_SECONDS: Final = 5.0  # a shard that stays in trouble is mentioned this often

_T = TypeVar("_T")
_log = structlog.get_logger()


class Worker:
    """Runs one engine over one source and all shards until it is told to stop, is done, or must halt."""

    def __init__(
        self,
        source: Source,
        stores: Mapping[str, Store],
        shardmap: ShardMap,
        pricer: Pricer,
        limits: Limits,
        *,
        from_earliest: bool = False,
        on_settled: Callable[[int], None] = lambda _events: None,
        vitals: Vitals | None = None,
    ) -> None:
        """Prepare. stores: by shard name, used by this worker only; on_settled: told the events of each commit.

        vitals: told how the worker is, for who supervises it.
        """
        self._source = source
        self._stores = [stores[name] for name in shardmap.shards]
        self._map = shardmap
        self._pricer = pricer
        self._limits = limits
        self._from_earliest = from_earliest
        self._on_settled = on_settled
        self._readers: dict[int, Reader] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._feeds: dict[int, asyncio.Task[None]] = {}
        self._finished = asyncio.Event()
        self._error: BaseException | None = None
        self._ownership: Ownership | None = None
        self._seeking: dict[int, Seek] = {}  # readers on their way to a position: what they read until then is void
        self._mentioned: dict[int, float] = {}
        self._late: set[tuple[str, int]] = set()  # shards and partitions of which it was said that they begin late
        self._vitals = Vitals(time.monotonic()) if vitals is None else vitals
        self._engine: Engine | None = None

    async def run(self, *, until_end: bool = False) -> None:
        """Work until `stop` is called, or (until_end) until every shard has applied what the log held at the start.

        Raises: BillingError when going on could only do harm.
        """
        share_heap()
        gc.freeze()  # what start-up made stays; columns hold no cycles, so collections may be rare and find little
        gc.set_threshold(_COLLECT_OBJECTS, 20, 20)
        self._start(self._beat(), None)
        try:
            await self._patiently(self._source.open)
        except SourceError as error:
            await self._close()
            if error.may_return and self._finished.is_set():
                return  # stopped while waiting for the source: nothing was begun
            raise
        self._engine = Engine(self._source.log, self._map, self._pricer, self._limits)
        self._readers[MAIN] = self._source.reader()
        self._start(self._feed(MAIN), MAIN)
        self._start(self._tick(), None)
        self._start(self._verify(), None)
        self._start(self._tidy(), None)
        self._start(self._look(), None)
        if until_end:
            self._start(self._watch_end(), None)
        try:
            await self._finished.wait()
            if self._error is not None:
                self._vitals.halt()
            await self._drain()
        finally:
            await self._close()
        if self._error is not None:
            raise self._error

    @property
    def engine(self) -> Engine:
        """What decides, once the source was opened."""
        assert self._engine is not None, "the source tells which log it is before anything is decided"
        return self._engine

    def stop(self) -> None:
        """Finish what waits, then return from `run`."""
        self._finished.set()

    # --- tasks ---

    def _start(self, work: Coroutine[Any, Any, None], reader: int | None) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        if reader is not None:
            self._feeds[reader] = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._error = self._error or task.exception()
            self._finished.set()

    async def _patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Ask the source until it answers; give up when it never will, or when told to stop."""
        tries = 0
        while True:
            try:
                return await ask()
            except SourceError as error:
                if not error.may_return or self._finished.is_set():
                    raise
                tries += 1
                wait_ms = backoff_ms(tries, self._limits)
                _log.warning("source unreachable", error=str(error), retry_in_ms=wait_ms)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._finished.wait(), wait_ms / 1000)

    async def _feed(self, number: int) -> None:
        """Read and hand over, for as long as the reader exists."""
        reader, spent = self._readers[number], 0.0
        least, most = _GATHER_SECONDS
        while True:
            if number == MAIN:
                await self._follow_ownership()
            appetite = 0 if number in self._seeking else self.engine.appetite(number)
            if appetite == 0:
                await reader.idle()
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            positioned = reader.generation
            records = await reader.read(appetite, _READ_WAIT_SECONDS, min(max(spent, least), most))
            if reader.generation == positioned and number not in self._seeking and records.spans:
                started = time.perf_counter()
                self._execute(self.engine.records(number, records, _now_ms()))
                spent = time.perf_counter() - started
                metrics.ENGINE_SECONDS.inc(spent)
                metrics.READ.inc(len(records))
                metrics.PASSED.inc(sum(span.stop - span.start for span in records.spans.values()) - len(records))
                await asyncio.sleep(0)  # let finished transactions be answered before the next read

    async def _follow_ownership(self) -> None:
        ownership = self._source.ownership()
        if ownership == self._ownership:
            return
        self._ownership = ownership
        bounds = await self._bounds(ownership.partitions)
        starts = {p: bounds[p].start if self._from_earliest else 0 for p in ownership.partitions}
        _log.info("partitions assigned", partitions=sorted(ownership.partitions))
        self._execute(self.engine.own(starts, _now_ms()))

    async def _bounds(self, partitions: Iterable[int]) -> Mapping[int, Bounds]:
        return await self._patiently(lambda: self._source.bounds(sorted(partitions)))

    async def _tick(self) -> None:
        committed_at = time.monotonic()
        rest = rest_seconds(len(self._stores), self._limits)
        while True:
            await asyncio.sleep(rest)
            self._execute(self.engine.tick(_now_ms()))
            if time.monotonic() - committed_at >= _COMMIT_SECONDS:
                committed_at = time.monotonic()
                await self._source.commit(self.engine.progress())

    @staticmethod
    async def _tidy() -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            give_memory_back()

    async def _verify(self) -> None:
        """Stop soon after the log has become another one."""
        while True:
            await asyncio.sleep(_VERIFY_SECONDS)
            await self._source.verify()

    async def _beat(self) -> None:
        while self._error is None:
            if self._engine is None:
                self._vitals.beat(time.monotonic())
            else:
                self._vitals.tell(self._engine, self._ownership, time.monotonic())
            await asyncio.sleep(_BEAT_SECONDS)

    async def _look(self) -> None:
        """Ask where the log begins and ends, so that somebody hears of a lag before retention has passed it."""
        while True:
            owned = self._ownership.partitions if self._ownership is not None else frozenset()
            try:
                bounds = await self._source.bounds(sorted(owned))
            except SourceError as error:
                if not error.may_return:
                    raise
                bounds = None  # the readers and the log's own client say so
            self._vitals.look(bounds, self.engine, time.monotonic())
            await asyncio.sleep(_LOOK_SECONDS if owned else _BEAT_SECONDS)

    async def _watch_end(self) -> None:
        ends: dict[int, int] = {}
        while True:
            await asyncio.sleep(rest_seconds(len(self._stores), self._limits))
            owned = self._ownership.partitions if self._ownership is not None else frozenset()
            if not owned <= ends.keys():
                bounds = await self._bounds(owned - ends.keys())
                ends |= {partition: bound.stop for partition, bound in bounds.items()}
            progress = self.engine.progress()
            if owned and all(progress.get(partition, -1) >= ends[partition] for partition in owned):
                check_within(self._source.log, progress, await self._bounds(owned))  # beyond the end is not at it
                self._finished.set()
                return

    async def _ask(self, effect: ClaimCursors | Apply | Look) -> None:
        store = self._stores[effect.shard]
        started = time.perf_counter()
        if isinstance(effect, ClaimCursors):
            standing = await store.claim(effect.claim)
            self._say_if_late(store.name, effect.claim, standing)
            self._execute(self.engine.claimed(effect.shard, standing, _now_ms()))
        elif isinstance(effect, Look):
            found = await store.existing(effect.keys)
            self._execute(self.engine.looked(effect.shard, found, _now_ms()))
        else:
            outcome = await self._apply(store, effect)
            metrics.APPLY_SECONDS.labels(store.name).observe(time.perf_counter() - started)
            self._execute(self.engine.applied(effect.shard, outcome, _now_ms()))

    async def _apply(self, store: Store, effect: Apply) -> Outcome:
        """Apply a transaction, and prepare the next one while the shard is busy with it."""
        preparing = asyncio.create_task(self._prepare(store, effect.shard))
        try:
            return await store.apply(effect.transaction)
        finally:
            preparing.cancel()

    async def _prepare(self, store: Store, shard: int) -> None:
        transaction, wait_seconds = None, _AHEAD_SECONDS
        while transaction is None:
            await asyncio.sleep(wait_seconds)
            transaction, wait_seconds = self.engine.ahead(shard), 2 * wait_seconds
        store.prepare(transaction)

    def _say_if_late(self, shard: str, claim: Claim, answer: Standing | Refused) -> None:
        late = {} if isinstance(answer, Refused) else begun_late(claim, answer)
        for partition, offsets in late.items():
            if (shard, partition) not in self._late:
                self._late.add((shard, partition))
                metrics.SKIPPED.labels(shard).inc(offsets)
                _log.warning(
                    "shard begins late", shard=shard, partition=partition, from_offset=offsets,
                    why='source.start is "earliest" and the log has lost what was before; see runbook: offsets skipped',
                )  # fmt: skip

    # --- effects ---

    def _execute(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case ClaimCursors() | Apply() | Look():
                    self._start(self._ask(effect), None)
                case Seek():
                    self._seeking[effect.reader] = effect
                    self._start(self._seek(effect), None)
                case Check():
                    self._start(self._check(effect.positions), None)
                case CloseReader():
                    self._start(self._close_reader(effect.reader), None)
                case Settled():
                    self._settle(effect)
                case Troubled():
                    self._mention(effect)
                case Halt():
                    self._error = self._error or effect.error
                    self._finished.set()

    async def _seek(self, effect: Seek) -> None:
        number = effect.reader
        if effect.positions:
            await self._check(effect.positions)
        if self._seeking.get(number) is not effect:
            return  # superseded while asking
        fresh = number not in self._readers
        if fresh:
            self._readers[number] = self._source.reader()
            _log.info("catch-up started", reader=number, positions=dict(effect.positions))
        await self._readers[number].seek(effect.positions)
        if self._seeking.get(number) is effect:
            del self._seeking[number]
        if fresh and number in self._readers:  # it may have been closed while it sought
            self._start(self._feed(number), number)

    async def _check(self, positions: Mapping[int, int]) -> None:
        check_within(self._source.log, positions, await self._bounds(positions))

    async def _close_reader(self, number: int) -> None:
        self._seeking.pop(number, None)
        feed = self._feeds.pop(number, None)
        if feed is not None:
            feed.cancel()
        reader = self._readers.pop(number, None)
        if reader is not None:
            _log.info("catch-up ended", reader=number)
            await reader.close()

    def _settle(self, effect: Settled) -> None:
        name = self._map.shards[effect.shard]
        moves = effect.transaction.moves
        metrics.TRANSACTIONS.labels(name).inc()
        for table in ("records", "tiers", "rollups", "balances"):
            metrics.ROWS.labels(name, table).inc(len(getattr(effect.transaction, table)))
        metrics.RECORDED.labels(name).inc(sum(move.accepted for move in moves))
        metrics.DUPLICATES.labels(name).inc(sum(move.duplicates for move in moves))
        for reject in effect.transaction.quarantine:
            metrics.QUARANTINED.labels(name, reject.reason.value).inc()
        if effect.shard in self._mentioned:
            del self._mentioned[effect.shard]
            _log.info("shard recovered", shard=name)
        self._on_settled(effect.transaction.events)

    def _mention(self, effect: Troubled) -> None:
        name = self._map.shards[effect.shard]
        metrics.REFUSALS.labels(name, effect.reaction.name.lower()).inc()
        now = time.monotonic()
        if now - self._mentioned.get(effect.shard, -_REPEAT_LOG_SECONDS) >= _REPEAT_LOG_SECONDS:
            self._mentioned[effect.shard] = now
            _log.warning("shard refused", shard=name, reaction=effect.reaction.value, detail=effect.detail)

    # --- the end ---

    async def _drain(self) -> None:
        """Send what waits, within the time that a graceful stop may take; what is left is read again later."""
        if self._error is not None:
            return
        self._execute(self.engine.stop(_now_ms()))
        deadline = time.monotonic() + self._limits.graceful_stop_ms / 1000
        # The engine has no event loop to signal with.
        while not self.engine.drained and self._error is None and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_SECONDS)
        await self._source.commit(self.engine.progress())

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reader in self._readers.values():
            await reader.close()
        for store in self._stores:
            await store.close()
        await self._source.close()


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
