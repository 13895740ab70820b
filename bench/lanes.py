"""Lanes: processes that send ready-made units to databases or to Redis, as many connections as workers would have.

A shell: owns the processes, their connections and the clock that they start by. Must not know what units say.
"""

import asyncio
import math
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec
import redis
from asyncmy.constants import CLIENT
from asyncmy.errors import MySQLError

from bench.errors import MeasureError
from bench.unit import Unit
from billing.adapters.login import enter, leave
from billing.config.store_url import MysqlUrl
from billing.limits import Limits
from ops.local.process import LOOPBACK

START_SECONDS_MAX: Final = 60.0  # a process imports, connects and opens its files
ANSWER_SECONDS_MAX: Final = 60.0  # of one unit; a lock is given up long before
TRIES_MAX: Final = 100  # of a unit that deadlocks: other sessions' luck ends before
_AGAIN: Final = frozenset({1205, 1213})  # lock wait timeout, deadlock
_LEAD_SECONDS: Final = 0.001  # how soon a lane that waits for slower ones looks again
_SIZE_BYTES: Final = 4
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Unit).decode


@attrs.frozen
class Lane:
    """A file of units and where they go: a database, or the port of a Redis; whole: a unit's texts are one packet."""

    path: Path
    target: MysqlUrl | int
    whole: bool


@attrs.frozen
class Counts:
    """What was done; again: how often a transaction had to be sent again."""

    events: int = 0
    transactions: int = 0
    statements: int = 0
    rows: int = 0
    again: int = 0

    def __add__(self, more: "Counts") -> "Counts":
        return Counts(*(own + new for own, new in zip(attrs.astuple(self), attrs.astuple(more), strict=True)))


@attrs.frozen
class Sent:
    """What processes got done; seconds: until the last answer; dry: every file ended before the time."""

    counts: Counts
    seconds: float
    cpu_seconds: float
    dry: bool
    stops: dict[int, int]


class UnitFile:
    """Units in a file, written one after another."""

    def __init__(self, path: Path) -> None:
        """Open it for writing."""
        self.path = path
        self._file = path.open("wb")

    def write(self, units: Iterable[Unit]) -> None:
        """Append units."""
        for unit in units:
            body = _encode(unit)
            self._file.write(len(body).to_bytes(_SIZE_BYTES, "little") + body)

    def close(self) -> None:
        """Close it."""
        self._file.close()


def units(path: Path) -> Iterator[Unit]:
    """Yield the units of a file."""
    with path.open("rb") as file:
        while head := file.read(_SIZE_BYTES):
            yield _decode(file.read(int.from_bytes(head, "little")))


def send(workers: Sequence[Sequence[Lane]], seconds: float, tell: Callable[[float], None]) -> Sent:
    """Send the lanes of each worker from a process of its own, all at once, for so long or until nothing is left.

    tell: is given the seconds that have passed. Raises: MeasureError when a process fails or does not end.
    """
    with ExitStack() as stack:
        ends = [stack.enter_context(_process(lanes, seconds)) for lanes in workers]
        for end in ends:
            _received(end, START_SECONDS_MAX)
        for end in ends:
            end.send("go")
        started = time.monotonic()
        while time.monotonic() - started < seconds and not all(end.poll(0) for end in ends):
            tell(time.monotonic() - started)
            ends[0].poll(0.2)
            time.sleep(0.05)
        parts: list[Sent] = [_received(end, seconds + ANSWER_SECONDS_MAX) for end in ends]
    return Sent(
        sum((part.counts for part in parts), Counts()),
        max(part.seconds for part in parts),
        sum(part.cpu_seconds for part in parts),
        all(part.dry for part in parts),
        {partition: stop for part in parts for partition, stop in part.stops.items()},
    )


@contextmanager
def _process(lanes: Sequence[Lane], seconds: float) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process: BaseProcess = context.Process(target=_main, args=(there, lanes, seconds), daemon=True)
    process.start()
    there.close()
    try:
        yield here
        process.join(START_SECONDS_MAX)
    finally:
        process.terminate()
        process.join()
        here.close()


