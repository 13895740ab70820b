"""Keyset: a table's rows by their key: page by page, each found by the key of the row before it, or many at once.

Owns how a page is asked for so that a server reads its rows and no others. Must not know what the rows are for.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, TextualSelect, and_, bindparam, or_, text, tuple_

PLACES_MAX: Final = 256  # of one statement: its text has some 20 KB


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
    """Return the condition that a row's key is greater than `last`."""
    return _beyond(dialect, key, last, operator.gt)


def before(dialect: str, key: Sequence[ColumnElement[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a row's key is less than `last`."""
    return _beyond(dialect, key, last, operator.lt)


def _beyond(
    dialect: str, key: Sequence[ColumnElement[Any]], last: Sequence[Any], compare: Callable[[Any, Any], Any]
) -> ColumnElement[bool]:
    """Compare keys so that an index finds the place.

    MySQL and MariaDB find no place in an index by a comparison of rows and would read the table from its start;
    SQLite would do so by the alternatives that they understand.
    """
    if dialect == "sqlite":
        rows: ColumnElement[bool] = compare(tuple_(*key), tuple_(*last))
        return rows
    return or_(
        *(
            and_(
                *(column == value for column, value in zip(key[:place], last[:place], strict=True)),
                compare(key[place], last[place]),
            )
            for place in range(len(key))
        )
    )


def at_places(
    dialect: str, table: Table, places: Sequence[tuple[int, str]]
) -> tuple[TextualSelect, dict[str, int | str]]:
    """Return the select of a table's rows at these (slot, account), and its parameters.

    A text, since building hundreds of conditions would take longer than asking them. MySQL and MariaDB find places by
    alternatives only, and SQLite, which allows no deep ones, by a list of rows.
    """
    parameters: dict[str, int | str] = {}
    for number, (slot, account) in enumerate(places):
        parameters[f"s{number}"], parameters[f"a{number}"] = slot, account
    numbers = range(len(places))
    if dialect == "sqlite":
        condition = f"(slot, account) IN (VALUES {','.join(f'(:s{n},:a{n})' for n in numbers)})"
    else:
        condition = " OR ".join(f"slot=:s{n} AND account=:a{n}" for n in numbers)
    statement = text(f"SELECT {','.join(table.c.keys())} FROM {table.name} WHERE {condition}")
    typed = [bindparam(f"a{number}", type_=table.c.account.type) for number in numbers]
    return statement.bindparams(*typed).columns(*table.c), parameters
