"""Cuts: the charges of one read, divided by shard.

Owns that every shard's share is a stretch of columns that are put in order once. Must not know maps or offsets.
"""

from itertools import pairwise

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.charge import Charges
from billing.credit import NO_CREDITS, taken
from billing.texts import texts_at
from rules.columns import Coded, Decimals, Int32s, Int64s
from rules.compiled import compiled, item, put


@attrs.frozen(eq=False)
class Cuts:
    """n parts, m lines, those of a shard side by side, in log order.

    charges: of all shards, whose `part` counts from 0 in each; rows: int64[n], where the parts were; parts, lines:
    lists of shards + 1, where each shard's begin.
    """

    charges: Charges
    rows: Int64s
    parts: list[int]
    lines: list[int]

    def share(self, shard: int) -> Charges:
        """Return what one shard has of the charges; columns are not copied."""
        return _stretch(self.charges, slice(*self.parts[shard : shard + 2]), slice(*self.lines[shard : shard + 2]))


def cut(charges: Charges, shard: NDArray[np.int16], shards: int) -> Cuts:
    """Divide charges; shard: int16[n], of each part, from 0 to below `shards`."""
    rows, firsts = np.empty(len(charges), dtype=np.int64), np.empty(len(charges) + 1, dtype=np.int64)
    lines, part = np.empty(len(charges.part), dtype=np.int64), np.empty(len(charges.part), dtype=np.int32)
    bounds = np.empty((2, shards + 2), dtype=np.int64)
    _cut(shard, charges.part, firsts, rows, lines, part, bounds)
    parts_at, lines_at = bounds[:, :-1].tolist()
    if len(charges) in [stop - start for start, stop in pairwise(parts_at)]:  # one shard has all
        return Cuts(charges, rows, parts_at, lines_at)
    return Cuts(_reordered(charges, rows, lines, part), rows, parts_at, lines_at)


def _reordered(charges: Charges, rows: Int64s, lines: Int64s, part: Int32s) -> Charges:
    return Charges(
        partition=charges.partition[rows],
        offset=charges.offset[rows],
        key=texts_at(charges.key, rows),
        account=charges.account.take(rows),
        time_us=charges.time_us[rows],
        digest=charges.digest[rows],
        home=charges.home[rows],
        void=charges.void[rows],
        kept=texts_at(charges.kept, rows),
        payload=texts_at(charges.payload, rows),
        attributes={name: column.take(rows) for name, column in charges.attributes.items()},
        part=part,
        line=charges.line[lines],
        tail=charges.tail[lines],
        tails=charges.tails,
        quantity=charges.quantity.take(lines),
        amount=charges.amount.take(lines),
        counter=charges.counter[lines],
        counters=charges.counters,
        use=charges.use.take(lines),
        credits=taken(charges.credits, rows) if charges.credits else NO_CREDITS,
    )


def _stretch(charges: Charges, parts: slice, lines: slice) -> Charges:
    first, stop = parts.start, parts.stop
    credits_ = {part - first: terms for part, terms in charges.credits.items() if first <= part < stop}
    return Charges(
        partition=charges.partition[parts],
        offset=charges.offset[parts],
        key=charges.key.slice(first, stop - first),
        account=Coded(charges.account.codes[parts], charges.account.values),
        time_us=charges.time_us[parts],
        digest=charges.digest[parts],
        home=charges.home[parts],
        void=charges.void[parts],
        kept=charges.kept.slice(first, stop - first),
        payload=charges.payload.slice(first, stop - first),
        attributes={name: Coded(one.codes[parts], one.values) for name, one in charges.attributes.items()},
        part=charges.part[lines],
        line=charges.line[lines],
        tail=charges.tail[lines],
        tails=charges.tails,
        quantity=Decimals(charges.quantity.units[lines], charges.quantity.scale),
        amount=Decimals(charges.amount.units[lines], charges.amount.scale),
        counter=charges.counter[lines],
        counters=charges.counters,
        use=Decimals(charges.use.units[lines], charges.use.scale),
        credits=credits_,
    )


@compiled
def _cut(
    shard: NDArray[np.int16],
    part: Int32s,
    firsts: Int64s,
    rows: Int64s,
    lines: Int64s,
    new_part: Int32s,
    bounds: Int64s,
) -> None:
    """Sort parts by shard, and lines with them.

    part: int32[m], ascending; firsts: room for where each part's lines begin; rows, lines: where those in the new order
    were; new_part: of each line in the new order, in its shard; bounds: int64[2, shards + 2], where each shard's parts
    and lines begin (the last column is room).
    """
    for place in range(bounds.shape[1]):
        bounds[0, place] = 0
    for row in range(len(shard)):
        bounds[0, shard[row] + 2] += 1
    for place in range(2, bounds.shape[1]):
        bounds[0, place] += bounds[0, place - 1]
    for row in range(len(shard)):  # column 1 + shard: where its next part goes
        here = bounds[0, shard[row] + 1]
        put(rows, here, row)
        bounds[0, shard[row] + 1] = here + 1
    for line in range(len(part) - 1, -1, -1):
        put(firsts, part[line], line)
    put(firsts, len(shard), len(part))
    at = 0
    for one in range(bounds.shape[1] - 1):
        bounds[1, one] = at
        if one + 1 >= bounds.shape[1] - 1:
            break
        for place in range(bounds[0, one], bounds[0, one + 1]):
            for line in range(item(firsts, rows[place]), item(firsts, rows[place] + 1)):
                put(lines, at, line)
                put(new_part, at, place - bounds[0, one])
                at += 1
