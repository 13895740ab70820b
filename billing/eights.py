"""Eights: bytes that are read, compared, searched, copied and written eight at a time, as one number.

Owns these steps, of which loops over texts are made; the first byte is the lowest of the number. Must not know what
the bytes mean.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rules.compiled import compiled, item, put, step

Bytes = NDArray[np.uint8]
EIGHT: Final = 8
ONES, HIGHS = np.uint64(0x0101_0101_0101_0101), np.uint64(0x8080_8080_8080_8080)  # the same in each of eight bytes
POWERS: Final = np.array([10**exponent for exponent in range(20)], dtype=np.uint64)
_EIGHT_DIGITS: Final = np.uint64(10**EIGHT)


def eightfold(letter: str) -> np.uint64:
    """Return a number that has the same byte eight times."""
    return np.uint64(ord(letter)) * ONES


@compiled
def eight(letters: Bytes, at: int) -> Any:  # noqa: ANN401 - uint64
    """Read eight bytes; the compiler makes one access of it."""
    return (
        np.uint64(item(letters, at))
        | np.uint64(item(letters, at + 1)) << np.uint64(8)
        | np.uint64(item(letters, at + 2)) << np.uint64(16)
        | np.uint64(item(letters, at + 3)) << np.uint64(24)
        | np.uint64(item(letters, at + 4)) << np.uint64(32)
        | np.uint64(item(letters, at + 5)) << np.uint64(40)
        | np.uint64(item(letters, at + 6)) << np.uint64(48)
        | np.uint64(item(letters, at + 7)) << np.uint64(56)
    )


@compiled
def put_eight(out: Bytes, at: int, number: Any) -> None:  # noqa: ANN401 - uint64
    """Write eight bytes."""
    put(out, at, np.uint8(number))
    put(out, at + 1, np.uint8(number >> np.uint64(8)))
    put(out, at + 2, np.uint8(number >> np.uint64(16)))
    put(out, at + 3, np.uint8(number >> np.uint64(24)))
    put(out, at + 4, np.uint8(number >> np.uint64(32)))
    put(out, at + 5, np.uint8(number >> np.uint64(40)))
    put(out, at + 6, np.uint8(number >> np.uint64(48)))
    put(out, at + 7, np.uint8(number >> np.uint64(56)))


@compiled
def copy(out: Bytes, at: int, letters: Bytes, start: int, stop: int) -> int:
    """Copy `letters[start:stop]` to `out[at:]`, and nothing beside; returns where it ends."""
    end = at + stop - start
    if stop - start < EIGHT:
        for place in range(stop - start):
            put(out, at + place, item(letters, start + place))
        return end
    while start + EIGHT < stop:
        put_eight(out, at, eight(letters, start))
        start, at = start + EIGHT, at + EIGHT
    put_eight(out, end - EIGHT, eight(letters, stop - EIGHT))  # some of it for the second time
    return end


@compiled
def are_same(left: Bytes, start: int, right: Bytes, begin: int, length: int) -> bool:
    """Tell whether `left[start:start + length]` and `right[begin:begin + length]` are equal."""
    if length < EIGHT:
        for place in range(length):  # noqa: SIM110 - compiled, which generators are not
            if item(left, start + place) != item(right, begin + place):
                return False
        return True
    for place in range(0, length - EIGHT, EIGHT):
        if eight(left, start + place) != eight(right, begin + place):
            return False
    last = length - EIGHT
    return bool(eight(left, start + last) == eight(right, begin + last))


@compiled
def below(number: Any, bound: Any) -> Any:  # noqa: ANN401 - uint64
    """Mark the bytes below that of a bound, at most 128 each. The lowest mark is right; those above may be wrong.

    Marks are the highest bits of bytes; what else is set means nothing. Source of this and the next: Sean Eron
    Anderson, Bit Twiddling Hacks, "Determine if a word has a byte less than n", "... equal to n".
    """
    return (number - bound) & ~number


@compiled
def equal(number: Any, wanted: Any) -> Any:  # noqa: ANN401 - uint64
    """Mark the bytes that are those of another number, as `below` does."""
    return below(number ^ wanted, ONES)


@compiled
def first_marked(marks: Any) -> int:  # noqa: ANN401 - uint64
    """Return the place of the lowest mark, from 0 on; marks: other than 0, and none beside the highest bits of bytes.

    The bits below the lowest mark fill its byte and those before, which a multiplication counts.
    """
    filled = ((marks & (~marks + np.uint64(1))) - np.uint64(1)) & ONES
    return int((filled * ONES) >> np.uint64(56)) - 1


@compiled
def put_digits(out: Bytes, at: int, digits: int, number: Any) -> int:  # noqa: ANN401 - uint64
    """Write the last digits of a number, as many as told; returns where they end, after which eight bytes may change.

    What comes before the last eights of digits is written as eight digits without those that are too many.
    """
    end = at + digits
    if digits <= EIGHT:
        put_eight(out, at, _digits(number) >> np.uint64(8 * (EIGHT - digits)))
        return end
    high = number // _EIGHT_DIGITS
    if digits <= 2 * EIGHT:
        put_eight(out, at, _digits(high) >> np.uint64(8 * (2 * EIGHT - digits)))
    else:
        highest = high // _EIGHT_DIGITS
        put_eight(out, at, _digits(highest) >> np.uint64(8 * (3 * EIGHT - digits)))
        put_eight(out, end - 2 * EIGHT, _digits(high - highest * _EIGHT_DIGITS))
    put_eight(out, end - EIGHT, _digits(number - high * _EIGHT_DIGITS))
    return end


@step
def _digits(number: Any) -> Any:  # noqa: ANN401 - uint64
    """Return the eight digits of a number below 10^8 as text, the first one lowest: halves, pairs, digits at once.

    A division is a multiplication: x * 10486 >> 20 is x // 100 below 10,000, and x * 103 >> 10 is x // 10 below 100.
    """
    high = number // np.uint64(10_000)
    halves = high | (number - high * np.uint64(10_000)) << np.uint64(32)
    tops = (halves * np.uint64(10_486) >> np.uint64(20)) & np.uint64(0x7F_0000_007F)
    pairs = (halves - np.uint64(100) * tops) << np.uint64(16) | tops
    tens = (pairs * np.uint64(103) >> np.uint64(10)) & np.uint64(0x000F_000F_000F_000F)
    return (tens | (pairs - np.uint64(10) * tens) << np.uint64(8)) + np.uint64(0x3030_3030_3030_3030)
