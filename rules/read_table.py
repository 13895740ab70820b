"""Reading tables: CSV files of prices beside a book.

Owns the checks of header, keys and cells, and their words. Reads each file once, whatever number of rules use it.
"""

import csv
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rules.cells import NumberKind, numbers_of
from rules.document import Node, Problems
from rules.errors import Problem
from rules.prefix import PrefixIndex
from rules.quote import quoted
from rules.table import ExactKeys, Key, Keys, Table, TableIndex

ROWS_MAX: Final = 2_000_000  # of all tables of a book: about 1.2 GB of memory while they are read
BYTES_MAX: Final = 256 << 20  # two million rows of 128 bytes
PREFIX_COLUMN: Final = "prefix"
_CHUNK_ROWS: Final = 8_192  # rows that stand as Python lists at a time: a few megabytes

_T = TypeVar("_T")


@attrs.frozen(eq=False)
class _File:
    """A file's cells by column, and the line of each row; line: int32[rows]."""

    path: Path
    columns: dict[str, pa.StringArray]
    lines: NDArray[np.int32]

    def line(self, row: int) -> int:
        return int(self.lines[row])


class Tables:
    """The tables of one book, read on demand; a table that cannot be read is reported once and is None."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._files: dict[str, _File | None] = {}
        self._indexes: dict[tuple[str, tuple[str, ...], bool], TableIndex | None] = {}
        self._tables: dict[tuple[TableIndex, str, NumberKind], Table | None] = {}
        self._made: dict[Hashable, Any] = {}
        self._rows_left = ROWS_MAX

    def table(
        self,
        node: Node,
        file: str,
        names: tuple[str, ...],
        column: str,
        *,
        by_prefix: bool,
        kind: NumberKind = NumberKind.PRICE,
    ) -> Table | None:
        """Return the numbers of a column, keyed by the columns `names` or by the column "prefix"."""
        read = self.file(node, file)
        if read is None:
            return None
        absent = [c for c in ([PREFIX_COLUMN] if by_prefix else [*names]) + [column] if c not in read.columns]
        for name in absent:
            self._note(read.path, 1, "", f"there is no column {quoted(name)}; the header has {', '.join(read.columns)}")
        if absent:
            return None
        key = file, names, by_prefix
        if key not in self._indexes:
            keys = self._prefixes(read) if by_prefix else self._exact(read, names)
            self._indexes[key] = None if keys is None else TableIndex(file, names, keys)
        index = self._indexes[key]
        if index is None:
            return None
        if (index, column, kind) not in self._tables:
            self._tables[index, column, kind] = self._numbers(read, index, column, kind)
        return self._tables[index, column, kind]

    def file(self, node: Node, file: str) -> _File | None:
        """Return the cells of a file, read once."""
        if file not in self._files:
            self._files[file] = self._read(node, file)
        return self._files[file]

    def once(self, key: Hashable, make: Callable[[], _T | None]) -> _T | None:
        """Return what `make` returns, made the first time that a key is asked for."""
        if key not in self._made:
            self._made[key] = make()
        made: _T | None = self._made[key]
        return made

    def _note(self, path: Path, line: int, column: str, message: str) -> None:
        problem = Problem(str(path), line, column, message)
        if problem not in self._problems.found:  # several rules may ask for the same missing column
            self._problems.add_at(problem)

    def _read(self, node: Node, file: str) -> _File | None:
        path = self._problems.path.parent / file
        found = len(self._problems.found)
        try:
            if path.stat().st_size > BYTES_MAX:
                self._problems.add(node, f"{quoted(file)} is larger than {BYTES_MAX >> 20} MiB; split it by product")
                return None
            with path.open(encoding="utf-8-sig", newline="") as stream:
                read = self._rows(path, csv.reader(stream, strict=True))
        except OSError as error:
            self._problems.add(node, f"{quoted(file)} cannot be read: {error.strerror}; check the path beside the book")
        except UnicodeDecodeError:
            self._problems.add(node, f"{quoted(file)} is not UTF-8; save it as UTF-8")
        else:
            return read if len(self._problems.found) == found else None
        return None

    def _rows(self, path: Path, reader: "csv._reader") -> _File | None:  # type: ignore[name-defined]
        header: list[str] = next(reader, [])
        if not header or "" in header or len(set(header)) < len(header):
            self._note(path, 1, "", "the header must name every column once; write it as the first line")
            return None
        chunks = _Chunks(header)
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._note(path, reader.line_num, "", f"is not CSV: {error}; mend the quotes")
                break
            if row is None:
                break
            if len(row) != len(header):
                message = f"has {len(row)} cells but the header has {len(header)}; write one cell a column"
                self._note(path, line, "", message)
            elif self._rows_left == 0:
                self._note(path, line, "", f"the tables of a book have at most {ROWS_MAX} rows; drop what is not sold")
                break
            else:
                chunks.add(row, line)
                self._rows_left -= 1
        return _File(path, chunks.columns(), np.array(chunks.lines, dtype=np.int32))

    def _exact(self, read: _File, names: tuple[str, ...]) -> Keys | None:
        parts = [read.columns[name].to_pylist() for name in names]
        keys: list[Key] = parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))
        rows = dict(zip(keys, range(len(keys)), strict=True))
        if len(rows) == len(keys):
            return ExactKeys(rows)
        self._note_repeats(read, keys, ", ".join(names))
        return None

    def _prefixes(self, read: _File) -> Keys | None:
        prefixes = read.columns[PREFIX_COLUMN].to_pylist()
        if "" in prefixes:
            line = read.line(prefixes.index(""))
            self._note(read.path, line, PREFIX_COLUMN, "is empty; write a prefix, and price the rest by a later rule")
            return None
        if len(set(prefixes)) == len(prefixes):
            return PrefixIndex(prefixes)
        self._note_repeats(read, prefixes, PREFIX_COLUMN)
        return None

    def _note_repeats(self, read: _File, keys: Sequence[Key], column: str) -> None:
        rows: dict[Key, int] = {}
        for i, key in enumerate(keys):
            first = rows.setdefault(key, i)
            if first != i:
                shown = quoted(key if isinstance(key, str) else ", ".join(key))
                message = f"{shown} is in line {read.line(first)} already; keep one of them"
                self._note(read.path, read.line(i), column, message)

    def _numbers(self, read: _File, index: TableIndex, column: str, kind: NumberKind) -> Table | None:
        numbers = numbers_of(read.columns[column], kind)
        for row, fault in numbers.faults:
            self._note(read.path, read.line(row), column, fault)
        if numbers.faults:
            return None
        return Table(index, column, numbers.units, np.append(numbers.filled, np.False_))


class _Chunks:
    """Rows on their way into columns, a few thousand at a time, since a list of texts takes ten times the room."""

    def __init__(self, header: Sequence[str]) -> None:
        self._header = header
        self._rows: list[list[str]] = []
        self._parts: list[list[pa.StringArray]] = [[] for _ in header]
        self.lines: list[int] = []

    def add(self, row: list[str], line: int) -> None:
        self._rows.append(row)
        self.lines.append(line)
        if len(self._rows) == _CHUNK_ROWS:
            self._pack()

    def _pack(self) -> None:
        for parts, cells in zip(self._parts, zip(*self._rows, strict=True), strict=True):
            parts.append(pa.array(cells, type=pa.string()))
        self._rows = []

    def columns(self) -> dict[str, Any]:
        if self._rows:
            self._pack()
        columns = (pa.concat_arrays([pa.array([], type=pa.string()), *parts]) for parts in self._parts)
        return dict(zip(self._header, columns, strict=True))
