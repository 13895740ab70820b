"""TOML lines: the line on which each key of a TOML text stands, which `tomllib` does not tell.

Owns a scanner for text that `tomllib` has accepted. Must not know what keys mean. It sees table headers and the keys of
statements; what is inside an inline table or an array has the line of the key that it belongs to.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

KeyPath = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r'''(?P<text>"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')'''
    r"""|(?P<end>\n)|(?P<mark>[\[\]{}=])|(?P<bare>[^\s"'#\[\]{}=,]+)|(?P<other>\#[^\n]*|[^\S\n]+|,)""",
    re.DOTALL,
)
_DEPTH: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


@attrs.frozen
class _Token:
    kind: str
    text: str
    line: int


def lines_of(text: str) -> dict[KeyPath, int]:
    """Return the line (from 1) of every key path of a valid TOML text; tables of an array are numbered from 0."""
    lines: dict[KeyPath, int] = {}
    sizes: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for statement in _statements(text):
        line, marks = statement[0].line, [token.text for token in statement[:2]]
        if marks[0] != "[":
            path = (*table, *_parts(statement))
        elif marks == ["[", "["]:
            *parents, name = _parts(statement)
            array = (*_inside(sizes, parents), name)
            lines.setdefault(array, line)
            table = path = (*array, sizes.setdefault(array, 0))
            sizes[array] += 1
        else:
            table = path = _inside(sizes, _parts(statement))
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], line)
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of the longest part of the path that has one."""
    return next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), None)


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        yield _Token(str(match.lastgroup), match[0], line)
        line += match[0].count("\n")


def _statements(text: str) -> Iterator[list[_Token]]:
    """Yield the tokens of each header or `key = value`, which ends with the line unless a bracket is open."""
    depth = 0
    statement: list[_Token] = []
    for token in _tokens(f"{text}\n"):
        if token.kind == "mark":
            depth += _DEPTH.get(token.text, 0)
        if token.kind == "end" and depth == 0:
            if statement:
                yield statement
            statement = []
        elif token.kind not in {"end", "other"}:
            statement.append(token)


def _parts(statement: Iterable[_Token]) -> list[str]:
    """Return the parts of the key that a statement begins with."""
    parts: list[str] = []
    for token in statement:
        if token.text == "=":
            break
        if token.kind == "bare":
            parts += [part for part in token.text.split(".") if part]
        elif token.kind == "text":
            parts.append(tomllib.loads(f"key = {token.text}")["key"])
    return parts


def _inside(sizes: Mapping[KeyPath, int], parts: Iterable[str]) -> KeyPath:
    """Resolve a header's key: below an array of tables it means the last one."""
    path: KeyPath = ()
    for part in parts:
        path = (*path, part)
        if path in sizes:
            path = (*path, sizes[path] - 1)
    return path
