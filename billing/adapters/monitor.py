"""Monitor: the port beside a worker: `/metrics` for Prometheus, `/healthz` and `/readyz` for who supervises it.

Owns what is answered over HTTP. Must not know why a worker is alive or ready. A thread of its own answers, so that an
event loop that hangs is told of, and not waited for.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import msgspec
from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from billing.errors import SettingsError
from billing.vitals import Vitals

Start = Callable[[str, list[tuple[str, str]]], Any]  # WSGI's start_response, as much as is used of it (PEP 3333)
_OK: Final = "200 OK"
_UNAVAILABLE: Final = "503 Service Unavailable"
_NOT_FOUND: Final = "404 Not Found"


def serve_vitals(vitals: Vitals, host: str, port: int) -> Callable[[], None]:
    """Answer from now on; returns what ends that.

    Raises: SettingsError when the port cannot be had.
    """
    try:
        server = make_server(host, port, _app(vitals), ThreadingWSGIServer, handler_class=_Silent)
    except OSError as error:
        raise SettingsError(
            f"metrics.port: {host}:{port} cannot be listened on ({error.strerror}); name a free one, 0 for none"
        ) from error
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


def _app(vitals: Vitals) -> Callable[[dict[str, Any], Start], Iterable[bytes]]:
    metrics = make_wsgi_app()

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            page: Iterable[bytes] = metrics(environ, start)
            return page
        if path not in {"/healthz", "/readyz"}:
            return _answer(start, _NOT_FOUND, {"why": "there are /metrics, /healthz and /readyz"})
        health = vitals.health
        why = health.not_live(time.monotonic())
        if path == "/healthz":
            return _answer(start, _UNAVAILABLE if why else _OK, {"live": not why, "why": why})
        why = why or health.not_ready
        body = {"ready": not why, "why": why, "partitions": health.partitions, "shards": health.shards}
        return _answer(start, _UNAVAILABLE if why else _OK, body)

    return app


def _answer(start: Start, status: str, body: dict[str, Any]) -> Iterable[bytes]:
    text = msgspec.json.encode(body) + b"\n"
    start(status, [("content-type", "application/json"), ("content-length", str(len(text)))])
    return [text]


class _Silent(WSGIRequestHandler):
    """Writes no line a request to stderr, where the worker's log is."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""
