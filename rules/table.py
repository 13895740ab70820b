"""Price tables: which row of a file belongs to an event, and the numbers of one of its columns.

Owns the lookup. Must not know how files are read.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from rules.columns import MISSING, Decimals, Int32s

Key = str | tuple[str, ...]  # the text of one name, or the texts of several


def key_of(names: tuple[str, ...], ask: Callable[[str], str | None]) -> Key | None:
    """Return the key that an event's texts make for these names, or None if one of them is absent."""
    texts = [text for text in map(ask, names) if text is not None]
    if len(texts) < len(names):
        return None
    return texts[0] if len(texts) == 1 else tuple(texts)


class Keys(Protocol):
    """The key columns of a file: finds the row of a key, MISSING where there is none."""

    def rows(self, keys: Sequence[Any], /) -> Int32s:
        """Return the row of each key, int32[keys]."""
        ...

    def row(self, key: Any, /) -> int:  # noqa: ANN401 - a Key; a text where prefixes are looked for
        """Return the row of one key."""
        ...


@attrs.frozen(eq=False)
class ExactKeys:
    """Keys that must be equal, as a whole."""

    row_of: Mapping[Key, int]

    def rows(self, keys: Sequence[Key]) -> Int32s:
        """Return the row of each key, int32[keys]."""
        return np.fromiter(map(self.row_of.get, keys, repeat(MISSING)), np.int32, len(keys))

    def row(self, key: Key) -> int:
        """Return the row of one key."""
        return self.row_of.get(key, MISSING)


@attrs.frozen(eq=False)
class TableIndex:
    """The key columns of a file. names: the fields or attributes that make the key of an event."""

    file: str
    names: tuple[str, ...]
    keys: Keys

    def find(self, key: Key | None) -> int:
        """Return the row of a key, or MISSING."""
        return MISSING if key is None else self.keys.row(key)


@attrs.frozen(eq=False)
class Table:
    """One column of numbers: row i has `prices[i]`, if `priced[i]`.

    prices: one decimal a row (0 where the cell is empty); priced: bool[rows + 1], false there and at MISSING.
    """

    index: TableIndex
    column: str
    prices: Decimals
    priced: NDArray[np.bool_]

    def has_price(self, ask: Callable[[str], str | None]) -> bool:
        """Tell whether the event's row exists and its cell is not empty."""
        return bool(self.priced[self.index.find(key_of(self.index.names, ask))])

    def are_priced(self, keys: Sequence[Any]) -> NDArray[np.bool_]:
        """Tell of each key whether its row exists and its cell is not empty."""
        return self.priced[self.index.keys.rows(keys)]

    def __repr__(self) -> str:
        return f"Table({self.index.file!r}, {self.column!r})"
