"""Settling: what lines with a counter cost, once it is known what their counters held before.

Owns the sorting of a book's rules into tariffs. Pure: reading the counters, locking them and writing them back is the
caller's. The formulas stand in `rules/price/`, the arithmetic in `rules/tariff.py`.
"""

from collections.abc import Hashable
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from rules.book import Book, Rule
from rules.columns import MISSING, Decimals, Int32s
from rules.tariff import Settled, Tariff, Used

__all__ = ["Settled", "Used", "settle"]

Rows = NDArray[Any]


def settle(book: Book, rule: Int32s, before: Used, counter: Int32s, use: Decimals) -> Settled:
    """Charge k uses, in the order given (that of the log), to g counters.

    rule: int32[g], index into `Book.counted_rules` of each counter; before: what each held; counter: int32[k], the
    counter of each use; use: what each adds to it. A price that is a curve C charges C(before + use) - C(before).
    """
    schedule = _SCHEDULES.get(book)
    if schedule is None:
        schedule = _SCHEDULES[book] = _Schedule(book)
    tariffs, positions = schedule.tariff_of_rule[rule], schedule.position_of_rule[rule]
    if not len(rule):
        return Settled(use, before, None)
    assert int(tariffs.min()) != MISSING, "only rules with a counter are settled"
    kinds = np.flatnonzero(np.bincount(tariffs)).tolist()
    if len(kinds) == 1:
        return schedule.tariffs[kinds[0]].settle(positions, before, counter, use)
    pieces: list[tuple[Rows, Rows, Settled]] = []
    tariff_of_use = tariffs[counter]
    place = np.zeros(len(rule), dtype=np.int32)
    for kind in kinds:
        counters, uses = np.flatnonzero(tariffs == kind), np.flatnonzero(tariff_of_use == kind)
        place[counters] = np.arange(len(counters), dtype=np.int32)
        settled = schedule.tariffs[kind].settle(
            positions[counters], before.take(counters), place[counter[uses]], use.take(uses)
        )
        pieces.append((counters, uses, settled))
    return _joined(pieces)


class _Schedule:
    """The rules of a book that keep counters, sorted into tariffs."""

    def __init__(self, book: Book) -> None:
        members: dict[Hashable, list[Rule]] = {}
        numbers: dict[Hashable, int] = {}
        self.tariff_of_rule = np.full(len(book.counted_rules), MISSING, dtype=np.int32)
        self.position_of_rule = np.zeros(len(book.counted_rules), dtype=np.int32)
        for i, rule in enumerate(book.counted_rules):
            if rule.per is not None:
                key = Tariff.kind(rule)
                self.tariff_of_rule[i] = numbers.setdefault(key, len(numbers))
                self.position_of_rule[i] = len(members.setdefault(key, []))
                members[key].append(rule)
        self.tariffs = [Tariff.of(rules) for rules in members.values()]


_SCHEDULES: "Final[WeakKeyDictionary[Book, _Schedule]]" = WeakKeyDictionary()  # made once a book


def _joined(pieces: list[tuple[Rows, Rows, Settled]]) -> Settled:
    """Put the counters and uses of several tariffs back into their places."""
    by_counter = np.argsort(np.concatenate([counters for counters, _, _ in pieces]))
    by_use = np.argsort(np.concatenate([uses for _, uses, _ in pieces]))
    settled = [one for _, _, one in pieces]
    used = Used(
        Decimals.concat([one.used.quantity for one in settled]),
        np.concatenate([one.used.events for one in settled]),
        Decimals.concat([one.used.amount for one in settled]),
    )
    overflow = None
    if any(one.overflow is not None for one in settled):
        masks = [np.zeros(len(one.amount), dtype=bool) if one.overflow is None else one.overflow for one in settled]
        overflow = np.concatenate(masks)[by_use]
    return Settled(Decimals.concat([one.amount for one in settled]).take(by_use), used.take(by_counter), overflow)
