"""The work of a comparison: what the events of a log add to the tables, by the product's own path in memory.

Owns the columns and sums that every contender must arrive at. Must not know statements, servers or clocks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from billing.batch import Slice, route_charges
from billing.charge import Charges
from billing.event import Decoder
from billing.ports import Records
from billing.pricing import charge
from billing.rows import BalanceColumns, RollupColumns, table_rows
from rules.book import Book
from rules.columns import PICO_PLACES, Decimals, Int64s
from rules.pricer import Pricer
from sharding.shardmap import ShardMap

_CHECKSUMS = 2**64

Rows = dict[tuple[Any, ...], tuple[int, ...]]  # by primary key


@attrs.define
class Aggregates:
    """Rollups and balances by primary key.

    rollups: (slot, account, rollup, bucket, dims) -> events, quantity and amount in 1e-12, checksum; balances: (slot,
    account, currency) -> events, amount in 1e-12, checksum.
    """

    rollups: Rows = attrs.Factory(dict)
    balances: Rows = attrs.Factory(dict)

    def add(self, rollups: RollupColumns, balances: BalanceColumns) -> None:
        """Add the rows of a batch."""
        amounts = pico(rollups.quantity), pico(rollups.amount)
        keys = rollups.slot, rollups.account, rollups.rollup, rollups.bucket, rollups.dims
        _add(self.rollups, keys, (rollups.events, *amounts, rollups.checksum))
        owners = balances.slot, balances.account, balances.currency
        _add(self.balances, owners, (balances.events, pico(balances.amount), balances.checksum))

    def differences(self, found: "Aggregates") -> int:
        """Return how many rows are missing there, or stand there alone, or have other values."""
        return unlike(self.rollups, found.rollups) + unlike(self.balances, found.balances)


def unlike(expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> int:
    """Return how many keys have not the same value in both."""
    return sum(expected.get(key) != found.get(key) for key in expected.keys() | found.keys())


def pico(column: Decimals) -> list[int]:
    """Return decimals in units of 1e-12."""
    return list(map(int, column.rescaled(PICO_PLACES).units.tolist()))


def _add(rows: Rows, keys: Sequence[Any], values: Sequence[Any]) -> None:
    texts = [column if isinstance(column, list) else column.tolist() for column in (*keys, *values)]
    for row in zip(*texts, strict=True):
        key, new = row[: len(keys)], row[len(keys) :]
        old = rows.get(key)
        if old is not None:
            *sums, checksum = (before + more for before, more in zip(old, new, strict=True))
            new = (*sums, checksum % _CHECKSUMS)
        rows[key] = new


class Pricing:
    """The path from records to the share of each shard."""

    def __init__(self, book: Book, shardmap: ShardMap) -> None:
        """Prepare. Raises: ValueError for a book that counts, whose amounts are known only in the transaction."""
        if any(rule.per is not None for rule in book.rules):
            raise ValueError(f"book {book.name} has cumulative prices; compare by one without")
        self.book = book
        self.shardmap = shardmap
        self._pricer = Pricer(book)
        self._decoder = Decoder(book.attributes, book.payers)

    def charges(self, records: Records) -> Charges:
        """Return what records charge; all of them are good events."""
        events, undecodable = self._decoder.decode(records.partition, records.offset, records.payload)
        charges, refused = charge(events, self._pricer)
        assert not undecodable, "the workload has no faults"
        assert not refused, "nor events without a price"
        return charges

    def whole(self, records: Records) -> list[Slice]:
        """Return the share of one place that has everything."""
        charges = self.charges(records)
        return [Slice(records.spans, charges, np.zeros(len(charges), dtype=np.uint16), ())]

    def slices(self, records: Records) -> list[Slice]:
        """Return each shard's share of records."""
        return route_charges(records.spans, self.charges(records), (), self.shardmap)

    def expected(self, log: Iterable[Records], stops: Sequence[Mapping[int, int]]) -> list[Aggregates]:
        """Return what each shard must hold that has applied each partition up to its stop; stops: of each shard."""
        found = [Aggregates() for _ in stops]
        for records in log:
            for piece, until, aggregates in zip(self.slices(records), stops, found, strict=True):
                charges = piece.charges
                mask = charges.offset < _by_partition(until, charges.partition)
                _, rollups, balances = table_rows(charges.take(mask), piece.slot[mask], self.book)
                aggregates.add(rollups, balances)
        return found


def _by_partition(stops: Mapping[int, int], partition: Any) -> Int64s:  # noqa: ANN401 - int32[n]
    table = np.zeros(max([*stops, *partition.tolist(), 0]) + 1, dtype=np.int64)
    table[list(stops)] = list(stops.values())
    return np.asarray(table[partition])


def of_stream(records: Records, stream: int, streams: int) -> Records:
    """Return the records of a stream's partitions, every so many from its own number on; there may be none of them."""
    mask = records.partition % streams == stream
    payload = [body for body, mine in zip(records.payload, mask.tolist(), strict=True) if mine]
    spans = {partition: span for partition, span in records.spans.items() if partition % streams == stream}
    return Records(records.partition[mask], records.offset[mask], payload, spans)


@attrs.frozen(eq=False)
class SingleEvent:
    """What one event writes where nothing is added up: place, whether it is at home here, and rows as tuples."""

    partition: int
    offset: int
    time_us: int
    home: bool
    records: list[tuple[Any, ...]]
    rollups: list[tuple[Any, ...]]
    balances: list[tuple[Any, ...]]


def single_events(charges: Charges, slot: Any, book: Book) -> Iterator[SingleEvent]:  # noqa: ANN401 - uint16[n]
    """Yield the rows of each event on its own, in log order; records name their tail by its place in `charges.tails`.

    The rows come from one call for all: each event takes the place of a slot, so that nothing of two events is added
    up. At most 65,536 events.
    """
    if not len(charges):
        return
    place = np.stack([charges.partition, charges.offset])
    first = np.append(True, (place[:, 1:] != place[:, :-1]).any(axis=0))
    number = np.cumsum(first) - 1
    assert number[-1] < 2**16, "a slot has 16 bits"
    accounts = charges.account.rows()
    slots = {
        (event, account): own for event, account, own in zip(number.tolist(), accounts, slot.tolist(), strict=True)
    }
    home = np.zeros(number[-1] + 1, dtype=np.bool_)
    np.logical_or.at(home, number, charges.home)
    where = [column[first].tolist() for column in (charges.partition, charges.offset, charges.time_us)]
    events = [
        SingleEvent(partition, offset, time_us, own, [], [], [])
        for partition, offset, time_us, own in zip(*where, home.tolist(), strict=True)
    ]
    record_rows, rollup_rows, balance_rows = table_rows(charges, number.astype(np.uint16), book)
    for event, account, *rest in record_rows.tuples():
        events[event].records.append((slots[event, account], account, *rest))
    for event, account, *rest in rollup_rows.tuples():
        events[event].rollups.append((slots[event, account], account, *rest))
    for event, account, *rest in balance_rows.tuples():
        events[event].balances.append((slots[event, account], account, *rest))
    yield from events
