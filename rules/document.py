"""Documents: a YAML file as a tree of nodes that know their line and key path.

Owns what YAML is allowed to be here: one document, no anchors, aliases, tags or repeated keys, bounded size and depth.
Must not know what a book is.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import attrs
import yaml
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

from rules.errors import Problem

BYTES_MAX: Final = 16 << 20  # ten times a book of 10,000 rules; a bigger one is a table in the wrong place
KINDS_MAX: Final = 10_000  # scalars whose kind is remembered while a book is read
DEPTH_MAX: Final = 32  # a book needs nine; deeper is a mistake or an attack on the stack
_TOO_DEEP: Final = f"is nested deeper than {DEPTH_MAX} levels; a book needs nine"
_LIBRARY_TOO_DEEP: Final = "maximum nesting depth"  # in the words of libyaml from PyYAML 6.0.4 on
PROBLEMS_MAX: Final = 100  # more than anybody reads before mending the first ones


@attrs.frozen(eq=False)
class Node:
    """A place in a document; a bare Node stands for something that has already been reported."""

    line: int
    label: str
    parent: "Node | None"

    @property
    def key_path(self) -> str:
        """The keys and indexes that lead here, such as `charges[0].rules[2].price`."""
        above = self.parent.key_path if self.parent else ""
        return f"{above}.{self.label}" if above and not self.label.startswith("[") else above + self.label


@attrs.frozen(eq=False)
class Text(Node):
    """A scalar; `kind` says as what YAML reads it: str, int, float, bool, null, timestamp."""

    text: str
    kind: str


@attrs.frozen(eq=False)
class Mapping(Node):
    """Keys and values, in order; a value's line is its key's."""

    entries: dict[str, Node] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Items(Node):
    """A sequence."""

    items: list[Node] = attrs.field(factory=list)


class Problems:
    """Collects what is wrong with a book and its tables, so that all of it is told at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[Problem] = []

    def add(self, node: Node, message: str) -> None:
        """Note a problem with a node of the book."""
        self.add_at(Problem(str(self.path), node.line, node.key_path, message))

    def add_at(self, problem: Problem) -> None:
        """Note a problem of any file; beyond the limit they are dropped."""
        if len(self.found) < PROBLEMS_MAX:
            self.found.append(problem)

    def add_file(self, message: str, line: int = 0) -> None:
        """Note a problem with the book's file as a whole, or with a line of it."""
        self.add_at(Problem(str(self.path), line, "", message))


def read_document(problems: Problems) -> Node | None:
    """Read the file into a tree, or return None after noting why not."""
    try:
        with problems.path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        problems.add_file(f"cannot be read: {error.strerror}; check the path")
        return None
    if len(content) > BYTES_MAX:
        problems.add_file(f"is larger than {BYTES_MAX >> 20} MiB; move prices into CSV tables")
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.add_file("is not UTF-8; save it as UTF-8", content.count(b"\n", 0, error.start) + 1)
        return None
    return _parse(text, problems)


def _parse(text: str, problems: Problems) -> Node | None:
    # The C loader where PyYAML was built with it: ten times faster on a big book.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Builder(yaml.parse(text, Loader=loader), problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        what = " ".join(part for part in (error.context, error.problem) if part)
        if _LIBRARY_TOO_DEEP in what:  # it looks ahead, and may meet its own limit before an event tells us of ours
            problems.add_file(_TOO_DEEP, line)
        else:
            problems.add_file(f"is not YAML: {what}; mend the syntax", line)
    except yaml.YAMLError:
        problems.add_file("is not YAML: it holds a character that YAML does not allow; remove it")
    except _TooDeepError as error:
        problems.add_file(_TOO_DEEP, error.line)
    return None


class _TooDeepError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


class _Builder:
    """Builds nodes from parser events, in one pass."""

    def __init__(self, events: Iterator[yaml.Event], problems: Problems) -> None:
        self._events = events
        self._problems = problems
        # Most scalars of a big book are its keys, and they are the same everywhere.
        self._kind = lru_cache(maxsize=KINDS_MAX)(Resolver().resolve)

    def document(self) -> Node | None:
        """Return the root of the only document."""
        root = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root:
                    self._problems.add_file("holds a second document; keep one book a file", _line(event))
                    return None
                root = self._node(next(self._events), "", None, 0, 0)
        if root is None:
            self._problems.add_file("is empty; begin with `book: NAME`")
        return root

    def _node(self, event: yaml.Event, label: str, parent: Node | None, line: int, depth: int) -> Node:
        line = line or _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._refused(Node(line, label, parent), "aliases are not allowed; repeat the value")
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent), "a parser gives nothing else here"
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event, Node(line, label, parent))
        if isinstance(event, yaml.ScalarEvent):
            tag: str = self._kind(ScalarNode, event.value, event.implicit)
            return Text(line, label, parent, event.value, tag.rpartition(":")[2])
        if depth > DEPTH_MAX:
            raise _TooDeepError(line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(Items(line, label, parent), depth + 1)
        return self._mapping(Mapping(line, label, parent), depth + 1)

    def _refused(self, place: Node, message: str) -> Node:
        self._problems.add(place, message)
        return place

    def _refuse_properties(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, place: Node) -> None:
        if event.anchor is not None:
            self._problems.add(place, f"the anchor &{event.anchor} is not allowed; repeat the value where it is needed")
        if event.tag is not None:
            self._problems.add(place, f"the tag {event.tag} is not allowed; remove it")

    def _items(self, node: Items, depth: int) -> Items:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            node.items.append(self._node(event, f"[{len(node.items)}]", node, 0, depth))
        return node

    def _mapping(self, node: Mapping, depth: int) -> Mapping:
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, "", node, 0, depth)
            label = key.text if isinstance(key, Text) else ""
            value = self._node(next(self._events), label, node, key.line, depth)
            if not isinstance(key, Text):
                self._problems.add(value, "a key must be plain text")
            elif label in node.entries:
                self._problems.add(value, f"the key is given twice; line {node.entries[label].line} has it already")
            else:
                node.entries[label] = value
        return node
