"""Counting: which counters the lines of one batch add to, and how much.

Owns the way from winning rules with a period to the counters of lines. Must not know formulas.
"""

from typing import Any

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rules.columns import MISSING, Coded, Counter, Decimals, Int32s, Int64s, Usage
from rules.measure import Bools
from rules.period import Per, starts
from rules.quote import quoted

Rows = NDArray[np.intp]

_PERIOD_BITS = 33  # of a second before 2242; a counter's rule and period make one int64


@attrs.frozen(eq=False)
class Counted:
    """The lines of one batch with counters: counter int32[m] (-1 for none), the distinct counters, what each adds."""

    counter: Int32s
    counters: tuple[Counter, ...]
    use: Decimals


class Counting:
    """Collects the uses of one batch of usage, lane by lane."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._starts: dict[Per, tuple[Int64s, Bools | None]] = {}
        self._added: list[tuple[int, Rows, Int64s, Decimals]] = []

    def periods(self, per: Per, rows: Rows) -> tuple[Int64s, Bools | None]:
        """Return the start of the period of each row in seconds, and where it has none (or None)."""
        if per not in self._starts:
            self._starts[per] = starts(per, self._usage.time_us, self._anchors(per))
        begins, bad = self._starts[per]
        return begins[rows], None if bad is None or not bad[rows].any() else bad[rows]

    def _anchors(self, per: Per) -> Coded | None:
        return None if per.attribute is None else self._usage.attributes[per.attribute]

    def detail(self, per: Per, row: int) -> str:
        """Say why a row has no period."""
        anchors = self._anchors(per)
        assert anchors is not None, "a calendar has a period for any time"
        assert per.attribute is not None, "and so has a day that the book names"
        code = int(anchors.codes[row])
        shown = "absent" if code == MISSING else quoted(anchors.values[code])
        wanted = 'a day of the year is written as "04-01"' if per.unit == "year" else "a day of the month is 1 to 31"
        return f"the attribute {quoted(per.attribute)} is {shown}; {wanted}"

    def add(self, group: int, rows: Rows, rules: Int32s, periods: Int64s, use: Decimals) -> None:
        """Note the uses of one lane."""
        self._added.append((group, rows, (rules.astype(np.int64) << _PERIOD_BITS) | periods, use))

    def counted(self, made: NDArray[Any]) -> Counted:
        """Return the counters of lines, in the order of lines; made: bool[n, groups], where there is a line."""
        if not self._added:
            count = int(made.sum())
            return Counted(np.full(count, MISSING, dtype=np.int32), (), Decimals(np.zeros(count, dtype=np.int64), 0))
        scale = max(use.scale for *_, use in self._added)
        uses = [use.rescaled(scale).units for *_, use in self._added]
        wide = any(units.dtype == object for units in uses)
        keys = np.full(made.shape, MISSING, dtype=np.int64)
        used = np.zeros(made.shape, dtype=object if wide else np.int64)
        for (group, rows, key, _), units in zip(self._added, uses, strict=True):
            keys[rows, group] = key
            used[rows, group] = units
        encoded = pa.array(keys[made]).dictionary_encode()
        distinct = encoded.dictionary.to_numpy()
        numbers = np.cumsum(distinct != MISSING, dtype=np.int32) - np.int32(1)
        counter = np.where(distinct == MISSING, np.int32(MISSING), numbers)[encoded.indices.to_numpy()]
        mask = (1 << _PERIOD_BITS) - 1
        counters = tuple(Counter(key >> _PERIOD_BITS, key & mask) for key in distinct.tolist() if key != MISSING)
        return Counted(counter.astype(np.int32), counters, Decimals(used[made], scale))
