"""Upserts: a transaction as the text of one multi-statement packet, for MySQL or MariaDB.

Owns every statement of the write path. Must not know connections. Values enter the text only through `billing.literal`,
`billing.rowtext` and `billing.columntext`.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import attrs
import numpy as np
import pyarrow as pa

from billing.columntext import Expression, decimals_at, integers_at, literals_at, row_numbers
from billing.credit_rows import CreditRow
from billing.cursor import Claim
from billing.dedupe import PartKey
from billing.event import Rejected
from billing.fold import Transaction
from billing.literal import hexadecimal, literal
from billing.moment import day_text
from billing.order import ranked
from billing.rows import BalanceColumns, RecordColumns, RollupColumns
from billing.rowtext import Field, decimals, integers, literals, written
from billing.tail import Tail
from billing.texts import Pool, Texts
from billing.tiers import TierColumns, TierKeys
from rules.columns import Dictionary, texts_of

_DETAIL_BYTES_MAX: Final = 512
# A worker that is gone or stopped between two packets must not lock its accounts for the server's own eight hours;
# settling takes milliseconds.
IDLE_TRANSACTION_SECONDS: Final = 10
IDLE_AGAIN: Final = "SET SESSION wait_timeout=DEFAULT"


class Dialect(Enum):
    """Which SQL a server speaks, first of all how it names the row that an INSERT could not insert."""

    MYSQL = "mysql"  # `AS new`; VALUES() is deprecated and costs a warning each
    MARIADB = "mariadb"  # VALUES(); `AS new` is unknown

    @classmethod
    def of(cls, version: str) -> "Dialect":
        """Decide by the text of `SELECT VERSION()`."""
        return cls.MARIADB if "mariadb" in version.lower() else cls.MYSQL


_SUMS: Final = {"events": "SIGNED", "quantity": "DECIMAL(38,12)", "amount": "DECIMAL(38,12)", "checksum": "UNSIGNED"}
_Text = tuple[bytes | memoryview, ...]  # pieces that make a statement: large ones are copied once, into the packet


@attrs.frozen
class Packet:
    """One multi-statement text and the name of each statement in it, by position."""

    text: bytes
    statements: tuple[str, ...]


def packet(transaction: Transaction, dialect: Dialect, payload_bytes_max: int) -> Packet:
    """Plan a settled transaction: cursor first, hottest rows last, rows of each table sorted by primary key.

    One that counts was begun by `counters_packet`. payload_bytes_max: how much of a payload quarantine keeps; what is
    longer than an event may be can never be billed.
    """
    assert transaction.counters is None, "amounts are final"
    named: list[tuple[str, _Text]] = [] if len(transaction.tiers) else [("begin", (b"BEGIN",))]
    if transaction.moves:
        named.append(("cursors", (_cursors(transaction).encode(),)))
    named.append(("guard", (_guard(transaction).encode(),)))
    if len(transaction.records):
        named.append(("records", _records(transaction.records)))
    if transaction.credits:
        named.append(("credits", (_credits(transaction.credits).encode(),)))
    if len(transaction.tiers):
        named.append(("tiers", _tiers(transaction.tiers, dialect)))
    if len(transaction.records):
        if len(transaction.rollups):
            named.append(("rollups", _rollups(transaction.rollups, dialect)))
        named.append(("balances", _balances(transaction.balances, dialect)))
    if transaction.quarantine:
        quarantine = _quarantine(transaction.log, transaction.quarantine, payload_bytes_max)
        named.append(("quarantine", (quarantine.encode(),)))
    named.append(("commit", (b"COMMIT",)))
    if len(transaction.tiers):
        named.append(("idle again", (IDLE_AGAIN.encode(),)))
    pieces = [piece for _, text in named for piece in (*text, b";")]
    return Packet(b"".join(pieces[:-1]), tuple(name for name, _ in named))


def counters_packet(keys: TierKeys, dialect: Dialect) -> Packet:
    """Begin a transaction that counts: lock each counter in primary-key order, then read them all.

    A counter that is not there is made, so that there is something to lock: of two workers that use one for the first
    time, the second waits. `ON DUPLICATE KEY UPDATE` takes the exclusive lock at once; `INSERT IGNORE` would take a
    shared one, and two workers that hold it could never write. Counters are read by key (`FORCE INDEX`): MariaDB would
    scan a table of a few rows, and so lock some that were not asked for, in another order than everybody else. The last
    result has a row a counter: its place in `keys`, quantity and amount as text, events. If the second packet does not
    come in time, the server ends the session, and with it the transaction.
    """
    row = "ROW" if dialect is Dialect.MYSQL else ""
    fields, zero = _tier_key(keys), integers(np.zeros(len(keys), dtype=np.int64))
    insert = (
        b"INSERT INTO tiers (slot,account,rule,period,quantity,events,amount) VALUES ",
        written(*fields, zero, zero, zero),
        b" ON DUPLICATE KEY UPDATE events=tiers.events",
    )
    select = (
        b"WITH k(n,slot,account,rule,period) AS (VALUES ",
        written(integers(np.arange(len(keys))), *fields, before=row),
        (
            b") SELECT k.n,CAST(t.quantity AS CHAR),t.events,CAST(t.amount AS CHAR) FROM k STRAIGHT_JOIN tiers t "
            b"FORCE INDEX (PRIMARY) ON t.slot=k.slot AND t.account=k.account AND t.rule=k.rule AND t.period=k.period "
            b"FOR UPDATE"
        ),
    )
    idle = f"SET SESSION wait_timeout={IDLE_TRANSACTION_SECONDS:d}".encode()
    texts = (idle, b"BEGIN", b"".join(insert), b"".join(select))
    return Packet(b";".join(texts), ("idle briefly", "begin", "counters", "counters read"))


def existing_query(keys: Sequence[PartKey], dialect: Dialect) -> bytes:
    """Ask for the digests of parts, locking those that exist; read by key, as counters are."""
    return _look_up("r.digest", keys, " AND r.line=0", dialect)


def lines_query(keys: Sequence[PartKey], dialect: Dialect) -> bytes:
    """Ask for all lines of parts, as `existing_query` does."""
    columns = (
        "r.line,r.digest,r.product,r.rule,r.currency,r.book_version,CAST(r.quantity AS CHAR),CAST(r.amount AS CHAR)"
    )
    return _look_up(columns, keys, "", dialect)


def _look_up(columns: str, keys: Sequence[PartKey], more: str, dialect: Dialect) -> bytes:
    row = "ROW" if dialect is Dialect.MYSQL else ""
    rows_text = written(
        integers(np.array([key.slot for key in keys])),
        literals(pa.array([key.account for key in keys], type=pa.string())),
        literals(pa.array([day_text(key.day) for key in keys], type=pa.string())),
        literals(pa.array([key.key for key in keys], type=pa.string())),
        before=row,
    )
    return b"".join(
        (
            b"WITH k(slot,account,day,event) AS (VALUES ",
            rows_text,
            (
                f") SELECT r.slot,r.account,CAST(r.day AS CHAR),r.event,{columns} FROM k STRAIGHT_JOIN records r "
                "FORCE INDEX (PRIMARY) ON r.slot=k.slot AND r.account=k.account AND r.day=k.day AND r.event=k.event"
                f"{more} FOR UPDATE"
            ).encode(),
        )
    )


def claim_statements(claim: Claim) -> list[str]:
    """Create missing cursors, raise the versions of all cursors of the log that are lower, lock and read one's own.

    Of all: a worker that has other partitions and an older book or map must be fenced too. Each statement is a
    transaction of its own and takes its locks in the order of the primary key, so that claims, which meet when workers
    start, never wait for each other in a circle. Raised before they are read: what an older worker has written by then
    is read, and it can write no more.
    """
    log = literal(claim.log)
    versions = f"{claim.map_version:d},{claim.book_version:d}"
    rows = ",".join(f"({log},{p:d},{start:d},{versions})" for p, start in sorted(claim.starts.items()))
    here = f"log={log} AND `partition` IN ({','.join(f'{p:d}' for p in sorted(claim.starts))})"
    older = f"(map_version<{claim.map_version:d} OR book_version<{claim.book_version:d})"
    return [
        f"INSERT IGNORE INTO cursors (log,`partition`,next_offset,map_version,book_version) VALUES {rows}",
        f"SELECT MAX(map_version),MAX(book_version) FROM cursors WHERE log={log}",
        (
            f"UPDATE cursors SET map_version=GREATEST(map_version,{claim.map_version:d}),"
            f"book_version=GREATEST(book_version,{claim.book_version:d}) WHERE log={log} AND {older}"
        ),
        f"SELECT `partition`,next_offset FROM cursors WHERE {here} FOR UPDATE",
    ]


def _cursors(transaction: Transaction) -> str:
    moves = transaction.moves
    whens = [f" WHEN {move.partition:d} THEN " for move in moves]

    def case(values: Sequence[int]) -> str:
        return f"CASE `partition`{''.join([f'{when}{value:d}' for when, value in zip(whens, values, strict=True)])} END"

    def added(column: str, values: Sequence[int]) -> str:
        return f",{column}={column}+{case(values)}" if any(values) else ""

    timed = [(when, move.time_us_max) for when, move in zip(whens, moves, strict=True) if move.time_us_max is not None]
    latest = f"CASE `partition`{''.join([f'{when}{time_us:d}' for when, time_us in timed])} END"
    return (
        f"UPDATE cursors SET next_offset={case([move.stop for move in moves])}"
        + added("accepted", [move.accepted for move in moves])
        + added("duplicates", [move.duplicates for move in moves])
        + added("quarantined", [move.quarantined for move in moves])
        + (f",time_us_max=GREATEST(time_us_max,COALESCE({latest},0))" if timed else "")
        + ",applied_at_us=CAST(UNIX_TIMESTAMP(NOW(6))*1000000 AS UNSIGNED)"
        f" WHERE log={literal(transaction.log)}"
        f" AND `partition` IN ({','.join([f'{move.partition:d}' for move in moves])})"
        f" AND next_offset={case([move.start for move in moves])}"
        f" AND map_version={transaction.map_version:d} AND book_version={transaction.book_version:d}"
    )


def _guard(transaction: Transaction) -> str:
    """Stop the packet with error 1242 (subquery returns more than one row) unless every cursor moved.

    Where none does, they must not have been taken over by a newer map or book, and stay locked against that.
    """
    moved = f"ROW_COUNT()={len(transaction.moves):d}"
    if not transaction.moves:
        newer = f"map_version>{transaction.map_version:d} OR book_version>{transaction.book_version:d}"
        moved = f"NOT COALESCE((SELECT MAX({newer}) FROM cursors LOCK IN SHARE MODE),0)"
    return f"SET @g=IF({moved},1,(SELECT 1 UNION SELECT 2))"


def _records(rows: RecordColumns) -> _Text:
    shared: Mapping[str, Texts] = rows.tails.derived_of_all(_shared)
    columns = {
        "slot": integers_at(rows.slot),
        "account": literals_at(rows.account),
        "day": literals_at(rows.day),
        "event": literals_at(rows.event),
        "line": integers_at(rows.line),
        "time_us": integers_at(rows.time_us),
        "digest": integers_at(rows.digest),
        **{name: literals_at(Texts(texts.pool, texts.rows[rows.tail])) for name, texts in shared.items()},
        "quantity": decimals_at(rows.quantity),
        "amount": decimals_at(rows.amount),
        "kept": literals_at(rows.kept),
    }
    return _insert("records", columns, len(rows))


def _shared(tails: Dictionary[Tail]) -> Mapping[str, Texts]:
    """Return the columns that tails tell, of each tail the texts as records have them, distinct ones once."""
    columns = {
        "product": [tail.product for tail in tails],
        "rule": [tail.rule for tail in tails],
        "currency": [tail.currency for tail in tails],
        "book_version": [f"{tail.book_version:d}" for tail in tails],
    }
    distinct = {name: ranked(texts_of(texts)) for name, texts in columns.items()}
    return {name: Texts(Pool.of(texts), place) for name, (texts, place) in distinct.items()}


def _credits(rows: Sequence[CreditRow]) -> str:
    """Write credits whose records are new; one that is there already outlived its records, which expire."""
    columns = "slot,account,day,event,line,time_us,digest,kind,currency,amount,cost,priority,expires_us,products"
    values = ",".join(
        f"({one.slot:d},{literal(one.account)},{literal(one.day)},{literal(one.event)},{one.line:d},{one.time_us:d},"
        f"{one.digest:d},{literal(one.kind)},{literal(one.currency)},{one.amount:f},{one.cost:f},{one.priority:d},"
        f"{'NULL' if one.expires_us is None else f'{one.expires_us:d}'},{literal(one.products)})"
        for one in rows
    )
    return f"INSERT INTO credits ({columns}) VALUES {values} ON DUPLICATE KEY UPDATE digest=credits.digest"


def _tier_key(keys: TierKeys) -> tuple[Field, ...]:
    return integers(keys.slot), literals(keys.account), literals(keys.rule), integers(keys.period)


def _tiers(rows: TierColumns, dialect: Dialect) -> _Text:
    """Write the counters as they stand now: their rows are locked, so nothing is added that this batch has not read."""
    used = rows.used
    rows_text = written(*_tier_key(rows.keys), decimals(used.quantity), integers(used.events), decimals(used.amount))
    columns = ("quantity", "events", "amount")
    alias, new = (" AS new", "new.{}") if dialect is Dialect.MYSQL else ("", "VALUES({})")
    sets = ",".join(f"{column}={new.format(column)}" for column in columns)
    head = b"INSERT INTO tiers (slot,account,rule,period,quantity,events,amount) VALUES "
    return head, rows_text, f"{alias} ON DUPLICATE KEY UPDATE {sets}".encode()


def _rollups(rows: RollupColumns, dialect: Dialect) -> _Text:
    columns = {
        "slot": integers_at(rows.slot),
        "account": literals_at(rows.account),
        "rollup": literals_at(rows.rollup),
        "bucket": integers_at(rows.bucket),
        "dims": literals_at(rows.dims),
        "events": integers_at(rows.events),
        "quantity": decimals_at(rows.quantity),
        "amount": decimals_at(rows.amount),
        "checksum": integers_at(rows.checksum),
    }
    return _add("rollups", columns, len(rows), dialect)


def _balances(rows: BalanceColumns, dialect: Dialect) -> _Text:
    columns = {
        "slot": integers_at(rows.slot),
        "account": literals_at(rows.account),
        "currency": literals_at(rows.currency),
        "events": integers_at(rows.events),
        "amount": decimals_at(rows.amount),
        "checksum": integers_at(rows.checksum),
    }
    return _add("balances", columns, len(rows), dialect)


def _insert(table: str, columns: Mapping[str, Expression], count: int) -> _Text:
    """Insert rows that come column by column: a literal a column in place of one a value halves the server's work."""
    expressions = [piece for column in columns.values() for piece in (b",", *column)]
    names = ",".join(columns)
    return f"INSERT INTO {table} ({names}) SELECT ".encode(), *expressions[1:], b" FROM ", row_numbers(count)