def _received(end: Connection, seconds: float) -> Any:  # noqa: ANN401 - what the other end sends
    if not end.poll(seconds):
        raise MeasureError(f"a process that sends did not answer in {seconds:.0f} s; the machine or a server is stuck")
    try:
        answer = end.recv()
    except EOFError as error:
        raise MeasureError("a process that sends ended; see what it said above") from error
    if isinstance(answer, str) and answer != "ready":
        raise MeasureError(answer)
    return answer


def _main(end: Connection, lanes: Sequence[Lane], seconds: float) -> None:
    try:
        end.send(asyncio.run(_Sender(lanes, seconds).run(end)))
    except (MySQLError, redis.RedisError, OSError, TimeoutError) as error:
        end.send(f"a process that sends failed: {type(error).__name__} {error}")


class _Sender:
    """One process's lanes, each a connection; none runs far ahead of the others, as none of a worker's shards does."""

    def __init__(self, lanes: Sequence[Lane], seconds: float) -> None:
        self._lanes = lanes
        self._seconds = seconds
        self._under_way: list[float] = [0.0] * len(lanes)  # position in the log of what each lane sends now
        self._lead_events = Limits().waiting_events_max
        self._done = Counts()
        self._stops: dict[int, int] = {}
        self._at_end = 0

    async def run(self, end: Connection) -> Sent:
        """Connect, say so, wait for the word, and send."""
        targets = [await _connected(lane) for lane in self._lanes]
        end.send("ready")
        await asyncio.to_thread(end.recv)
        started, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(self._lane(number, each, started) for number, each in enumerate(targets)))
        seconds, used = time.monotonic() - started, time.process_time() - cpu
        for each in targets:
            await each.close()
        return Sent(self._done, seconds, used, self._at_end == len(self._lanes), self._stops)

    async def _lane(self, number: int, target: "_Database | _Redis", started: float) -> None:
        try:
            for unit in units(self._lanes[number].path):
                self._under_way[number] = unit.at
                while unit.at - min(self._under_way) > self._lead_events:  # noqa: ASYNC110 - any lane may be the slowest
                    await asyncio.sleep(_LEAD_SECONDS)
                if time.monotonic() - started >= self._seconds:
                    return
                again = await target.send(unit)
                self._stops.update(unit.stops)
                self._done += Counts(unit.events, 1, unit.statements, unit.rows, again)
            self._at_end += 1
        finally:
            self._under_way[number] = math.inf


async def _connected(lane: Lane) -> "_Database | _Redis":
    if isinstance(lane.target, int):
        return _Redis(lane.target)
    flags = CLIENT.MULTI_STATEMENTS
    connection = await enter(lane.target, autocommit=True, charset="utf8mb4", client_flag=flags)
    await connection.query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")  # as workers do
    return _Database(connection, whole=lane.whole)


class _Database:
    def __init__(self, connection: Any, *, whole: bool) -> None:  # noqa: ANN401 - the driver has no types
        self._connection = connection
        self._whole = whole

    async def send(self, unit: Unit) -> int:
        """Send a transaction until it is committed; returns how often it had to be sent again."""
        texts = [b";".join(unit.texts)] if self._whole else unit.texts
        for again in range(TRIES_MAX):
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    for text in texts:
                        await self._connection.query(text)
                        while self._connection._result.has_next:  # noqa: SLF001 - asyncmy shows it nowhere else
                            await self._connection.next_result()
                    return again
            except MySQLError as error:
                if error.args[0] not in _AGAIN:
                    raise
                await self._connection.query("ROLLBACK")
        raise TimeoutError(f"a transaction met {TRIES_MAX} deadlocks")

    async def close(self) -> None:
        await leave(self._connection)


class _Redis:
    def __init__(self, port: int) -> None:
        kind: Any = redis.Connection  # not every method of it has types
        self._connection = kind(host=LOOPBACK, port=port, socket_timeout=ANSWER_SECONDS_MAX)
        self._connection.connect()

    async def send(self, unit: Unit) -> int:
        """Send a pipeline and read every answer; there is nobody else on this loop to wait for."""
        self._connection.send_packed_command(unit.texts, check_health=False)
        for _ in range(unit.statements):
            self._connection.read_response()
        return 0

    async def close(self) -> None:
        self._connection.disconnect()
