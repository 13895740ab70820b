"""Store URLs: where a shard's database is, and who may enter.

Owns their text form. Must not know drivers. A password is never shown, in errors neither.
"""

import re
from os.path import normpath
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import attrs

MYSQL_PORT: Final = 3306
REMEDY: Final = "write mysql://user@host:port/database or sqlite:///path"
_DATABASE: Final = re.compile(r"[A-Za-z0-9_$-]{1,64}")  # what needs no quotes in SQL, and the hyphen


class StoreUrlError(ValueError):
    """A text that is not the URL of a store; its sentence never repeats the text, which may hold a password."""


@attrs.frozen
class ClientCertificate:
    """The certificate chain and the private key, PEM files, by which a server knows who comes."""

    chain: Path
    key: Path


@attrs.frozen
class MysqlUrl:
    """A MySQL, MariaDB or Aurora endpoint, a database in it, and who enters.

    tls_ca: authorities (PEM) that the server's certificate must be by; None does not encrypt. tls_client: what is shown
    to the server. password_file: where the password was read, and is read again for each connection. lacking: why it
    is not known here; to enter is a SettingsError then.
    """

    host: str
    port: int
    user: str
    password: str = attrs.field(repr=False)
    database: str
    tls_ca: Path | None = attrs.field(default=None, repr=False)
    tls_client: ClientCertificate | None = attrs.field(default=None, repr=False)
    password_file: Path | None = attrs.field(default=None, repr=False)
    lacking: str = attrs.field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mysql://{quote(self.user)}@{host}:{self.port}/{self.database}"

    def place(self) -> tuple[str, ...]:
        """Return what makes two URLs the same store, whoever enters."""
        return self.host.lower(), str(self.port), self.database


@attrs.frozen
class SqliteUrl:
    """A SQLite file, which is created where it is missing."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite:///{self.path}"

    def place(self) -> tuple[str, ...]:
        """Return what makes two URLs the same store."""
        return (normpath(self.path),)


StoreUrl = MysqlUrl | SqliteUrl


def parse(text: str, folder: Path, *, has_user: bool = True) -> StoreUrl:
    """Read a URL: `mysql://user:password@host:port/database` (user and password percent-encoded) or `sqlite:///path`.

    folder: what relative SQLite paths are relative to; `sqlite:////path` is absolute. has_user: whether a server's URL
    must say who enters, or must leave it to others.
    Raises: StoreUrlError.
    """
    scheme, separator, rest = text.partition("://")
    if scheme == "sqlite" and separator:
        return _sqlite(rest, folder)
    if scheme == "mysql" and separator:
        return _mysql(text, has_user=has_user)
    if scheme == "memory" and separator:
        raise StoreUrlError(f"memory:// forgets what was billed and is for tests; {REMEDY}")
    raise StoreUrlError(f"is not the URL of a store; {REMEDY}")


def _sqlite(rest: str, folder: Path) -> SqliteUrl:
    path = rest.removeprefix("/")
    if path == rest or not path or path.endswith("/") or "\0" in path or path == ":memory:":
        raise StoreUrlError("names no file; write sqlite:///path, relative to this file's folder, or sqlite:////path")
    return SqliteUrl(folder / path)


def _mysql(text: str, *, has_user: bool) -> MysqlUrl:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise StoreUrlError("has characters that a URL cannot have; percent-encode user and password")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise StoreUrlError(
            "has no proper host and port; write mysql://user@host:port/database, user and password percent-encoded"
        ) from None  # the cause repeats what stands where the port should be: part of a password with / in it
    _check(parts, port, has_user=has_user)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return MysqlUrl(str(parts.hostname), MYSQL_PORT if port is None else port, user, password, parts.path[1:])


def _check(parts: SplitResult, port: int | None, *, has_user: bool) -> None:
    if not parts.hostname or port == 0:
        raise StoreUrlError("has no proper host and port; write mysql://user@host:port/database")
    if has_user and not parts.username:
        raise StoreUrlError("has no user; write mysql://user@host:port/database")
    if not has_user and "@" in parts.netloc:
        raise StoreUrlError("has a user, and [database] names the users; write mysql://host:port/database")
    if parts.query or parts.fragment:
        raise StoreUrlError("has something after the database; write mysql://user@host:port/database only")
    if not _DATABASE.fullmatch(parts.path.removeprefix("/")):
        raise StoreUrlError("has no proper database name; write 1 to 64 of A-Z a-z 0-9 _ $ - after the host")
