"""The statement that reads a shard's cursors and balances at one moment."""

from billing.adapters.snapshot import statement
from billing.upsert import Dialect


def test_places_are_looked_up_in_one_statement_which_is_one_moment() -> None:
    """A balance would be told with cursors of another moment, and be called newer or older than it is."""
    found = statement([(7, "acme"), (9, "a/b")], Dialect.MYSQL)
    assert found.startswith("WITH asked(asked_slot,asked_account) AS (VALUES ROW(7,'acme'),ROW(9,'a/b')) SELECT ")
    cursors, balances, credited = found.split(" UNION ALL ")
    assert cursors.endswith(" FROM cursors")
    assert " STRAIGHT_JOIN balances ON " in balances
    assert " STRAIGHT_JOIN credits ON " in credited


def test_no_place_asks_for_cursors_only() -> None:
    """A table without rows is no statement, and every answer that is remembered would be refused."""
    assert statement([], Dialect.MARIADB).endswith(" FROM cursors")
    assert "VALUES" not in statement([], Dialect.MARIADB)


def test_a_text_that_could_do_harm_is_none() -> None:
    """An account's id would become part of a statement."""
    found = statement([(1, "a' OR '1")], Dialect.MARIADB)
    assert "x'6127204f52202731'" in found
    assert "a' OR" not in found
