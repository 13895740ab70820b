"""A TCP proxy before a database: cuts, delays and half-closes connections, most of all at the packet that commits.

Owns what a network can do to a connection. Must not know who injects it, or when.

Protocol: "MySQL Packets" in MySQL's source documentation: three bytes of length (little endian), one of sequence,
payload; a command begins with sequence 0, and 0x03 is a query. A transaction of the product is one query that ends in
COMMIT.
"""

import asyncio
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

import attrs

from billing.upsert import IDLE_AGAIN
from ops.local.process import LOOPBACK

HEADER_BYTES = 4
COM_QUERY = 0x03
PIECE_BYTES = 65_536
STEP_SECONDS = 0.01
LATE_SECONDS = 0.5  # longer than a worker takes to come back and read its cursors: the old packet meets the new one
SILENCE_SECONDS = 1.0  # a server that says nothing for so long, after its worker is gone, has nothing more to say
ANSWER_SECONDS_MAX = 15.0


class Cut(StrEnum):
    """Where a connection is cut, seen from the packet that commits."""

    UNSENT = "commit cut before it was sent"
    SENT_IN_PART = "commit cut in the middle of its packet"
    UNANSWERED = "commit cut after it was sent, before the answer"
    ANSWERED_IN_PART = "commit cut after the first bytes of the answer"
    LATE = "commit delivered after its worker was cut off"
    CLOSED_TO_WORKER = "commit half-closed: the server hears, the worker does not"
    CLOSED_TO_SERVER = "commit half-closed: the worker hears, the server does not"


@attrs.define(eq=False)
class _Link:
    """One connection: a worker's end and the server's end."""

    from_worker: asyncio.StreamReader
    to_worker: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    is_muted: bool = False  # what the server says is heard by nobody
    answer_bytes_left: int | None = None  # cut after so many more
    over: asyncio.Event = attrs.Factory(asyncio.Event)  # the server says no more

    def reset(self) -> None:
        """End both sides at once, as a machine that is gone would."""
        _reset(self.to_worker)
        _reset(self.to_server)


class Proxy:
    """Stands before one server; its attributes may be set, and its methods called, from any thread.

    latency_seconds: added to everything, each way; stalled: nothing passes, and all of it later; refusing: new
    connections end at once; done: how many commits were cut, by kind.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target_port: int) -> None:
        self.port = 0
        self.latency_seconds = 0.0
        self.stalled = False
        self.refusing = False
        self.done: Counter[Cut] = Counter()
        self._loop = loop
        self._target_port = target_port
        self._plan: deque[Cut | None] = deque()
        self._links: set[_Link] = set()

    def arm(self, plan: Iterable[Cut | None]) -> None:
        """Cut the next commits; None lets one pass."""
        self._plan = deque(plan)

    @property
    def armed(self) -> int:
        """How many commits are still to be cut or let pass."""
        return len(self._plan)

    def cut_all(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def heal(self) -> None:
        """Let everything pass from now on."""
        self.latency_seconds, self.stalled, self.refusing = 0.0, False, False
        self._plan.clear()

    async def listen(self) -> asyncio.Server:
        """Begin to take connections, on a port of the system's choice."""
        server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _accept(self, from_worker: asyncio.StreamReader, to_worker: asyncio.StreamWriter) -> None:
        if self.refusing:
            return _reset(to_worker)
        try:
            from_server, to_server = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            return _reset(to_worker)
        link = _Link(from_worker, to_worker, from_server, to_server)
        self._links.add(link)
        requests, answers = (asyncio.ensure_future(one) for one in (self._requests(link), self._answers(link)))
        await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
        if requests.done() and not link.is_muted:
            answers.cancel()
        await asyncio.gather(requests, answers, return_exceptions=True)
        self._links.discard(link)
        for writer in (to_worker, to_server):
            writer.close()
        return None

    async def _requests(self, link: _Link) -> None:
        """Pass packets on until the worker ends the connection or it is cut."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                packet = await _packet(link.from_worker)
                await self._hold()
                cut = self._plan.popleft() if self._plan and _commits(packet) else None
                if cut is not None:
                    self.done[cut] += 1
                    return await self._cut(link, cut, packet)
                link.to_server.write(packet)
                await link.to_server.drain()

    async def _answers(self, link: _Link) -> None:
        """Pass on what the server says until it ends the connection."""
        with suppress(OSError):
            while piece := await link.from_server.read(PIECE_BYTES):
                await self._hold()
                if link.is_muted:
                    continue
                link.to_worker.write(piece[: link.answer_bytes_left])
                await link.to_worker.drain()
                if link.answer_bytes_left is not None:
                    break
        link.over.set()
        if not link.is_muted:
            link.to_worker.close()

    async def _hold(self) -> None:
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        while self.stalled:  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(STEP_SECONDS)

    async def _cut(self, link: _Link, cut: Cut, packet: bytes) -> None:
        server = link.to_server
        match cut:
            case Cut.UNSENT:
                link.reset()
            case Cut.SENT_IN_PART:
                server.write(packet[: len(packet) // 2])
                await server.drain()
                link.to_worker.close()
                server.close()
            case Cut.UNANSWERED | Cut.LATE:
                link.is_muted = True
                _reset(link.to_worker)
                if cut is Cut.LATE:
                    await asyncio.sleep(LATE_SECONDS)
                server.write(packet)
                await self._let_finish(link)
            case Cut.ANSWERED_IN_PART:
                link.answer_bytes_left = 1 + len(packet) % 16  # within the first answers, sometimes within a header
                server.write(packet)
                with suppress(TimeoutError):
                    await asyncio.wait_for(link.over.wait(), ANSWER_SECONDS_MAX)
                link.reset()
            case Cut.CLOSED_TO_WORKER:
                link.is_muted = True
                server.write(packet)
                link.to_worker.write_eof()
                await self._let_finish(link)
            case Cut.CLOSED_TO_SERVER:
                server.write(packet)
                server.write_eof()
                await link.from_worker.read()  # until the worker, which has its answer, ends the connection

    async def _let_finish(self, link: _Link) -> None:
        """Leave the server alone with a packet whose worker is gone, so that it can commit."""
        await link.to_server.drain()
        await asyncio.sleep(SILENCE_SECONDS)
        link.to_server.close()


@contextmanager
def proxies_before(ports: Iterable[int]) -> Iterator[list[Proxy]]:
    """Put a proxy before each port; all of them in one thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies")
    thread.start()
    proxies = [Proxy(loop, port) for port in ports]
    listeners = [asyncio.run_coroutine_threadsafe(proxy.listen(), loop).result() for proxy in proxies]
    try:
        yield proxies
    finally:
        asyncio.run_coroutine_threadsafe(_end(listeners), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(listeners: Iterable[asyncio.Server]) -> None:
    for listener in listeners:
        listener.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _packet(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(HEADER_BYTES)
    return header + await reader.readexactly(int.from_bytes(header[:3], "little"))


def _commits(packet: bytes) -> bool:
    """Tell whether a packet is a query that ends in a commit."""
    is_query = len(packet) > HEADER_BYTES and packet[3] == 0 and packet[HEADER_BYTES] == COM_QUERY
    return is_query and packet.removesuffix(b";" + IDLE_AGAIN.encode()).endswith(b"COMMIT")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, what was not sent yet included (SO_LINGER of zero seconds)."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
