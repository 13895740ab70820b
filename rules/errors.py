"""Errors in files of prices: each thing that is wrong has a place and says what to do about it."""

from collections.abc import Iterable

import attrs


@attrs.frozen
class Problem:
    """One thing wrong with a file: where, and what to do about it. Line 0 means the file as a whole.

    warning: the file can be used as it is, but hardly means what it says.
    """

    path: str
    line: int
    key_path: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        place += ": warning" if self.warning else ""
        return f"{place}: {self.key_path}: {self.message}" if self.key_path else f"{place}: {self.message}"


class BookError(Exception):
    """A book that cannot be used; `problems` holds everything wrong with it, the text has one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))
