"""Fields: typed readers of document nodes, which note what is wrong and give None.

Owns how texts, numbers, dates and names are spelt in a book, and the words in which a misspelling is told.
"""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, TypeVar

from rules.document import Items, Mapping, Node, Problems, Text
from rules.number import INTEGER_DIGITS_MAX, book_decimal, places_of
from rules.quote import quoted

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
NAME_WANTED: Final = "write a letter or digit, then up to 63 of letters, digits and ._-"
ATTRIBUTE_BYTES_MAX: Final = 64
VALUE_BYTES_MAX: Final = 1024

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_INSTANT: Final = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d))?",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS: Final = {
    "float": "a float, which may lose digits",
    "bool": "true or false",
    "int": "a number in another base or notation",
    "null": "nothing",
    "timestamp": "a date",
}

INSTANT_WANTED: Final = "write 2026-01-01 or 2026-01-01T00:00:00Z"
CURRENCY_WANTED: Final = 'write 3 to 12 capitals and digits, such as "USD"'

_CURRENCY: Final = re.compile(r"[A-Z][A-Z0-9]{2,11}", re.ASCII)

_Choice = TypeVar("_Choice", bound=StrEnum)


class Fields:
    """Reads nodes; every method notes a problem and returns None (or nothing) if the node is not what it should be."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def wrong(self, node: Node, message: str) -> None:
        """Note a problem, unless the node has been reported already."""
        if type(node) is not Node:
            self.problems.add(node, message)

    def mapping(self, node: Node, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Node] | None:
        """Read a mapping of known keys; None if it is none or lacks a required key."""
        if not isinstance(node, Mapping):
            self.wrong(node, f"must be a mapping with the keys {', '.join((*required, *optional))}")
            return None
        known = [*required, *optional]
        if not node.entries and not required:
            self.wrong(node, f"is empty; write one of {', '.join(known)}")
            return None
        for key, value in node.entries.items():
            if key not in known:
                self.wrong(value, f"unknown key {quoted(key)}; {nearest(key, known)}")
        missing = [key for key in required if key not in node.entries]
        for key in missing:
            self.wrong(node, f"the key {quoted(key)} is missing; add it")
        return None if missing else {key: value for key, value in node.entries.items() if key in known}

    def items(self, node: Node, count_max: int) -> list[Node]:
        """Read a sequence of at most `count_max` items."""
        if not isinstance(node, Items):
            self.wrong(node, "must be a list")
            return []
        if len(node.items) > count_max:
            self.wrong(node, f"has {len(node.items)} items; at most {count_max} are allowed")
            return []
        return node.items

    def text(self, node: Node) -> str | None:
        """Read text; integers are taken as they are written, what YAML reads as anything else must be quoted."""
        if not isinstance(node, Text):
            self.wrong(node, "must be text")
        elif node.kind != "str" and not (node.kind == "int" and _INTEGER.fullmatch(node.text)):
            read_as = _KINDS.get(node.kind, node.kind)
            self.wrong(node, f"YAML reads {node.text or 'an empty value'} as {read_as}; write {quoted(node.text)}")
        elif len(node.text.encode()) > VALUE_BYTES_MAX:
            self.wrong(node, f"is longer than {VALUE_BYTES_MAX} bytes, which no event is; shorten it")
        else:
            return node.text
        return None

    def name(self, node: Node) -> str | None:
        """Read the name of a book, group, rule or rollup."""
        text = self.text(node)
        if text is not None and not NAME.fullmatch(text):
            self.wrong(node, f"{quoted(text)} is not a name; {NAME_WANTED}")
            return None
        return text

    def attribute(self, node: Node, refused: Collection[str] = ()) -> str | None:
        """Read the name of an attribute, which is none of the refused fields."""
        text = self.text(node)
        if text is None:
            return None
        if text in refused:
            self.wrong(node, f"{quoted(text)} is a field of every event; name an attribute")
            return None
        if not 0 < len(text.encode()) <= ATTRIBUTE_BYTES_MAX:
            self.wrong(node, f"{quoted(text)} is not an attribute name; write 1 to {ATTRIBUTE_BYTES_MAX} bytes")
            return None
        return text

    def attributes(self, node: Node, count_max: int, refused: Collection[str] = ()) -> list[str]:
        """Read a list of different attribute names."""
        names: list[str] = []
        for item in self.items(node, count_max):
            name = self.attribute(item, refused)
            if name in names:
                self.wrong(item, f"{quoted(name)} is listed twice; remove one")
            elif name is not None:
                names.append(name)
        return names

    def boolean(self, node: Node) -> bool | None:
        """Read true or false."""
        if isinstance(node, Text) and node.kind == "bool" and node.text in {"true", "false"}:
            return node.text == "true"
        self.wrong(node, "must be true or false")
        return None

    def integer(self, node: Node, least: int, most: int) -> int | None:
        """Read a plain integer within bounds."""
        if (
            isinstance(node, Text)
            and node.kind == "int"
            and _INTEGER.fullmatch(node.text)
            and least <= int(node.text) <= most
        ):
            return int(node.text)
        self.wrong(node, f"must be an integer from {least} to {most}")
        return None

    def choice(self, node: Node, choices: type[_Choice]) -> _Choice | None:
        """Read one of the words of an enumeration."""
        text = self.text(node)
        words = [choice.value for choice in choices]
        if text is None or text in words:
            return None if text is None else choices(text)
        self.wrong(node, f"unknown word {quoted(text)}; {nearest(text, words)}")
        return None

    def decimal(self, node: Node, places_max: int, least: Decimal | None = None) -> Decimal | None:
        """Read an exact number: a plain integer or a quoted decimal."""
        if not isinstance(node, Text):
            self.wrong(node, 'must be a number, such as 60 or "0.0079"')
            return None
        if node.kind == "float" and book_decimal(node.text) is not None:
            self.wrong(node, f"{node.text} is a float to YAML and may lose digits; write {quoted(node.text)}")
            return None
        return self._decimal(node, node.text, places_max, least)

    def _decimal(self, node: Text, text: str, places_max: int, least: Decimal | None) -> Decimal | None:
        fault = decimal_fault(text, places_max)
        number = None if fault else book_decimal(text)
        if number is not None and least is not None and number < least:
            fault = f"{quoted(text)} is too small; write {least} or more"
        if fault:
            self.wrong(node, fault)
            return None
        return number

    def instant_us(self, node: Node) -> int | None:
        """Read an RFC 3339 date or date-time as microseconds since 1970-01-01 UTC."""
        if not isinstance(node, Text):
            self.wrong(node, "must be a date, such as 2026-01-01")
            return None
        instant_us = instant_of(node.text)
        if instant_us is None:
            self.wrong(node, f"{quoted(node.text)} is not a date; {INSTANT_WANTED}")
        return instant_us

    def currency(self, node: Node) -> str | None:
        """Read a currency."""
        text = self.text(node)
        if text is not None and not is_currency(text):
            self.wrong(node, f"{quoted(text)} is not a currency; {CURRENCY_WANTED}")
            return None
        return text


def is_currency(text: str) -> bool:
    """Tell whether a text can be a currency."""
    return _CURRENCY.fullmatch(text) is not None


def instant_of(text: str) -> int | None:
    """Read an RFC 3339 date or date-time as microseconds since 1970-01-01 UTC, or return None if it is none."""
    try:
        instant = datetime.fromisoformat(text.upper()) if _INSTANT.fullmatch(text) else None
    except ValueError:  # the thirtieth of February
        instant = None
    if instant is None:
        return None
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def decimal_fault(text: str, places_max: int) -> str | None:
    """Say what is wrong with a decimal and what to write, or None if nothing is."""
    number = book_decimal(text)
    if number is None:
        mended = text.strip().replace(",", ".").removeprefix("+").replace("_", "")
        mended = f"0{mended}" if mended.startswith(".") else mended
        example = mended if mended != text and book_decimal(mended) is not None else "0.0079"
        return f"{quoted(text)} is not a decimal; write {quoted(example)}"
    if places_of(number) > places_max:
        return f"{quoted(text)} has more than {places_max} decimal places; round it to {places_max}"
    if not number.is_zero() and number.adjusted() >= INTEGER_DIGITS_MAX:
        return f"{quoted(text)} has more than {INTEGER_DIGITS_MAX} digits before the point; write a smaller number"
    return None


def nearest(word: str, known: Sequence[str]) -> str:
    """Say which known word was probably meant, or which there are."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {quoted(near[0])}?" if near else f"known: {', '.join(known)}"
