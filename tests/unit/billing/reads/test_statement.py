"""Statements: cursors and the order of lines."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.reads.statement import CursorError, RecordedLine, event_and_origin, event_key, key_of, merged, token_of

IDS = st.text("abcXYZ019-_/%*", min_size=1, max_size=64)
KEYS = st.tuples(
    st.dates().map(str), st.one_of(IDS, st.tuples(IDS, IDS).map(" ".join)), st.integers(-(2**15), 2**15 - 1),
    st.integers(0, 65_535),
)  # fmt: skip


@given(KEYS)
def test_a_cursor_comes_back_as_it_was(key):
    """The next page would begin somewhere else."""
    token = token_of(key)
    assert key_of(token) == key
    assert token.isascii()
    assert not {*token} & {*"+/=&?#% "}


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.hex()), KEYS.map(token_of)))
def test_anything_else_is_refused_and_never_a_defect(text):
    """A mistyped cursor would end in a defect."""
    changed = text[:-1]
    try:
        day, event, line, slot = key_of(changed)
    except CursorError:
        return
    assert token_of((day, event, line, slot)).startswith(changed[:4])


MADE_UP = [
    ("2026-01-01", "a'b", 0, 0),
    ("2026-01-01", "a b c", 0, 0),
    ("yesterday", "a", 0, 0),
    ("2026-01-01", "a", 2**15, 0),
    ("2026-01-01", "a", 0, 65_536),
]


@pytest.mark.parametrize("token", ["", "WzFd", "e30", "A" * 401, *map(token_of, MADE_UP)])
def test_cursors_that_were_made_up_are_refused(token):
    """A text of a caller's choice would become part of a query."""
    with pytest.raises(CursorError):
        key_of(token)


def test_events_of_other_accounts_keep_their_names():
    """A reseller could not tell whose event he is charged for."""
    assert event_and_origin(event_key("e1", None)) == ("e1", None)
    assert event_and_origin(event_key("e1", "acme")) == ("e1", "acme")


@given(st.lists(st.lists(KEYS, max_size=6), max_size=4), st.integers(1, 10))
def test_pieces_of_several_places_are_one_list(pieces, limit):
    """Lines of an account on several shards would be out of order."""
    ordered = [[_line(key) for key in sorted(piece, reverse=True)] for piece in pieces]
    found = [line.key for line in merged(ordered, limit)]
    assert found == sorted((key for piece in pieces for key in piece), reverse=True)[:limit]


def _line(key):
    day, event, line, slot = key
    return RecordedLine(slot, day, event, line, 0, "sms", "r", "USD", 1, Decimal(1), Decimal(1), "")