def _add(table: str, columns: Mapping[str, Expression], count: int, dialect: Dialect) -> _Text:
    """Add each new row to the old one; checksums mod 2^64 without error 1690 (`~x` is 2^64 - 1 - x).

    MySQL adds what the SELECT gave, and not what it became as a column: without its type, that would be a float.
    """
    new = "new.{}" if dialect is Dialect.MYSQL else "VALUES({})"
    sums = [f"{name}={table}.{name}+{new.format(name)}" for name in columns if name in _SUMS and name != "checksum"]
    old, room = f"{table}.checksum", f"~{new.format('checksum')}"
    sums.append(f"checksum=IF({old}>{room},{old}-{room}-1,{old}+{new.format('checksum')})")
    update = f" ON DUPLICATE KEY UPDATE {','.join(sums)}".encode()
    if dialect is Dialect.MARIADB:
        return *_insert(table, columns, count), b" WHERE 1", update  # without it, ON would be a condition of a join
    typed = {
        name: (b"CAST(", *column, f" AS {_SUMS[name]})".encode()) if name in _SUMS else column
        for name, column in columns.items()
    }
    head, *expressions = _insert(table, typed, count)
    names = ",".join(columns)
    return head, b"* FROM (SELECT ", *expressions, f") AS new({names})".encode(), update


def _quarantine(log: str, rejects: Sequence[Rejected], payload_bytes_max: int) -> str:
    values = ",".join(
        f"({literal(log)},{one.partition:d},{one.offset:d},{literal(one.account or '')},{literal(one.reason)},"
        f"{literal(_cut(one.detail))},{len(one.payload):d},"
        f"{hexadecimal(one.payload[:payload_bytes_max])})"
        for one in rejects
    )
    return (
        "INSERT INTO quarantine (log,`partition`,`offset`,account,reason,detail,payload_bytes,payload) "
        f"VALUES {values} ON DUPLICATE KEY UPDATE retried=quarantine.retried"  # same offset, same bytes
    )


def _cut(detail: str) -> str:
    """Cut a detail to the width of its column, never inside a character."""
    return detail.encode()[:_DETAIL_BYTES_MAX].decode(errors="ignore")
