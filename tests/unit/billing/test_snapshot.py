"""The statement that reads a shard's cursors and balances at one moment."""

from billing.adapters.snapshot import statements
from billing.keyset import PLACES_MAX


def test_few_places_are_one_statement_which_is_one_moment() -> None:
    """A balance would be told with cursors of another moment, and be called newer or older than it is."""
    (statement,) = statements([(7, "acme"), (9, "a/b")])
    cursors, balances, credited = statement.split(" UNION ALL ")
    assert cursors.endswith(" FROM cursors")
    places = "slot=7 AND account='acme' OR slot=9 AND account='a/b'"
    assert balances.endswith(f" FROM balances WHERE {places}")
    assert credited.endswith(f" FROM credits WHERE {places}")


def test_no_place_asks_for_cursors_only() -> None:
    """A statement would end in WHERE, and every answer that is remembered be refused."""
    (statement,) = statements([])
    assert statement.endswith(" FROM cursors")


def test_many_places_are_statements_of_one_transaction() -> None:
    """A thousand balances would be of several moments, or of one statement that is too long for the server."""
    first, cursors, *parts, last = statements([(number, "a") for number in range(PLACES_MAX + 1)])
    assert (first, last) == ("START TRANSACTION READ ONLY", "COMMIT")
    assert cursors.endswith(" FROM cursors")
    assert [part.count("slot=") for part in parts] == [2 * PLACES_MAX, 2]


def test_a_text_that_could_do_harm_is_none() -> None:
    """An account's id would become part of a statement."""
    (statement,) = statements([(1, "a' OR '1")])
    assert "x'6127204f52202731'" in statement
    assert "a' OR" not in statement
