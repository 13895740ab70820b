"""Interning: one number for equal texts, whatever came before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from billing.intern import TEXTS_MAX, Interner


def coded(interner, texts, hashes=None):
    """Encode texts (None: missing) as the outline gives them: bytes somewhere in a buffer, with their hashes."""
    encoded = [b"" if text is None else text.encode() for text in texts]
    stop = np.cumsum([len(one) for one in encoded], dtype=np.int64)
    start = stop - np.array([len(one) for one in encoded], dtype=np.int64)
    missing = np.array([text is None for text in texts], dtype=bool)
    start[missing] = stop[missing] = -1
    digests = [xxh64_intdigest(one) for one in encoded] if hashes is None else hashes
    data = np.frombuffer(b"".join(encoded) + b"\0", dtype=np.uint8)
    return interner.coded(data, start, stop, np.array(digests, dtype=np.uint64))


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.lists(st.none() | st.text(max_size=3))))
def test_rows_come_back_and_numbers_stay(batches):
    """A charge would go to another account than the event's."""
    interner = Interner()
    columns = [coded(interner, batch) for batch in batches]
    assert [column.rows() for column in columns] == batches
    assert len(set(interner.dictionary)) == len(interner.dictionary)
    assert all(column.values is interner.dictionary for column in columns)


def test_texts_with_equal_hashes_stay_apart():
    """Two accounts whose hashes collide would share a balance."""
    column = coded(Interner(), ["a", "b", "a", "ab"], hashes=[7, 7, 7, 7])
    assert column.rows() == ["a", "b", "a", "ab"]
    assert column.codes.tolist() == [0, 1, 0, 2]


def test_it_grows_past_its_first_room():
    """More accounts than expected would overwrite each other."""
    texts = [f"acct-{number}" for number in range(20_000)]
    interner = Interner()
    assert coded(interner, texts).codes.tolist() == list(range(20_000))
    assert coded(interner, texts[::-1]).rows() == texts[::-1]


@pytest.mark.parametrize("count", [TEXTS_MAX - 1, TEXTS_MAX])
def test_a_full_dictionary_is_begun_anew(count):
    """A worker's memory would grow with every account that it has ever seen."""
    interner = Interner()
    before = coded(interner, [f"{number}" for number in range(count)])
    interner.renew()
    after = coded(interner, ["x"])
    assert (after.values is before.values) == (count < TEXTS_MAX)
    assert (before.rows()[:2], after.rows()) == (["0", "1"], ["x"])
