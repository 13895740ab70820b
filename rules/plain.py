"""Plain batches: one compiled pass prices those whose events all have plain winners.

Owns that pass, and which batches it can price: where nothing can overflow or be refused. Every other one is for
`rules.lane`, which knows every price, and gives the same lines. Must not know why rules won.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from rules.book import CURRENCY, Book
from rules.columns import MISSING, PICO_PLACES, Coded, Decimals, Dictionary, Int32s, Int64s, Lines, Usage, stacked
from rules.compiled import compiled, step
from rules.directory import Directory
from rules.match import Matched
from rules.payer import is_account
from rules.pool import Pool
from rules.sheet import (
    CELL,
    DIVISOR,
    FINER,
    FLAT,
    HALF_EVEN,
    HALF_UP,
    INCREMENT,
    INDEX,
    KIND,
    LEAST,
    MINIMUM,
    MODE,
    MOST,
    NUMERATOR,
    OTHER,
    PAYER,
    PRODUCT_MAX,
    QUANTITY_MAX,
    RATE,
    SHARE,
    SHOWN,
    SHOWN_SCALE,
    SOURCE,
    STEP,
    TIMES,
    UP,
    Sheet,
)

_POWERS: Final = np.array([10**places for places in range(PICO_PLACES + 1)], dtype=np.int64)
# What is known of an account that an attribute names, beside its currency (0 and above, or MISSING).
_UNASKED, _NO_ACCOUNT = -3, -2
_NOT_PLAIN: Final = -1  # in the place of a scale


class Plain:
    """Prices plain batches by one book; holds bounded memos that never change a result."""

    def __init__(self, book: Book, directory: Directory) -> None:
        self._contracts = book.contracts
        self._directory = directory
        self._sheet = Sheet(book)
        self._cells = Pool([(index.keys.rows, MISSING) for index in self._sheet.indexes])
        self._asked_of: Dictionary[str] | None = None
        self._currency_of: Int32s = np.zeros(0, dtype=np.int32)

    def lines(self, usage: Usage, matched: Matched, currency: Int32s) -> Lines | None:
        """Return the lines of a plain batch, None for any other; currency: int32[n], of each event's account."""
        quantity, account = usage.quantity, usage.account
        payers = [usage.attributes[name] for name in self._sheet.payers]
        if (
            self._contracts is not None
            or quantity.units.dtype == object
            or quantity.scale > PICO_PLACES
            or any(column.values is not account.values for column in payers)
        ):
            return None
        stated = usage.attributes[CURRENCY]
        keys = [matched.column(index.names) for index in self._sheet.indexes]
        self._cells.update(keys)
        count = matched.lines
        event, rule, charged = np.empty((3, count), dtype=np.int32)
        units, amount = np.empty((2, count), dtype=np.int64)
        scale = _price(
            matched.winners,
            self._sheet.rows(quantity.scale),
            quantity.units,
            stacked([column.codes for column in keys], len(usage)),
            self._cells.first,
            self._cells.numbers,
            self._sheet.prices,
            account.codes,
            stacked([column.codes for column in payers], len(usage)),
            self._currencies(account.values, payers),
            currency,
            stated.codes,
            stated.values.derived(self._directory.stated),
            np.empty(len(matched.winners), dtype=np.int64),
            event,
            rule,
            charged,
            units,
            amount,
        )
        if scale == _NOT_PLAIN:
            return None
        return Lines(
            event=event,
            rule=rule,
            account=Coded(charged, account.values),
            quantity=Decimals(units, scale),
            amount=Decimals(amount, PICO_PLACES),
            counter=np.full(count, MISSING, dtype=np.int32),
            counters=(),
            use=Decimals(np.zeros(count, dtype=np.int64), 0),
        )

    def _currencies(self, accounts: Dictionary[str], payers: Sequence[Coded]) -> Int32s:
        """Return the currency of each account that attributes name, by its code; the last element is for -1."""
        if accounts is not self._asked_of or len(accounts) >= len(self._currency_of):
            known = self._currency_of[:-1] if accounts is self._asked_of else self._currency_of[:0]
            self._currency_of = np.full(2 * len(accounts) + 2, _UNASKED, dtype=np.int32)
            self._currency_of[: len(known)] = known
            self._currency_of[-1] = _NO_ACCOUNT
            self._asked_of = accounts
        for column in payers:
            unasked = column.codes[self._currency_of[column.codes] == _UNASKED]
            for code in set(unasked.tolist()):
                named = accounts[code]
                self._currency_of[code] = self._directory.currency_of(named) if is_account(named) else _NO_ACCOUNT
        return self._currency_of


