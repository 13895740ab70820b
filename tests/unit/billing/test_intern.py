"""Interning: one number for equal texts, whatever came before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from billing.intern import TEXTS_MAX, Interner
from rules.columns import texts_of


def coded(interner, texts, hashes=None):
    """Encode texts (None: missing) as the outline gives them: bytes somewhere in a buffer, with their hashes."""
    encoded = [b"" if text is None else text.encode() for text in texts]
    stop = np.cumsum([len(one) for one in encoded], dtype=np.int64)
    start = stop - np.array([len(one) for one in encoded], dtype=np.int64)
    missing = np.array([text is None for text in texts], dtype=bool)
    start[missing] = stop[missing] = -1
    digests = [xxh64_intdigest(one) for one in encoded] if hashes is None else hashes
    data = np.frombuffer(b"".join(encoded) + b"\0", dtype=np.uint8)
    (column,) = interner.coded(data, start[None], stop[None], np.array([digests], dtype=np.uint64))
    return column


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.lists(st.none() | st.text(max_size=3))))
def test_rows_come_back_and_numbers_stay(batches):
    """A charge would go to another account than the event's."""
    interner = Interner()
    columns = [coded(interner, batch) for batch in batches]
    assert [column.rows() for column in columns] == batches
    (dictionary,) = interner.dictionaries
    assert len(set(dictionary)) == len(dictionary)
    assert all(column.values is dictionary for column in columns)


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


def test_texts_stay_when_a_dictionary_is_begun_anew():
    """A batch that waits for its shard would be charged to accounts of a later one."""
    interner = Interner()
    texts = [f"{number:06}" for number in range(TEXTS_MAX)]
    before = coded(interner, texts)
    known = before.values.derived(texts_of)
    interner.renew()
    coded(interner, [f"x{number:05}" for number in range(TEXTS_MAX)])
    assert known.to_pylist() == texts
    assert before.rows() == texts


def test_columns_share_a_dictionary_or_have_their_own():
    """An account that an attribute names would be another one than the account of events."""
    data = np.frombuffer(b"abab", dtype=np.uint8)
    start = np.array([[0, 1], [2, -1], [3, 2]], dtype=np.int64)
    hashes = np.array([[1, 2], [1, 0], [2, 1]], dtype=np.uint64)
    interner = Interner([0, 1, 0])
    account, product, payer = interner.coded(data, start, start + 1, hashes)
    assert (account.rows(), product.rows(), payer.rows()) == (["a", "b"], ["a", None], ["b", "a"])
    assert account.values is payer.values
    assert account.values is not product.values
    assert (list(account.values), list(product.values)) == (["a", "b"], ["a"])


def test_only_the_full_dictionary_is_begun_anew():
    """What is known of countries would be computed again because of many accounts."""
    interner = Interner([0, 1])
    texts = [f"{number}" for number in range(TEXTS_MAX)]
    stop = np.cumsum([len(text) for text in texts], dtype=np.int64)
    start = stop - np.array([len(text) for text in texts])
    data = np.frombuffer("".join(texts).encode(), dtype=np.uint8)
    hashes = np.array([xxh64_intdigest(text.encode()) for text in texts], dtype=np.uint64)
    one = np.zeros_like(start)
    many, few = interner.coded(
        data, np.array([start, one]), np.array([stop, one + 1]), np.array([hashes, one.astype(np.uint64)])
    )
    interner.renew()
    assert [later is before.values for later, before in zip(interner.dictionaries, (many, few), strict=True)] == [
        False,
        True,
    ]
