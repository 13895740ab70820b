"""The server: runs the application under Granian until SIGTERM, which lets requests in progress finish.

Owns the process: its address, its settings' way into the serving process, its end.
"""

import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from granian import Granian
from granian.constants import Interfaces, Loops, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from litestar.types import ASGIApp

from billing.api.app import application
from billing.config.api_settings import Tls
from billing.config.deployment import Deployment, load_deployment
from billing.errors import BillingError

CONFIG: Final = "BILLING_CONFIG"  # names the settings file to the process that serves
OPEN: Final = "BILLING_OPEN"  # and whether it lets everybody in
STOP_SECONDS: Final = 10  # orchestrators kill after 30 s
BACKLOG: Final = 4_096  # connections that wait to be accepted, idle ones among them
HEADER_MS: Final = 10_000  # a client that sends its head more slowly is cut off


class ServeError(BillingError):
    """The address cannot be served. Reaction: stop; a person chooses another or frees it."""


def create() -> ASGIApp:
    """Make the application from the settings file that the environment names; called in the process that serves."""

    def load() -> Deployment:
        return load_deployment(Path(os.environ[CONFIG]), os.environ)

    return application(load(), open_to_all=os.environ.get(OPEN) == "yes", load=load)


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
    address = _free_address(host, port)
    if open_to_all and not ip_address(address).is_loopback:
        raise ServeError(f"{host}: others reach it, so callers need keys; leave --open, or write --host 127.0.0.1")
    os.environ[OPEN] = "yes" if open_to_all else "no"
    os.environ[CONFIG] = str(config.absolute())
    server = Granian(
        f"{__name__}:create",
        address=address,
        port=port,
        workers=processes,
        interface=Interfaces.ASGINL,
        loop=Loops.uvloop,
        factory=True,
        websockets=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=STOP_SECONDS,
        backlog=BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MS),
        ssl_cert=None if tls is None else tls.certificate,
        ssl_key=None if tls is None else tls.key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    server.on_startup(on_start)
    server.serve()


def _free_address(host: str, port: int) -> str:
    """Return the host as a number, after a look whether the port is free: Granian would share it with its owner."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections just closed are no owners
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServeError(f"{host}:{port}: cannot be served: {reason}; choose another --host or --port") from error
    return str(address[0])
