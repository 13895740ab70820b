"""Lookups: which row of a table each text has.

Must not know what the rows mean.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat

import numpy as np

from rules.columns import MISSING, Int32s


class Lookup:
    """Finds rows by text; dictionaries remember what `rows` has found for their values."""

    def __init__(self, rows: Mapping[str, int]) -> None:
        self._rows = rows

    def rows(self, texts: Sequence[str]) -> Int32s:
        """Return the row of each text, int32[texts], MISSING where it has none."""
        return np.fromiter(map(self._rows.get, texts, repeat(MISSING)), np.int32, len(texts))

    def row(self, text: str) -> int:
        """Return the row of one text, or MISSING."""
        return self._rows.get(text, MISSING)
