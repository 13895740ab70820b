"""Eight bytes at a time: what one byte after the other would give, and nothing beside it touched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.eights import (
    EIGHT,
    HIGHS,
    are_same,
    below,
    copy,
    eight,
    eightfold,
    equal,
    first_marked,
    put_digits,
    put_eight,
)


def letters(data):
    """Return bytes as compiled functions take them."""
    return np.frombuffer(data, dtype=np.uint8)


@given(st.binary(max_size=40), st.integers(0, 9), st.integers(0, 9))
def test_a_copy_is_what_it_was_and_nothing_beside(data, before, at):
    """A neighbour's text would be overwritten, or the end of an account cut off."""
    out = np.full(at + len(data) + 9, 255, dtype=np.uint8)
    assert copy(out, at, letters(b"x" * before + data + b"y"), before, before + len(data)) == at + len(data)
    assert out.tobytes() == b"\xff" * at + data + b"\xff" * 9


@given(st.binary(max_size=40), st.data())
def test_texts_differ_by_one_byte_anywhere(data, drawn):
    """Two accounts would get one number."""
    assert are_same(letters(b"ab" + data + b"c"), 2, letters(b"d" + data + b"e"), 1, len(data))
    if data:
        place = drawn.draw(st.integers(0, len(data) - 1))
        other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert not are_same(letters(b"ab" + data), 2, letters(b"d" + other), 1, len(data))


@given(st.binary(min_size=EIGHT, max_size=EIGHT), st.integers(0, 127), st.integers(1, 128))
def test_the_first_byte_that_is_marked(data, wanted, bound):
    """A text would end where it does not, or be read past its end."""
    number = np.uint64(eight(letters(data), 0))
    for marks, places in (
        (equal(number, eightfold(chr(wanted))), [place for place in range(EIGHT) if data[place] == wanted]),
        (below(number, eightfold(chr(bound))), [place for place in range(EIGHT) if data[place] < bound]),
    ):
        found = np.uint64(marks) & HIGHS
        assert bool(found) == bool(places)
        if places:
            assert first_marked(found) == places[0]


@given(st.binary(min_size=EIGHT, max_size=EIGHT), st.integers(0, 3))
def test_eight_bytes_are_written_as_they_were_read(data, at):
    """Text would be sent with its letters in another order."""
    out = np.zeros(12, dtype=np.uint8)
    put_eight(out, at, np.uint64(eight(letters(data), 0)))
    assert out.tobytes() == bytes(at) + data + bytes(4 - at)


@pytest.mark.parametrize("digits", range(1, 21))
def test_digits_of_every_length(digits):
    """An amount would lose a digit."""
    for number in (0, 1, 10 ** (digits - 1), min(10**digits, 2**64) - 1):
        out = np.zeros(digits + 2 * EIGHT, dtype=np.uint8)
        assert put_digits(out, 1, digits, np.uint64(number)) == 1 + digits
        assert out[1 : 1 + digits].tobytes().decode() == f"{number:0{digits}d}"
