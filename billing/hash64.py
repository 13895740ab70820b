"""The hash of texts inside events: XXH64 with seed 0, as the xxHash specification defines it, in compiled loops.

Owns the arithmetic only. Source: xxHash fast digest algorithm, specification 0.1.1, section XXH64.
"""

from typing import Any, Final

import numpy as np

from billing.eights import Bytes, eight
from rules.compiled import compiled, item, step

_P1: Final = np.uint64(0x9E3779B185EBCA87)
_P2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_P3: Final = np.uint64(0x165667B19E3779F9)
_P4: Final = np.uint64(0x85EBCA77C2B2AE63)
_P5: Final = np.uint64(0x27D4EB2F165667C5)
_STRIPE: Final = 32
_LANE: Final = 8
_HALF: Final = 4


@compiled
def hash64(data: Bytes, start: int, stop: int) -> Any:  # noqa: ANN401 - uint64, which mypy would mix with int
    """Return XXH64 of `data[start:stop]` as uint64."""
    at = start
    if stop - start >= _STRIPE:
        a, b, c, d = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
        while stop - at >= _STRIPE:
            a = _round(a, eight(data, at))
            b = _round(b, eight(data, at + 8))
            c = _round(c, eight(data, at + 16))
            d = _round(d, eight(data, at + 24))
            at += _STRIPE
        h = _rotated(a, 1) + _rotated(b, 7) + _rotated(c, 12) + _rotated(d, 18)
        for accumulator in (a, b, c, d):
            h = (h ^ _round(np.uint64(0), accumulator)) * _P1 + _P4
    else:
        h = _P5
    h += np.uint64(stop - start)
    while stop - at >= _LANE:
        h = _rotated(h ^ _round(np.uint64(0), eight(data, at)), 27) * _P1 + _P4
        at += _LANE
    if stop - at >= _HALF:
        h = _rotated(h ^ (_half(data, at) * _P1), 23) * _P2 + _P3
        at += _HALF
    while at < stop:
        h = _rotated(h ^ (np.uint64(item(data, at)) * _P5), 11) * _P1
        at += 1
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return h ^ (h >> np.uint64(32))


@step
def _round(accumulator: Any, lane: Any) -> Any:  # noqa: ANN401
    return _rotated(accumulator + lane * _P2, 31) * _P1


@step
def _rotated(value: Any, bits: int) -> Any:  # noqa: ANN401
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@step
def _half(data: Bytes, at: int) -> Any:  # noqa: ANN401
    return (
        np.uint64(item(data, at))
        | (np.uint64(item(data, at + 1)) << np.uint64(8))
        | (np.uint64(item(data, at + 2)) << np.uint64(16))
        | (np.uint64(item(data, at + 3)) << np.uint64(24))
    )
