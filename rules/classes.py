"""Classes: values of a column that no condition can tell apart get one code.

Owns the step that keeps high-cardinality columns (phone numbers, resellers) from multiplying the combinations that
rules are evaluated for. The code of a value never changes; every memo is bounded.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import repeat
from math import ceil, floor
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from rules.columns import INT64_LIMIT, Decimals, Int64s, Units
from rules.condition import Condition, OneOf, OneOfNumbers, Prefix, Range, atoms
from rules.number import INTEGER_DIGITS_MAX, event_number
from rules.prefix import PrefixIndex

MEMO_VALUES_MAX: Final = 1 << 17  # numbers remembered a column: about 20 MB of short texts
DENSE_FACTOR: Final = 8  # up to so many possible codes a row, marking them in an array beats sorting them


class _Memo(dict[Any, int]):
    """A dict that computes what it lacks, so that a whole column is looked up by `map` without Python frames."""

    __slots__ = ("_compute",)

    def __init__(self, compute: Callable[[Any], int]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, key: Hashable) -> int:
        value = self[key] = self._compute(key)
        return value


class TextClasses:
    """Puts texts into classes by what the conditions on one column can see of them; 0 is what an absent text has.

    That is: which literal it is, the longest of the conditions' prefixes, and the place among their bounds.
    """

    def __init__(self, conditions: Iterable[Condition]) -> None:
        tests = [atom for condition in conditions for atom in atoms(condition)]
        literals = (text for test in tests if isinstance(test, OneOf) for text in sorted(test.texts))
        self._literals = {text: i for i, text in enumerate(dict.fromkeys(literals), start=1)}
        prefixes = dict.fromkeys(prefix for test in tests if isinstance(test, Prefix) for prefix in test.prefixes)
        self._prefixes = PrefixIndex([*prefixes]) if prefixes else None
        self._bounds = _bounds(tests)
        self._places = _Memo(self._place)
        self._places_count = 2 * len(self._bounds) + 2 if self._bounds else 1
        self._prefixes_count = len(prefixes) + 1
        self.count = 1 + (len(self._literals) + 1) * self._prefixes_count * self._places_count

    def of(self, texts: Sequence[str]) -> Int64s:
        """Return the class of each text: int64[texts], 1 <= class < count."""
        seen = np.ones(len(texts), dtype=np.int64)
        if self._bounds:
            if len(self._places) > MEMO_VALUES_MAX:
                self._places.clear()
            seen += np.fromiter(map(self._places.__getitem__, texts), np.int64, len(texts))
        if self._prefixes is not None:
            seen += (self._prefixes.rows(texts).astype(np.int64) + 1) * self._places_count
        if self._literals:
            literal = np.fromiter(map(self._literals.get, texts, repeat(0)), np.int64, len(texts))
            seen += literal * (self._prefixes_count * self._places_count)
        return seen

    def _place(self, text: str) -> int:
        number = event_number(text)
        return 0 if number is None else 1 + bisect_left(self._bounds, number) + bisect_right(self._bounds, number)


def _bounds(tests: Iterable[object]) -> list[Decimal]:
    numbers: set[Decimal] = set()
    for test in tests:
        if isinstance(test, Range):
            numbers.update(bound for bound in (test.least, test.below) if bound is not None)
        elif isinstance(test, OneOfNumbers):
            numbers.update(test.numbers)
    return sorted(numbers)


class NumberClasses:
    """Puts numbers into classes: equal to one of the bounds, or between two of them."""

    def __init__(self, conditions: Iterable[Condition]) -> None:
        bounds = {Fraction(bound) for bound in _bounds(atom for part in conditions for atom in atoms(part))}
        # Beyond 10^26 a quantity is not a number to any condition, so that this is a bound too.
        limits = {Fraction(-(10**INTEGER_DIGITS_MAX)), Fraction(10**INTEGER_DIGITS_MAX)}
        self._bounds = sorted(bounds | limits) if bounds else []

    @property
    def count(self) -> int:
        """Classes; codes are below it."""
        return 2 * len(self._bounds) + 1

    def classes(self, numbers: Decimals) -> Int64s:
        """Return for each number how many bounds are below it plus how many are not above it."""
        if not self._bounds:
            return np.zeros(len(numbers), dtype=np.int64)
        # An integer is above x exactly when it is above floor(x), and not below x exactly when not below ceil(x).
        scaled = [bound * 10**numbers.scale for bound in self._bounds]
        return _passed(map(floor, scaled), numbers.units, "left") + _passed(map(ceil, scaled), numbers.units, "right")


def _passed(thresholds: Iterable[int], units: Units, side: Literal["left", "right"]) -> Int64s:
    """Count for each integer the (sorted) thresholds that it has passed; those beyond int64 by comparing nothing."""
    if units.dtype == object:
        return np.searchsorted(np.array(list(thresholds), dtype=object), units, side=side)
    thresholds = list(thresholds)
    within = [threshold for threshold in thresholds if -INT64_LIMIT <= threshold < INT64_LIMIT]
    always = sum(threshold < -INT64_LIMIT for threshold in thresholds)
    return np.searchsorted(np.array(within, dtype=np.int64), units, side=side) + always


def combined(codes: Sequence[NDArray[Any]], sizes: Sequence[int]) -> tuple[Int64s, int]:
    """Return one code for each row's combination of codes, and the size of these codes.

    codes: integer columns of equal length n, 0 <= codes[c] < sizes[c]. The size is the product of sizes, unless that is
    beyond int64: then combinations have been renumbered, and the codes mean something among these rows alone.
    """
    n = len(codes[0]) if codes else 0
    result = np.zeros(n, dtype=np.int64)
    size = 1
    for column, column_size in zip(codes, sizes, strict=True):
        if size * column_size > np.iinfo(np.int64).max:  # renumber what is there: never more than n combinations
            result = np.unique(result, return_inverse=True)[1]
            size = n
        if column_size > 1:
            result = result * column_size + column
            size *= column_size
    return result, size


def distinct(codes: Sequence[NDArray[Any]], sizes: Sequence[int]) -> tuple[Int64s, Int64s]:
    """Return the distinct combinations of codes: a row that is an example of each, and the combination of each row.

    codes, sizes: as for `combined`. The answer is (int64[k], int64[n]).
    """
    one, size = combined(codes, sizes)
    if size <= len(one) * DENSE_FACTOR:
        marks = np.zeros(size, dtype=np.int64)
        marks[one] = 1
        count = int(marks.sum())
        combination = (np.cumsum(marks) - 1)[one]
    else:
        found, combination = np.unique(one, return_inverse=True)
        count = len(found)
    examples = np.zeros(count, dtype=np.int64)
    examples[combination] = np.arange(len(one))
    return examples, combination
