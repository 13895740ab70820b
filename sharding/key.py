"""The key: text or bytes -> 64-bit hash -> slot.

Owns the slot function and its version. Must not know shards: which shard holds a slot is the map's matter.
"""

from collections.abc import Iterable, Sequence
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

SLOTS: Final = 65536  # 2**16: a slot fits uint16, and 30 shards still move load in steps of 1/2000 of a shard
KEY_VERSION: Final = 1  # names the function below; another function or another SLOTS is another version and a full move

Slots = NDArray[np.uint16]


def hash64(values: Sequence[str] | Sequence[bytes]) -> NDArray[np.uint64]:
    """Hash each value to 64 bits.

    values: texts (hashed as UTF-8) or bytes, n of them. Returns uint64[n].
    XXH3 64-bit with seed 0 and the default secret, as the xxHash specification defines it.
    """
    encoded = map(str.encode, cast("Sequence[str]", values)) if values and isinstance(values[0], str) else values
    return np.fromiter(map(xxh3_64_intdigest, cast("Iterable[bytes]", encoded)), dtype=np.uint64, count=len(values))


def slot_of(values: Sequence[str] | Sequence[bytes]) -> Slots:
    """Map each value to its slot: `hash64(value) mod SLOTS`.

    values: texts (hashed as UTF-8) or bytes, n of them. Returns uint16[n].
    """
    return (hash64(values) % np.uint64(SLOTS)).astype(np.uint16)


def slot_of_one(value: bytes) -> int:
    """Map one value to its slot, as `slot_of` does, without arrays."""
    return xxh3_64_intdigest(value) % SLOTS
