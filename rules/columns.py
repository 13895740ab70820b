"""The columns that rules read and write: coded text, exact decimals, usage in, priced lines out.

Owns the exact arithmetic of columns. Must not know where columns come from or where they go.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self, TypeVar, cast

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

PICO_PLACES: Final = 12  # amounts are integers of 1e-12 currency units; DECIMAL(38,12) at rest
INT64_LIMIT: Final = 2**63
MISSING: Final = -1
_Value = TypeVar("_Value")
_Whole = TypeVar("_Whole")

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Units = NDArray[Any]  # int64, or object (Python integers) where int64 would overflow


class Values(Sequence[_Value]):
    """Some values of a dictionary, for all that is derived from them; of texts in an Arrow array, strings if asked."""

    def __init__(self, values: Sequence[_Value] | pa.StringArray) -> None:
        self._given = values

    @cached_property
    def texts(self) -> pa.StringArray:
        """The values, which are texts, as an Arrow array."""
        return self._given if isinstance(self._given, pa.Array) else pa.array(self._given, type=pa.string())

    @cached_property
    def listed(self) -> Sequence[_Value]:
        """The values as Python has them."""
        return self._given.to_pylist() if isinstance(self._given, pa.Array) else self._given

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - a value, or a list of them
        return self.listed[at]

    def __iter__(self) -> Iterator[_Value]:
        return iter(self.listed)


class Dictionary(Sequence[_Value]):
    """Distinct values, numbered in the order in which they came; it only ever grows, so a number keeps its meaning.

    Columns of many batches may share one: it may hold values that no row of a column has.
    """

    def __init__(self, values: Iterable[_Value] = ()) -> None:
        self._values = list(values)
        self._count = len(self._values)
        self._waiting: list[Values[_Value]] = []  # values that nobody has asked for yet, in order, behind the others
        self._derived: dict[object, Any] = {}
        self._rooms: dict[object, NDArray[Any]] = {}
        self._derived_of_all: dict[object, tuple[int, Any]] = {}
        self._newest: tuple[int, int, Values[_Value]] = (0, 0, Values(()))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - a value, or a list of them
        return self._all[at]

    def __iter__(self) -> Iterator[_Value]:
        return iter(self._all)

    @property
    def _all(self) -> list[_Value]:
        if self._waiting:
            for values in self._waiting:
                self._values += values
            self._waiting.clear()
        return self._values

    def derived(self, what: Callable[[Sequence[_Value]], Any]) -> Any:  # noqa: ANN401 - what `what` makes
        """Return `what(values)`, a numpy or Arrow array with an element for each value, computed once for each.

        what: a function of each value alone, the same object whenever the same array is wanted.
        """
        known = self._derived.get(what)
        done = 0 if known is None else len(known)
        if known is None or done < self._count:
            new = what(self._since(done))
            if known is None:
                known = new
            elif isinstance(new, pa.Array):
                known = pa.concat_arrays([known, new])
            else:
                known = self._extended(what, known, new)
            self._derived[what] = known
        return known

    def _extended(self, what: object, known: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        """Join two arrays, in one with room for more to come, so that each value is copied a few times at most."""
        count = len(known) + len(new)
        if new.dtype != known.dtype:
            return np.concatenate([known, new])
        room = self._rooms.get(what)
        if room is None or len(room) < count or known.base is not room:
            room = self._rooms[what] = np.empty((1 << count.bit_length(), *known.shape[1:]), dtype=known.dtype)
            room[: len(known)] = known
        room[len(known) : count] = new
        return room[:count]

    def derived_of_all(self, what: Callable[[Self], _Whole]) -> _Whole:
        """Return `what(self)`, a function of all values together, computed again only once there are more of them."""
        count, known = self._derived_of_all.get(what, (-1, None))
        if count != len(self):
            known = what(self)
            self._derived_of_all[what] = len(self), known
        return cast("_Whole", known)

    def append(self, value: _Value) -> None:
        """Add a value."""
        self._all.append(value)
        self._count += 1

    def extend(self, values: Sequence[_Value] | pa.StringArray) -> None:
        """Add values, of an Arrow array without making strings of them."""
        new: Values[_Value] = Values(values)
        self._newest = self._count, self._count + len(new), new
        self._count += len(new)
        self._waiting.append(new)

    def _since(self, done: int) -> Values[_Value]:
        first, stop, values = self._newest
        if (first, stop) != (done, self._count):
            values = Values(self._all[done:])
            self._newest = done, self._count, values
        return values


def texts_of(values: Sequence[str]) -> pa.StringArray:
    """Return texts as an Arrow array."""
    return values.texts if isinstance(values, Values) else pa.array(values, type=pa.string())


def _dictionary(texts: Iterable[str]) -> Dictionary[str]:
    return texts if isinstance(texts, Dictionary) else Dictionary(texts)


@attrs.frozen(eq=False)
class Coded:
    """A dictionary-encoded column of text: `values[codes[i]]` is row i, code -1 is a missing value.

    codes: int32[n]; values: distinct strings, among them all that rows have.
    """

    codes: Int32s
    values: Dictionary[str] = attrs.field(converter=_dictionary)

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, rows: Sequence[str | None]) -> Self:
        """Encode rows in order of first appearance."""
        encoded = pa.array(rows, type=pa.string()).dictionary_encode()
        codes = encoded.indices if not encoded.null_count else encoded.indices.fill_null(MISSING)
        return cls(codes.to_numpy(), encoded.dictionary.to_pylist())

    def take(self, rows: NDArray[Any]) -> "Coded":
        """Select rows (an index or boolean array); the values stay shared."""
        return Coded(self.codes[rows], self.values)

    def derived(self, what: Callable[[Sequence[str]], NDArray[Any]], missing: Any) -> NDArray[Any]:  # noqa: ANN401
        """Return `what` of each row's text (see `Dictionary.derived`), `missing` where there is none."""
        known = self.values.derived(what)
        if not len(known):
            return np.full(len(self.codes), missing, dtype=known.dtype)
        rows: NDArray[Any] = known[self.codes]
        absent = self.codes == MISSING
        if absent.any():
            rows[absent] = missing
        return rows

    def rows(self) -> list[str | None]:
        """Decode to one string (or None) a row."""
        values = [*self.values, None]
        return [values[code] for code in self.codes.tolist()]


