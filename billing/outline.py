"""Outlines: where in its bytes each field of an event stands, and the columns that this makes.

Owns the way from a scan to columns, for the usual events and for those that were read by other means. Must not know
rules.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from xxhash import xxh64_intdigest

from billing.eights import Bytes
from billing.exact import EXACT
from billing.intern import Interner
from billing.quantity import PLACES_MAX
from billing.scan import ACCOUNT, FIELDS, ID, PLACES, PRODUCT, Columns, Reader, outside_of, read_events
from billing.texts import gathered
from billing.wire import ATTRIBUTES_MAX, PlainEvent
from rules.columns import INT64_LIMIT, Coded, Decimals, Int64s, Units, widened
from rules.compiled import compiled, text_buffers

_POWERS: Final = np.array([10**places for places in range(PLACES_MAX + 1)], dtype=np.int64)
_INT64_MAX: Final = INT64_LIMIT - 1


class Names:
    """The attributes to outline, as the compiled reader looks them up, and room for its use."""

    def __init__(self, names: Sequence[str]) -> None:
        encoded = [name.encode() for name in names]
        self.pool = np.frombuffer(b"".join(encoded) + b"\0", dtype=np.uint8)
        self.bounds = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
        self.room = (  # strangers, begin, length, means and name_hashes of a `Reader`
            np.zeros(ATTRIBUTES_MAX, dtype=np.uint64),
            *np.zeros((3, PLACES), dtype=np.int64),
            np.zeros(PLACES, dtype=np.uint64),
        )
        self.positions: Mapping[str, int] = {name: FIELDS + position for position, name in enumerate(names)}


@attrs.frozen(eq=False)
class Outline:
    """Where n events have their texts, F rows of columns: id, account, product, then the attributes asked for.

    data: the bytes that they stand in; start, stop: int64[F, n], start -1 where an event has no such attribute;
    hashes: uint64[F, n], XXH64 of each text; time_us: int64[n]; units int64[n] (or object), places int8[n]: the
    quantity is `units * 10**-places`; digest: uint64[n]; read: bool[n], false where the other columns mean nothing.
    """

    data: Bytes
    start: Int64s
    stop: Int64s
    hashes: NDArray[np.uint64]
    time_us: Int64s
    units: Units
    places: NDArray[np.int8]
    digest: NDArray[np.uint64]
    read: NDArray[np.bool_]

    def take(self, rows: NDArray[np.intp]) -> "Outline":
        """Select events."""
        if len(rows) == len(self.read):
            return self
        return Outline(
            data=self.data,
            start=self.start[:, rows],
            stop=self.stop[:, rows],
            hashes=self.hashes[:, rows],
            time_us=self.time_us[rows],
            units=self.units[rows],
            places=self.places[rows],
            digest=self.digest[rows],
            read=self.read[rows],
        )

    def texts(self, field: int) -> pa.StringArray:
        """Return the texts of a field that every event has."""
        return gathered(self.data, self.start[field], self.stop[field])

    def coded(self, interner: Interner) -> list[Coded]:
        """Return the fields from ACCOUNT on as columns of the interner's dictionaries."""
        return interner.coded(self.data, self.start[ACCOUNT:], self.stop[ACCOUNT:], self.hashes[ACCOUNT:])

    @property
    def quantity(self) -> Decimals:
        """Return the quantities, at the scale of the finest."""
        if self.units.dtype != object:
            units = np.empty_like(self.units)
            scale = _rescale(self.units, self.places, units)
            if scale >= 0:
                return Decimals(units, scale)
        scale = int(self.places.max()) if len(self.places) else 0
        column = Decimals(self.units, 0)
        if scale and int(self.places.min()) < scale:
            column = Decimals(
                widened(self.units, column.magnitude() * 10**scale) * 10 ** (scale - self.places.astype(np.int64)), 0
            )
        return Decimals(column.units, scale)


def outline(payload: pa.BinaryArray, names: Names) -> Outline:
    """Outline the usual ones among n payloads, behind which stands `PADDING` as one more."""
    data, bounds = text_buffers(payload)
    count, width = len(payload) - 1, FIELDS + len(names.positions)
    numbers = np.empty((2 * width + 2, count), dtype=np.int64)
    digests = np.empty((width + 2, count), dtype=np.uint64)
    found = Outline(
        data=data,
        start=numbers[:width],
        stop=numbers[width:-2],
        hashes=digests[:width],
        time_us=numbers[-2],
        units=numbers[-1],
        places=np.empty(count, dtype=np.int8),
        digest=digests[-2],
        read=np.zeros(count, dtype=np.bool_),
    )
    reader = Reader(found.data, outside_of(data), names.pool, names.bounds, *names.room)
    columns = Columns(
        *(found.start, found.stop, found.hashes, found.time_us, found.units, found.places), attributes=digests[-1]
    )
    read_events(reader, columns, bounds, found.digest, found.read)
    return found


def completed(found: Outline, events: Mapping[int, PlainEvent], names: Names) -> Outline:
    """Return the outline with events added that were read by other means, by row."""
    if not events:
        return found
    extra = bytearray()
    units, read = found.units, found.read.copy()
    for row, event in events.items():
        texts = {ID: event.id, ACCOUNT: event.account, PRODUCT: event.product}
        texts |= {names.positions[name]: text for name, text in event.attributes.items() if name in names.positions}
        found.start[:, row] = found.stop[:, row] = -1
        for field, text in texts.items():
            encoded = text.encode()
            found.start[field, row] = len(found.data) + len(extra)
            extra += encoded
            found.stop[field, row] = len(found.data) + len(extra)
            found.hashes[field, row] = xxh64_intdigest(encoded)
        places = -int(event.quantity.as_tuple().exponent)
        number = int(EXACT.scaleb(event.quantity, places))
        if number >= INT64_LIMIT and units.dtype != object:
            units = units.astype(object)
        units[row], found.places[row], found.time_us[row] = number, places, event.time_us
        found.digest[row], read[row] = event.digest, True
    data = np.concatenate([found.data, np.frombuffer(bytes(extra), dtype=np.uint8)])
    return attrs.evolve(found, data=data, units=units, read=read)


@compiled
def _rescale(units: Int64s, places: NDArray[np.int8], rescaled: Int64s) -> int:
    """Bring units to the scale of the finest; returns it, or -1 where not all of them might fit."""
    scale, least, most = 0, len(_POWERS) - 1, 0
    for row in range(len(units)):
        scale, least = max(scale, places[row]), min(least, places[row])
        most = max(most, abs(units[row]))
    if least < scale and most > _INT64_MAX // _POWERS[scale]:
        return -1
    for row in range(len(units)):
        rescaled[row] = units[row] * _POWERS[scale - places[row]]
    return scale
