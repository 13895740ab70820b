"""Words: eight bytes of text at a time, the first one lowest.

Owns the arithmetic only. Source: S. E. Anderson, Bit Twiddling Hacks, "Determine if a word has a zero byte": of the
bits that a test marks, one in a byte, only those above the lowest may be wrong.
"""

from typing import Any, Final

import numpy as np

from rules.compiled import compiled

_QUOTE, _BACKSLASH, _APOSTROPHE, _BACKTICK, _BLANK, _DELETE = map(ord, "\"\\'` \x7f")
_EACH, _HIGHEST = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_PLACES: Final = np.uint64(0x0001020304050607)  # times 1 << 8 * k, it has k in its highest byte


@compiled
def text_bytes(word: Any) -> int:  # noqa: ANN401 - uint64, which mypy would mix with int
    """Return how many of the first bytes are ASCII that may stand in a text of JSON as it is."""
    return _before(_odd_in_text(word))


@compiled
def identifier_bytes(word: Any) -> int:  # noqa: ANN401
    """Return how many of the first bytes may be in an identifier."""
    odd = _equal(word, _BLANK) | _equal(word, _APOSTROPHE) | _equal(word, _BACKTICK) | _equal(word, _DELETE)
    return _before(_odd_in_text(word) | odd)


@compiled
def _odd_in_text(word: Any) -> Any:  # noqa: ANN401
    return _below(word, _BLANK) | _equal(word, _QUOTE) | _equal(word, _BACKSLASH) | word


@compiled
def _below(word: Any, byte: int) -> Any:  # noqa: ANN401
    return (word - _EACH * np.uint64(byte)) & ~word


@compiled
def _equal(word: Any, byte: int) -> Any:  # noqa: ANN401
    return _below(word ^ (_EACH * np.uint64(byte)), 1)


@compiled
def _before(odd: Any) -> int:  # noqa: ANN401
    """Return how many bytes stand before the first marked one."""
    marks = odd & _HIGHEST
    if marks == 0:
        return 8
    lowest = marks & (np.uint64(0) - marks)
    return int(((lowest >> np.uint64(7)) * _PLACES) >> np.uint64(56))