def stacked(codes: Sequence[Int32s], length: int) -> Int32s:
    """Return columns of codes as one array, int32[columns, length]."""
    rows = np.empty((len(codes), length), dtype=np.int32)
    for place, column in enumerate(codes):
        rows[place] = column
    return rows


@attrs.frozen(eq=False)
class Decimals:
    """A column of exact decimals: row i is `units[i] * 10**-scale`.

    units: int64[n], or object[n] of Python integers where int64 would overflow; scale: 0..24 decimal places.
    """

    units: Units
    scale: int

    def __len__(self) -> int:
        return len(self.units)

    @classmethod
    def of_integers(cls, integers: Sequence[int] | Units, scale: int = 0) -> "Decimals":
        """Build from integers of 10**-scale, as int64 where they fit."""
        try:
            return cls(np.array(integers, dtype=np.int64), scale)
        except OverflowError:
            return cls(np.array(integers, dtype=object), scale)

    @classmethod
    def concat(cls, columns: "Sequence[Decimals]") -> "Decimals":
        """Join columns in order, at the finest of their scales."""
        scale = max(column.scale for column in columns)
        units = [column.rescaled(scale).units for column in columns]
        if any(one.dtype == object for one in units):
            units = [one.astype(object) for one in units]
        return cls(np.concatenate(units), scale)

    def take(self, rows: NDArray[Any]) -> "Decimals":
        """Select rows (an index or boolean array)."""
        return Decimals(self.units[rows], self.scale)

    def magnitude(self) -> int:
        """Return the largest absolute number of units, 0 for an empty column."""
        return max(abs(int(self.units.max())), abs(int(self.units.min()))) if len(self.units) else 0

    def times(self, factor: int) -> "Decimals":
        """Return the values multiplied by an integer, as Python integers where int64 would overflow."""
        return Decimals(widened(self.units, max(self.magnitude(), 1) * abs(factor)) * factor, self.scale)

    def rescaled(self, scale: int) -> "Decimals":
        """Return the same values at a finer (or equal) scale; never rounds."""
        assert scale >= self.scale, "rescaling to a coarser scale would round"
        if scale == self.scale:
            return self
        return attrs.evolve(self.times(10 ** (scale - self.scale)), scale=scale)


def widened(units: Units, bound: int) -> Units:
    """Return units as they are if every result up to `bound` (absolute) fits int64, else as Python integers."""
    return units if units.dtype == object or bound < INT64_LIMIT else units.astype(object)


@attrs.frozen(eq=False)
class Usage:
    """What rules may read of n events, as columns of length n.

    account, product: coded, never missing; time_us: int64[n], microseconds since 1970-01-01 UTC (the event's own time);
    quantity: exact decimals; attributes: for each attribute name that the book mentions, a coded column (-1 = absent).
    """

    account: Coded
    product: Coded
    time_us: Int64s
    quantity: Decimals
    attributes: Mapping[str, Coded]

    def __len__(self) -> int:
        return len(self.time_us)


@attrs.frozen
class Counter:
    """One thing that is counted for each charged account: a rule in one of its periods.

    rule: index into `Book.counted_rules`; period: start of the period, seconds since 1970-01-01 UTC (0 where it never
    ends).
    """

    rule: int
    period: int


@attrs.frozen(eq=False)
class Lines:
    """Priced lines: m charges, ordered by event row, then by group.

    event: int32[m], row in Usage; rule: int32[m], index into `Book.rules`; account: charged account, coded[m], in the
    dictionary of the events' accounts or one that begins with it; quantity: the billed quantity after its rounding;
    amount: scale 12, currency units of the book, and 0 until it is settled where the line has a counter; counter:
    int32[m], index into `counters`, -1 where the amount is final; counters: distinct; use: scale 12 at most, what the
    line adds to its counter (0 where it has none).
    """

    event: Int32s
    rule: Int32s
    account: Coded
    quantity: Decimals
    amount: Decimals
    counter: Int32s
    counters: Sequence[Counter]
    use: Decimals

    def __len__(self) -> int:
        return len(self.event)


@attrs.frozen
class Reject:
    """One event that could not be priced: its row in Usage, a reason (a fixed word) and a detail for a person."""

    event: int
    reason: str
    detail: str


@attrs.frozen(eq=False)
class Priced:
    """The result of pricing: lines of the accepted events, and the rejected events (which have no lines)."""

    lines: Lines
    rejects: Sequence[Reject]
