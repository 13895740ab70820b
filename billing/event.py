"""Events: the bytes of a log, decoded into columns or rejected with a reason.

Owns the wire form of an event and every bound on it. Must not know prices, shards or stores.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.credit import NO_CREDITS, Credits, taken
from billing.digest import UInt64s
from billing.intern import Interner
from billing.outline import Names, completed, outline
from billing.scan import FIELDS, ID, PADDING, PRODUCT
from billing.texts import texts_at
from billing.wire import VOID, InvalidEventError, PlainEvent, Reason, read_event
from rules.columns import Coded, Decimals, Int32s, Int64s


@attrs.frozen
class Rejected:
    """One event that cannot be billed: where it stands in the log, whose it is (None: unreadable), and why."""

    partition: int
    offset: int
    account: str | None
    reason: Reason
    detail: str
    payload: bytes = attrs.field(repr=False)


@attrs.frozen(eq=False)
class Events:
    """Decoded events of one read of the log, as columns of length n in log order.

    partition: int32[n]; offset: int64[n]; id: strings; account, product: coded, never missing; time_us: int64[n],
    microseconds since 1970-01-01 UTC; quantity: exact decimals >= 0; attributes: a coded column (-1 = absent) for
    each name asked for; digest: uint64[n], XXH3 of the canonical event, equal for repeats and different for
    conflicts; payload: the bytes read; void: bool[n], whether it takes back the event that it is a copy of; credits:
    the terms of those that are credits, or voids of credits, by row.
    """

    partition: Int32s
    offset: Int64s
    id: pa.StringArray
    account: Coded
    product: Coded
    time_us: Int64s
    quantity: Decimals
    attributes: Mapping[str, Coded]
    digest: UInt64s
    payload: pa.BinaryArray
    void: NDArray[np.bool_]
    credits: Credits = NO_CREDITS

    def __len__(self) -> int:
        return len(self.id)

    def take(self, mask: NDArray[np.bool_]) -> "Events":
        """Select events by a boolean mask."""
        if mask.all():
            return self
        rows = np.flatnonzero(mask)
        return Events(
            partition=self.partition[rows],
            offset=self.offset[rows],
            id=texts_at(self.id, rows),
            account=self.account.take(rows),
            product=self.product.take(rows),
            time_us=self.time_us[rows],
            quantity=self.quantity.take(rows),
            attributes={name: column.take(rows) for name, column in self.attributes.items()},
            digest=self.digest[rows],
            payload=texts_at(self.payload, rows),
            void=self.void[rows],
            credits=taken(self.credits, rows),
        )


class Decoder:
    """Decodes payloads into columns; remembers the texts that it has seen, which never changes what comes out.

    names: the attributes to make columns of; payers: those among them that name accounts, which then share the
    numbers of the column of accounts. For one reader of events, not to be shared between threads.
    """

    def __init__(self, names: Iterable[str], payers: Iterable[str] = ()) -> None:
        self._names = Names(sorted({*names, *payers}))
        shared = set(payers)
        attributes = [0 if name in shared else FIELDS + at for at, name in enumerate(self._names.positions)]
        numbers = {one: number for number, one in enumerate(dict.fromkeys([0, PRODUCT, *attributes]))}
        self._interner = Interner([numbers[one] for one in (0, PRODUCT, *attributes)])

    def decode(self, partition: Int32s, offset: Int64s, payload: Sequence[bytes]) -> tuple[Events, list[Rejected]]:
        """Decode n payloads, JSON texts, plain or CloudEvents 1.0 structured; or reject.

        partition: int32[n]; offset: int64[n]. Whether and as what one is accepted never depends on the others.
        """
        padded = pa.array([*payload, PADDING], type=pa.binary())
        found, payloads = outline(padded, self._names), padded[:-1]
        void = np.zeros(len(payload), dtype=np.bool_)
        rejects: list[Rejected] = []
        credits = NO_CREDITS  # noqa: A001 - the noun
        if not found.read.all():
            unusual: dict[int, PlainEvent] = {}
            for row in np.flatnonzero(~found.read).tolist():
                try:
                    unusual[row] = read_event(payload[row])
                except InvalidEventError as error:
                    place = int(partition[row]), int(offset[row])
                    rejects.append(Rejected(*place, error.account, error.reason, error.detail, payload[row]))
            void[[row for row, event in unusual.items() if event.type == VOID]] = True
            found = completed(found, unusual, self._names)
            rows = np.flatnonzero(found.read)
            credits = taken(  # noqa: A001
                {row: event.credit for row, event in unusual.items() if event.credit is not None}, rows
            )
            found, void, payloads = found.take(rows), void[rows], texts_at(payloads, rows)
            partition, offset = partition[rows], offset[rows]
        self._interner.renew()
        account, product, *attributes = found.coded(self._interner)
        events = Events(
            partition=partition,
            offset=offset,
            id=found.texts(ID),
            account=account,
            product=product,
            time_us=found.time_us,
            quantity=found.quantity,
            attributes=dict(zip(self._names.positions, attributes, strict=True)),
            digest=found.digest,
            payload=payloads,
            void=void,
            credits=credits,
        )
        return events, rejects
