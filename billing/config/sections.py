"""Sections: tables of settings as they were written, each value with its place, and the readers that check a value.

Owns the wording of errors about single values. Must not know files and variables (`document`) or what keys mean.
"""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import attrs

from billing.errors import SettingsError

INTEGER_MAX: Final = 10**18  # beyond it a number is a mistake, and Python may refuse to print it
SHOWN_MAX: Final = 40  # characters of a wrong value that an error repeats


@attrs.frozen
class Given:
    """One value and the place where it was written; `textual` when that is the environment, which has only text."""

    value: Any = attrs.field(repr=False)  # may hold a password
    where: str
    textual: bool = False

    def error(self, sentence: str) -> SettingsError:
        """Return the error that says what is wrong with this value."""
        return SettingsError(f"{self.where}: {sentence}")

    def text(self, what: str) -> str:
        """Read text that is not empty; `what` says what to write.

        Raises: SettingsError.
        """
        if not isinstance(self.value, str):
            raise self.error(f"{shown(self.value)} is not text; write {what} in quotes")
        if not self.value.strip():
            raise self.error(f"is empty; write {what}")
        return self.value

    def matching(self, pattern: str, what: str) -> str:
        """Read text that matches a pattern as a whole.

        Raises: SettingsError.
        """
        text = self.text(what)
        if not re.fullmatch(pattern, text):
            raise self.error(f"{shown(text)} is not allowed; write {what}")
        return text

    def path(self, folder: Path) -> Path:
        """Read a path; a relative one starts at the folder.

        Raises: SettingsError.
        """
        text = self.text("a path")
        if "\0" in text:
            raise self.error("has a NUL character; write a path")
        return folder / text

    def choice(self, choices: Sequence[str]) -> str:
        """Read one of some words.

        Raises: SettingsError.
        """
        if self.value not in choices:
            raise self.error(f"{shown(self.value)} is not known; {nearest(str(self.value), choices)}")
        return str(self.value)

    def integer(self, minimum: int, maximum: int) -> int:
        """Read a whole number from minimum to maximum.

        Raises: SettingsError.
        """
        remedy = f"write a number from {minimum} to {maximum}"
        value = self.value
        if self.textual and re.fullmatch(r"[-+]?[0-9]{1,18}", value.strip()):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"{shown(value)} is not a whole number; {remedy}")
        if not minimum <= value <= maximum:
            fault = f"below {minimum}" if value < minimum else f"above {maximum}"
            raise self.error(f"{shown(value)} is {fault}; {remedy}")
        return value

    def truth(self) -> bool:
        """Read true or false.

        Raises: SettingsError.
        """
        value = {"true": True, "false": False}.get(self.value, self.value) if self.textual else self.value
        if not isinstance(value, bool):
            raise self.error(f"{shown(value)} is neither true nor false; write one of them")
        return value

    def share(self) -> float:
        """Read a share from 0 to 1.

        Raises: SettingsError.
        """
        value = self.value
        if self.textual and re.fullmatch(r"[0-9]{0,18}\.?[0-9]{1,18}", value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self.error(f"{shown(value)} is not a share; write a number from 0 to 1")
        return float(value)

    def items(self, what: str) -> list["Given"]:
        """Read a list, or text with commas where it comes from the environment.

        Raises: SettingsError.
        """
        values = self.value.split(",") if self.textual else self.value
        if not isinstance(values, list) or not values:
            raise self.error(f"is not a list; write [{what}, ...]")  # not shown: it may be a URL with a password
        return [Given(value, f"{self.where}[{index}]", self.textual) for index, value in enumerate(values)]


@attrs.frozen
class Section:
    """One table: its name (`shards[0]`), where it begins, and what was given for its keys."""

    name: str
    place: str
    keys: Mapping[str, Given]

    def need(self, key: str, what: str) -> Given:
        """Return what was given for a key.

        Raises: SettingsError when nothing was.
        """
        if key not in self.keys:
            raise SettingsError(f"{self.place}: {self.name}.{key}: is missing; write {what}")
        return self.keys[key]


def shown(value: object) -> str:
    """Write a wrong value for an error: short, on one line, and never what is inside a list or table."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= SHOWN_MAX else f"{value[:SHOWN_MAX]}...", ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= INTEGER_MAX:
        return "a number of more than 18 digits"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "a table" if isinstance(value, dict) else str(value)


def nearest(word: str, known: Sequence[str]) -> str:
    """Say what was probably meant, or everything that could be."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"write {', '.join(known)}"
