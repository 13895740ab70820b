"""The key file: API keys in a SQLite file of their own, and what was done to them.

Owns the file. What another process changes in it is seen by the next look-up, or a few milliseconds later by one that
may look so rarely.
"""

import math
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

import msgspec

from billing.errors import BillingError
from billing.keys import Key, Scope

_BUSY_SECONDS: Final = 4.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, secret_sha256 TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL, accounts TEXT NOT NULL,
    created_us INTEGER NOT NULL, expires_us INTEGER, revoked_us INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS actions (
    number INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, key TEXT NOT NULL
);
"""
_COLUMNS: Final = "id, secret_sha256, name, scopes, accounts, created_us, expires_us, revoked_us"


class KeyFileError(BillingError):
    """The key file cannot be used. Reaction: a person corrects `api.keys`, or the file's rights."""


class KeyFile:
    """Keys by id, held in memory until the file changes; used from one thread."""

    def __init__(self, path: Path, apart_seconds: float = 0.0) -> None:
        """apart_seconds: at least, between two looks whether the file has changed; they cost more than a look-up."""
        self._path = path
        self._apart_seconds = apart_seconds
        self._looked_at = -math.inf
        self._connection: sqlite3.Connection | None = None
        self._state: tuple[int, ...] = ()  # device, inode and version of what is held
        self._held: dict[str, Key | None] = {}

    def find(self, key_id: str) -> Key | None:
        """Return a key, revoked or expired ones too; None where there is none. Raises: KeyFileError."""
        now = time.monotonic()
        if now - self._looked_at < self._apart_seconds and key_id in self._held:
            return self._held[key_id]
        try:
            state = self._current()
            self._looked_at = now
            if state != self._state:
                self._held.clear()
                self._state = state
            if self._connection is None:
                return None
            if key_id not in self._held:
                row = self._connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone()
                if row is None:
                    return None  # not held: whoever guesses ids must not fill the memory
                self._held[key_id] = _key(row)
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error
        return self._held[key_id]

    def all(self) -> list[Key]:
        """Return every key, oldest first. Raises: KeyFileError."""
        try:
            self._current()
            if self._connection is None:
                return []
            return [_key(row) for row in self._connection.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created_us")]
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error

    def add(self, key: Key, who: str) -> None:
        """Keep a new key; who: the person, for the record. Raises: KeyFileError."""
        row = (
            key.id, key.secret_sha256, key.name, msgspec.json.encode(sorted(key.scopes)).decode(),
            msgspec.json.encode(key.accounts).decode(), key.created_us, key.expires_us, key.revoked_us,
        )  # fmt: skip
        with self._writing() as connection:
            connection.execute(f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._record(connection, key.created_us, who, "create", key.id)

    def revoke(self, key_id: str, who: str, now_us: int) -> bool:
        """Make a key useless from now on; False where there is none. Raises: KeyFileError."""
        with self._writing() as connection:
            done = connection.execute(
                "UPDATE keys SET revoked_us = COALESCE(revoked_us, ?) WHERE id = ?", (now_us, key_id)
            )
            if done.rowcount:
                self._record(connection, now_us, who, "revoke", key_id)
        return done.rowcount > 0

    def actions(self) -> list[tuple[int, str, str, str]]:
        """Return what was done to keys, oldest first: when (microseconds since 1970), who, what, which key."""
        with self._writing() as connection:
            return connection.execute("SELECT at_us, who, action, key FROM actions ORDER BY number").fetchall()

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _current(self) -> tuple[int, ...]:
        """Return what tells one content of the file from another; opens it where another file has its name."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - as Path.stat, on every request
        except FileNotFoundError:
            self.close()
            return ()
        if self._connection is None or self._state[:2] != (found.st_dev, found.st_ino):
            self.close()
            self._connection = self._open()
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return found.st_dev, found.st_ino, version

    def _writing(self) -> sqlite3.Connection:
        """Return a connection to write with, as a context that commits; makes the file where it is missing."""
        try:
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
            if self._connection is None:
                self._connection = self._open()
            self._connection.executescript(_TABLES)
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _error(self, error: Exception) -> KeyFileError:
        return KeyFileError(
            f"{self._path}: cannot be used as the file of keys: {error}; correct api.keys or its rights"
        )

    @staticmethod
    def _record(connection: sqlite3.Connection, at_us: int, who: str, action: str, key_id: str) -> None:
        connection.execute(
            "INSERT INTO actions (at_us, who, action, key) VALUES (?, ?, ?, ?)", (at_us, who, action, key_id)
        )


def _key(row: tuple[str, str, str, str, str, int, int | None, int | None]) -> Key:
    key_id, secret, name, scopes, accounts, created_us, expires_us, revoked_us = row
    return Key(
        key_id,
        secret,
        name,
        frozenset(map(Scope, msgspec.json.decode(scopes, type=list[str]))),
        tuple(msgspec.json.decode(accounts, type=list[str])),
        created_us,
        expires_us,
        revoked_us,
    )
