"""Columns as literals: what a server takes out of them for each row is what the column has there."""

import json
import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.columntext import decimals_at, integers_at, literals_at, row_numbers
from rules.columns import Decimals

LITERAL = re.compile(rb"(?:_binary |(x))'([^']*)'")
PLACE = re.compile(rb"n\*(\d+),(\d+)\)")
INT64 = st.integers(-(2**63), 2**63 - 1)


def sent(expression):
    """Return the SQL text of an expression."""
    return b"".join(expression)


def taken(expression, rows):
    """Return what a server finds in each row; only what is written here is understood."""
    values, rest = _taken(sent(expression), rows)
    assert not rest
    return values


def _taken(text, rows):
    if text.startswith(b"RTRIM("):
        values, rest = _taken(text.removeprefix(b"RTRIM("), rows)
        return [value.rstrip(b" ") for value in values], _after(b")", rest)
    if text.startswith(b"ELT("):
        numbers, rest = _taken(text.removeprefix(b"ELT("), rows)
        choice = []
        while rest[:1] == b",":
            letters, rest = _letters(rest[1:])
            choice.append(letters)
        assert all(int(number) > 0 for number in numbers)
        return [choice[int(number) - 1] for number in numbers], _after(b")", rest)
    if not text.startswith(b"SUBSTR("):
        letters, rest = _letters(text)
        return [letters] * rows, rest
    letters, rest = _letters(text.removeprefix(b"SUBSTR(").replace(b"_binary x'", b"x'", 1))
    rest = _after(b",", rest)
    if place := PLACE.match(rest):
        starts, widths = [int(place[1]) * n for n in range(1, rows + 1)], [int(place[2])] * rows
        rest = rest[place.end() :]
    else:
        starts, rest = _taken(rest, rows)
        widths, rest = _taken(_after(b",", rest), rows)
        rest = _after(b")", rest)
    places = zip(map(int, starts), map(int, widths), strict=True)
    return [letters[start - 1 : start - 1 + width] if start else b"" for start, width in places], rest


def _letters(text):
    found = LITERAL.match(text)
    return bytes.fromhex(found[2].decode()) if found[1] else found[2], text[found.end() :]


def _after(mark, text):
    assert text.startswith(mark)
    return text.removeprefix(mark)


@settings(deadline=None)  # the first call compiles
@given(st.lists(INT64, min_size=1), st.integers(0, 18))
def test_decimals_are_exact(units, scale):
    """An amount would be written as another one."""
    found = taken(decimals_at(Decimals(np.array(units, dtype=np.int64), scale)), len(units))
    assert [Decimal(one.decode()) for one in found] == [Decimal(unit).scaleb(-scale) for unit in units]
    assert not any(b"e" in one.lower() for one in found)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(-(10**38), 10**38), min_size=1), st.integers(0, 20))
def test_decimals_of_any_size_are_exact(units, scale):
    """A batch with one huge amount would be refused, or charge something else."""
    found = taken(decimals_at(Decimals(np.array(units, dtype=object), scale)), len(units))
    assert [Decimal(one.decode()) for one in found] == [
        Decimal(f"{'-' if unit < 0 else ''}{abs(unit) // 10**scale}.{abs(unit) % 10**scale:0{max(scale, 1)}d}")
        for unit in units
    ]


@settings(deadline=None)  # the first call compiles
@given(st.lists(INT64, min_size=1))
def test_integers_keep_their_signs(values):
    """A line of a void, which is below zero, would be that of its event."""
    assert [int(one) for one in taken(integers_at(np.array(values, dtype=np.int64)), len(values))] == values


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_unsigned_integers_keep_all_their_bits(values):
    """Digests would differ from those of the worker, and repeats be taken for conflicts."""
    assert [int(one) for one in taken(integers_at(np.array(values, dtype=np.uint64)), len(values))] == values


TEXT = st.text(max_size=5) | st.sampled_from(["a", "b ", " ", "", "'", "\\", "long enough to be sent once", "x" * 300])