@compiled
def _price(  # noqa: C901, PLR0912 - one event after the other, all of it once
    winners: Int32s,
    rows: Int64s,
    quantity: Int64s,
    codes: Int32s,
    first: Int64s,
    cells: Int64s,
    prices: Int64s,
    account: Int32s,
    payers: Int32s,
    currencies: Int32s,
    currency: Int32s,
    stated: Int32s,
    stated_currencies: Int32s,
    line_of: Int64s,
    event: Int32s,
    rule: Int32s,
    charged: Int32s,
    units: Int64s,
    amount: Int64s,
) -> int:
    """Write the lines of all events; returns the scale of their quantities, or _NOT_PLAIN: then they mean nothing."""
    groups, events = winners.shape
    scale = 0
    for group in range(groups):
        for at in range(events):
            won = winners[group, at]
            if won >= 0:
                scale = max(scale, rows[won, SHOWN_SCALE])
    line = 0
    for at in range(events):
        if currency[at] < 0 or (stated[at] >= 0 and stated_currencies[stated[at]] != currency[at]):
            return _NOT_PLAIN
        for group in range(groups):
            won = winners[group, at]
            if won < 0:
                continue
            row = rows[won]
            kind = row[KIND]
            counted = quantity[at]
            if kind == OTHER or counted < 0 or counted > row[QUANTITY_MAX]:
                return _NOT_PLAIN
            if row[INCREMENT]:
                counted = -(-(counted * row[FINER]) // row[INCREMENT])
            counted = max(counted * row[TIMES], row[MINIMUM])
            base, rate = counted, row[RATE]
            if kind == FLAT:
                base = 1
            elif kind == CELL:
                rate = prices[row[SOURCE] + cells[first[row[INDEX]] + codes[row[INDEX], at]]]
            elif kind == SHARE:
                base = amount[line_of[row[SOURCE]]]
            if abs(np.float64(base) * np.float64(rate)) > 0.999 * np.float64(row[PRODUCT_MAX]):
                return _NOT_PLAIN
            number = _rounded(base * rate * row[NUMERATOR], row[DIVISOR], row[MODE]) * row[STEP]
            payer = account[at]
            if row[PAYER] >= 0:
                payer = payers[row[PAYER], at]
                if payer < 0 or currencies[payer] != currency[at]:
                    return _NOT_PLAIN
            event[line], rule[line], charged[line] = at, won, payer
            units[line] = counted * row[SHOWN] * _POWERS[scale - row[SHOWN_SCALE]]
            amount[line] = min(max(number, row[LEAST]), row[MOST])
            line_of[group] = line
            line += 1
    return scale


@step
def _rounded(number: int, divisor: int, mode: int) -> int:
    """Return `number / divisor` rounded as `rules.price.rounding` does."""
    if divisor == 1:
        return number
    floor = number // divisor
    rest = number - floor * divisor
    if mode in (HALF_EVEN, HALF_UP):
        up = 2 * rest > divisor or (2 * rest == divisor and (floor % 2 == 1 if mode == HALF_EVEN else floor >= 0))
    elif mode == UP:
        up = rest > 0 and floor >= 0
    else:
        up = rest > 0 and floor < 0
    return floor + (1 if up else 0)
