"""Closing: what accounts owe for a period that has ended beyond what they were charged, posted as lines like others.

Owns the line that settles a minimum: its name, number, time and amount, and the counter that makes it happen once.
Must not know SQL text or connections, nor which minimum holds for whom.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.charge import Charges
from billing.digest import event_digest_of
from billing.fold import Transaction
from billing.rows import NO_ROWS, table_rows
from billing.tail import Tail
from billing.tiers import TierColumns, TierKey, TierKeys, used_of
from rules.book import Book
from rules.columns import MISSING, PICO_PLACES, Coded, Decimals, Dictionary
from rules.commitment import Minimum, settled_as
from rules.cumulative import Used

PRODUCT: Final = "period minimum"  # no event's product, since it has a space


@attrs.frozen
class Due:
    """A counter whose period has ended.

    period: its start in seconds, time_us: its last microsecond, both since 1970-01-01 UTC; minimum: what is owed for it
    at least, None for nothing.
    """

    slot: int
    account: str
    rule: str
    period: int
    currency: str
    time_us: int
    minimum: Minimum | None

    @property
    def key(self) -> TierKey:
        """The counter of what events were charged."""
        return self.slot, self.account, self.rule, self.period

    @property
    def posted_key(self) -> TierKey:
        """The counter of what was posted for it."""
        return self.slot, self.account, settled_as(self.rule), self.period

    def missing_pico(self, charged_pico: int, events: int) -> int:
        """Return what is missing to the minimum, in 1e-12; charged_pico, events: by and in how many of the period."""
        if self.minimum is None or not (events or self.minimum.promised):
            return 0
        return max(self.minimum.pico - charged_pico, 0)


@attrs.frozen
class Posting:
    """One line that settles a minimum: the `number`th of its counter.

    charged_pico: by the events of the period; before_pico: posted earlier; amount_pico: now. Units of 1e-12.
    """

    due: Due
    number: int
    charged_pico: int
    before_pico: int
    amount_pico: int

    @property
    def key(self) -> str:
        """Return what stands in the place of the event: two spaces keep it apart from every event's key."""
        return f"{settled_as(self.due.rule)} {self.due.period:d}"


@attrs.frozen(eq=False, kw_only=True)
class Closing(Transaction):
    """A transaction that settles minimums; it moves no cursor.

    due: counters to settle, distinct, None once they are; postings: what was written for them.
    """

    book: Book
    due: Sequence[Due] | None
    postings: Sequence[Posting] = ()

    @property
    def counters(self) -> TierKeys | None:
        """Each due counter, and the one that counts what was posted for it."""
        return None if self.due is None else _keys(sorted(key for one in self.due for key in (one.key, one.posted_key)))

    def settled(self, before: Used) -> "Closing":
        """Return the finished transaction, which posts only what is still missing, or was posted too much."""
        keys = self.counters
        assert self.due is not None, "settled once"
        assert keys is not None, "as it is due"
        row_of = {key: row for row, key in enumerate(keys.tuples())}
        quantity, amount = (column.rescaled(PICO_PLACES).units.tolist() for column in (before.quantity, before.amount))
        events, postings = before.events.tolist(), []
        for due in self.due:
            charged, posted = row_of[due.key], row_of[due.posted_key]
            difference = due.missing_pico(amount[charged], events[charged]) - amount[posted]
            if difference:
                events[posted] += 1
                postings.append(Posting(due, events[posted], amount[charged], amount[posted], difference))
                amount[posted] += difference
        charges = _charges(postings, self.book)
        slots = np.array([one.due.slot for one in postings], dtype=np.uint16)
        records, rollups, balances = table_rows(charges, slots, self.book)
        return attrs.evolve(
            self,
            records=records,
            rollups=rollups,
            balances=balances,
            tiers=TierColumns(keys, used_of(quantity, events, amount)),
            due=None,
            postings=postings,
        )


def closing(due: Sequence[Due], book: Book, map_version: int) -> Closing:
    """Return the transaction that settles these counters; safe to repeat, since it posts differences."""
    records, rollups, balances = NO_ROWS
    return Closing(
        log="",
        map_version=map_version,
        book_version=book.version,
        moves=(),
        records=records,
        rollups=rollups,
        balances=balances,
        quarantine=(),
        book=book,
        due=due,
    )


def _keys(keys: Sequence[TierKey]) -> TierKeys:
    slot, account, rule, period = zip(*keys, strict=True)
    return TierKeys(
        np.array(slot, dtype=np.uint16),
        pa.array(account, type=pa.string()),
        pa.array(rule, type=pa.string()),
        np.array(period, dtype=np.int64),
    )


def _charges(postings: Sequence[Posting], book: Book) -> Charges:
    """Return a part for each posting, of one line; not numbered 0, so that it does not count as an event."""
    tails: dict[Tail, int] = {}
    tail = [tails.setdefault(_tail(one.due, book), len(tails)) for one in postings]
    count, none = len(postings), np.zeros(len(postings), dtype=np.int64)
    return Charges(
        partition=none.astype(np.int32),
        offset=none,
        key=pa.array([one.key for one in postings], type=pa.string()),
        account=Coded.of([one.due.account for one in postings]),
        time_us=np.array([one.due.time_us for one in postings], dtype=np.int64),
        digest=np.array([_digest(one) for one in postings], dtype=np.uint64),
        home=np.ones(count, dtype=np.bool_),
        void=np.zeros(count, dtype=np.bool_),
        kept=pa.array([""] * count, type=pa.string()),
        payload=_no_payloads(count),
        attributes={},
        part=np.arange(count, dtype=np.int32),
        line=np.array([one.number for one in postings], dtype=np.int32),
        tail=np.array(tail, dtype=np.int32),
        tails=Dictionary(tails),
        quantity=Decimals(none, 0),
        amount=Decimals.of_integers([one.amount_pico for one in postings], PICO_PLACES),
        counter=np.full(count, MISSING, dtype=np.int32),
        counters=(),
        use=Decimals(none, 0),
    )


def _tail(due: Due, book: Book) -> Tail:
    dims = tuple(
        msgspec.json.encode([PRODUCT if name == "product" else None for name in rollup.by]).decode()
        for rollup in book.rollups
    )
    return Tail(PRODUCT, settled_as(due.rule), due.currency, book.version, dims)


def _digest(posting: Posting) -> int:
    texts = posting.key, posting.due.account, PRODUCT, ""
    return event_digest_of(texts, {}, posting.due.time_us, Decimal(0))


def _no_payloads(count: int) -> NDArray[Any]:
    payloads = np.empty(count, dtype=np.object_)
    payloads[:] = b""
    return payloads
