"""Pages of a table in key order: all rows once, and found by the key."""

import sqlite3
from itertools import pairwise, product

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, insert, select
from sqlalchemy.dialects import mysql

from billing.keyset import after, pages

THINGS = Table("things", MetaData(), *(Column(name, Integer, primary_key=True) for name in "abc"), Column("d", Text))
KEY = THINGS.c.a, THINGS.c.b, THINGS.c.c
KEYS = list(product(range(3), range(4), range(5)))


@pytest.fixture
def connection():
    """Give a connection to a table of 60 rows."""
    with create_engine("sqlite://").connect() as opened:
        THINGS.create(opened)
        opened.execute(insert(THINGS), [dict(zip("abcd", (*key, "x"), strict=True)) for key in reversed(KEYS)])
        yield opened


@pytest.mark.parametrize("rows_max", [1, 2, 7, 20, 59, 60, 61])
def test_every_row_is_in_one_page_in_order_of_the_key(connection, rows_max):
    """Money in the rows that lie between two pages would be left out or added twice."""
    found = list(pages(connection, select(*KEY), KEY, rows_max))
    assert [tuple(row) for rows in found for row in rows] == KEYS
    assert all(len(rows) == rows_max for rows, _ in pairwise(found))


def test_no_rows_are_no_pages(connection):
    """What reads pages would fail on an empty table."""
    assert list(pages(connection, select(*KEY).where(THINGS.c.a > 9), KEY, 5)) == []


def test_a_condition_of_the_query_holds_on_every_page(connection):
    """Rows that were not asked for would be in all pages but the first."""
    found = pages(connection, select(*KEY).where(THINGS.c.b == 2), KEY, 2)
    assert [tuple(row) for rows in found for row in rows] == [key for key in KEYS if key[1] == 2]


def test_groups_are_paged_as_rows_are(connection):
    """A sum over a group at the end of a page would be one of a part of it."""
    key = KEY[:2]
    query = select(*key, THINGS.c.d).group_by(*key)
    found = [tuple(row[:2]) for rows in pages(connection, query, key, 5) for row in rows]
    assert found == list(product(range(3), range(4)))


def test_servers_are_asked_by_alternatives():
    """MySQL and MariaDB would read every page before a page again, as they do for a comparison of rows."""
    condition = after("mysql", KEY, (1, 2, 3)).compile(dialect=mysql.dialect(), compile_kwargs={"literal_binds": True})
    assert str(condition) == (
        "things.a > 1 OR things.a = 1 AND things.b > 2 OR things.a = 1 AND things.b = 2 AND things.c > 3"
    )


def test_a_file_is_searched_and_not_sorted(connection):
    """SQLite would sort all rows that are left for every page."""
    paged = select(*KEY).where(after("sqlite", KEY, (1, 2, 3))).order_by(*KEY).limit(5)
    compiled = paged.compile(connection.engine, compile_kwargs={"literal_binds": True})
    plan = " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}"))
    assert plan.startswith("SEARCH things"), sqlite3.sqlite_version
    assert "TEMP B-TREE" not in plan
