"""Deduplication: which parts of a batch are new, which are repeats, and which are in conflict with another body.

Owns the identity of a part, (slot, charged account, UTC day, key). Must not know SQL text or connections.
"""

from collections.abc import Collection, Mapping

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from billing.batch import Slice
from billing.charge import Bools, Charges
from billing.event import Rejected
from billing.moment import DAY_US
from billing.order import Order
from billing.texts import texts_at
from billing.voids import Known, Target, uncounted_rule
from billing.wire import Reason
from rules.book import Book

Place = tuple[int, int]  # partition, offset


@attrs.frozen
class PartKey:
    """Where a part's records are: slot, charged account, UTC day number, event key; void: all its lines are wanted."""

    slot: int
    account: str
    day: int
    key: str
    void: bool = attrs.field(default=False, eq=False)


def part_keys(batch: Slice) -> list[PartKey]:
    """Return where the parts of a slice would have their records, each place once."""
    keys = _part_keys(batch, np.arange(len(batch.charges)))
    return list(({key: key for key in keys} | {key: key for key in keys if key.void}).values())


def _part_keys(batch: Slice, rows: NDArray[np.intp]) -> list[PartKey]:
    charges, values = batch.charges, batch.charges.account.values
    columns = (
        batch.slot[rows].tolist(),
        charges.account.codes[rows].tolist(),
        (charges.time_us[rows] // DAY_US).tolist(),
        texts_at(charges.key, rows).to_pylist(),
        charges.void[rows].tolist(),
    )
    return [PartKey(slot, values[code], day, key, void) for slot, code, day, key, void in zip(*columns, strict=True)]


@attrs.frozen
class _Seen:
    """What is known of a part while a batch is walked through; target: what a void would take back."""

    digest: int
    target: Target
    voided: bool


def distinct(
    batch: Slice,
    book: Book,
    existing: Mapping[PartKey, Known],
    refusals: Mapping[Place, tuple[Reason, str]],
    order: Order,
) -> tuple[Bools, Bools, list[Rejected], dict[int, Target]]:
    """Return which parts to write, which others go to quarantine, their rejects (one an event), and voids' targets.

    order: of the parts of the batch.
    """
    keep = np.ones(len(batch.charges), dtype=np.bool_)
    refused = np.zeros(len(batch.charges), dtype=np.bool_)
    if not (existing or refusals or order.voids) and order.twins is None:  # as in most batches
        return keep, refused, [], {}
    rows = _suspicious(batch.charges, existing, refusals, order)
    rejects, targets = _sifted(batch, book, existing, refusals, rows, keep, refused)
    if rejects:
        refused |= _all_of(batch.charges, rejects)
        keep &= ~refused
    return keep, refused, list(rejects.values()), targets


def _sifted(
    batch: Slice,
    book: Book,
    existing: Mapping[PartKey, Known],
    refusals: Mapping[Place, tuple[Reason, str]],
    rows: NDArray[np.intp],
    keep: Bools,
    refused: Bools,
) -> tuple[dict[Place, Rejected], dict[int, Target]]:
    """Mark those of the rows, in log order, that are not to be kept; return rejects, and what voids take back."""
    charges = batch.charges
    rejects: dict[Place, Rejected] = {}
    targets: dict[int, Target] = {}
    seen = {key: _Seen(known.digest, known, known.voided) for key, known in existing.items()}
    for row, key in zip(rows.tolist(), _part_keys(batch, rows), strict=True):
        place = int(charges.partition[row]), int(charges.offset[row])
        digest, found = int(charges.digest[row]), seen.get(key)
        why = refusals.get(place)
        if why is not None:
            if why[0] is Reason.OVERFLOW:  # its repeats in this batch count as ever, whatever they charge
                seen.setdefault(key, _Seen(digest, None, voided=False))
        elif key.void and (found is None or (found.digest == digest and not found.voided)):
            target = None if found is None else found.target
            why = _uncounted(charges, row, target, book)
            if why is None:
                targets[row], seen[key] = target, _Seen(digest, None, voided=True)
                continue
        elif found is None:
            seen[key] = _Seen(digest, row, voided=False)
            continue
        elif charges.home[row] and found.digest != digest:
            why = Reason.CONFLICT, "an event with this account, day and id but another body was billed before"
        keep[row] = False
        if why is not None:
            refused[row] = True
            rejects.setdefault(place, Rejected(*place, key.account, *why, charges.payload[row].as_py()))
    return rejects, targets


def _all_of(charges: Charges, rejects: Collection[Place]) -> Bools:
    """Return which parts belong to refused events, of which nobody is charged, or voids, of which nobody gets back."""
    mask = np.zeros(len(charges), dtype=np.bool_)
    for row in np.flatnonzero(~charges.home | charges.void).tolist():
        mask[row] = (int(charges.partition[row]), int(charges.offset[row])) in rejects
    return mask


def _uncounted(charges: Charges, row: int, target: Target, book: Book) -> tuple[Reason, str] | None:
    rule = uncounted_rule(charges, row, target, book) if isinstance(target, Known) else None
    if rule is None:
        return None
    return Reason.UNCOUNTED, f"the event was counted by rule {rule}, which does not price it any more; correct the book"


def _suspicious(
    charges: Charges, existing: Mapping[PartKey, Known], refusals: Collection[Place], order: Order
) -> NDArray[np.intp]:
    """Return the parts that may not be written, or are voids, in log order.

    The others: the key stands twice, or is known, or is refused.
    """
    mask = charges.void if order.twins is None else charges.void | order.twins
    if existing:
        known = pa.array(sorted({key.key for key in existing}), type=pa.string())
        mask = mask | pc.is_in(charges.key, value_set=known).to_numpy(zero_copy_only=False)
    for partition, offset in refusals:
        mask = mask | (charges.partition == partition) & (charges.offset == offset)
    return np.flatnonzero(mask)
