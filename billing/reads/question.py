"""Questions: what is read of one shard by selects alone, so that a server is asked in one statement, cursors included.

Owns the text of a cursor among other rows, and how rows and cursors of one moment are told apart. Must not know
connections, nor what is asked.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs
from sqlalchemy import Column, ColumnElement, Connection, Select, literal_column, null, select, true, union_all

from billing.cursor import CursorRow
from billing.reads.balance import read_cursors
from billing.reads.freshness import Cursors
from billing.schema import cursors

_T = TypeVar("_T")

TAB: Final = "\t"  # in no column but a log's name, which is the last of its line
CURSOR: Final = b"0"  # how the line of a cursor begins
CURSOR_LINE: Final = (
    f"CONCAT_WS('{TAB}',0,`partition`,next_offset,map_version,cursors.book_version,accepted,duplicates,quarantined,"
    "time_us_max,applied_at_us,log)"
)
_CURSOR_NUMBERS: Final = 10  # before the log's name, what the line is of among them
_LINE: Final[ColumnElement[bytes]] = literal_column(CURSOR_LINE)


@attrs.frozen
class Question(Generic[_T]):
    """selects: those that a dialect is asked, of the same columns; told: what their rows say, in whatever order."""

    selects: Callable[[str], Sequence[Select[Any]]]
    told: Callable[[Sequence[Any]], _T]

    def ask(self, connection: Connection) -> tuple[_T, Cursors]:
        """Return the answer and the shard's cursors of the same moment.

        A server is asked once, and needs no transaction; a file, where asking is quick, one select after the other.
        """
        dialect = connection.dialect.name
        selects = self.selects(dialect)
        if dialect == "sqlite":
            told = self.told([row for one in selects for row in connection.execute(one)])
            return told, Cursors.of(read_cursors(connection))
        asked = union_all(*(one.add_columns(null()) for one in selects), _lines(selects[0].selected_columns))
        found: Sequence[Sequence[Any]] = connection.execute(asked).all()
        rows: list[tuple[Any, ...]] = []
        standing: list[CursorRow] = []
        for *row, line in found:
            if line is None:
                rows.append(tuple(row))
            else:
                standing.append(cursor_of(line))
        return self.told(rows), Cursors.of(standing)


def _lines(beside: Iterable[ColumnElement[Any]]) -> Select[Any]:
    """Select the line of each cursor, beside columns without values.

    These are columns of a table that nothing is joined from: for an unsigned number and a plain NULL, MariaDB would
    give decimals. None of its rows are asked for: joined on what is never true, one server or the other reads them all.
    """
    found = list(beside)
    nothing = select(*(column for column in found if isinstance(column, Column))).limit(0).subquery("nothing")
    columns = [nothing.c[column.name] if isinstance(column, Column) else null() for column in found]
    return select(*columns, _LINE).select_from(cursors.outerjoin(nothing, true()))


def cursor_of(line: bytes) -> CursorRow:
    """Read the line of a cursor."""
    _, *numbers, log = line.decode().split(TAB, _CURSOR_NUMBERS)
    partition, *others = map(int, numbers)
    return CursorRow(log, partition, *others)
