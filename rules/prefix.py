"""Prefixes: which of many prefixes is the longest that a text begins with.

Owns the lookup, for whole columns and for single texts. Must not know tables or conditions.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rules.columns import MISSING, Int32s, Int64s, texts_of
from rules.compiled import compiled, item, text_buffers

UInt8s = NDArray[np.uint8]
KEY_BITS_MAX: Final = 62  # of an int64: the sign, and one bit that tells the end of an interval from a text


class PrefixIndex:
    """Finds the longest of some distinct prefixes, none of them empty.

    Every byte that occurs in a prefix is a symbol of a few bits, and all other bytes are one more symbol; so the first
    bytes of a text, as many as the longest prefix has, make an integer. (Twelve digits take 48 bits.) The texts that
    begin with a prefix are an interval of integers; intervals lie in one another or apart, and cut up into pieces they
    need one binary search. Where the integers would not fit, each length is tried in a dict.
    """

    def __init__(self, prefixes: Sequence[str]) -> None:
        alphabet = sorted(set("".join(prefixes).encode()))
        self._width = max((len(prefix.encode()) for prefix in prefixes), default=0)
        # Beyond the alphabet: the end, any other byte, and one above all that no text has: intervals end with it.
        self._bits = (len(alphabet) + 2).bit_length()
        self._symbols = np.full(256, len(alphabet) + 1, dtype=np.uint8)
        self._symbols[alphabet] = np.arange(1, len(alphabet) + 1)
        self._by_text: dict[str, int] = {}
        self._lengths: list[int] = []
        self._starts: Int64s = np.zeros(0, dtype=np.int64)
        self._rows: Int32s = np.full(1, MISSING, dtype=np.int32)
        if self._width * self._bits <= KEY_BITS_MAX:
            self._cut(prefixes)
        else:
            self._by_text = {prefix: row for row, prefix in enumerate(prefixes)}
            self._lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)

    def rows(self, texts: Sequence[str]) -> Int32s:
        """Return the number of each text's longest prefix, or MISSING: int32[texts]."""
        if self._lengths:
            return np.fromiter(map(self._row_by_length, texts), np.int32, len(texts))
        keys, below = np.empty(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.int64)
        _read_keys(*text_buffers(texts_of(texts)), self._symbols, self._width, self._bits, keys)
        _count_below(keys, self._starts, below)
        return self._rows[below]

    def row(self, text: str) -> int:
        """Return the number of one text's longest prefix, or MISSING."""
        if self._lengths:
            return self._row_by_length(text)
        return int(self._rows[np.searchsorted(self._starts, self._keys([text])[0], side="right")])

    def _row_by_length(self, text: str) -> int:
        found = (self._by_text.get(text[:length]) for length in self._lengths)
        return next((row for row in found if row is not None), MISSING)

    def _keys(self, texts: Sequence[str]) -> Int64s:
        """Return what `_read_keys` writes: int64[texts]; without it, since who reads a book may call no other loop."""
        heads, width = [text.encode()[: self._width] for text in texts], max(self._width, 1)
        letters = np.array(heads, dtype=f"S{width}").view(np.uint8).reshape(len(heads), width)
        lengths = np.fromiter(map(len, heads), np.int64, len(heads))
        keys = np.zeros(len(heads), dtype=np.int64)
        for place in range(self._width):
            keys = keys << self._bits | np.where(place < lengths, self._symbols[letters[:, place]], 0)
        return keys << 1

    def _cut(self, prefixes: Sequence[str]) -> None:
        """Cut the intervals up: texts from `_starts[i - 1]` on, below `_starts[i]`, have the prefix `_rows[i]`."""
        lengths = np.fromiter((len(prefix.encode()) for prefix in prefixes), np.int64, len(prefixes))
        starts = self._keys(prefixes)
        ends = starts + (np.int64(2) << (self._bits * (self._width - lengths))) - 1
        order = np.argsort(starts)
        shorter = np.full(len(prefixes), MISSING, dtype=np.int32)  # the longest prefix of each, other than itself
        for length in np.unique(lengths).tolist():
            outer = order[lengths[order] == length]
            within = order[lengths[order] > length]
            nearest = outer[np.searchsorted(starts[outer], starts[within], side="right") - 1]
            inside = (starts[nearest] < starts[within]) & (starts[within] < ends[nearest])
            shorter[within[inside]] = nearest[inside]
        # Texts have even keys and intervals odd ends, no two of which are alike: all cuts are different.
        cuts: NDArray[np.int64] = np.concatenate([starts, ends])
        order = np.argsort(cuts)
        self._starts = cuts[order]
        rows = np.concatenate([np.arange(len(prefixes), dtype=np.int32), shorter])[order]
        self._rows = np.concatenate([self._rows, rows])


@compiled
def _read_keys(letters: UInt8s, ends: Int32s, symbols: UInt8s, width: int, bits: int, keys: Int64s) -> None:
    """Write the integer of each text's first bytes: `width` symbols of `bits` bits, and a bit for `_cut`'s odd ends."""
    for row in range(len(keys)):
        start, length = ends[row], min(ends[row + 1] - ends[row], width)
        key = np.int64(0)
        for place in range(length):
            key = key << bits | np.int64(item(symbols, item(letters, start + place)))
        keys[row] = key << (bits * (width - length) + 1)


@compiled
def _count_below(keys: Int64s, starts: Int64s, below: Int64s) -> None:
    """Add to `below`, zeros at first, how many of the ascending starts are not above each key.

    All keys are searched for at once, step by step: none waits for another, and no branch is foretold wrongly. That
    takes a fifth of the time of one binary search after another.
    """
    count = len(starts)
    while count:
        half = (count + 1) >> 1
        for at in range(len(keys)):
            middle = below[at] + half
            below[at] = middle if item(starts, middle - 1) <= keys[at] else below[at]
        count -= half
