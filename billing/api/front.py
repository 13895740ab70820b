"""The front: HTTP/1.1 of one connection, where lookups are answered before a task and a framework are begun for them.

Owns what a head may take, in bytes and in time, and how a looked up answer is put on the wire. Everything else of HTTP
is uvicorn's. Must not know accounts.
"""

import asyncio
from functools import partial
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from billing.api.lookup import Asked, Lookup

HEAD_SECONDS: Final = 10.0  # a client that sends its head more slowly is cut off
HEAD_BYTES_MAX: Final = 65_536  # of it, before it is refused: browsers send a few thousand
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_CLOSE: Final = b"connection: close\r\n"


class Front(HttpToolsProtocol):
    """One connection. The application behind it is a `Lookup`."""

    _head_is_open = True  # from when a head may come, until it is there in full
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is not there in full yet has so much time and room."""
        super().data_received(data)
        if self._head_is_open and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.transport.write(_TOO_LARGE)
                self.transport.close()
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._head_is_open = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that it is there."""
        self._head_is_there()
        super().on_headers_complete()

    def _head_is_there(self) -> None:
        self._head_is_open, self._head_bytes = False, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - uvicorn's type is private
        """Answer a lookup when its read is done; leave any other request to a task.

        uvicorn calls this when it is a request's turn to be answered. Were it no longer called, `Lookup` would answer
        as the application that it is, only more slowly.
        """
        lookup: Lookup = app
        asked = lookup.asked(cast("Any", cycle.scope))
        if asked is None:
            self._pass_on(cycle, lookup)
        else:
            asked.read.add_done_callback(partial(self._tell, cycle, lookup, asked))

    def _pass_on(self, cycle: RequestResponseCycle, lookup: Lookup) -> None:
        super()._start_asgi_task(cycle, cast("Any", lookup.app))

    def _tell(self, cycle: RequestResponseCycle, lookup: Lookup, asked: Asked, _: object) -> None:
        answer = lookup.answer(asked)
        if cycle.disconnected:
            return
        if answer is None:
            self._pass_on(cycle, lookup)
            return
        lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *answer.headers)]
        if not cycle.keep_alive:
            lines.append(_CLOSE)
        self.transport.write(b"".join((STATUS_LINE[answer.status], *lines, b"\r\n", answer.body)))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