@settings(deadline=None)  # the first call compiles
@given(st.lists(TEXT, min_size=1), st.sampled_from([1, 5, 80]), st.booleans())
def test_texts_of_any_bytes_are_those_of_their_rows(texts, times, coded):
    """An event would be recorded under another id, or an attribute end the statement and begin one of its own."""
    texts = texts * times
    array = pa.array(texts, type=pa.string())
    expression = literals_at(array.dictionary_encode() if coded else array)
    assert taken(expression, len(texts)) == [text.encode() for text in texts]
    outside = LITERAL.sub(b"", sent(expression))
    for word in (b"SUBSTR", b"RTRIM", b"ELT", b"_binary"):
        outside = outside.replace(word, b"")
    assert not set(outside) - set(b"n*,( )0123456789")


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 200), st.integers(1, 1_000), st.integers(0, 2**32))
def test_any_number_of_texts_may_be_chosen_from(distinct, rows, seed):
    """The 65th product of a batch would be another one, or a batch of few rows be sent more texts than it has."""
    names = [f"account-{number * 7919}" for number in range(distinct)]
    codes = np.random.default_rng(seed).integers(0, distinct, rows).astype(np.int32)
    expression = literals_at(pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names)))
    assert taken(expression, rows) == [names[code].encode() for code in codes]
    used = len(set(codes.tolist()))
    assert sent(expression).startswith(b"ELT(") == (1 < used <= min(64, rows // 4))


@pytest.mark.parametrize(
    ("texts", "sql"),
    [
        (["ab", "cd", "ef"], b"SUBSTR(_binary ' abcdef',n*2,2)"),
        (["", ""], b"_binary ''"),
        (["ab", "ab", "ab"], b"_binary 'ab'"),
        (["a'", "a'"], b"x'6127'"),
        (["a'", "b'"], b"SUBSTR(_binary x'2061276227',n*2,2)"),
        (["abc", "d", "e"], b"RTRIM(SUBSTR(_binary '  abcd  e  ',n*3,3))"),
        (["abc", "abc", "d "], b"SUBSTR(_binary 'abcd ',SUBSTR(_binary '114',n*1,1),SUBSTR(_binary '332',n*1,1))"),
        (["abc", "d"] * 4, b"ELT(SUBSTR(_binary '12121212',n*1,1),_binary 'abc',_binary 'd')"),
        (["a'", "d"] * 4, b"ELT(SUBSTR(_binary '12121212',n*1,1),x'6127',x'64')"),
    ],
)
def test_texts_are_this_sql(texts, sql):
    """Servers would be sent more than they need, or what they do not know."""
    assert sent(literals_at(pa.array(texts).dictionary_encode())) == sql


def test_one_long_text_does_not_widen_all_rows():
    """A batch would be as large as if every event had the longest attributes."""
    texts = [f"kept-{number}" for number in range(100)] + ["x" * 4_000]
    assert len(sent(literals_at(pa.array(texts)))) < 10_000
    assert taken(literals_at(pa.array(texts)), 101) == [text.encode() for text in texts]


def test_a_slice_of_a_column_is_what_is_written():
    """Rows of another shard would be sent."""
    assert taken(literals_at(pa.array(["'", "bb", "ccc", "d"]).slice(1, 2)), 2) == [b"bb", b"ccc"]


def test_a_number_has_the_width_of_the_widest():
    """All rows from a shorter number on would have parts of their neighbours' numbers."""
    assert sent(integers_at(np.array([7, -10], dtype=np.int16))) == b"SUBSTR(_binary '00007-10',n*3,3)"
    assert sent(decimals_at(Decimals(np.array([5, 123], dtype=np.int64), 2))) == b"SUBSTR(_binary '0000.051.23',n*4,4)"


def test_a_number_that_all_rows_have_is_sent_once():
    """A column of zeros would take as much of a packet, and of the server, as any other."""
    assert sent(integers_at(np.array([-7, -7]))) == b"_binary '-7'"
    assert sent(integers_at(np.array([2**64 - 1] * 2, dtype=np.uint64))) == b"_binary '18446744073709551615'"
    assert sent(decimals_at(Decimals(np.array([-5, -5], dtype=np.int64), 2))) == b"_binary '-0.05'"


def test_there_is_a_number_for_each_row():
    """Rows would be lost."""
    text = row_numbers(3).decode()
    assert text == "JSON_TABLE('[0,0,0]','$[*]' COLUMNS(n FOR ORDINALITY)) k"
    assert len(json.loads(re.search(r"'(\[.*?\])'", text)[1])) == 3
