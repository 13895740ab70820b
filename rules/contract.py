"""Contracts: what accounts pay instead of the book's prices, and since when.

Owns which row of the contracts is in effect for a line and what it makes of a price. Must not know files or rules'
conditions: a contract never changes which rule wins, only what it costs.
"""

from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from rules.columns import MISSING, Decimals, Int32s, Int64s, Units, widened
from rules.price.quantity import Scaled
from rules.price.rounding import Rounding, rounded_product

ALWAYS_US: Final = -(2**63)  # the `from` of a row that has none
FOREVER_US: Final = 2**63 - 1  # the `until` of a row that has none

DENSE_MAX: Final = 1 << 22  # keys whose rows stand in an array, 16 MB: ten times as fast as a search in them

Bools = NDArray[np.bool_]


@attrs.frozen(eq=False)
class Contracts:
    """The rows of a file of contracts, k of them, in order of `keys`.

    accounts: account -> its number; target_of_rule: int32[rules], target_of_group: int32[rules], the number of what a
    row is for (a rule, or the group of a rule), MISSING where no row is; targets: how many there are. keys: int64[k],
    ascending, (account * targets + target) * len(starts_us) + index of `from` in starts_us; by_key: the row that
    each possible key finds, or None where there are too many; until_us: int64[k]; lines:
    int32[k], in the file. price: own price, where `priced` (bool[k]); kept: the share that the discount leaves, or None
    where no row has one. terms: int32[k], a number for each different pair of own tiers and discount, MISSING where a
    row has neither; variants: (terms, rule) -> index into `Book.counted_rules`, of rules whose price has a counter.
    """

    file: str
    accounts: Mapping[str, int]
    target_of_rule: Int32s
    target_of_group: Int32s
    targets: int
    starts_us: Int64s
    keys: Int64s
    by_key: Int32s | None
    until_us: Int64s
    lines: Int32s
    price: Decimals
    priced: Bools
    kept: Decimals | None
    minimum: Decimals
    committed: Bools
    terms: Int32s
    variants: Mapping[tuple[int, int], int]

    def find(self, account: Int32s, rule: Int32s, time_us: Int64s) -> Int32s:
        """Return the row in effect for each line, int32[m], MISSING where there is none.

        account: number of the charged account or MISSING; rule: index into `Book.rules`; time_us: when. A row for the
        rule goes before one for its group.
        """
        found = np.full(len(account), MISSING, dtype=np.int32)
        for targets in (self.target_of_group, self.target_of_rule):
            target = targets[rule]
            (at,) = np.nonzero((account != MISSING) & (target != MISSING))
            if len(at):
                rows = self._in_effect(account[at], target[at], time_us[at])
                some = rows != MISSING
                found[at[some]] = rows[some]
        return found

    def counted(self, account: Int32s, rule: Int32s, start_seconds: Int64s) -> Int32s:
        """Return the rule by which each line is counted, int32[m]: a variant of its own by contract.

        start_seconds: when the line's period started. The row in effect then counts for the whole period, so that the
        lines of a counter have one price, in whatever order they come.
        """
        row = self.find(account, rule, start_seconds * 1_000_000)
        (at,) = np.nonzero((row != MISSING) & (self.terms[row] != MISSING) if len(self.terms) else row != MISSING)
        if not len(at):
            return rule
        rules = len(self.target_of_rule)
        used, which = np.unique(self.terms[row[at]].astype(np.int64) * rules + rule[at], return_inverse=True)
        chosen = [self.variants.get((key // rules, key % rules), key % rules) for key in used.tolist()]
        result = rule.copy()
        result[at] = np.array(chosen, dtype=np.int32)[which]
        return result

    def _in_effect(self, account: Int32s, target: Int32s, time_us: Int64s) -> Int32s:
        starts = len(self.starts_us)
        wanted = (account.astype(np.int64) * self.targets + target) * starts
        key = wanted + np.searchsorted(self.starts_us, time_us, side="right") - 1
        row = last_rows(self.keys, key, starts) if self.by_key is None else self.by_key[key]
        return np.where((row != MISSING) & (time_us < self.until_us[row]), row, MISSING).astype(np.int32)

    def rate(self, row: Int32s, rate: Decimals) -> Decimals:
        """Return what m rows make of the book's m rates (or one): the own price, if any, less the discount."""
        own, listed = self.price.take(row), rate
        scale = max(own.scale, listed.scale)
        own_units, listed_units = own.rescaled(scale).units, listed.rescaled(scale).units
        if object in (own_units.dtype, listed_units.dtype):
            own_units, listed_units = own_units.astype(object), listed_units.astype(object)
        units: Units = np.where(self.priced[row], own_units, listed_units)
        if self.kept is None:
            return Decimals(units, scale)
        return _product(Decimals(units, scale), self.kept.take(row))


def _product(left: Decimals, right: Decimals) -> Decimals:
    bound = max(left.magnitude(), 1) * max(right.magnitude(), 1)
    return Decimals(widened(left.units, bound) * widened(right.units, bound), left.scale + right.scale)


@attrs.frozen(eq=False)
class Terms:
    """Rows of contracts that are in effect for some of the m lines of a lane.

    at: int64[t], those lines; row: int32[t], their rows.
    """

    contracts: Contracts
    at: NDArray[Any]
    row: Int32s

    def amounts(self, amount: Units, base: Scaled, rate: Decimals, rounding: Rounding) -> Units:
        """Return the amounts (1e-12) of all m lines, with those of `at` by contract; base, rate: as in Factors."""
        own = self.contracts.rate(self.row, rate if len(rate) == 1 else rate.take(self.at))
        units = base.units if len(base.units) == 1 else base.units[self.at]
        charged = rounded_product(units, own.units, base.ratio / 10**own.scale, rounding)
        wide = object in (amount.dtype, charged.dtype)
        result: Units = amount.astype(object if wide else np.int64)
        result[self.at] = charged
        return result


def terms_of(contracts: Contracts, account: Int32s, rule: Int32s, time_us: Int64s) -> Terms | None:
    """Return the terms of m lines, or None if the book's prices hold for all; arguments as in `Contracts.find`."""
    row = contracts.find(account, rule, time_us)
    (at,) = np.nonzero(row != MISSING)
    return Terms(contracts, at, row[at]) if len(at) else None


def last_rows(keys: Int64s, wanted: Int64s, starts: int) -> Int32s:
    """Return the last row at or before each wanted key, MISSING where that is of another account or target."""
    row = np.searchsorted(keys, wanted, side="right") - 1
    same = (row >= 0) & (keys[row] // starts == wanted // starts) if len(keys) else row >= 0
    return np.where(same, row, MISSING).astype(np.int32)


def rows_by_key(keys: Int64s, size: int, starts: int) -> Int32s | None:
    """Return the row that each key below `size` finds, or None if there are too many keys."""
    return last_rows(keys, np.arange(size), starts) if size <= DENSE_MAX else None


def in_order(account: Int32s, target: Int64s, from_us: Int64s, targets: int) -> tuple[Any, Any, Any]:
    """Return the order of rows by account, target and start, their keys in that order, and the distinct starts."""
    starts_us, start = np.unique(np.append(from_us, ALWAYS_US), return_inverse=True)
    keys = (account.astype(np.int64) * targets + target) * len(starts_us) + start[:-1]
    order = np.argsort(keys, kind="stable")
    return order, keys[order], starts_us
