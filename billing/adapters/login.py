"""Logins: how a MySQL URL becomes a driver's arguments, encrypted where it says so, and what a refusal means in words.

Owns TLS to databases, and how a connection ends. Must not know what is asked of them. No password is in any error.
"""

import asyncio
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from asyncmy.connection import Connection
from asyncmy.errors import MySQLError

from billing.adapters.certificates import fault
from billing.config.database_settings import client_context
from billing.config.document import secret_in
from billing.config.settings import require_password
from billing.config.store_url import ClientCertificate, MysqlUrl
from billing.errors import SettingsError

# What asyncmy lets through when a connection ends: RuntimeError, if it ends before its socket was looked at.
BROKEN: Final = (MySQLError, OSError, TimeoutError, EOFError, RuntimeError)
# Where servers repeat data: "Duplicate entry '...' for key", "Incorrect integer value: '...'", "syntax ... near '...'".
_QUOTED: Final = re.compile(r"\b(entry|value:|near|in|string) '.*'", re.DOTALL)
_LEAVE_SECONDS: Final = 1.0  # a server that is well takes a round trip
# What a server says to a user that it does not want, or that may not do this. Codes: as in billing.adapters.mysql.
_NOT_LET_IN: Final[Mapping[int, str]] = {
    1044: "see that `billing init` was run with database.admin for this database",
    1045: "correct user and password, or from where it may enter; a user that must encrypt needs database.tls_ca, one "
    "that must show a certificate database.tls_certificate",
    1142: "see that `billing init` was run with database.admin for this database",
    1133: "run `billing init` with database.admin, which makes the users",
    1410: "run `billing init` with database.admin, which makes the users",
    1820: "the user's password has ended; give it a new one",
    3118: "the user is locked; unlock it",
    3159: "the server takes encrypted connections only; set database.tls_ca",
}


class _Connection(Connection):
    """A connection that ends at once: what was not sent never is, and nobody waits for the end of its encryption."""

    _transport: asyncio.Transport | None

    def close(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()
        super().close()


async def enter(url: MysqlUrl, **more: Any) -> Any:  # noqa: ANN401 - the driver's, and its further arguments
    """Return a connection.

    Raises: SettingsError when the password of who enters is not known here; BROKEN.
    """
    require_password(url)
    connection = _Connection(  # type: ignore[no-untyped-call]  # the driver's
        host=url.host,
        port=url.port,
        user=url.user,
        password=_password(url).encode(),  # bytes: the driver would take text for Latin-1
        database=url.database or None,
        ssl=None if url.tls_ca is None else _context(url.tls_ca, url.tls_client),
        **more,
    )
    await connection.connect()
    return connection


async def leave(connection: Any) -> None:  # noqa: ANN401 - the driver's
    """End a connection in order; one whose server does not answer at once is cut."""
    with suppress(*BROKEN):
        async with asyncio.timeout(_LEAVE_SECONDS):
            await connection.ensure_closed()
    connection.close()
    await asyncio.sleep(0)  # the loop learns of it before it ends


def words_of(error: BaseException) -> str:
    """Return what an error says, without what it quotes of rows and statements: these are about people."""
    reason = _told_by_driver(error)
    return _QUOTED.sub(r"\1 '...'", " ".join(map(str, reason.args)) or str(reason))


def refusal(url: MysqlUrl, error: BaseException) -> str:
    """Say why a server could not be entered or asked, and what to do: `what; remedy`."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return _of_tls(url, cause)
        if isinstance(cause, ConnectionResetError) and url.tls_ca is not None:
            return "the connection was cut while it was being encrypted; check that the server speaks TLS"
    told = _told_by_driver(error).args
    words = words_of(error) or "no answer in time"
    remedy = _NOT_LET_IN.get(told[0]) if told and isinstance(told[0], int) else None
    return f"{words}; {remedy or 'check that it runs and that the URL in [[shards]] is right'}"


def _told_by_driver(error: BaseException) -> BaseException:
    """Return the driver's own error, which SQLAlchemy keeps in its own; a worker has no SQLAlchemy."""
    told: BaseException | None = getattr(error, "orig", None)
    return told or error


def _of_tls(url: MysqlUrl, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return fault(error, url.host, str(url.tls_ca))
    words = getattr(error, "reason", None) or error
    return f"no encrypted connection can be made ({words}); check that the server speaks TLS"


def _password(url: MysqlUrl) -> str:
    """Return the password as its file has it now, so that a new one needs no restart; else as it was at the start."""
    if url.password_file is None:
        return url.password
    try:
        return secret_in(url.password_file)
    except SettingsError:  # it is being replaced, or was taken away after the start
        return url.password


def _context(authorities: Path, client: ClientCertificate | None) -> ssl.SSLContext:
    """Return what encrypts, from the files as they are now."""
    try:
        return client_context(authorities, client)
    except OSError as error:  # they were there when the settings were read, and may be being replaced
        names = ", ".join(map(str, [authorities, *([client.chain, client.key] if client is not None else [])]))
        raise ssl.SSLError(f"{error}: {names}") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    following: list[BaseException | None] = [error]
    while following:
        one = following.pop()
        if one is not None and one not in seen:
            seen.append(one)
            yield one
            following += [one.__cause__, one.__context__, getattr(one, "orig", None)]
