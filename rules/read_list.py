"""Lists: CSV files beside a book whose columns have fixed names.

Owns their columns and the place of each cell. Must not know what the cells mean.
"""

from collections.abc import Mapping, Sequence

import attrs
import pyarrow as pa

from rules.columns import Int32s
from rules.document import Node, Problems
from rules.errors import Problem
from rules.fields import Fields, nearest
from rules.quote import quoted
from rules.read_table import Tables


@attrs.frozen(eq=False)
class List:
    """The rows of a file; lines: the line of each row; a column that the file lacks is empty in every row."""

    path: str
    columns: Mapping[str, pa.StringArray]
    lines: Int32s
    problems: Problems

    def cells(self, name: str) -> pa.StringArray:
        """Return a column, in order of rows."""
        return self.columns[name] if name in self.columns else pa.array([""] * len(self.lines), type=pa.string())

    def column(self, name: str) -> list[str]:
        """Return the texts of a column, in order of rows."""
        texts: list[str] = self.cells(name).to_pylist()
        return texts

    def line(self, row: int) -> int:
        """Return the line of a row."""
        return int(self.lines[row])

    def wrong(self, row: int, column: str, message: str) -> None:
        """Note a problem with a cell."""
        self.problems.add_at(Problem(self.path, self.line(row), column, message))


def read_list(
    node: Node, fields: Fields, tables: Tables, required: Sequence[str], optional: Sequence[str]
) -> List | None:
    """Read the file that `{file: NAME}` names, with these columns and no others; None after noting what is wrong."""
    entries = fields.mapping(node, ["file"])
    name = None if entries is None else fields.text(entries["file"])
    if entries is None or name is None:
        return None
    read = tables.file(entries["file"], name)
    if read is None:
        return None
    known = [*required, *optional]
    faults = [f"unknown column {quoted(each)}; {nearest(each, known)}" for each in read.columns if each not in known]
    faults += [f"the column {quoted(each)} is missing; add it" for each in required if each not in read.columns]
    for fault in faults:
        fields.problems.add_at(Problem(str(read.path), 1, "", fault))
    if faults:
        return None
    return List(str(read.path), read.columns, read.lines, fields.problems)
