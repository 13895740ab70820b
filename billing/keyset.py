"""Keyset: a table's rows in the order of its key, page by page, each page found by the key of the row before it.

Owns how a page is asked for so that a server reads its rows and no others. Must not know what the rows are for.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, tuple_


def pages(
    connection: Connection, query: Select[Any], key: Sequence[ColumnElement[Any]], rows_max: int
) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query in lists of at most `rows_max`, in order of the key; memory holds one list.

    query: selects the columns of the key first, in their order; key: a prefix of the table's primary key by which
    rows are unique, if only because they are grouped by it. Other queries may run on the connection in between.
    """
    paged = query.order_by(*key).limit(rows_max)
    rows = connection.execute(paged).all()
    while rows:
        last = rows[-1][: len(key)]
        yield rows
        if len(rows) < rows_max:
            return
        rows = connection.execute(paged.where(after(connection.dialect.name, key, last))).all()


def after(dialect: str, key: Sequence[ColumnElement[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a row's key is greater than `last`.

    MySQL and MariaDB find no place in an index by a comparison of rows and would read the table from its start;
    SQLite would do so by the alternatives that they understand.
    """
    if dialect == "sqlite":
        return tuple_(*key) > tuple_(*last)
    return or_(
        *(
            and_(
                *(column == value for column, value in zip(key[:place], last[:place], strict=True)),
                key[place] > last[place],
            )
            for place in range(len(key))
        )
    )
