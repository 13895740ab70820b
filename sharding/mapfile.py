"""The map file: YAML text <-> ShardMap, with errors that name the file, the line and the key.

Owns the file format. Must not know what makes a map valid (`shardmap` does); it adds the line to what is said there.
"""

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import yaml

from sharding.errors import Key, ShardMapError
from sharding.shardmap import ShardMap, SlotRange, Spread

MAP_BYTES_MAX: Final = 16 * 1024 * 1024  # 65,536 ranges and 100,000 pins fit; anything larger is another file

KEYS: Final = ("version", "shards", "ranges", "pins", "spreads")
RANGE_KEYS: Final = ("start", "stop", "shard")
SPREAD_KEYS: Final = ("by", "ways")


def load(path: Path) -> ShardMap:
    """Read a map from a YAML file.

    Raises: ShardMapError, one line: file, line, key, what is wrong and what to write instead.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAP_BYTES_MAX + 1)
        if len(content) > MAP_BYTES_MAX:
            raise ShardMapError((), f"is too large; a map has at most {MAP_BYTES_MAX} bytes", str(path))
        return parse(content.decode(), str(path))
    except OSError as error:
        raise ShardMapError((), f"cannot be read ({error.strerror}); name a shard map file", str(path)) from error
    except UnicodeDecodeError as error:
        raise ShardMapError((), "is not UTF-8 text; save it as UTF-8", str(path)) from error


def parse(text: str, name: str) -> ShardMap:
    """Read a map from YAML text; `name` stands for the file in errors.

    Raises: ShardMapError.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = name if mark is None else f"{name}:{mark.line + 1}"
        problem = " ".join(
            str(getattr(error, "problem", None) or "it nests too deep or has forbidden characters").split()
        )
        raise ShardMapError((), f"is not YAML: {problem}; correct the syntax", where) from error
    if root is None:
        raise ShardMapError((), "is empty; write version, shards and ranges", name)
    try:
        return _map(root)
    except ShardMapError as error:
        raise ShardMapError(error.key, error.sentence, f"{name}:{_line(root, error.key)}") from error


def dump(shardmap: ShardMap) -> str:
    """Write a map as the YAML text that `parse` reads back to an equal map."""
    document = {
        "version": shardmap.version,
        "shards": [*shardmap.shards],
        "ranges": [{"start": each.start, "stop": each.stop, "shard": each.shard} for each in shardmap.ranges],
        "pins": dict(sorted(shardmap.pins.items())),
        "spreads": {
            account: {"by": each.by if isinstance(each.by, str) else [*each.by], "ways": each.ways}
            for account, each in sorted(shardmap.spreads.items())
        },
    }
    present = {key: value for key, value in document.items() if value}
    return yaml.safe_dump(present, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)


def _map(root: yaml.Node) -> ShardMap:
    table = _Table((), root, KEYS, required=KEYS[:3])
    shards = table.read("shards", _items, _text)
    ranges = table.read("ranges", _items, _range)
    pins = table.read("pins", _entries, _text)
    spreads = table.read("spreads", _entries, _spread)
    return ShardMap(table.read("version", _integer), tuple(shards), tuple(ranges), dict(pins), dict(spreads))


def _range(key: Key, node: yaml.Node) -> SlotRange:
    table = _Table(key, node, RANGE_KEYS, required=RANGE_KEYS)
    return SlotRange(table.read("start", _integer), table.read("stop", _integer), table.read("shard", _text))


def _spread(key: Key, node: yaml.Node) -> Spread:
    table = _Table(key, node, SPREAD_KEYS, required=SPREAD_KEYS)
    return Spread(table.read("by", _by), table.read("ways", _integer))


def _by(key: Key, node: yaml.Node) -> str | tuple[str, ...]:
    return tuple(_items(key, node, _text)) if isinstance(node, yaml.SequenceNode) else _text(key, node)


class _Table:
    """One mapping of the file, its keys checked."""

    def __init__(self, key: Key, node: yaml.Node, known: Sequence[str], required: Sequence[str]) -> None:
        self.key = key
        self.nodes = dict(_pairs(key, node))
        for name in self.nodes:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"write {', '.join(known)}"
                raise ShardMapError((*key, name), f"unknown key; {remedy}")
        for name in required:
            if name not in self.nodes:
                raise ShardMapError(key, f'"{name}" is missing; add it')

    def read(self, name: str, reader: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 -- as the reader returns
        """Read one key; an absent optional one reads as an empty list."""
        return reader((*self.key, name), self.nodes[name], *arguments) if name in self.nodes else []


def _pairs(key: Key, node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise ShardMapError(key, f"{_shown(node)} is not a mapping; write `key: value` pairs")
    seen = set()
    for name_node, value in node.value:
        name = _text(key, name_node)
        if name in seen:
            raise ShardMapError((*key, name), "is written twice; keep one")
        seen.add(name)
        yield name, value


def _entries(key: Key, node: yaml.Node, reader: Callable[..., Any]) -> list[tuple[str, Any]]:
    return [(name, reader((*key, name), value)) for name, value in _pairs(key, node)]


def _items(key: Key, node: yaml.Node, reader: Callable[..., Any]) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise ShardMapError(key, f"{_shown(node)} is not a list; write [...]")
    return [reader((*key, position), value) for position, value in enumerate(node.value)]


def _text(key: Key, node: yaml.Node) -> str:
    """Read text as it is written: an account named 0123 or yes needs no quotes."""
    if not isinstance(node, yaml.ScalarNode):
        raise ShardMapError(key, f"{_shown(node)} is not a name; write text")
    return str(node.value)


def _integer(key: Key, node: yaml.Node) -> int:
    written = str(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else ""
    if not (written.isascii() and written.isdecimal() and len(written) <= 18):  # noqa: PLR2004 -- digits of any int64
        raise ShardMapError(key, f"{_shown(node)} is not a whole number; write digits, without quotes")
    return int(written)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f'"{" ".join(node.value.split())[:40]}"'
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _line(root: yaml.Node, key: Key) -> int:
    """Find the line (from 1) of the deepest part of a key path that the file has."""
    node, line = root, root.start_mark.line
    for part in key:
        if isinstance(node, yaml.MappingNode):
            # the last one, so that a key written twice is shown where it repeats
            found = [(name, value) for name, value in node.value if name.value == part][-1:]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = [(node.value[part], node.value[part])]
        else:
            found = []
        if not found:
            break
        line, node = found[0][0].start_mark.line, found[0][1]
    return int(line) + 1
