"""Digests: 64-bit hashes by which two bodies of an event, or two copies of a shard, are compared.

Owns what counts as the same body (values, not how they were written) and the order-free checksum of lines.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh64_intdigest

from billing.exact import pico_of
from rules.columns import PICO_PLACES, Decimals, Int32s
from rules.compiled import compiled, step

UInt64s = NDArray[np.uint64]
UINT64_MASK: Final = 2**64 - 1
_TIME, _QUANTITY = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # odd: each keeps all 64 bits apart


def event_digest_of(texts: Sequence[str], attributes: Mapping[str, str], time_us: int, quantity: Decimal) -> int:
    """Hash one event by value: equal for repeats, however they were written, and different for other bodies.

    texts: id, account, product and type. XXH64 of each text, mixed; attributes are added up, so their order is nothing.
    """
    total = 0
    for name, value in attributes.items():
        total += int(attribute_digest(_hash(name), _hash(value)))
    pico = pico_of(quantity) & UINT64_MASK
    hashes = *map(_hash, texts), np.uint64(total & UINT64_MASK)
    return int(event_digest(hashes, time_us, np.uint64(pico)))


def _hash(text: str) -> np.uint64:
    return np.uint64(xxh64_intdigest(text.encode()))


@compiled
def event_digest(hashes: tuple[Any, ...], time_us: int, pico: Any) -> Any:  # noqa: ANN401 - uint64, not int
    """Mix the hashes of id, account, product, type and attributes with time and quantity (1e-12, mod 2^64)."""
    digest = mixed(np.uint64(time_us) * _TIME ^ pico * _QUANTITY)
    for value in hashes:
        digest = mixed(digest ^ value) + _TIME
    return digest


@compiled
def attribute_digest(name: Any, value: Any) -> Any:  # noqa: ANN401
    """Return the digest of one attribute from the hashes of its name and value."""
    return mixed(mixed(name) ^ value)


def line_checksums(digest: UInt64s, line: Int32s, amount: Decimals) -> UInt64s:
    """Hash lines so that sums mod 2^64 of these hashes compare sets of lines whatever their order.

    digest: uint64[m], of the line's event; line: int32[m], its number; amount: m decimals.
    """
    checksums: UInt64s = _mixed(digest ^ (_pico(amount) * _QUANTITY) ^ (line.astype(np.uint64) << np.uint64(32)))
    return checksums


def _pico(column: Decimals) -> UInt64s:
    """Return units of 1e-12 mod 2^64, the same for a value whatever the scale of its column."""
    if column.units.dtype == object:
        factor = 10 ** (PICO_PLACES - column.scale)
        return np.array([int(unit) * factor & UINT64_MASK for unit in column.units], dtype=np.uint64)
    return column.units.view(np.uint64) * np.uint64(10 ** (PICO_PLACES - column.scale))


def _mixed(value: Any) -> Any:  # noqa: ANN401 - uint64 or a column of them
    """Finalise as splitmix64 does (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


mixed: Final = compiled(_mixed)


@step
def line_checksum(digest: Any, line: int, pico: Any) -> Any:  # noqa: ANN401 - uint64, not int
    """Hash one line as `line_checksums` does; pico: its amount in 1e-12 mod 2^64."""
    return mixed(digest ^ (pico * _QUANTITY) ^ (np.uint64(line) << np.uint64(32)))
