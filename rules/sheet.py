"""Sheets: the plain rules of a book as rows of integers, by which one compiled pass prices a whole batch.

Owns which rules are plain (a product of two integers, rounded once, due from one account) and which batches: those
whose events all have plain winners, and in which nothing can overflow or be refused. Every other batch is for
`rules.lane`, which knows every price, and gives the same lines. Must not know why rules won.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from rules.book import CURRENCY, Book, Rule
from rules.columns import (
    INT64_LIMIT,
    MISSING,
    PICO_PLACES,
    Coded,
    Decimals,
    Dictionary,
    Int32s,
    Int64s,
    Lines,
    Usage,
    stacked,
)
from rules.compiled import compiled
from rules.directory import Directory
from rules.match import Matched
from rules.number import INTEGER_DIGITS_MAX, places_of, units_of
from rules.payer import is_account
from rules.pool import Pool
from rules.price.flat import Flat
from rules.price.per_unit import PerUnit
from rules.price.percentage import Percentage
from rules.price.quantity import QuantitySpec
from rules.price.rounding import Mode, Rounding, product_max
from rules.price.table import TablePrice

# Kinds of rules, by what is multiplied with what. _OTHER has to be 0: a row that nobody has written is not plain.
_OTHER, _FLAT, _PER_UNIT, _CELL, _SHARE = range(5)
# The columns of a sheet, of which a rule has a row.
(
    _KIND,
    _FINER,  # the quantity times this, in started
    _INCREMENT,  # increments (0: as it is), times
    _TIMES,  # this, and not less than
    _MINIMUM,  # this, is what is counted.
    _QUANTITY_MAX,  # Above it something might not fit int64.
    _SHOWN,  # What is counted times this, at this
    _SHOWN_SCALE,  # scale, is the quantity of the line.
    _RATE,  # of one; or
    _SOURCE,  # the table's first price, or the group of which a share is taken
    _INDEX,  # the place of the table's index
    _NUMERATOR,  # The product times this,
    _DIVISOR,  # divided by this and rounded, times
    _STEP,  # this, is the amount in 1e-12,
    _MODE,
    _PRODUCT_MAX,  # if its absolute value is not above this;
    _LEAST,  # not less than this
    _MOST,  # and not more than this,
    _PAYER,  # due from the account in this column (-1: the event's).
    _PLACES,  # Only while a sheet is written: of the rate.
) = range(20)
_COLUMNS: Final = _PLACES
_MODES: Final = {mode: number for number, mode in enumerate(Mode)}
_HALF_EVEN, _HALF_UP, _UP = _MODES[Mode.HALF_EVEN], _MODES[Mode.HALF_UP], _MODES[Mode.UP]
_SAFE: Final = 1 << 62  # what is counted and shown stays below half of int64
_POWERS: Final = np.array([10**places for places in range(PICO_PLACES + 1)], dtype=np.int64)

# What is known of an account that an attribute names, beside its currency (0 and above, or MISSING).
_UNASKED, _NO_ACCOUNT = -3, -2
_NOT_PLAIN: Final = -1  # in the place of a scale


class Sheet:
    """The plain rules of a book; holds bounded memos that never change a result."""

    def __init__(self, book: Book, directory: Directory) -> None:
        self._book = book
        self._directory = directory
        tables = list(dict.fromkeys(rule.price.table for rule in book.rules if _has_cells(rule)))
        self._prices = np.concatenate([np.zeros(0, dtype=np.int64), *(table.prices.units for table in tables)])
        firsts = np.cumsum([0, *(len(table.prices) for table in tables)]).tolist()
        self._first_of = dict(zip(tables, firsts, strict=False))
        self._indexes = list(dict.fromkeys(table.index for table in tables))
        self._cells = Pool([(index.keys.rows, MISSING) for index in self._indexes])
        self._payers = sorted({rule.charge for rule in book.rules if rule.charge is not None})
        self._by_scale: dict[int, Int64s] = {}
        self._asked_of: Dictionary[str] | None = None
        self._currency_of: Int32s = np.zeros(0, dtype=np.int32)

    def lines(self, usage: Usage, matched: Matched, currency: Int32s) -> Lines | None:
        """Return the lines of a plain batch, None for any other; currency: int32[n], of each event's account."""
        quantity, account = usage.quantity, usage.account
        payers = [usage.attributes[name] for name in self._payers]
        if (
            self._book.contracts is not None
            or quantity.units.dtype == object
            or quantity.scale > PICO_PLACES
            or any(column.values is not account.values for column in payers)
        ):
            return None
        stated = usage.attributes[CURRENCY]
        keys = [matched.column(index.names) for index in self._indexes]
        self._cells.update(keys)
        count = int(np.count_nonzero(matched.winners >= 0))
        event, rule, charged = np.empty((3, count), dtype=np.int32)
        units, amount = np.empty((2, count), dtype=np.int64)
        scale = _price(
            matched.winners,
            self._rows(quantity.scale),
            quantity.units,
            stacked([column.codes for column in keys], len(usage)),
            self._cells.first,
            self._cells.numbers,
            self._prices,
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
            known = self._currency_of if accounts is self._asked_of else self._currency_of[:0]
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

    def _rows(self, scale: int) -> Int64s:
        """Return the sheet for quantities of one scale: int64[rules, columns]."""
        rows = self._by_scale.get(scale)
        if rows is None:
            rows = self._by_scale[scale] = self._written(scale)
        return rows

    def _written(self, scale: int) -> Int64s:
        rows = np.zeros((len(self._book.rules), _COLUMNS), dtype=np.int64)
        ways: dict[tuple[QuantitySpec, Rounding, int, int], Mapping[int, int] | None] = {}
        for number, rule in enumerate(self._book.rules):
            factors = self._factors(rule)
            bounds = _bounds(rule)
            if factors is None or bounds is None or rule.per is not None or rule.charge_parent or rule.quantity.of:
                continue
            places = factors.pop(_PLACES)
            way = rule.quantity, rule.rounding, factors[_KIND], places
            if way not in ways:
                ways[way] = _way(*way, scale)
            found = ways[way]
            if found is not None:
                payer = MISSING if rule.charge is None else self._payers.index(rule.charge)
                for column, value in {**factors, **found, **bounds, _PAYER: payer}.items():
                    rows[number, column] = value
        shown = int(rows[:, _SHOWN_SCALE].max(initial=0))
        # A line's quantity is shown at the finest scale of its batch.
        rows[:, _QUANTITY_MAX] //= 10 ** (shown - rows[:, _SHOWN_SCALE])
        return rows

    def _factors(self, rule: Rule) -> dict[int, int] | None:
        """Return what a rule multiplies, and the places of the rate, or None if that is not plain."""
        price = rule.price
        if isinstance(price, TablePrice) and price.table in self._first_of:
            table = price.table
            cells = {_SOURCE: self._first_of[table], _INDEX: self._indexes.index(table.index)}
            return {_KIND: _CELL, _PLACES: table.prices.scale, **cells}
        if isinstance(price, PerUnit | Flat):
            kind, rate, source = _PER_UNIT if isinstance(price, PerUnit) else _FLAT, price.price, MISSING
        elif isinstance(price, Percentage) and price.of is not None and price.fixed.is_zero():
            kind, rate, source = _SHARE, price.rate, price.of
        else:
            return None
        places = places_of(rate)
        units = units_of(rate, places)
        fits = -INT64_LIMIT < units < INT64_LIMIT
        return {_KIND: kind, _PLACES: places, _RATE: units, _SOURCE: source} if fits else None


def _has_cells(rule: Rule) -> bool:
    return isinstance(rule.price, TablePrice) and rule.price.table.prices.units.dtype != object


def _bounds(rule: Rule) -> Mapping[int, int] | None:
    least = 1 - INT64_LIMIT if rule.minimum_pico is None else rule.minimum_pico
    most = INT64_LIMIT - 1 if rule.maximum_pico is None else rule.maximum_pico
    fits = max(abs(least), abs(most)) < INT64_LIMIT
    return {_LEAST: least, _MOST: most} if fits else None


def _way(spec: QuantitySpec, rounding: Rounding, kind: int, places: int, scale: int) -> Mapping[int, int] | None:
    """Return the way from quantities of a scale to amounts, for rates of so many places; None if it is not plain."""
    per = Fraction(1 if spec.per is None else spec.per)
    finer, increment, ratio = 1, 0, Fraction(1, 10**scale) / per
    if spec.round_up_to is not None:
        fine = max(scale, places_of(spec.round_up_to))
        finer, increment = 10 ** (fine - scale), units_of(spec.round_up_to, fine)
        ratio = Fraction(spec.round_up_to) / per
    least = Fraction(0 if spec.minimum is None else spec.minimum) / ratio
    times, minimum, ratio = least.denominator, least.numerator, ratio / least.denominator
    scales = [shown for shown in range(PICO_PLACES + 1) if (ratio * 10**shown).denominator == 1]
    if not scales:
        return None
    shown = int(ratio * 10 ** scales[0])
    counted_max = min(_SAFE // shown, -int(-(10**INTEGER_DIGITS_MAX) // ratio) - 1) // times - 1
    base = {_FLAT: Fraction(1), _SHARE: Fraction(1, 10**PICO_PLACES)}.get(kind, ratio)
    exact = base / 10**places * 10**rounding.places
    most = product_max(exact, rounding)
    widest = max(finer, increment, minimum * shown, exact.numerator, exact.denominator)
    if widest >= _SAFE or min(counted_max, most) <= 0:
        return None
    return {
        _FINER: finer,
        _INCREMENT: increment,
        _TIMES: times,
        _MINIMUM: minimum,
        _QUANTITY_MAX: min(_SAFE, counted_max * max(increment, 1)) // finer,
        _SHOWN: shown,
        _SHOWN_SCALE: scales[0],
        _NUMERATOR: exact.numerator,
        _DIVISOR: exact.denominator,
        _STEP: 10 ** (PICO_PLACES - rounding.places),
        _MODE: _MODES[rounding.mode],
        _PRODUCT_MAX: most,
    }


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
                scale = max(scale, rows[won, _SHOWN_SCALE])
    line = 0
    for at in range(events):
        if currency[at] < 0 or (stated[at] >= 0 and stated_currencies[stated[at]] != currency[at]):
            return _NOT_PLAIN
        for group in range(groups):
            won = winners[group, at]
            if won < 0:
                continue
            row = rows[won]
            kind = row[_KIND]
            counted = quantity[at]
            if kind == _OTHER or counted < 0 or counted > row[_QUANTITY_MAX]:
                return _NOT_PLAIN
            if row[_INCREMENT]:
                counted = -(-(counted * row[_FINER]) // row[_INCREMENT])
            counted = max(counted * row[_TIMES], row[_MINIMUM])
            base, rate = counted, row[_RATE]
            if kind == _FLAT:
                base = 1
            elif kind == _CELL:
                rate = prices[row[_SOURCE] + cells[first[row[_INDEX]] + codes[row[_INDEX], at]]]
            elif kind == _SHARE:
                base = amount[line_of[row[_SOURCE]]]
            if abs(np.float64(base) * np.float64(rate)) > 0.999 * np.float64(row[_PRODUCT_MAX]):
                return _NOT_PLAIN
            number = _rounded(base * rate * row[_NUMERATOR], row[_DIVISOR], row[_MODE]) * row[_STEP]
            payer = account[at]
            if row[_PAYER] >= 0:
                payer = payers[row[_PAYER], at]
                if payer < 0 or currencies[payer] != currency[at]:
                    return _NOT_PLAIN
            event[line], rule[line], charged[line] = at, won, payer
            units[line] = counted * row[_SHOWN] * _POWERS[scale - row[_SHOWN_SCALE]]
            amount[line] = min(max(number, row[_LEAST]), row[_MOST])
            line_of[group] = line
            line += 1
    return scale


@compiled
def _rounded(number: int, divisor: int, mode: int) -> int:
    """Return `number / divisor` rounded as `rules.price.rounding` does."""
    if divisor == 1:
        return number
    floor = number // divisor
    rest = number - floor * divisor
    if mode in (_HALF_EVEN, _HALF_UP):
        up = 2 * rest > divisor or (2 * rest == divisor and (floor % 2 == 1 if mode == _HALF_EVEN else floor >= 0))
    elif mode == _UP:
        up = rest > 0 and floor >= 0
    else:
        up = rest > 0 and floor < 0
    return floor + (1 if up else 0)
