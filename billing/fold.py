"""Folding: a slice becomes one transaction, in which each row of each table is touched at most once.

Owns what a transaction is made of. A transaction with cumulative prices is finished by
its store, with a pure call between two packets (`Transaction.settled`). Must not know SQL text or connections.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.batch import Slice
from billing.charge import Bools, Charges
from billing.credit_rows import CreditRow, credit_rows
from billing.dedupe import PartKey, Place, distinct
from billing.event import Rejected
from billing.order import Order, part_order
from billing.rows import NO_ROWS, BalanceColumns, RecordColumns, RollupColumns, table_rows
from billing.tiers import NO_TIERS, Counted, TierColumns, TierKeys, count
from billing.voids import Known, Target, settle_in_order, taken_back
from billing.wire import Reason
from rules.book import Book
from rules.columns import Decimals, Int32s, Int64s
from rules.compiled import compiled
from rules.cumulative import Used

_OVERFLOW: Final = "the quantity or the amount has more than 26 digits before the point"
_COUNTS: Final = 4  # of each partition's parts


@attrs.frozen
class CursorMove:
    """One partition's cursor: from the offset last written to after the last one read, and what lies between.

    accepted, duplicates, quarantined: counts of events whose home is this shard; time_us_max: latest event time in
    it, or None.
    """

    partition: int
    start: int
    stop: int
    accepted: int
    duplicates: int
    quarantined: int
    time_us_max: int | None


@attrs.frozen(eq=False)
class Draft:
    """What it takes to settle a transaction: which counters it needs, and what it was folded from."""

    counted: Counted
    charges: Charges
    reverses: Int64s
    slot: NDArray[np.uint16]
    batch: Slice
    book: Book
    existing: Mapping[PartKey, Known]
    poison: Mapping[Place, str]
    overflowing: frozenset[Place]
    order: Order


@attrs.frozen(eq=False)
class Transaction:
    """What one shard transaction writes: all of it or nothing, and only if the cursors stand where `moves` start.

    draft: None once every amount is final. Until then there are no rows of records, rollups and balances, and the store
    must read the state of `counters` in the transaction that writes, so that nobody changes it in between, and call
    `settled`. One that moves no cursor is no batch of events: it is written if no cursor has a newer map or book.
    """

    log: str
    map_version: int
    book_version: int
    moves: Sequence[CursorMove]
    records: RecordColumns
    rollups: RollupColumns
    balances: BalanceColumns
    quarantine: Sequence[Rejected]
    credits: Sequence[CreditRow] = ()
    tiers: TierColumns = NO_TIERS
    draft: Draft | None = None

    @property
    def counters(self) -> TierKeys | None:
        """The counters whose state `settled` must be told of, None once every amount is final."""
        return None if self.draft is None else self.draft.counted.keys

    @property
    def events(self) -> int:
        """Return the number of events that this transaction settles on their home shard."""
        return sum(move.accepted + move.duplicates + move.quarantined for move in self.moves)

    def settled(self, before: Used) -> "Transaction":
        """Return the finished transaction.

        before: the state of each counter in the order of `counters`, zeros for one that was never used. An
        event whose charge would overflow goes to quarantine, and nobody in this batch is charged for it.
        """
        assert self.draft is not None, "settled once"
        draft, counted = self.draft, self.draft.counted
        after = settle_in_order(draft.book, counted, before, draft.charges, draft.reverses)
        if after.overflow is not None and after.overflow.any():
            part = draft.charges.part[counted.line[after.overflow]]
            places = zip(draft.charges.partition[part].tolist(), draft.charges.offset[part].tolist(), strict=True)
            return self._without(places, before)
        amount = _replaced(draft.charges.amount, counted.line, after.amount)
        charges = attrs.evolve(draft.charges, amount=amount)
        records, rollups, balances = table_rows(charges, draft.slot, draft.book, draft.order)
        tiers = TierColumns(counted.keys, after.used)
        return attrs.evolve(self, records=records, rollups=rollups, balances=balances, tiers=tiers, draft=None)

    def _without(self, places: Iterable[Place], before: Used) -> "Transaction":
        """Settle without these events; what they alone would have counted stays as it was."""
        assert self.draft is not None, "only a draft overflows"
        draft, keys = self.draft, self.draft.counted.keys
        refused = draft.overflowing.union(places)
        rest = fold(draft.batch, draft.book, self.log, self.map_version, draft.existing, draft.poison, refused)
        if rest.draft is None:
            return attrs.evolve(rest, tiers=TierColumns(keys, before))
        row_of = {key: row for row, key in enumerate(keys.tuples())}
        rows = np.array([row_of[key] for key in rest.draft.counted.keys.tuples()], dtype=np.intp)
        finished = rest.settled(before.take(rows))
        used = finished.tiers.used
        merged = Used(
            _replaced(before.quantity, rows, used.quantity),
            _replaced_integers(before.events, rows, used.events),
            _replaced(before.amount, rows, used.amount),
        )
        return attrs.evolve(finished, tiers=TierColumns(keys, merged))


def fold(
    batch: Slice,
    book: Book,
    log: str,
    map_version: int,
    existing: Mapping[PartKey, Known],
    poison: Mapping[Place, str],
    overflowing: frozenset[Place] = frozenset(),
) -> Transaction:
    """Fold a slice into a transaction.

    existing: parts that the shard already has, those that a void concerns with their lines; poison: (partition, offset)
    of events that the store refused on their own, with its words; overflowing: of events whose amount turned out too
    large when it was settled. A repeat with an equal digest is dropped; with another digest its home part is
    quarantined. A void takes back what is recorded under its key. One that was not told of any record stands in the
    place of its event, so that the two collide if there is a record after all.
    """
    refusals = dict.fromkeys(overflowing, (Reason.OVERFLOW, _OVERFLOW))
    refusals |= {place: (Reason.STORE_REJECTED, words) for place, words in poison.items()}
    order = part_order(batch.charges, batch.slot)
    keep, refused, rejects, targets = distinct(batch, book, existing, refusals, order)
    quarantine = sorted([*batch.rejects, *rejects], key=lambda one: (one.partition, one.offset))
    moves = _moves(batch, keep, refused, quarantine)
    charges, slot = batch.charges, batch.slot
    if not keep.all():
        charges, slot = charges.take(keep), slot[keep]
        order = part_order(charges, slot)
    charges, reverses = taken_back(charges, _renumbered(targets, keep))
    counted = count(charges, slot, book)
    draft = None
    if counted is not None:
        draft = Draft(counted, charges, reverses, slot, batch, book, existing, dict(poison), overflowing, order)
    records, rollups, balances = table_rows(charges, slot, book, order) if draft is None else NO_ROWS
    return Transaction(
        log=log,
        map_version=map_version,
        book_version=book.version,
        moves=moves,
        records=records,
        rollups=rollups,
        balances=balances,
        quarantine=quarantine,
        credits=credit_rows(charges, slot),
        draft=draft,
    )


def _renumbered(targets: Mapping[int, Target], keep: Bools) -> dict[int, Target]:
    """Return the targets with parts numbered as they stand among those that are kept."""
    if not targets:
        return {}
    place_of = (np.cumsum(keep) - 1).tolist()
    assert all(keep[to] for row, to in targets.items() if keep[row] and isinstance(to, int)), "as refused as its event"
    return {place_of[row]: place_of[to] if isinstance(to, int) else to for row, to in targets.items() if keep[row]}


def _replaced(column: Decimals, rows: NDArray[np.intp], values: Decimals) -> Decimals:
    """Return the column with other values at some rows, at the finer of both scales."""
    scale = max(column.scale, values.scale)
    old, new = column.rescaled(scale).units, values.rescaled(scale).units
    units = old.astype(object if object in (old.dtype, new.dtype) else np.int64)
    units[rows] = new
    return Decimals(units, scale)


def _replaced_integers(column: Int64s, rows: NDArray[np.intp], values: Int64s) -> Int64s:
    replaced = column.copy()
    replaced[rows] = values
    return replaced


def _moves(batch: Slice, keep: Bools, refused: Bools, quarantine: Sequence[Rejected]) -> list[CursorMove]:
    spans, charges = sorted(batch.spans.items()), batch.charges
    counts = np.zeros((len(spans), _COUNTS), dtype=np.int64)
    partitions = np.array([partition for partition, _ in spans], dtype=np.int64)
    _count_events(charges.partition, charges.home, keep, refused, charges.time_us, partitions, counts)
    quarantined = Counter(reject.partition for reject in quarantine) if quarantine else {}
    return [
        CursorMove(
            partition,
            span.start,
            span.stop,
            accepted,
            duplicates,
            quarantined.get(partition, 0),
            latest if any_ else None,
        )
        for (partition, span), (accepted, duplicates, any_, latest) in zip(spans, counts.tolist(), strict=True)
    ]


@compiled
def _count_events(
    partition: Int32s, home: Bools, keep: Bools, refused: Bools, time_us: Int64s, partitions: Int64s, counts: Int64s
) -> None:
    """Count the parts of each partition: accepted at home, repeats at home, all; and tell their latest time.

    partitions: int64[p], ascending; counts: int64[p, 4].
    """
    for part in range(len(partition)):
        low, high = 0, len(partitions)
        while low < high:
            place = (low + high) // 2
            if partitions[place] < partition[part]:
                low = place + 1
            else:
                high = place
        if low == len(partitions) or partitions[low] != partition[part]:
            continue
        if home[part] and keep[part]:
            counts[low, 0] += 1
        elif home[part] and not refused[part]:
            counts[low, 1] += 1
        counts[low, 2] += 1
        counts[low, 3] = max(counts[low, 3], time_us[part])
