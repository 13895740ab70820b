"""Decks: the terms of calls in the rows of a table, one destination a row.

Owns how cells become prices, for all rows at once. Must not know how rows are found.
"""

from collections.abc import Mapping
from decimal import Decimal
from math import lcm
from typing import Final

import attrs
import numpy as np

from rules.cells import NumberKind
from rules.columns import Decimals, Units, widened
from rules.number import places_of, units_of
from rules.price.model import Source
from rules.price.steps import Plans
from rules.price.table import TableKey
from rules.quote import quoted
from rules.table import Table

DECK_COLUMNS: Final = ("connect", "unit", "first", "next")  # besides the rate
UNITS_MULTIPLE_MAX: Final = 10**12  # of the units of one deck: those that are sold have 60 or 3600


@attrs.frozen
class Terms:
    """What a call costs to connect, what the rate is for, the first increment and the following ones."""

    connect: Decimal
    unit: Decimal
    first: Decimal
    following: Decimal


@attrs.frozen(eq=False)
class Deck:
    """A table's calls: the column of rates, which says which rows have a price, and the price of each row."""

    rate: Table
    plans: Plans

    @classmethod
    def read(cls, key: TableKey, columns: Mapping[str, str], terms: Terms, source: Source) -> "Deck | None":
        """Read the columns; where there is none, or its cell is empty, the terms hold."""
        tables = {}
        for name, column in columns.items():
            kind = NumberKind.PRICE if name in {"rate", "connect"} else NumberKind.INCREMENT
            table = source.tables.table(key.node, key.file, key.names, column, by_prefix=key.by_prefix, kind=kind)
            if table is not None:
                tables[name] = table
        if len(tables) < len(columns):
            return None
        rate = tables["rate"]

        def column_of(name: str, term: Decimal) -> Decimals:
            return _filled(tables.get(name), term, len(rate.prices))

        unit = column_of("unit", terms.unit)
        multiple = lcm(*map(int, np.unique(unit.units).tolist()))
        if multiple > UNITS_MULTIPLE_MAX:
            source.fields.wrong(
                key.node,
                f"the units in {quoted(key.file)} have no common multiple up to 10^12; write units such as 60",
            )
            return None
        first, following = column_of("first", terms.first), column_of("next", terms.following)
        return cls(rate, _plans(rate.prices, column_of("connect", terms.connect), unit, multiple, first, following))


def _filled(table: Table | None, term: Decimal, rows: int) -> Decimals:
    """Return a column with the term in its empty cells."""
    places = places_of(term)
    if table is None:
        return Decimals.of_integers([units_of(term, places)] * rows, places)
    cells = table.prices.rescaled(max(table.prices.scale, places))
    filled = table.priced[:-1]
    if filled.all():
        return cells
    own = units_of(term, cells.scale)
    units = widened(cells.units, abs(own)).copy()
    units[~filled] = own
    return Decimals(units, cells.scale)


def _plans(
    rate: Decimals, connect: Decimals, unit: Decimals, multiple: int, first: Decimals, following: Decimals
) -> Plans:
    """Return prices of two steps: the first increment, then the following ones."""
    scale = max(first.scale, following.scale)
    first, following = first.rescaled(scale), following.rescaled(scale)
    # increment * rate / unit, as integers of 1 / (multiple * 10**places).
    places = max(scale + rate.scale, connect.scale)
    per_unit = _product(rate.times(10 ** (unit.scale + places - scale - rate.scale)).units, _shares(unit, multiple))
    start = Decimals(connect.units, 0).times(10 ** (places - connect.scale) * multiple).units
    first_cost = _product(per_unit, first.units)
    bound = _magnitude(start) + _magnitude(first_cost)
    return Plans(
        starts=[np.zeros(len(rate), dtype=np.int64), first.units],
        increments=[first.units, following.units],
        scale=scale,
        bases=[start, widened(start, bound) + widened(first_cost, bound)],
        costs=[first_cost, _product(per_unit, following.units)],
        denominator=multiple * 10**places,
    )


def _shares(unit: Decimals, multiple: int) -> Units:
    return (multiple // unit.units).astype(np.int64)


def _product(left: Units, right: Units) -> Units:
    bound = _magnitude(left) * _magnitude(right)
    product: Units = widened(left, bound) * widened(right, bound)
    return product


def _magnitude(units: Units) -> int:
    return Decimals(units, 0).magnitude()
