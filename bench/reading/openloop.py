"""An open-loop load over HTTP: requests are due at times that nothing delays, and latencies run from then.

Owns connections and the clock of a load. A server that is slow makes requests wait, and the waiting counts: what is
often left out ("coordinated omission") is in the figures. Must not know what is asked.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import attrs

CONNECTIONS_MAX: Final = 64  # as many as one key may have requests under way
GRACE_SECONDS: Final = 30.0  # for answers to what was due before the end
_HEAD_END: Final = b"\r\n\r\n"


@attrs.frozen
class Stream:
    """Requests of one kind: so many a second, evenly; ask: makes the bytes of one."""

    kind: str
    rate_per_second: float
    ask: Callable[[], bytes]


@attrs.define(eq=False)
class Told:
    """What became of a kind's requests: latencies from when each was due, of the good ones; the others by status."""

    seconds: list[float] = attrs.Factory(list)
    errors: Counter[str] = attrs.Factory(Counter)
    late_seconds_max: float = 0.0  # how late the load itself began a request that had a connection


class _Connection(asyncio.Protocol):
    """One connection, kept; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._length: int | None = None
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    @property
    def alive(self) -> bool:
        """Tell whether a request can be sent: a server closes what was idle for long."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._length is None:
            end = self._buffer.find(_HEAD_END)
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            at = head.find(b"content-length:")
            assert at >= 0, "the API tells the length of its answers"
            self._length = end + len(_HEAD_END) + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) >= self._length and self._answer is not None:
            status = int(self._buffer[9:12])
            self._buffer.clear()
            self._length = None
            self._answer.set_result(status)

    async def ask(self, request: bytes) -> int:
        """Send a request and return the status of the answer, once that is there in full."""
        assert self._transport is not None, "connected"
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class OpenLoop:
    """Plays streams against one server."""

    def __init__(self, host: str, port: int) -> None:
        self._place = host, port
        self._idle: deque[_Connection] = deque()
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def play(self, streams: Sequence[Stream], seconds: float) -> dict[str, Told]:
        """Send for so long, wait for the answers, and return what became of them."""
        told = {stream.kind: Told() for stream in streams}
        began = time.perf_counter()
        await asyncio.gather(*(self._play(stream, began, seconds, told[stream.kind]) for stream in streams))
        while self._idle:
            self._idle.pop().close()
        return told

    async def _play(self, stream: Stream, began: float, seconds: float, told: Told) -> None:
        under_way: set[asyncio.Task[None]] = set()
        for number in range(int(stream.rate_per_second * seconds)):
            due = began + number / stream.rate_per_second
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self._one(stream.ask(), due, told))
            under_way.add(task)
            task.add_done_callback(lambda task: under_way.difference_update({task} if _is_well(task) else ()))
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
                told.errors["no answer"] += 1
            ended = await asyncio.gather(*under_way, return_exceptions=True)
            for defect in (one for one in ended if isinstance(one, Exception)):
                raise defect

    async def _one(self, request: bytes, due: float, told: Told) -> None:
        waited = self._room.locked()
        async with self._room:
            if not waited:
                told.late_seconds_max = max(told.late_seconds_max, time.perf_counter() - due)
            try:
                connection = self._idle_one() or await self._connect()
                status = await connection.ask(request)
            except OSError as error:
                told.errors[type(error).__name__] += 1
                return
            if connection.alive:
                self._idle.append(connection)
        if status in (200, 207):
            told.seconds.append(time.perf_counter() - due)
        else:
            told.errors[str(status)] += 1

    def _idle_one(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
        return None

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, *self._place)
        return connection


def _is_well(task: asyncio.Task[None]) -> bool:
    return not task.cancelled() and task.exception() is None
