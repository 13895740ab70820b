"""Tiers: what accounts have used of their cumulative prices, as rows of `tiers`, and what a batch adds to them.

Owns which counters a batch needs, in primary-key order, and the rows that it leaves. Must not know prices (`rules`
settles what a use costs), SQL text or connections.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from billing.charge import Charges
from billing.rows import zipped
from billing.texts import texts_at
from rules.book import Book
from rules.columns import MISSING, PICO_PLACES, Decimals, Int32s, Int64s
from rules.cumulative import Used

TierKey = tuple[int, str, str, int]  # slot, account, rule, period


@attrs.frozen(eq=False)
class TierKeys:
    """Primary keys of g rows of `tiers`, sorted.

    slot uint16, account, rule (its id), period int64 (start, seconds since 1970-01-01 UTC).
    """

    slot: NDArray[np.uint16]
    account: pa.StringArray
    rule: pa.StringArray
    period: Int64s

    def __len__(self) -> int:
        return len(self.slot)

    def tuples(self) -> Iterator[TierKey]:
        """Yield slot, account, rule and period of each row."""
        return zipped(self.slot, self.account, self.rule, self.period)


@attrs.frozen(eq=False)
class TierColumns:
    """Rows of `tiers` as a transaction leaves them: the whole of what was used, not what the batch added."""

    keys: TierKeys
    used: Used

    def __len__(self) -> int:
        return len(self.keys)

    def tuples(self) -> Iterator[tuple[Any, ...]]:
        """Yield slot, account, rule, period, quantity text, events, amount text of each row."""
        keys, used = self.keys, self.used
        return zipped(keys.slot, keys.account, keys.rule, keys.period, used.quantity, used.events, used.amount)


@attrs.frozen(eq=False)
class Counted:
    """What a batch counts: g counters in primary-key order, and k uses of them in log order.

    keys: of the counters; rule: int32[g], index into Book.counted_rules; line: int64[k], the line of the charges
    that is settled by the use; counter: int32[k], row of keys; use: k decimals, what is added.
    """

    keys: TierKeys
    rule: Int32s
    line: Int64s
    counter: Int32s
    use: Decimals


def count(charges: Charges, slot: NDArray[np.uint16], book: Book) -> Counted | None:
    """Return what charges count, None where every amount is final; slot: uint16[n], one a part."""
    if not charges.counters:
        return None
    line = np.flatnonzero(charges.counter != MISSING)
    if not len(line):
        return None
    part = charges.part[line]
    used, code = np.unique(charges.account.codes[part], return_inverse=True)
    accounts = pa.array([charges.account.values[one] for one in used.tolist()], type=pa.string())
    places = pc.array_sort_indices(accounts).to_numpy()
    account_rank = np.empty(len(accounts), dtype=np.int64)
    account_rank[places] = np.arange(len(accounts))
    ids = [book.counted_rules[one.rule].id for one in charges.counters]
    order = sorted(range(len(ids)), key=lambda one: (ids[one], charges.counters[one].period))  # ids are ASCII
    counter_rank = np.empty(len(ids), dtype=np.int64)
    counter_rank[order] = np.arange(len(ids))
    owner = slot[part].astype(np.int64) * len(accounts) + account_rank[code]
    key, counter = np.unique(owner * len(ids) + counter_rank[charges.counter[line]], return_inverse=True)
    owner, rank = np.divmod(key, len(ids))
    named = [charges.counters[one] for one in order]
    keys = TierKeys(
        slot=(owner // len(accounts)).astype(np.uint16),
        account=texts_at(accounts, places[owner % len(accounts)]),
        rule=texts_at(pa.array([ids[one] for one in order], type=pa.string()), rank),
        period=np.array([one.period for one in named], dtype=np.int64)[rank],
    )
    rule = np.array([one.rule for one in named], dtype=np.int32)[rank]
    return Counted(keys, rule, line, counter.astype(np.int32), charges.use.take(line))


def used_of(quantity_pico: Sequence[int], events: Sequence[int], amount_pico: Sequence[int]) -> Used:
    """Return the state that a store has read, row by row; quantity and amount in 1e-12."""
    return Used(
        Decimals.of_integers(quantity_pico, PICO_PLACES),
        np.array(events, dtype=np.int64),
        Decimals.of_integers(amount_pico, PICO_PLACES),
    )


_NONE: Final = np.zeros(0, dtype=np.int64)
_NO_TEXTS: Final = pa.array([], type=pa.string())
NO_TIERS: Final = TierColumns(
    TierKeys(_NONE.astype(np.uint16), _NO_TEXTS, _NO_TEXTS, _NONE), used_of([], [], [])
)  # of a batch whose prices are linear
