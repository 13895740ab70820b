"""Memos for compiled loops: tables from keys of a few integers to one integer.

Owns the table. What a loop does not find it notes and leaves open; Python answers, and the loop goes on from there.
Must not know what keys and answers mean.
"""

from typing import Any, Final

import numpy as np

from rules.columns import Int32s, Int64s
from rules.compiled import compiled, step

ASKED: Final = -2  # an answer that somebody is looking for; answers are -1 and above
_FREE: Final = -3
_ROOM: Final = 1 << 10  # places at first; most books have few combinations
QUESTIONS_MAX: Final = 256  # of one pass, so that room for their answers can be made before it


class Memo:
    """A table with keys of `width` integers; one place more than half of `keys` is always free.

    keys: int64[places, width]; answers: int32[places]; questions: int64[QUESTIONS_MAX, 2], where a loop notes the place
    and the row of what it has not found.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self.questions: Int64s = np.zeros((QUESTIONS_MAX, 2), dtype=np.int64)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._count = 0
        self.keys: Int64s = np.zeros((_ROOM, self._width), dtype=np.int64)
        self.answers: Int32s = np.full(_ROOM, _FREE, dtype=np.int32)

    def __len__(self) -> int:
        return self._count

    def make_room(self) -> None:
        """Make room for the answers to all questions of one pass."""
        if 2 * (self._count + QUESTIONS_MAX) > len(self.keys):
            keys, answers = self.keys, self.answers
            self.keys = np.zeros((2 * len(keys), self._width), dtype=np.int64)
            self.answers = np.full(len(self.keys), _FREE, dtype=np.int32)
            _move(keys, answers, self.keys, self.answers)

    def answer(self, place: int, number: int) -> None:
        """Remember an answer, -1 or above, at the place of its question."""
        self.answers[place] = number
        self._count += 1


@compiled
def place_of(keys: Int64s, answers: Int32s, key: Int64s) -> int:
    """Return the place of a key, or the free place where it belongs."""
    mask = np.uint64(len(keys) - 1)
    place = _hash(key) & mask
    while answers[place] != _FREE:
        same = True
        for word in range(len(key)):
            if keys[place, word] != key[word]:
                same = False
        if same:
            break
        place = (place + np.uint64(1)) & mask
    return int(place)


@compiled
def noted(keys: Int64s, answers: Int32s, questions: Int64s, count: int, place: int, key: Int64s, row: int) -> int:
    """Note a question at its place if it is new and there is room; returns how many there are then."""
    if answers[place] == ASKED or count == len(questions):
        return count
    for word in range(len(key)):
        keys[place, word] = key[word]
    answers[place] = ASKED
    questions[count, 0], questions[count, 1] = place, row
    return count + 1


@step
def _hash(key: Int64s) -> Any:  # noqa: ANN401 - uint64, which mypy would mix with int
    """Mix as splitmix64 does (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014)."""
    value = np.uint64(0)
    for word in range(len(key)):
        value = (value ^ np.uint64(key[word])) + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        value ^= value >> np.uint64(31)
    return value


@compiled
def _move(keys: Int64s, answers: Int32s, to_keys: Int64s, to_answers: Int32s) -> None:
    for place in range(len(keys)):
        if answers[place] != _FREE:
            to = place_of(to_keys, to_answers, keys[place])
            for word in range(keys.shape[1]):
                to_keys[to, word] = keys[place, word]
            to_answers[to] = answers[place]
