"""Running state: counters kept in memory, for who prices a stretch of log without a database.

Owns that state and its order: events are settled as they come. Memory grows with the counters that are in use.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from rules.book import Book
from rules.columns import MISSING, PICO_PLACES, Decimals, Lines, Priced, Reject
from rules.cumulative import Used, settle
from rules.pricer import OVERFLOW

Key = tuple[str, int, int]  # charged account, index of the rule, start of the period in seconds


@attrs.frozen
class Held:
    """What one counter holds: quantity and amount in 1e-12, and in how many uses."""

    quantity_pico: int = 0
    events: int = 0
    amount_pico: int = 0


class Running:
    """The counters of one book, all of them empty at first."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._held: dict[Key, Held] = {}

    def held(self, key: Key) -> Held:
        """Return what a counter holds."""
        return self._held.get(key, Held())

    def hold(self, key: Key, held: Held) -> None:
        """Set what a counter holds."""
        self._held[key] = held

    def settle(self, priced: Priced) -> Priced:
        """Give the lines with a counter their amounts and add to the counters; events that overflow are rejected."""
        while (priced.lines.counter != MISSING).any():
            settled, refused = self._settled(priced.lines)
            if not len(refused):
                return attrs.evolve(priced, lines=settled)
            rejects = [*priced.rejects, *(Reject(row, "overflow", OVERFLOW) for row in refused.tolist())]
            kept = _lines_at(priced.lines, ~np.isin(priced.lines.event, refused))
            priced = Priced(kept, sorted(rejects, key=lambda reject: reject.event))
        return priced

    def _settled(self, lines: Lines) -> tuple[Lines, NDArray[Any]]:
        """Return the lines with their amounts, or the events that overflow, of which nothing is then counted."""
        rows = np.flatnonzero(lines.counter != MISSING)
        pairs = lines.account.codes[rows].astype(np.int64) * len(lines.counters) + lines.counter[rows]
        distinct, counter = np.unique(pairs, return_inverse=True)
        keys = [_key(lines, *divmod(pair, len(lines.counters))) for pair in distinct.tolist()]
        rule = np.array([key[1] for key in keys], dtype=np.int32)
        before = used_of([self.held(key) for key in keys])
        done = settle(self._book, rule, before, counter.astype(np.int32), lines.use.take(rows))
        if done.overflow is not None:
            return lines, np.unique(lines.event[rows[done.overflow]])
        self._held.update(zip(keys, _held_in(done.used), strict=True))
        amount, scaled = lines.amount.rescaled(PICO_PLACES).units, done.amount.rescaled(PICO_PLACES).units
        units = amount.astype(object) if scaled.dtype == object else amount.copy()
        units[rows] = scaled
        return attrs.evolve(lines, amount=Decimals(units, PICO_PLACES)), rows[:0]


def key_of_line(lines: Lines, line: int) -> Key:
    """Return the counter of a line that has one."""
    return _key(lines, int(lines.account.codes[line]), int(lines.counter[line]))


def _key(lines: Lines, account: int, counter: int) -> Key:
    of = lines.counters[counter]
    return lines.account.values[account], of.rule, of.period


def used_of(held: Sequence[Held]) -> Used:
    """Put the state of counters into columns."""
    return Used(
        Decimals.of_integers([one.quantity_pico for one in held], PICO_PLACES),
        np.array([one.events for one in held], dtype=np.int64),
        Decimals.of_integers([one.amount_pico for one in held], PICO_PLACES),
    )


def _held_in(used: Used) -> list[Held]:
    quantity, amount = (column.rescaled(PICO_PLACES).units.tolist() for column in (used.quantity, used.amount))
    return [Held(*one) for one in zip(quantity, used.events.tolist(), amount, strict=True)]


def _lines_at(lines: Lines, mask: NDArray[Any]) -> Lines:
    return Lines(
        event=lines.event[mask],
        rule=lines.rule[mask],
        account=lines.account.take(mask),
        quantity=lines.quantity.take(mask),
        amount=lines.amount.take(mask),
        counter=lines.counter[mask],
        counters=lines.counters,
        use=lines.use.take(mask),
    )
