"""Changes: what differs between the lines that two books make of one batch of events.

Owns the comparison, event by event and group by group. Must not know books.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from rules.columns import MISSING, PICO_PLACES, Decimals, Int64s, Priced, Units, widened
from rules.measure import Bools

OLD, NEW = SIDES = range(2)

_NONE: Final = ""


@attrs.frozen
class Side:
    """What one book makes of one event in one group, or that it refuses the event; empty where it makes nothing."""

    rule: str
    account: str
    quantity_pico: int
    amount_pico: int
    refused: str


@attrs.frozen
class Change:
    """One difference: row of the event in its batch, group, and both sides."""

    event: int
    group: str
    old: Side
    new: Side

    @property
    def difference_pico(self) -> int:
        """How much more the new book charges."""
        return self.new.amount_pico - self.old.amount_pico


@attrs.define
class Counts:
    """Events, and how many of them change: in what somebody is charged, or only in rule or quantity.

    newly_refused, newly_accepted: of those that change, the ones that only one of the books charges.
    """

    events: int = 0
    recharged: int = 0
    relabelled: int = 0
    newly_refused: int = 0
    newly_accepted: int = 0

    @property
    def changed(self) -> int:
        """How many events differ in anything."""
        return self.recharged + self.relabelled


@attrs.frozen(eq=False)
class SideLines:
    """The lines of one side; key: int64[m], event times groups plus group; rule, account: int64[m], codes."""

    key: Int64s
    rule: Int64s
    account: Int64s
    quantity: Decimals
    amount: Decimals

    def sorted(self) -> "SideLines":
        """Return the lines by key; the groups of another book may come in another order."""
        return self if (np.diff(self.key) > 0).all() else self._at(np.argsort(self.key))

    def spread(self, keys: Int64s) -> "SideLines":
        """Spread the lines over more keys: rule and account MISSING, quantity and amount 0 where there is no line."""
        place = np.searchsorted(self.key, keys)
        place[~np.isin(keys, self.key, assume_unique=True)] = len(self.key)
        ended = SideLines(
            np.append(self.key, MISSING),
            np.append(self.rule, MISSING),
            np.append(self.account, MISSING),
            *(Decimals(np.append(column.units, 0), column.scale) for column in (self.quantity, self.amount)),
        )
        return attrs.evolve(ended._at(place), key=keys)

    def _at(self, rows: NDArray[np.intp]) -> "SideLines":
        return SideLines(
            self.key[rows], self.rule[rows], self.account[rows], self.quantity.take(rows), self.amount.take(rows)
        )


def summed(codes: Int64s, pico: Units) -> Iterator[tuple[int, int, int]]:
    """Yield each code, how often it occurs, and the exact sum of its amounts."""
    if not len(codes):
        return
    used, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    units = widened(pico, Decimals(pico, 0).magnitude() * len(pico))
    sums = np.zeros(len(used), dtype=units.dtype)
    np.add.at(sums, place, units)
    yield from zip(used.tolist(), counts.tolist(), sums.tolist(), strict=True)


def _refusals(count: int, priced: Priced) -> NDArray[np.object_]:
    reasons: NDArray[np.object_] = np.full(count, _NONE, dtype=object)
    for reject in priced.rejects:
        reasons[reject.event] = reject.reason
    return reasons


def compared(
    count: int,
    columns: Sequence[SideLines],
    priced: Sequence[Priced],
    groups: Sequence[str],
    rules: Sequence[str],
    accounts: Sequence[str],
) -> "Changes":
    """Compare the lines of both sides, of `count` events; groups, rules, accounts: the names of their codes."""
    refused = [_refusals(count, one) for one in priced]
    keys = np.union1d(columns[OLD].key, columns[NEW].key)
    old, new = (one.spread(keys) for one in columns)
    charged = (old.account != new.account) | (old.amount.units != new.amount.units).astype(bool)
    differs = charged | (old.rule != new.rule) | (old.quantity.units != new.quantity.units).astype(bool)
    event = keys // len(groups)
    recharged = refused[OLD] != refused[NEW]
    recharged[event[charged]] = True
    touched = np.zeros(count, dtype=bool)
    touched[event[differs]] = True
    return Changes(
        rows=np.flatnonzero(differs),
        old=old,
        new=new,
        refused_old=refused[OLD],
        refused_new=refused[NEW],
        recharged=recharged.astype(bool),
        relabelled=touched & ~recharged.astype(bool),
        groups=groups,
        rules=rules,
        accounts=accounts,
    )


@attrs.frozen(eq=False)
class Changes:
    """What differs in one batch of n events.

    rows: of the lines of both sides that differ; recharged, relabelled: bool[n], events charged otherwise, or the same
    by another rule or for another quantity.
    """

    rows: Int64s
    old: SideLines
    new: SideLines
    refused_old: NDArray[np.object_]
    refused_new: NDArray[np.object_]
    recharged: Bools
    relabelled: Bools
    groups: Sequence[str]
    rules: Sequence[str]
    accounts: Sequence[str]

    def count(self, counts: Counts) -> None:
        """Add the numbers of changed events."""
        was, now = self.refused_old != _NONE, self.refused_new != _NONE
        counts.recharged += int(self.recharged.sum())
        counts.relabelled += int(self.relabelled.sum())
        counts.newly_refused += int((now & ~was).sum())
        counts.newly_accepted += int((was & ~now).sum())

    def differences_pico(self) -> Iterator[tuple[int, int]]:
        """Yield each event whose total differs, and how much more the new book charges for it."""
        bound = self.old.amount.magnitude() + self.new.amount.magnitude()
        difference = widened(self.new.amount.units, bound) - widened(self.old.amount.units, bound)
        rows = self.rows[(difference[self.rows] != 0).astype(bool)]
        for event, _, pico in summed(self.old.key[rows] // len(self.groups), difference[rows]):
            if pico:
                yield event, pico

    def changes(self) -> Iterator[Change]:
        """Yield every difference, by event and then by group; a refusal by both, for other reasons, has no group."""
        events = (self.old.key[self.rows] // len(self.groups)).tolist()
        groups = (self.old.key[self.rows] % len(self.groups)).tolist()
        sides = zip(self._sides(self.old, self.refused_old), self._sides(self.new, self.refused_new), strict=True)
        changed = [
            Change(event, self.groups[group], *both) for event, group, both in zip(events, groups, sides, strict=True)
        ]
        told = set(events)
        for event in np.flatnonzero(self.refused_old != self.refused_new).tolist():
            if event not in told:
                old, new = (Side(_NONE, _NONE, 0, 0, one[event]) for one in (self.refused_old, self.refused_new))
                changed.append(Change(event, _NONE, old, new))
        yield from sorted(changed, key=lambda change: change.event)

    def _sides(self, columns: SideLines, refused: NDArray[np.object_]) -> Iterator[Side]:
        rules, accounts = [*self.rules, _NONE], [*self.accounts, _NONE]
        rows, finer = self.rows, 10 ** (PICO_PLACES - columns.quantity.scale)
        for rule, account, quantity, amount, reason in zip(
            columns.rule[rows].tolist(),
            columns.account[rows].tolist(),
            columns.quantity.units[rows].tolist(),
            columns.amount.units[rows].tolist(),
            refused[columns.key[rows] // len(self.groups)].tolist(),
            strict=True,
        ):
            yield Side(rules[rule], accounts[account], quantity * finer, amount, reason)
