"""Table prices: the unit price stands in a CSV file, in the row that the event's texts choose."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

import attrs

from rules.columns import Decimals
from rules.document import Items, Node
from rules.price.model import Ask, Factors, Price, Source, Work
from rules.price.quantity import Scaled
from rules.table import Table

KEYS_MAX: Final = 8  # names that make a key together; a rate card has one to three


@attrs.frozen(eq=False)
class TableKey:
    """Which file, and by which names its rows are found: all of them equal, or the one by its longest prefix."""

    node: Node
    file: str
    names: tuple[str, ...]
    by_prefix: bool

    @classmethod
    def read(cls, node: Node, entries: Mapping[str, Node], source: Source) -> "TableKey | None":
        """Read `file`, and `key` or `longest_prefix`, of a mapping."""
        fields = source.fields
        file = fields.text(entries["file"])
        if ("key" in entries) == ("longest_prefix" in entries):
            fields.wrong(node, "must have either key or longest_prefix; keep one of them")
            return None
        by_prefix = "longest_prefix" in entries
        if by_prefix:
            name = fields.attribute(entries["longest_prefix"], ["quantity"])
            names = [] if name is None else [name]
        else:
            names = fields.attributes(entries["key"], KEYS_MAX, ["quantity"])
        if isinstance(key := entries.get("key"), Items) and not key.items:
            fields.wrong(key, "names no attribute; write at least one")
        return cls(entries["file"], file, tuple(names), by_prefix) if file is not None and names else None


@attrs.frozen(eq=False)
class KeyedPrice:
    """A price that an event has if its row exists and the row's cell in a column is not empty."""

    table: Table

    @property
    def names(self) -> tuple[str, ...]:
        """What makes the key."""
        return self.table.index.names

    def found(self, ask: Ask, _won: Sequence[int]) -> bool:
        """Tell whether the row exists and its cell is not empty."""
        return self.table.has_price(ask)


@attrs.frozen(eq=False)
class TablePrice(KeyedPrice):
    """`{table: {file: .., longest_prefix: to, column: ..}}` or `key: [..]`: cell times billed quantity."""

    @classmethod
    def read(cls, node: Node, source: Source) -> "TablePrice | None":
        """Read where the prices are, and the file."""
        entries = source.fields.mapping(node, ["file", "column"], ["key", "longest_prefix"])
        if entries is None:
            return None
        column = source.fields.text(entries["column"])
        key = TableKey.read(node, entries, source)
        if key is None or column is None:
            return None
        table = source.tables.table(key.node, key.file, key.names, column, by_prefix=key.by_prefix)
        return None if table is None else cls(table)

    @property
    def lane(self) -> Hashable:
        """Prices of the same table."""
        return self.table

    def factors(self, _prices: Sequence[Price]) -> Factors:
        """Multiply the billed quantity by the cell."""
        table = self.table

        def factors(work: Work) -> tuple[Scaled, Decimals]:
            return work.billed, table.prices.take(work.cells(table.index))

        return factors


def tables_of(prices: Iterable[object]) -> Iterable[Table]:
    """Yield the tables of those prices that have one."""
    return (price.table for price in prices if isinstance(price, KeyedPrice))
