"""An open-loop load over HTTP: requests are due at times that nothing delays, and latencies run from then.

Owns connections and the clock of a load. A server that is slow makes requests wait, and the waiting counts: what is
often left out ("coordinated omission") is in the figures. Callbacks and no task for a request: the load shares the
machine with what it measures. Must not know what is asked.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import attrs

CONNECTIONS_MAX: Final = 64  # as many as one key may have requests under way
GRACE_SECONDS: Final = 30.0  # for answers to what was due before the end
_TICK_SECONDS: Final = 0.001  # loops know no shorter time
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"
_GOOD: Final = (200, 207)


@attrs.frozen
class Stream:
    """Requests of one kind: so many a second, on average; ask: makes the bytes of one."""

    kind: str
    rate_per_second: float
    ask: Callable[[], bytes]


@attrs.define(eq=False)
class Told:
    """What became of a kind's requests: latencies from when each was due, of the good ones; the others by status."""

    seconds: list[float] = attrs.Factory(list)
    errors: Counter[str] = attrs.Factory(Counter)
    late_seconds_max: float = 0.0  # how late the load itself began a request that had a connection


@attrs.define(eq=False)
class _Request:
    """One request: when it was due, and where it is told what became of it."""

    due: float
    sent: bytes
    told: Told


@attrs.define(eq=False)
class _Schedule:
    """What is still to be sent of a stream."""

    stream: Stream
    told: Told
    dues: Sequence[float]  # in order
    number: int = 0

    @property
    def due(self) -> float | None:
        """When the next one is due; None: nothing is left."""
        return self.dues[self.number] if self.number < len(self.dues) else None

    def next(self) -> _Request:
        """Make the next one."""
        request = _Request(self.dues[self.number], self.stream.ask(), self.told)
        self.number += 1
        return request


class _Connection(asyncio.Protocol):
    """One connection, kept; one request at a time."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._length: int | None = None  # of the answer that is being received
        self._asked: _Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    @property
    def alive(self) -> bool:
        """Tell whether a request can be sent: a server closes what was idle for long."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: _Request) -> None:
        """Send a request; the load is told what becomes of it."""
        assert self._transport is not None, "connected"
        self._asked = request
        self._transport.write(request.sent)

    def connection_lost(self, _exc: Exception | None) -> None:
        asked, self._asked = self._asked, None
        self._load.lost(self, asked)

    def data_received(self, data: bytes) -> None:
        self._buffer = data = self._buffer + data if self._buffer else data
        if self._length is None:
            end = data.find(_HEAD_END)
            if end < 0:
                return
            head = data[:end].lower()
            at = head.find(_LENGTH)
            if at < 0:
                self._load.fail(AssertionError("the API tells the length of its answers"))
                return
            self._length = end + len(_HEAD_END) + int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(data) >= self._length and self._asked is not None:
            asked, self._asked, self._buffer, self._length = self._asked, None, b"", None
            self._load.answered(asked, int(data[9:12]), self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Load:
    """One play: what waits for a connection, which connections there are, and how much is not answered yet."""

    def __init__(self, place: tuple[str, int], schedules: Sequence[_Schedule]) -> None:
        self._place = place
        self._schedules = schedules
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Request] = deque()
        self._idle: list[_Connection] = []
        self._open = 0  # connections, those being made among them
        self._connecting: set[asyncio.Task[None]] = set()
        self._unanswered = sum(len(schedule.dues) for schedule in schedules)
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def play(self, seconds: float) -> None:
        """Send what is due when it is due, and wait for answers. Raises: whatever is a defect of the load."""
        if self._unanswered:
            self._send_due()
            await asyncio.wait([self._over], timeout=seconds + GRACE_SECONDS)
        for connection in self._idle:
            connection.close()
        for task in self._connecting:
            task.cancel()
        if self._over.done():
            self._over.result()
        for schedule in self._schedules:
            told = schedule.told
            if (missing := len(schedule.dues) - len(told.seconds) - told.errors.total()) > 0:
                told.errors["no answer"] += missing

    def _send_due(self) -> None:
        if self._over.done():
            return
        try:
            now = time.perf_counter()
            for schedule in self._schedules:
                while (due := schedule.due) is not None and due <= now:
                    self._send(schedule.next(), now)
            left = [due for schedule in self._schedules if (due := schedule.due) is not None]
        except Exception as error:  # noqa: BLE001 - whoever plays is told
            self.fail(error)
            return
        if left:
            self._loop.call_later(max(min(left) - time.perf_counter(), _TICK_SECONDS), self._send_due)

    def _send(self, request: _Request, now: float) -> None:
        if self._open - len(self._idle) >= CONNECTIONS_MAX:
            self._waiting.append(request)
            return
        request.told.late_seconds_max = max(request.told.late_seconds_max, now - request.due)
        self._send_now(request)

    def _send_now(self, request: _Request) -> None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                connection.send(request)
                return
        self._open += 1
        task = self._loop.create_task(self._connect(request))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, request: _Request) -> None:
        try:
            _, connection = await self._loop.create_connection(lambda: _Connection(self), *self._place)
        except OSError as error:
            self._open -= 1
            self._count_error(request, type(error).__name__)
            self._go_on()
        else:
            connection.send(request)

    def answered(self, request: _Request, status: int, connection: _Connection) -> None:
        """Count an answer, and use its connection for the next request."""
        if status in _GOOD:
            request.told.seconds.append(time.perf_counter() - request.due)
            self._count_one()
        else:
            self._count_error(request, str(status))
        self._idle.append(connection)
        self._go_on()

    def lost(self, connection: _Connection, request: _Request | None) -> None:
        """Go on without a connection, which may have had a request."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if request is not None:
            self._count_error(request, "ConnectionError")
        self._go_on()

    def fail(self, error: Exception) -> None:
        """End the play with a defect."""
        if not self._over.done():
            self._over.set_exception(error)

    def _go_on(self) -> None:
        if self._waiting and not self._over.done():
            self._send_now(self._waiting.popleft())

    def _count_error(self, request: _Request, kind: str) -> None:
        request.told.errors[kind] += 1
        self._count_one()

    def _count_one(self) -> None:
        self._unanswered -= 1
        if not self._unanswered and not self._over.done():
            self._over.set_result(None)


class OpenLoop:
    """Plays streams against one server.

    Requests come as those of many callers do who know nothing of each other (a Poisson process of which the count is
    given): at even times, streams whose rates divide each other would always meet.
    """

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._place = host, port
        self._random = random.Random(seed)  # noqa: S311 - a load

    async def play(self, streams: Sequence[Stream], seconds: float) -> dict[str, Told]:
        """Send for so long, wait for the answers, and return what became of them."""
        drawn = [
            sorted(self._random.uniform(0, seconds) for _ in range(int(one.rate_per_second * seconds)))
            for one in streams
        ]
        began = time.perf_counter()
        schedules = [
            _Schedule(one, Told(), [began + due for due in dues]) for one, dues in zip(streams, drawn, strict=True)
        ]
        await _Load(self._place, schedules).play(seconds)
        return {one.stream.kind: one.told for one in schedules}
