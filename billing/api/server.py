"""The server: runs the application under uvicorn until SIGTERM, which lets requests in progress finish.

Owns the process: its address, its settings' way into the serving process, its garbage, its end.
"""

import gc
import os
import signal
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from billing.api.app import application
from billing.api.front import Front
from billing.api.lookup import Lookup
from billing.config.api_settings import Tls
from billing.config.deployment import Deployment, load_deployment
from billing.errors import BillingError
from billing.heap import give_memory_back
from billing.rehearsal import rehearse_all

CONFIG: Final = "BILLING_CONFIG"  # names the settings file to the process that serves
OPEN: Final = "BILLING_OPEN"  # and whether it lets everybody in
STOP_SECONDS: Final = 10  # orchestrators kill after 30 s
START_SECONDS: Final = 30  # in which one of several processes must have begun, or it is begun again
IDLE_SECONDS: Final = 75  # a connection that is not used: longer than the minute for which proxies keep theirs
BACKLOG: Final = 4_096  # connections that wait to be accepted, idle ones among them
_GARBAGE_OBJECTS: Final = (
    50_000  # new ones until the youngest are looked through: what most requests make dies by itself
)


class ServeError(BillingError):
    """The address cannot be served. Reaction: stop; a person chooses another or frees it."""


def create() -> Lookup:
    """Make the application from the settings file that the environment names; called in the process that serves."""

    def load() -> Deployment:
        return load_deployment(Path(os.environ[CONFIG]), os.environ)

    rehearse_all()  # in each process: else everybody waits while loops are loaded for who first has an event explained
    app = application(load(), open_to_all=os.environ.get(OPEN) == "yes", load=load)
    gc.collect()
    give_memory_back()
    gc.freeze()  # else everything that was imported is looked through again and again, 100 ms each time
    gc.set_threshold(_GARBAGE_OBJECTS, 20, 20)
    return app


def serve(
    config: Path,
    host: str,
    port: int,
    on_start: Callable[[], None],
    *,
    processes: int,
    tls: Tls | None,
    open_to_all: bool,
) -> None:
    """Serve until SIGTERM or SIGINT; on_start is called once the address is ours; processes: as many answer.

    open_to_all: ask nobody for a key, which is refused for an address that others reach. Raises: ServeError when the
    address is in use or not this machine's.
    """
    address = _listening(host, port)
    if open_to_all and not ip_address(address.getsockname()[0]).is_loopback:
        address.close()
        raise ServeError(f"{host}: others reach it, so callers need keys; leave --open, or write --host 127.0.0.1")
    os.environ[OPEN] = "yes" if open_to_all else "no"
    os.environ[CONFIG] = str(config.absolute())
    settings = uvicorn.Config(
        f"{__name__}:create",
        factory=True,
        interface="asgi3",
        http=Front,
        loop="uvloop",
        ws="none",
        lifespan="on",
        workers=processes,
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_worker_healthcheck=START_SECONDS,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
        ssl_context_factory=None if tls is None else _context,
    )
    on_start()
    if processes > 1:
        Multiprocess(settings, [address]).run()
        return
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn ends well, and then raises again what it was ended by
        signal.signal(number, lambda *_: None)
    uvicorn.Server(settings).run([address])


def _context(_: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections at the address. Raises: ServeError."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections just closed are no owners
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServeError(f"{host}:{port}: cannot be served: {reason}; choose another --host or --port") from error
    return found
