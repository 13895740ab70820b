"""Measures: the quantities that rules count, out of the event or out of an attribute's text.

Owns which of them can be billed. Must not know rules.
"""

from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from rules.columns import INT64_LIMIT, MISSING, PICO_PLACES, Coded, Decimals, Int64s, Units, Usage
from rules.number import INTEGER_DIGITS_MAX, decimal_text, event_number, places_of, units_of
from rules.quote import quoted

_DIGITS_FAST: Final = 18  # always fit int64
_WANTED: Final = f"a quantity is 0 or more, below 10^{INTEGER_DIGITS_MAX}, with at most {PICO_PLACES} decimal places"

Bools = NDArray[np.bool_]


@attrs.frozen(eq=False)
class Measure:
    """Quantities of n events, at a scale of 12 at most; bad: bool[n], where none can be billed (units 0), or None."""

    quantity: Decimals
    bad: Bools | None


class Measures:
    """The measures of one batch of usage, each read once."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._read: dict[str | None, Measure] = {}

    def of(self, name: str | None) -> Measure:
        """Return the measure of an attribute, or (None) of the events' own quantity."""
        if name not in self._read:
            usage = self._usage
            self._read[name] = _of_event(usage.quantity) if name is None else _of_attribute(usage.attributes[name])
        return self._read[name]

    def detail(self, name: str | None, row: int) -> str:
        """Say what is wrong with a bad one."""
        if name is None:
            quantity = self._usage.quantity
            return f"the quantity is {decimal_text(int(quantity.units[row]), quantity.scale)}; {_WANTED}"
        column = self._usage.attributes[name]
        code = int(column.codes[row])
        shown = "absent" if code == MISSING else quoted(column.values[code])
        return f"the attribute {quoted(name)} is {shown}; {_WANTED}"


def _of_event(quantity: Decimals) -> Measure:
    units, scale = quantity.units, quantity.scale
    if not len(units):
        return Measure(Decimals(units, min(scale, PICO_PLACES)), None)
    limit = 10 ** (INTEGER_DIGITS_MAX + scale)
    excess = 10 ** max(scale - PICO_PLACES, 0)
    if excess == 1 and int(units.min()) >= 0 and int(units.max()) < limit:
        return Measure(quantity, None)
    # Only odd batches come here: Python integers keep it simple.
    wide = units.astype(object)
    bad = ((wide < 0) | (wide >= limit) | (wide % excess != 0)).astype(bool)
    wide[bad] = 0
    return Measure(Decimals(narrowed(wide // excess), min(scale, PICO_PLACES)), bad if bad.any() else None)


def _of_attribute(column: Coded) -> Measure:
    units = column.derived(_plain_units, MISSING)
    if not len(units) or int(units.min()) >= 0:
        return Measure(Decimals(units, 0), None)
    used, codes = np.unique(column.codes, return_inverse=True)  # the first is MISSING where some are absent
    absent = int(used[0]) == MISSING
    quantity, bad = _of_texts([column.values[code] for code in used[absent:].tolist()])
    if absent:
        quantity = Decimals(np.concatenate([np.zeros(1, dtype=quantity.units.dtype), quantity.units]), quantity.scale)
        bad = np.concatenate([np.ones(1, dtype=bool), bad])
    bad = bad[codes]
    return Measure(quantity.take(codes), bad if bad.any() else None)


def _plain_units(texts: Sequence[str]) -> Int64s:
    """Return the integers that are written as plain digits and fit int64 for sure, -1 for other texts."""
    plain = (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_FAST for text in texts)
    integers = (int(text) if is_plain else MISSING for text, is_plain in zip(texts, plain, strict=True))
    return np.fromiter(integers, dtype=np.int64, count=len(texts))


def _of_texts(texts: Sequence[str]) -> tuple[Decimals, Bools]:
    """Read distinct texts; what is no quantity is 0 and bad."""
    numbers = [event_number(text) for text in texts]
    good = [number is not None and number >= 0 and places_of(number) <= PICO_PLACES for number in numbers]
    scale = max(
        (places_of(number) for number, ok in zip(numbers, good, strict=True) if number is not None and ok), default=0
    )
    integers = [
        units_of(number, scale) if number is not None and ok else 0 for number, ok in zip(numbers, good, strict=True)
    ]
    return Decimals.of_integers(integers, scale), ~np.array(good, dtype=bool)


def narrowed(units: Units) -> Units:
    """Return Python integers as int64 if all of them fit."""
    fits: Any = len(units) == 0 or (units.max() < INT64_LIMIT and units.min() >= -INT64_LIMIT)
    return units.astype(np.int64) if fits else units
