"""Pools: numbers of texts in one array, while dictionaries grow and are begun anew."""

import numpy as np

from rules.columns import MISSING, Coded, Dictionary
from rules.pool import Pool


def lengths(texts):
    """Return the length of each text."""
    return np.array([len(text) for text in texts], dtype=np.int64)


def firsts(texts):
    """Return the first byte of each text."""
    return np.array([ord(text[0]) for text in texts], dtype=np.int64)


def found(pool, columns):
    """Return the number of every row of every column."""
    return [
        [int(pool.numbers[pool.first[place] + code]) for code in column.codes.tolist()]
        for place, column in enumerate(columns)
    ]


def test_numbers_stay_right_while_dictionaries_grow():
    """An event would be priced as if it had another event's country."""
    pool = Pool([(lengths, -7), (firsts, 0)])
    left, right = Dictionary(["a", "bb"]), Dictionary(["x"])
    for step in range(200):
        left.append("c" * (step + 3))
        if step % 3 == 0:
            right.append(chr(ord("A") + step % 26) * 2 + str(step))
        columns = [Coded(np.array([MISSING, *range(len(values))], dtype=np.int32), values) for values in (left, right)]
        pool.update(columns)
        assert found(pool, columns) == [[-7, *lengths(left).tolist()], [0, *firsts(right).tolist()]]


def test_another_dictionary_takes_the_place_of_one():
    """After a dictionary was begun anew, its texts would have the numbers of earlier ones."""
    pool = Pool([(lengths, 0)])
    for texts in (["a", "bb", "ccc"], ["dddd"], [], ["a", "bb", "ccc", "dddd", "eeeee"]):
        column = Coded(np.arange(-1, len(texts), dtype=np.int32), texts)
        pool.update([column])
        assert found(pool, [column]) == [[0, *map(len, texts)]]
