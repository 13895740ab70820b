"""Sheets: the plain rules of a book as rows of integers.

Owns which rules are plain (a product of two integers, rounded once, due from one account) and what the integers of a
row mean. Must not know events.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

import numpy as np

from rules.book import Book, Rule
from rules.columns import INT64_LIMIT, MISSING, PICO_PLACES, Int64s
from rules.number import INTEGER_DIGITS_MAX, places_of, units_of
from rules.price.flat import Flat
from rules.price.per_unit import PerUnit
from rules.price.percentage import Percentage
from rules.price.quantity import QuantitySpec
from rules.price.rounding import Mode, Rounding, product_max
from rules.price.table import TablePrice, tables_of

# Kinds of rules, by what is multiplied with what. OTHER has to be 0: a row that nobody has written is not plain.
OTHER, FLAT, PER_UNIT, CELL, SHARE = range(5)
# The columns of a sheet, of which a rule has a row.
(
    KIND,
    FINER,  # the quantity times this, in started
    INCREMENT,  # increments (0: as it is), times
    TIMES,  # this, and not less than
    MINIMUM,  # this, is what is counted.
    QUANTITY_MAX,  # Above it something might not fit int64.
    SHOWN,  # What is counted times this, at this
    SHOWN_SCALE,  # scale, is the quantity of the line.
    RATE,  # of one; or
    SOURCE,  # the table's first price, or the group of which a share is taken
    INDEX,  # the place of the table's index
    NUMERATOR,  # The product times this,
    DIVISOR,  # divided by this and rounded, times
    STEP,  # this, is the amount in 1e-12,
    MODE,
    PRODUCT_MAX,  # if its absolute value is not above this;
    LEAST,  # not less than this
    MOST,  # and not more than this,
    PAYER,  # due from the account in this column (-1: the event's).
    _PLACES,  # Only while a sheet is written: of the rate.
) = range(20)
_COLUMNS: Final = _PLACES
_MODES: Final = {mode: number for number, mode in enumerate(Mode)}
HALF_EVEN, HALF_UP, UP = _MODES[Mode.HALF_EVEN], _MODES[Mode.HALF_UP], _MODES[Mode.UP]
_SAFE: Final = 1 << 62  # what is counted and shown stays below half of int64


class Sheet:
    """The plain rules of a book.

    prices: int64, the cells of all tables one after another; indexes: of these tables; payers: attributes that name who
    is charged.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        tables = tables_of(rule.price for rule in book.rules if isinstance(rule.price, TablePrice))
        tables = list(dict.fromkeys(table for table in tables if table.prices.units.dtype != object))
        self.prices: Int64s = np.concatenate([np.zeros(0, dtype=np.int64), *(table.prices.units for table in tables)])
        firsts = np.cumsum([0, *(len(table.prices) for table in tables)]).tolist()
        self._first_of = dict(zip(tables, firsts, strict=False))
        self.indexes = list(dict.fromkeys(table.index for table in tables))
        self.payers = sorted({rule.charge for rule in book.rules if rule.charge is not None})
        self._by_scale: dict[int, Int64s] = {}

    def rows(self, scale: int) -> Int64s:
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
            way = rule.quantity, rule.rounding, factors[KIND], places
            if way not in ways:
                ways[way] = _way(*way, scale)
            found = ways[way]
            if found is not None:
                payer = MISSING if rule.charge is None else self.payers.index(rule.charge)
                for column, value in {**factors, **found, **bounds, PAYER: payer}.items():
                    rows[number, column] = value
        shown = int(rows[:, SHOWN_SCALE].max(initial=0))
        # A line's quantity is shown at the finest scale of its batch.
        rows[:, QUANTITY_MAX] //= 10 ** (shown - rows[:, SHOWN_SCALE])
        return rows

    def _factors(self, rule: Rule) -> dict[int, int] | None:
        """Return what a rule multiplies, and the places of the rate, or None if that is not plain."""
        price = rule.price
        if isinstance(price, TablePrice) and price.table in self._first_of:
            table = price.table
            cells = {SOURCE: self._first_of[table], INDEX: self.indexes.index(table.index)}
            return {KIND: CELL, _PLACES: table.prices.scale, **cells}
        if isinstance(price, PerUnit | Flat):
            kind, rate, source = PER_UNIT if isinstance(price, PerUnit) else FLAT, price.price, MISSING
        elif isinstance(price, Percentage) and price.of is not None and price.fixed.is_zero():
            kind, rate, source = SHARE, price.rate, price.of
        else:
            return None
        places = places_of(rate)
        units = units_of(rate, places)
        fits = -INT64_LIMIT < units < INT64_LIMIT
        return {KIND: kind, _PLACES: places, RATE: units, SOURCE: source} if fits else None


def _bounds(rule: Rule) -> Mapping[int, int] | None:
    least = 1 - INT64_LIMIT if rule.minimum_pico is None else rule.minimum_pico
    most = INT64_LIMIT - 1 if rule.maximum_pico is None else rule.maximum_pico
    fits = max(abs(least), abs(most)) < INT64_LIMIT
    return {LEAST: least, MOST: most} if fits else None


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
    base = {FLAT: Fraction(1), SHARE: Fraction(1, 10**PICO_PLACES)}.get(kind, ratio)
    exact = base / 10**places * 10**rounding.places
    most = product_max(exact, rounding)
    widest = max(finer, increment, minimum * shown, exact.numerator, exact.denominator)
    if widest >= _SAFE or min(counted_max, most) <= 0:
        return None
    return {
        FINER: finer,
        INCREMENT: increment,
        TIMES: times,
        MINIMUM: minimum,
        QUANTITY_MAX: min(_SAFE, counted_max * max(increment, 1)) // finer,
        SHOWN: shown,
        SHOWN_SCALE: scales[0],
        NUMERATOR: exact.numerator,
        DIVISOR: exact.denominator,
        STEP: 10 ** (PICO_PLACES - rounding.places),
        MODE: _MODES[rounding.mode],
        PRODUCT_MAX: most,
    }
