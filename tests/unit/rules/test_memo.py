"""Memos: answers by keys, whatever else is remembered."""

import numpy as np

from rules.memo import ASKED, QUESTIONS_MAX, Memo, noted, place_of


def answered(memo, keys, answer):
    """Look up keys as a compiled loop does, and answer what is new; returns the answer of each."""
    rows = np.array(keys, dtype=np.int64)
    found = [ASKED] * len(rows)
    while ASKED in found:
        memo.make_room()
        asked = 0
        for row, key in enumerate(rows):
            place = place_of(memo.keys, memo.answers, key)
            found[row] = int(memo.answers[place])
            if found[row] < -1:
                found[row] = ASKED
                asked = noted(memo.keys, memo.answers, memo.questions, asked, place, key, row)
        for place, row in memo.questions[:asked].tolist():
            memo.answer(place, answer(tuple(rows[row].tolist())))
    return found


def test_each_key_is_asked_once_and_keeps_its_answer():
    """Events would be priced by the rule of another combination."""
    memo = Memo(2)
    asked = []

    def answer(key):
        asked.append(key)
        return (key[0] * 31 + key[1]) % 1000 - 1

    keys = [(number % 67, number % 91) for number in range(12_000)]
    for _ in range(2):
        assert answered(memo, keys, answer) == [(a * 31 + b) % 1000 - 1 for a, b in keys]
    assert len(asked) == len(set(asked)) == len(set(keys)) == len(memo)
    assert len(memo) > QUESTIONS_MAX


def test_what_is_forgotten_is_asked_again():
    """A worker's memory would grow with every combination that it has ever seen."""
    memo = Memo(1)
    assert answered(memo, [(1,), (2,), (1,)], lambda key: key[0]) == [1, 2, 1]
    memo.clear()
    assert len(memo) == 0
    assert answered(memo, [(2,), (1,)], lambda key: -key[0] // 2) == [-1, -1]
