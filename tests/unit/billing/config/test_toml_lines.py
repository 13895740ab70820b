import tomllib
from typing import Any

import pytest

from billing.config.toml_lines import line_of, lines_of

TEXT = '''\
# a comment with [brackets] and key = "value"
title = "one # not a comment [x]"
a.b . "c.d" = 1

[source]   # the source
kind='kafka'
"quoted key" = """
kind = "inside a string"
[limits]
""""
options = { "security.protocol" = "SSL", x.y = 1 }
list = [
  "a",  # ]
  [1, 2],
  { z = 1 },
]
after = 'x'

[[shards]]
name = "s0"
[shards.extra]
deep = 1
[[shards]]
name = "s1"
[[shards.inner]]
n = 1
[[shards.inner]]
n = 2

[limits.'odd one']
x = \'\'\'
[nothing]
\'\'\'\'\'
y = 2020-01-01 00:00:00
'''


def test_every_key_has_its_line() -> None:
    """An error would send the person to the wrong line of a long file."""
    lines = lines_of(TEXT)
    assert {path: line for path, line in lines.items() if line not in (5, 19)} == {
        ("title",): 2,
        ("a",): 3,
        ("a", "b"): 3,
        ("a", "b", "c.d"): 3,
        ("source", "kind"): 6,
        ("source", "quoted key"): 7,
        ("source", "options"): 11,
        ("source", "list"): 12,
        ("source", "after"): 17,
        ("shards", 0, "name"): 20,
        ("shards", 0, "extra"): 21,
        ("shards", 0, "extra", "deep"): 22,
        ("shards", 1): 23,
        ("shards", 1, "name"): 24,
        ("shards", 1, "inner"): 25,
        ("shards", 1, "inner", 0): 25,
        ("shards", 1, "inner", 0, "n"): 26,
        ("shards", 1, "inner", 1): 27,
        ("shards", 1, "inner", 1, "n"): 28,
        ("limits",): 30,
        ("limits", "odd one"): 30,
        ("limits", "odd one", "x"): 31,
        ("limits", "odd one", "y"): 34,
    }
    assert lines["source",] == 5
    assert lines["shards",] == lines["shards", 0] == 19


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the key paths of a parsed text, but not what is inside plain lists."""
    if isinstance(value, dict):
        return [path, *(leaf for key, each in value.items() for leaf in leaves(each, (*path, key)))]
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return [path, *(leaf for index, each in enumerate(value) for leaf in leaves(each, (*path, index)))]
    return [path]


def test_the_scanner_sees_the_keys_that_the_parser_sees() -> None:
    """A key that the scanner misreads would be reported at a line that has another key."""
    inside_inline = {
        ("source", "options", "security.protocol"),
        ("source", "options", "x"),
        ("source", "options", "x", "y"),
    }
    assert {*lines_of(TEXT)} == {*leaves(tomllib.loads(TEXT))} - inside_inline - {()}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("source", "options", "security.protocol"), 11),
        (("source", "list", 2, "z"), 12),
        (("source", "missing"), 5),
        (("shards", 1, "missing"), 23),
        (("missing",), None),
    ],
)
def test_what_has_no_line_has_that_of_what_holds_it(path: tuple[Any, ...], line: int | None) -> None:
    """A missing key, or one inside an inline table, would be reported without any place to look."""
    assert line_of(lines_of(TEXT), path) == line


def test_windows_line_ends_count_once() -> None:
    """Every line would be off on files from Windows."""
    assert lines_of('a = 1\r\n\r\n[t]\r\nb = """\r\n"""\r\nc = 2\r\n') == {
        ("a",): 1,
        ("t",): 3,
        ("t", "b"): 4,
        ("t", "c"): 6,
    }
