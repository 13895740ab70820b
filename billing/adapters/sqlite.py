"""SQLite files as shards: the embedded default, with the same guarantees and nothing to install.

Owns the SQL of the embedded store. One file a shard, write-ahead log, every commit synced to disk.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Final

from billing.cursor import Claim, Standing
from billing.dedupe import PartKey
from billing.exact import EXACT, pico_of
from billing.fold import Transaction
from billing.moment import day_text
from billing.ports import Applied, Outcome, Reaction, Refused
from billing.tiers import used_of
from billing.voids import Known, KnownLine

_UINT64: Final = 2**64
_SIGN: Final = 2**63
_BUSY_TIMEOUT_SECONDS: Final = 4.0

_MOVE = """
UPDATE cursors SET next_offset = ?, accepted = accepted + ?, duplicates = duplicates + ?, quarantined = quarantined + ?,
    time_us_max = MAX(time_us_max, ?), applied_at_us = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
WHERE log = ? AND partition = ? AND next_offset = ? AND map_version = ? AND book_version = ?
"""
_NEWER = "SELECT 1 FROM cursors WHERE map_version > ? OR book_version > ? LIMIT 1"
_RECORD = """
INSERT INTO records (slot, account, day, event, line, time_us, digest, product, rule, currency, book_version,
    quantity, amount, kept) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_CREDIT = """
INSERT INTO credits (slot, account, day, event, line, time_us, digest, kind, currency, amount, cost, priority,
    expires_us, products) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_ROLLUP = """
