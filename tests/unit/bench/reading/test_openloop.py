"""The open-loop load: what it counts, against small servers of this process."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from bench.reading import openloop
from bench.reading.openloop import OpenLoop, Stream, Told

STALL_SECONDS = 0.4
DUE_SECONDS = 0.2
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


def played(answer: Answer, streams: list[Stream], seconds: float) -> dict[str, Told]:
    """Play streams against a server that answers requests by their number."""

    async def play() -> dict[str, Told]:
        numbers = iter(range(1_000_000))

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    await answer(next(numbers), writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return await OpenLoop("127.0.0.1", port, 1).play(streams, seconds)

    return asyncio.run(play())


def stream(kind: str = "a", rate: float = 50.0) -> Stream:
    return Stream(kind, rate, lambda: b"GET / HTTP/1.1\r\n\r\n")


def test_what_waits_for_a_server_that_stalls_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stands still for a second would look as if one request alone had been slow."""
    monkeypatch.setattr(openloop, "CONNECTIONS_MAX", 1)

    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 0:
            await asyncio.sleep(STALL_SECONDS)
        writer.write(OK)

    told = played(answer, [stream()], DUE_SECONDS)["a"]
    assert len(told.seconds) == 10
    assert min(told.seconds) >= STALL_SECONDS - DUE_SECONDS


def test_answers_that_are_none_are_counted_by_their_kind() -> None:
    """A load that is refused would look quick."""

    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.write(b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n")
        elif number == 2:
            writer.close()
        elif number == 3:  # in pieces
            for piece in (OK[:10], OK[10:30], OK[30:-1], OK[-1:]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
        else:
            writer.write(OK)

    told = played(answer, [stream(rate=10.0)], 0.5)["a"]
    assert (len(told.seconds), dict(told.errors)) == (3, {"429": 1, "ConnectionError": 1})


def test_streams_are_counted_apart() -> None:
    """The latency of a heavy question would be hidden among many light ones."""

    async def answer(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    told = played(answer, [stream("a", 100.0), stream("b", 10.0)], 0.3)
    assert {kind: len(one.seconds) for kind, one in told.items()} == {"a": 30, "b": 3}


def test_a_defect_of_the_load_is_no_result() -> None:
    """A load that broke would report that nothing was asked and nothing went wrong."""

    async def answer(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    def broken() -> bytes:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        played(answer, [Stream("a", 10.0, broken)], 0.2)


def test_connections_that_the_server_has_closed_meanwhile_are_not_used() -> None:
    """A light load on a server that closes idle connections would end in a traceback, after minutes of preparing."""

    async def answer(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()

    told = played(answer, [stream(rate=10.0)], 0.5)["a"]
    assert (len(told.seconds), dict(told.errors)) == (5, {})


def test_streams_do_not_meet_more_often_than_callers_would() -> None:
    """Every page would wait for a month that was asked for at the same moment, and all figures be those of both."""
    sent: list[tuple[str, float]] = []

    def asking(kind: str) -> Stream:
        def ask() -> bytes:
            sent.append((kind, time.perf_counter()))
            return b"GET / HTTP/1.1\r\n\r\n"

        return Stream(kind, 20.0, ask)

    async def answer(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    played(answer, [asking("a"), asking("b")], 1.0)
    times = {kind: [at for of, at in sent if of == kind] for kind in "ab"}
    apart = [min(abs(at - other) for other in times["b"]) for at in times["a"]]
    assert sum(seconds > 0.005 for seconds in apart) > len(apart) // 2
