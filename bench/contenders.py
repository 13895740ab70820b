"""Contenders: what else could keep the same aggregates, and the text of what each of them sends.

Owns the words and the statements of a comparison. Must not know connections or clocks.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

from bench.unit import Unit
from bench.work import Aggregates, Pricing, Rows, SingleEvent, single_events
from billing.batch import Slice
from billing.cursor import Claim
from billing.fold import fold
from billing.limits import Limits
from billing.literal import literal
from billing.schema import balances, records, rollups
from billing.upsert import Dialect, packet

LOG: Final = "compare"
PIPELINE_EVENTS: Final = 1_000  # Redis's own advice: batches of some 10,000 commands; an event makes about a dozen
QUANTITY_PLACES: Final = 6  # a counter has 63 bits: of 1e-12 units it would end at nine million minutes
_PICO_PER_QUANTITY: Final = 10 ** (12 - QUANTITY_PLACES)
_LIMITS: Final = Limits()


class Contender(StrEnum):
    """Who takes part."""

    CLASSIC = "classic"
    ONE_PACKET = "one-packet"
    LIMIT = "limit"
    REDIS = "redis"
    BILLING = "billing"


TOLD: Final = {
    Contender.CLASSIC: "a transaction an event, each single-row upsert a round trip; a connection for each partition",
    Contender.ONE_PACKET: "the same statements, one packet an event",
    Contender.LIMIT: "ready-made packets of the product's rows: no broker, no pricing; its connections",
    Contender.REDIS: "HINCRBY pipelines, no records, in memory only: lost with its server, no guard against repeats",
    Contender.BILLING: "the product: Kafka, workers, databases",
}


class Renderer(Protocol):
    """Makes a contender's units of a shard's share of the log (for counters: of all shards'), ahead of the clock."""

    def add(self, piece: Slice, at: int) -> Iterator[Unit]:
        """Take the next share of the log; at: how many events of the worker's log are read by its end."""
        ...

    def rest(self) -> Iterator[Unit]:
        """Give what is left at the end."""
        ...


# --- the classic pattern ---


class Classic:
    """An event a transaction: cursor, records, rollups, balances, each row a statement, as a service would write it."""

    def __init__(self, pricing: Pricing, dialect: Dialect) -> None:
        self._book = pricing.book
        self._versions = pricing.shardmap.version, pricing.book.version
        self._positions: dict[int, int] = {}
        insert = "INSERT INTO {} ({}) VALUES "
        self._record, self._rollup, self._balance = (
            insert.format(table.name, ",".join(column.name for column in table.columns))
            for table in (records, rollups, balances)
        )
        self._add_rollup = _add(rollups.name, ("events", "quantity", "amount"), dialect)
        self._add_balance = _add(balances.name, ("events", "amount"), dialect)

    def add(self, piece: Slice, at: int) -> Iterator[Unit]:
        """Yield a unit for each event."""
        tails = piece.charges.tails
        texts = [
            f"{literal(tail.product)},{literal(tail.rule)},{literal(tail.currency)},{tail.book_version:d}"
            for tail in tails
        ]
        before = at - sum(span.stop - span.start for span in piece.spans.values())
        events = list(single_events(piece.charges, piece.slot, self._book))
        for number, event in enumerate(events):
            sent = [
                "BEGIN",
                self._cursor(event),
                *(self._one_record(row, texts) for row in event.records),
                *(self._rollup + _row(row, (1, 2, 4)) + self._add_rollup for row in event.rollups),
                *(self._balance + _row(row, (1, 2)) + self._add_balance for row in event.balances),
                "COMMIT",
            ]
            reached = before + (at - before) * (number + 1) // len(events)
            yield Unit(reached, int(event.home), len(sent), len(sent) - 3, [text.encode() for text in sent])

    def rest(self) -> Iterator[Unit]:
        """Give nothing: no event waits for another."""
        return iter(())

    def _cursor(self, event: SingleEvent) -> str:
        start = self._positions.get(event.partition, 0)
        self._positions[event.partition] = event.offset + 1
        map_version, book_version = self._versions
        return (
            f"UPDATE cursors SET next_offset={event.offset + 1:d},accepted=accepted+{event.home:d},"
            f"time_us_max=GREATEST(time_us_max,{event.time_us:d}),"
            f"applied_at_us=CAST(UNIX_TIMESTAMP(NOW(6))*1000000 AS UNSIGNED) WHERE log={literal(LOG)} "
            f"AND `partition`={event.partition:d} AND next_offset={start:d} "
            f"AND map_version={map_version:d} AND book_version={book_version:d}"
        )

    def _one_record(self, row: Sequence[Any], tails: Sequence[str]) -> str:
        slot, account, day, event, line, time_us, digest, tail, quantity, amount, kept = row
        key = f"{slot:d},{literal(account)},{literal(day)},{literal(event)},{line:d}"
        return f"{self._record}({key},{time_us:d},{digest:d},{tails[tail]},{quantity},{amount},{literal(kept)})"


def _row(row: Sequence[Any], texts: Sequence[int]) -> str:
    """Write a row; texts: which of its values are text and no numbers."""
    return f"({','.join(literal(value) if place in texts else str(value) for place, value in enumerate(row))})"


def _add(table: str, columns: Sequence[str], dialect: Dialect) -> str:
    """Add the row to the one that stands; checksums mod 2^64 without an overflow (`~x` is 2^64 - 1 - x)."""
    alias, new = (" AS new", "new.{}") if dialect is Dialect.MYSQL else ("", "VALUES({})")
    sums = [f"{column}={table}.{column}+{new.format(column)}" for column in columns]
    old, more = f"{table}.checksum", new.format("checksum")
    sums.append(f"checksum=IF({old}>~{more},{old}-~{more}-1,{old}+{more})")
    return f"{alias} ON DUPLICATE KEY UPDATE {','.join(sums)}"


# --- the limit ---


class Packets:
    """The packets that the engine would send under full load: as many events each as its limits allow."""

    def __init__(self, pricing: Pricing, dialect: Dialect) -> None:
        self._pricing = pricing
        self._dialect = dialect
        self._waiting: list[Slice] = []
        self._at = 0

    def add(self, piece: Slice, at: int) -> Iterator[Unit]:
        """Yield the packets that are full."""
        self._waiting.append(piece)
        self._at = at
        while sum(map(len, self._waiting)) >= _LIMITS.batch_events_max:
            batch, rest = Slice.concat(self._waiting).split(_LIMITS.batch_events_max)
            self._waiting = [] if rest is None else [rest]
            yield from self._units(batch)

    def rest(self) -> Iterator[Unit]:
        """Yield a packet of what is left."""
        if self._waiting:
            yield from self._units(Slice.concat(self._waiting))
            self._waiting = []

    def _units(self, batch: Slice) -> Iterator[Unit]:
        book, version = self._pricing.book, self._pricing.shardmap.version
        transaction = fold(batch, book, LOG, version, {}, {})
        planned = packet(transaction, self._dialect, _LIMITS.quarantine_payload_bytes_max)
        if len(planned.text) > _LIMITS.batch_bytes_max:
            head, tail = batch.split(len(batch) // 2)
            assert tail is not None, "more than one event"
            yield from self._units(head)
            yield from self._units(tail)
            return
        rows = len(transaction.records) + len(transaction.rollups) + len(transaction.balances)
        yield Unit(self._at, transaction.events, len(planned.statements), rows, [planned.text])


# --- counters ---


class Counters:
    """Counters in Redis: a hash for each balance and each rollup of an account, a field for each sum in it.

    Every event increments its own sums, as a speed layer does. Amounts are integers of 1e-12; checksums, which wrap
    around, and records are not kept.
    """

    def __init__(self, pricing: Pricing) -> None:
        self._pricing = pricing

    def add(self, piece: Slice, at: int) -> Iterator[Unit]:
        """Yield pipelines. piece: of all shards."""
        charges = piece.charges
        events = list(single_events(charges, piece.slot, self._pricing.book))
        for start in range(0, len(events), PIPELINE_EVENTS):
            some = events[start : start + PIPELINE_EVENTS]
            commands = [command for event in some for command in _increments(event)]
            rows = sum(len(event.rollups) + len(event.balances) for event in some)
            stops = {event.partition: event.offset + 1 for event in some}
            yield Unit(at, len(some), len(commands), rows, [b"".join(commands)], stops)

    def rest(self) -> Iterator[Unit]:
        """Give nothing."""
        return iter(())


def _increments(event: SingleEvent) -> Iterator[bytes]:
    for _, account, rollup, bucket, dims, events, quantity, amount, _ in event.rollups:
        key, field = _rollup_place(account, rollup, bucket, dims)
        yield _increment(key, f"{field}:events", events)
        yield _increment(key, f"{field}:quantity", _quantity(_pico(quantity)))
        yield _increment(key, f"{field}:amount", _pico(amount))
    for _, account, currency, events, amount, _ in event.balances:
        yield _increment(_balance_place(account, currency), "events", events)
        yield _increment(_balance_place(account, currency), "amount", _pico(amount))


def _increment(key: str, field: str, by: int) -> bytes:
    """Return a command in Redis's protocol. Source: its "Redis serialization protocol specification"."""
    words = ("HINCRBY", key, field, str(by))  # of ASCII: identifiers are, and dimensions of the workload
    return "".join(("*4\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words))).encode("ascii")


def _pico(text: str) -> int:
    """Return the text of a decimal of at most twelve places in units of 1e-12."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(12, "0"))


def _quantity(pico: int) -> int:
    units, rest = divmod(pico, _PICO_PER_QUANTITY)
    assert not rest, "quantities of the workload have few places"
    return units


def _rollup_place(account: str, rollup: str, bucket: int, dims: str) -> tuple[str, str]:
    return f"rollup:{account}:{rollup}", f"{bucket}:{dims}"


def _balance_place(account: str, currency: str) -> str:
    return f"balance:{account}:{currency}"


def as_counters(aggregates: Sequence[Aggregates]) -> dict[str, dict[str, int]]:
    """Return what hashes hold that have counted the same events, by key and field; accounts of all shards together."""
    found: dict[str, dict[str, int]] = {}
    sums = [(place, name, value) for one in aggregates for place, name, value in _fields(one.rollups, one.balances)]
    for key, field, value in sums:
        fields = found.setdefault(key, {})
        fields[field] = fields.get(field, 0) + value
    return found


def _fields(rollup_rows: Rows, balance_rows: Rows) -> Iterator[tuple[str, str, int]]:
    for (_, account, rollup, bucket, dims), (events, quantity, amount, _) in rollup_rows.items():
        key, field = _rollup_place(account, rollup, bucket, dims)
        yield key, f"{field}:events", events
        yield key, f"{field}:quantity", _quantity(quantity)
        yield key, f"{field}:amount", amount
    for (_, account, currency), (events, amount, _) in balance_rows.items():
        yield _balance_place(account, currency), "events", events
        yield _balance_place(account, currency), "amount", amount


def claim(pricing: Pricing, partitions: Sequence[int]) -> Claim:
    """Return the claim that makes the cursors of a contender."""
    return Claim(LOG, dict.fromkeys(partitions, 0), pricing.shardmap.version, pricing.book.version)
