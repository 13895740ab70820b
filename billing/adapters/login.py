"""Logins: how a MySQL URL becomes a driver's arguments, encrypted where it says so, and what a refusal means in words.

Owns TLS to databases. Must not know what is asked of them. No password is in any error.
"""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from billing.errors import SettingsError
from billing.store_url import MysqlUrl

_OUT_OF_DATE: Final = {9: "is not valid yet", 10: "has expired"}  # X509_V_ERR_..., x509_vfy.h of OpenSSL
_OTHER_HOST: Final = frozenset({62, 64})
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
# What a server says to a user that it does not want, or that may not do this. Codes: as in billing.adapters.mysql.
_NOT_LET_IN: Final[Mapping[int, str]] = {
    1044: "see that `billing init` was run with database.admin for this database",
    1045: "correct user and password; one that may enter only from some hosts, or encrypted (database.tls_ca), is told so too",
    1142: "see that `billing init` was run with database.admin for this database",
    1133: "run `billing init` with database.admin, which makes the users",
    1410: "run `billing init` with database.admin, which makes the users",
    1820: "the user's password has ended; give it a new one",
    3118: "the user is locked; unlock it",
    3159: "the server takes encrypted connections only; set database.tls_ca",
}


def arguments(url: MysqlUrl) -> dict[str, Any]:
    """Return what `asyncmy.connect` is given, to be extended.

    Raises: SettingsError when the password of who enters is not known here.
    """
    if url.lacking:
        raise SettingsError(url.lacking)
    return {
        "host": url.host,
        "port": url.port,
        "user": url.user,
        "password": url.password.encode(),  # bytes: the driver would take text for Latin-1
        "db": url.database or None,
        "ssl": None if url.tls_ca is None else _context(url.tls_ca),
    }


def refusal(url: MysqlUrl, error: BaseException) -> str:
    """Say why a server could not be entered or asked, and what to do: `what; remedy`."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return _of_tls(url, cause)
        if isinstance(cause, ConnectionResetError) and url.tls_ca is not None:
            return "the connection was cut while it was being encrypted; check that the server speaks TLS"
    reason = error.orig if isinstance(error, DBAPIError) else error
    told: tuple[object, ...] = getattr(reason, "args", ())
    words = " ".join(map(str, told)) or str(reason) or "no answer in time"
    remedy = _NOT_LET_IN.get(told[0]) if told and isinstance(told[0], int) else None
    return f"{words}; {remedy or 'check that it runs and that the URL in [[shards]] is right'}"


def certificate_fault(error: ssl.SSLCertVerificationError, host: str, authorities: Path | str) -> str:
    """Say what is wrong with a server's certificate, and what to do."""
    if error.verify_code in _OUT_OF_DATE:
        return f"the server's certificate {_OUT_OF_DATE[error.verify_code]}; renew it, or correct the clock"
    if error.verify_code in _OTHER_HOST:
        return f"the server's certificate is not for {host}; write the host that it names, or give it another one"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return f"the server's certificate is by no authority in {authorities}; name the file with its authority"
    return f"the server's certificate is not accepted ({error.verify_message}); give it another one"


def _of_tls(url: MysqlUrl, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return certificate_fault(error, url.host, str(url.tls_ca))
    return f"no encrypted connection can be made ({error.reason or error}); check that the server speaks TLS"


def _context(authorities: Path) -> ssl.SSLContext:
    """Return what checks certificate and host name, by these authorities only."""
    try:
        return ssl.create_default_context(cafile=str(authorities))
    except OSError as error:  # it was there when the settings were read
        raise SettingsError(f"database.tls_ca: {authorities} cannot be read; name a PEM file of authorities") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    following: list[BaseException | None] = [error]
    while following:
        one = following.pop()
        if one is not None and one not in seen:
            seen.append(one)
            yield one
            following += [one.__cause__, one.__context__, getattr(one, "orig", None)]
