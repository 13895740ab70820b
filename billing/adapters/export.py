"""Export: whole tables of all shards as one stream of rows.

Owns which columns an export has and how rows of spread accounts become one. Memory: a chunk of rows, and the balances
and rollups of spread accounts, which are few (see `sharding.shardmap`).
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Select, select

from billing.adapters.endpoints import ShardDownError
from billing.adapters.sinks import Field, Kind, Row, Sink
from billing.adapters.sql import run
from billing.config.deployment import Deployment
from billing.config.settings import Shard
from billing.errors import StoreUnreachableError
from billing.exact import EXACT
from billing.moment import SECOND_US
from billing.reads.answers import moment
from billing.reads.usage import named
from billing.schema import balances, records, rollups, tiers
from billing.schema import credits as credit_table
from rules.book import Book

TableName = Literal["balances", "rollups", "tiers", "credits", "records"]

CHUNK_ROWS: Final = 20_000  # of up to 5 KB: what memory holds at a time
_AMOUNT: Final = (Field("quantity", Kind.DECIMAL), Field("amount", Kind.DECIMAL))

FIELDS: Final[dict[TableName, tuple[Field, ...]]] = {
    "balances": (
        Field("account", Kind.TEXT),
        Field("currency", Kind.TEXT),
        Field("events", Kind.INTEGER),
        Field("amount", Kind.DECIMAL),
    ),
    "rollups": (
        Field("account", Kind.TEXT),
        Field("rollup", Kind.TEXT),
        Field("bucket", Kind.MOMENT),
        Field("dims", Kind.TEXT),
        Field("events", Kind.INTEGER),
        *_AMOUNT,
    ),
    "tiers": (
        Field("account", Kind.TEXT),
        Field("rule", Kind.TEXT),
        Field("period", Kind.MOMENT),
        Field("quantity", Kind.DECIMAL),
        Field("events", Kind.INTEGER),
        Field("amount", Kind.DECIMAL),
    ),
    "credits": (
        Field("account", Kind.TEXT),
        Field("day", Kind.DAY),
        Field("event", Kind.TEXT),
        Field("line", Kind.INTEGER),
        Field("time", Kind.MOMENT),
        Field("kind", Kind.TEXT),
        Field("currency", Kind.TEXT),
        Field("amount", Kind.DECIMAL),
        Field("cost", Kind.DECIMAL),
        Field("priority", Kind.INTEGER),
        Field("expires", Kind.TEXT),
        Field("products", Kind.TEXT),
    ),
    "records": (
        Field("account", Kind.TEXT),
        Field("day", Kind.DAY),
        Field("event", Kind.TEXT),
        Field("line", Kind.INTEGER),
        Field("time", Kind.MOMENT),
        Field("product", Kind.TEXT),
        Field("rule", Kind.TEXT),
        Field("currency", Kind.TEXT),
        Field("book_version", Kind.INTEGER),
        *_AMOUNT,
        Field("kept", Kind.TEXT),
    ),
}
_KEY_LENGTH: Final[dict[TableName, int]] = {"balances": 2, "rollups": 4}  # what makes rows of two places one row


class Exporter:
    """One export: rows stream shard by shard, each shard from one snapshot; spread accounts come last, added up."""

    def __init__(self, deployment: Deployment, table: TableName, on_rows: Callable[[int], object]) -> None:
        """Prepare. on_rows: told how many rows were written since the last call."""
        self._deployment = deployment
        self._table = table
        self._on_rows = on_rows
        self._merged: dict[Row, list[Any]] = {}
        self._spread = frozenset(deployment.shardmap.spreads) if table in _KEY_LENGTH else frozenset()
        self._read = 0

    async def run(self, sink: Sink) -> None:
        """Write everything.

        Raises: ShardDownError, ExportError, ReaderGoneError.
        """
        for shard in self._deployment.settings.shards:
            await self._shard(shard, sink)
        rows = [(*key, *sums) for key, sums in sorted(self._merged.items())]
        self._write(rows, sink)
        sink.close()

    async def _shard(self, shard: Shard, sink: Sink) -> None:
        """Read from the first endpoint that answers; once rows were written, another would repeat them."""
        endpoints = list(dict.fromkeys((*shard.readers, shard.primary)))
        before = self._read
        for url in endpoints:
            try:
                await run(url, lambda connection: self._stream(connection, sink))
            except StoreUnreachableError as error:
                if self._read != before or url == endpoints[-1]:
                    raise ShardDownError(shard.name, str(error)) from error
            else:
                return

    def _stream(self, connection: Connection, sink: Sink) -> None:
        query = _QUERIES[self._table]
        for chunk in _chunks(connection, query):
            self._read += len(chunk)
            rows = list(map(_ROWS[self._table](self._deployment.book), chunk))
            if self._spread:
                self._merge([row for row in rows if row[0] in self._spread])
                rows = [row for row in rows if row[0] not in self._spread]
            self._write(rows, sink)

    def _write(self, rows: Sequence[Row], sink: Sink) -> None:
        sink.write(rows)
        self._on_rows(len(rows))

    def _merge(self, rows: Sequence[Row]) -> None:
        length = _KEY_LENGTH[self._table]
        for row in rows:
            key, sums = tuple(row[:length]), row[length:]
            old = self._merged.get(key)
            self._merged[key] = list(sums) if old is None else [_plus(*pair) for pair in zip(old, sums, strict=True)]


def _plus(left: Any, right: Any) -> Any:  # noqa: ANN401 - counts or decimals, as the column is
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return EXACT.add(Decimal(left), Decimal(right))
    return left + right


def _chunks(connection: Connection, query: Select[Any]) -> Iterator[list[Any]]:
    result = connection.execution_options(stream_results=True, yield_per=CHUNK_ROWS).execute(query)
    for rows in result.partitions():
        yield list(rows)


def _balance(_: Book) -> Callable[[Any], Row]:
    return lambda row: (row.account, row.currency, row.events, row.amount)


def _rollup(book: Book) -> Callable[[Any], Row]:
    kept = {rollup.name: rollup for rollup in book.rollups}
    texts: dict[tuple[str, str], str] = {}

    def dims(name: str, text: str) -> str:
        """Name the dimensions; a rollup that the book no longer has keeps its values as a list."""
        if (name, text) not in texts:
            texts[name, text] = msgspec.json.encode(named(text, kept[name])).decode() if name in kept else text
        return texts[name, text]

    return lambda row: (
        row.account, row.rollup, row.bucket * SECOND_US, dims(row.rollup, row.dims), row.events, row.quantity,
        row.amount,
    )  # fmt: skip


def _tier(_: Book) -> Callable[[Any], Row]:
    """Name the counters; those of a spread account are in one place each, so that nothing has to be added up."""
    return lambda row: (row.account, row.rule, row.period * SECOND_US, row.quantity, row.events, row.amount)


def _credit(_: Book) -> Callable[[Any], Row]:
    """Name the terms; a void is a line of its own, with the amount below 0."""
    return lambda row: (
        row.account, row.day, row.event, row.line, row.time_us, row.kind, row.currency, row.amount, row.cost,
        row.priority, "" if row.expires_us is None else moment(row.expires_us), row.products,
    )  # fmt: skip


def _record(_: Book) -> Callable[[Any], Row]:
    return lambda row: (
        row.account, row.day, row.event, row.line, row.time_us, row.product, row.rule, row.currency, row.book_version,
        row.quantity, row.amount, row.kept,
    )  # fmt: skip


_QUERIES: Final[dict[TableName, Select[Any]]] = {
    "balances": select(balances).order_by(balances.c.slot, balances.c.account, balances.c.currency),
    "rollups": select(rollups).order_by(
        rollups.c.slot, rollups.c.account, rollups.c.rollup, rollups.c.bucket, rollups.c.dims
    ),
    "tiers": select(tiers).order_by(tiers.c.slot, tiers.c.account, tiers.c.rule, tiers.c.period),
    "credits": select(credit_table).order_by(*credit_table.primary_key),
    "records": select(records).order_by(
        records.c.slot, records.c.account, records.c.day, records.c.event, records.c.line
    ),
}
_ROWS: Final[dict[TableName, Callable[[Book], Callable[[Any], Row]]]] = {
    "balances": _balance,
    "rollups": _rollup,
    "tiers": _tier,
    "credits": _credit,
    "records": _record,
}
