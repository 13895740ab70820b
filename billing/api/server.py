"""The server: runs the application under Granian until SIGTERM, which lets requests in progress finish.

Owns the process: its address, its settings' way into the serving process, its end.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from granian import Granian
from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from litestar.types import ASGIApp

from billing.adapters.reads import Reads
from billing.api.app import application
from billing.deployment import load_deployment
from billing.errors import BillingError

CONFIG: Final = "BILLING_CONFIG"  # names the settings file to the process that serves
STOP_SECONDS: Final = 10  # orchestrators kill after 30 s


class ServeError(BillingError):
    """The address cannot be served. Reaction: stop; a person chooses another or frees it."""


def create() -> ASGIApp:
    """Make the application from the settings file that the environment names; called in the process that serves."""
    return application(Reads(load_deployment(Path(os.environ[CONFIG]), os.environ)))


def serve(config: Path, host: str, port: int, on_start: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; on_start is called once the address is ours.

    Raises: ServeError when the address is in use or not this machine's.
    """
    os.environ[CONFIG] = str(config.absolute())
    server = Granian(
        f"{__name__}:create",
        address=_free_address(host, port),
        port=port,
        interface=Interfaces.ASGINL,
        loop=Loops.uvloop,
        factory=True,
        websockets=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=STOP_SECONDS,
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