INSERT INTO rollups (slot, account, rollup, bucket, dims, events, quantity, amount, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (slot, account, rollup, bucket, dims) DO UPDATE SET events = events + excluded.events,
    quantity = decimal_add(quantity, excluded.quantity), amount = decimal_add(amount, excluded.amount),
    checksum = uint64_add(checksum, excluded.checksum)
"""
_BALANCE = """
INSERT INTO balances (slot, account, currency, events, amount, checksum) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (slot, account, currency) DO UPDATE SET events = events + excluded.events,
    amount = decimal_add(amount, excluded.amount), checksum = uint64_add(checksum, excluded.checksum)
"""
_DIGEST = "SELECT digest FROM records WHERE slot = ? AND account = ? AND day = ? AND event = ? AND line = 0"
_LINES = """
SELECT line, digest, product, rule, currency, book_version, quantity, amount FROM records
WHERE slot = ? AND account = ? AND day = ? AND event = ?
"""
_COUNTER = "SELECT quantity, events, amount FROM tiers WHERE slot = ? AND account = ? AND rule = ? AND period = ?"
_TIER = """
INSERT INTO tiers (slot, account, rule, period, quantity, events, amount) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (slot, account, rule, period) DO UPDATE SET quantity = excluded.quantity, events = excluded.events,
    amount = excluded.amount
"""
_QUARANTINE = """
INSERT INTO quarantine (log, partition, offset, account, reason, detail, payload_bytes, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""


class _FencedError(Exception):
    """A cursor does not stand where the transaction starts."""


class SqliteStore:
    """The writer of one shard file. Keeps the contract of `billing.ports.Store`."""

    def __init__(self, name: str, path: Path, *, payload_bytes_max: int) -> None:
        self.name = name
        self._path = path
        self._payload_bytes_max = payload_bytes_max
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self.server = f"SQLite {sqlite3.sqlite_version}"

    async def claim(self, claim: Claim) -> Standing | Refused:
        """Create missing cursors, take over older versions, return where every cursor stands."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._claim, claim)

    async def apply(self, transaction: Transaction) -> Outcome:
        """Write a transaction: all of it or nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._apply, transaction)

    def prepare(self, transaction: Transaction) -> None:
        """Leave it as it is: rows are made as they are written."""

    async def existing(self, keys: Sequence[PartKey]) -> Mapping[PartKey, Known] | Refused:
        """Look parts up by primary key."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._existing, keys)

    async def close(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown()

    def _claim(self, claim: Claim) -> Standing | Refused:
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR IGNORE INTO cursors (log, partition, next_offset, map_version, book_version)"
                " VALUES (?, ?, ?, ?, ?)",
                [(claim.log, p, start, claim.map_version, claim.book_version) for p, start in claim.starts.items()],
            )
            rows = [
                connection.execute(
                    "SELECT partition, next_offset FROM cursors WHERE log = ? AND partition = ?",
                    (claim.log, partition),
                ).fetchone()
                for partition in claim.starts
            ]
            versions = connection.execute(
                "SELECT MAX(map_version), MAX(book_version) FROM cursors WHERE log = ?", (claim.log,)
            ).fetchone()
            connection.execute(  # of every partition, so that workers of the others are fenced too
                "UPDATE cursors SET map_version = MAX(map_version, ?), book_version = MAX(book_version, ?)"
                " WHERE log = ?",
                (claim.map_version, claim.book_version, claim.log),
            )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            return self._refusal(error)
        return Standing(dict(rows), *versions)

    def _apply(self, transaction: Transaction) -> Outcome:
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            transaction = _settled(connection, transaction)
            versions = transaction.map_version, transaction.book_version
            if not transaction.moves and connection.execute(_NEWER, versions).fetchone() is not None:
                raise _FencedError  # noqa: TRY301 - as below
            for move in transaction.moves:
                counts = move.stop, move.accepted, move.duplicates, move.quarantined, move.time_us_max or 0
                place = transaction.log, move.partition, move.start
                if connection.execute(_MOVE, (*counts, *place, *versions)).rowcount != 1:
                    raise _FencedError  # noqa: TRY301 - handled like an error of the database, with a rollback
            records, rollups, balances = transaction.records, transaction.rollups, transaction.balances
            tails = [(tail.product, tail.rule, tail.currency, tail.book_version) for tail in records.tails]
            connection.executemany(
                _RECORD,
                (
                    (*row[:6], _signed(row[6]), *tails[row[7]], *row[8:])  # digest, tail
                    for row in records.tuples()
                ),
            )
            connection.executemany(
                _CREDIT,
                [
                    (*one.key, one.time_us, _signed(one.digest), one.kind, one.currency, f"{one.amount:f}",
                     f"{one.cost:f}", one.priority, one.expires_us, one.products)
                    for one in transaction.credits
                ],
            )  # fmt: skip
            connection.executemany(_TIER, transaction.tiers.tuples())
            connection.executemany(_ROLLUP, ((*row[:-1], _signed(row[-1])) for row in rollups.tuples()))
            connection.executemany(_BALANCE, ((*row[:-1], _signed(row[-1])) for row in balances.tuples()))
            connection.executemany(
                _QUARANTINE,
                [
                    (
                        transaction.log,
                        reject.partition,
                        reject.offset,
                        reject.account or "",
                        reject.reason.value,
                        reject.detail,
                        len(reject.payload),
                        reject.payload[: self._payload_bytes_max],
                    )
                    for reject in transaction.quarantine
                ],
            )
            connection.execute("COMMIT")
        except (sqlite3.Error, _FencedError) as error:
            return self._refusal(error)
        return Applied(transaction)

    def _existing(self, keys: Sequence[PartKey]) -> Mapping[PartKey, Known] | Refused:
        try:
            connection = self._connect()
            found = {key: _known(connection, key) for key in keys}
        except sqlite3.Error as error:
            return self._refusal(error)
        return {key: known for key, known in found.items() if known is not None}

    def _refusal(self, error: Exception) -> Refused:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        reaction = Reaction.RECONNECT
        name = getattr(error, "sqlite_errorname", "")
        if isinstance(error, _FencedError):
            reaction = Reaction.FENCED
        elif name == "SQLITE_CONSTRAINT_PRIMARYKEY":
            reaction = Reaction.DUPLICATES
        elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            reaction = Reaction.RETRY
        elif name == "SQLITE_FULL":
            reaction = Reaction.PAUSE
        elif name.startswith("SQLITE_READONLY"):
            reaction = Reaction.RESOLVE_WRITER
        if reaction is Reaction.RECONNECT:
            self._drop()
        return Refused(reaction, f"{self.name} in {self._path.name}: {name or type(error).__name__} {error}".strip())

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        # mode=rw: a missing file is an error, not a new empty shard
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_TIMEOUT_SECONDS,
            check_same_thread=False,
        )
        connection.create_function("decimal_add", 2, _decimal_add, deterministic=True)
        connection.create_function("uint64_add", 2, _uint64_add, deterministic=True)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        row = connection.execute("SELECT value FROM control WHERE name = 'shard'").fetchone()
        if row is None or row[0] != self.name:
            connection.close()
            raise sqlite3.OperationalError(f"the file belongs to shard {row and row[0]}; check [[shards]]")
        self._connection = connection
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _known(connection: sqlite3.Connection, key: PartKey) -> Known | None:
    place = key.slot, key.account, day_text(key.day), key.key
    if not key.void:
        row = connection.execute(_DIGEST, place).fetchone()
        return None if row is None else Known(row[0] % _UINT64)
    rows = [
        (row[0], row[1] % _UINT64, KnownLine(row[2], row[3], row[4], row[5], _pico(row[6]), _pico(row[7])))
        for row in connection.execute(_LINES, place)
    ]
    return Known.of_rows(rows) if rows else None


def _settled(connection: sqlite3.Connection, transaction: Transaction) -> Transaction:
    """Settle by the counters of this transaction, which nobody else can change: BEGIN IMMEDIATE has the file's lock."""
    if transaction.counters is None:
        return transaction
    keys = transaction.counters.tuples()
    state = [connection.execute(_COUNTER, key).fetchone() or ("0", 0, "0") for key in keys]
    quantities, events, amounts = zip(*state, strict=True)
    return transaction.settled(used_of(list(map(_pico, quantities)), events, list(map(_pico, amounts))))


def _pico(text: str) -> int:
    return pico_of(Decimal(text))


def _signed(value: int) -> int:
    return value - _UINT64 if value >= _SIGN else value


def _uint64_add(left: int, right: int) -> int:
    return _signed((left + right) % _UINT64)


def _decimal_add(left: str, right: str) -> str:
    return format(EXACT.add(Decimal(left), Decimal(right)), "f")
