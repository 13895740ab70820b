"""The settings document: a TOML file with the environment laid over it, as sections.

Owns the names of variables and the place of every value. Must not know what a key means: the schema says what exists.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import attrs

from billing.config.sections import Given, Section, nearest, shown
from billing.config.toml_lines import KeyPath, line_of, lines_of
from billing.errors import SettingsError

PREFIX: Final = "BILLING_"
FILE_BYTES_MAX: Final = 1024 * 1024  # a thousand shards take 200 KiB
SECRET_BYTES_MAX: Final = 4096  # tokens that stand for passwords (cloud IAM) take about 1 KiB
NEAR_MIN: Final = 0.8  # LIMIT is meant to be LIMITS; SERVICE, which orchestrators set, is not meant to be SOURCE
TABLES_MAX: Final = 1024  # elements of a repeated table: as many as a shard map names shards


@attrs.frozen
class TableSchema:
    """What a table may have: its keys, whether it is repeated (`[[shards]]`), and which key is a table of any keys."""

    keys: tuple[str, ...]
    repeated: bool = False
    free: str = ""


Schema = Mapping[str, TableSchema]


@attrs.frozen
class Document:
    """All sections, by table; a table that is not repeated has exactly one, empty where nothing was written."""

    tables: Mapping[str, tuple[Section, ...]]

    def one(self, table: str) -> Section:
        """Return the section of a table that is not repeated."""
        return self.tables[table][0]

    def all(self, table: str) -> tuple[Section, ...]:
        """Return the sections of a repeated table."""
        return self.tables[table]


def read(path: Path, environ: Mapping[str, str], schema: Schema) -> Document:
    """Read a TOML file and lay the variables over it: BILLING_LIMITS_BATCH_EVENTS_MAX, BILLING_SHARDS_0_WRITER.

    A free table's keys have dots where the variable has underscores: BILLING_SOURCE_OPTIONS_SECURITY_PROTOCOL.
    Raises: SettingsError.
    """
    file = _File(str(path), *_parse(path))
    for key in file.content:
        if key not in schema:
            raise file.error((key,), f"unknown key; {nearest(key, [*schema])}")
    tables = {name: _sections(file, name, table) for name, table in schema.items()}
    for keys, given in sorted(_variables(environ, schema), key=lambda pair: pair[0]):
        _lay(tables, file.name, keys, given)
    return Document({name: tuple(sections) for name, sections in tables.items()})


@attrs.frozen
class _File:
    """A parsed file: its name as the user wrote it, its content and the lines of its keys."""

    name: str
    content: Mapping[str, Any]
    lines: Mapping[KeyPath, int]

    def place(self, path: KeyPath) -> str:
        line = line_of(self.lines, path)
        return self.name if line is None else f"{self.name}:{line}"

    def where(self, path: KeyPath) -> str:
        return f"{self.place(path)}: {dotted(path)}"

    def error(self, path: KeyPath, sentence: str) -> SettingsError:
        return SettingsError(f"{self.where(path)}: {sentence}")


def dotted(path: KeyPath) -> str:
    """Write a key path as people do: `shards[0].writer`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def read_text(path: Path, bytes_max: int, what: str) -> str:
    """Read a small UTF-8 file; `what` says what it should be.

    Raises: SettingsError with the file's name.
    """
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise SettingsError(f"{path}: is too large; {what} has at most {bytes_max} bytes")
        return content.decode()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); name {what}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text; name {what}") from error


def read_secret(given: Given, folder: Path) -> tuple[str, Path]:
    """Read a password from the file that a key names; returns both. Raises: SettingsError."""
    path = given.path(folder)
    try:
        return secret_in(path), path
    except SettingsError as error:
        raise given.error(str(error)) from error


def secret_in(path: Path) -> str:
    """Read a password as its file has it now; a line end after it is not part of it.

    Raises: SettingsError.
    """
    secret = read_text(path, SECRET_BYTES_MAX, "a file with a password").removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SettingsError(f"{path} is empty; write the password into it")
    return secret


def _parse(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    text = read_text(path, FILE_BYTES_MAX, "a settings file")
    try:
        return tomllib.loads(text), lines_of(text)
    except (ValueError, RecursionError) as error:  # ValueError: its own TOMLDecodeError, and numbers of 5,000 digits
        fault = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error))
        if fault is None:
            raise SettingsError(f"{path}: is not TOML: {error}; correct the syntax") from error
        place = f"{path}:{fault[2]}: column {fault[3]}"
        raise SettingsError(f"{place}: is not TOML: {fault[1]}; correct the syntax") from error


def _sections(file: _File, name: str, table: TableSchema) -> list[Section]:
    content = file.content.get(name, [] if table.repeated else {})
    if not table.repeated:
        if not isinstance(content, dict):
            raise file.error((name,), f"{shown(content)} is not a table; write [{name}]")
        return [_section(file, (name,), content, table)]
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise file.error((name,), f"{shown(content)} is not a list of tables; write [[{name}]]")
    if len(content) > TABLES_MAX:
        raise file.error((name,), f"{len(content)} tables are too many; write at most {TABLES_MAX}")
    return [_section(file, (name, index), each, table) for index, each in enumerate(content)]


def _section(file: _File, path: KeyPath, content: Mapping[str, Any], table: TableSchema) -> Section:
    keys: dict[str, Given] = {}
    for key, value in content.items():
        at = (*path, key)
        if key not in table.keys:
            raise file.error(at, f"unknown key; {nearest(key, table.keys)}")
        if key == table.free:
            if not isinstance(value, dict):
                raise file.error(at, f"{shown(value)} is not a table; write [{dotted(at)}]")
            value = {option: Given(each, file.where(where)) for option, where, each in _flat(value, at)}  # noqa: PLW2901
        keys[key] = Given(value, file.where(at))
    return Section(dotted(path), file.place(path), keys)


def _flat(table: Mapping[str, Any], path: KeyPath, prefix: str = "") -> Iterator[tuple[str, KeyPath, Any]]:
    """Yield (dotted name, key path, value): `a.b = 1` and `"a.b" = 1` mean the same option."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, (*path, key), f"{prefix}{key}.")
        else:
            yield prefix + key, (*path, key), value


def _variables(environ: Mapping[str, str], schema: Schema) -> Iterator[tuple[KeyPath, Given]]:
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name, _, rest = variable.removeprefix(PREFIX).partition("_")
        if name.lower() in schema:
            yield _keys(variable, name.lower(), rest, schema[name.lower()]), Given(text, variable, textual=True)
        elif near := get_close_matches(name.lower(), schema, n=1, cutoff=NEAR_MIN):
            raise SettingsError(f"{variable}: unknown variable; did you mean {PREFIX}{near[0].upper()}_{rest}?")


def _keys(variable: str, name: str, rest: str, table: TableSchema) -> KeyPath:
    """Return the key path that a variable stands for."""
    path: KeyPath = (name,)
    prefix = f"{PREFIX}{name.upper()}_"
    if table.repeated:
        index, _, rest = rest.partition("_")
        if not re.fullmatch(r"0|[1-9][0-9]{0,3}", index) or int(index) >= TABLES_MAX:
            raise SettingsError(f"{variable}: has no number; write {prefix}0_{table.keys[0].upper()}")
        path, prefix = (name, int(index)), f"{prefix}{index}_"
    key = rest.lower()
    if table.free and key.startswith(f"{table.free}_"):
        return (*path, table.free, key.removeprefix(f"{table.free}_").replace("_", "."))
    known = [each for each in table.keys if each != table.free]
    if key not in known:
        raise SettingsError(
            f"{variable}: unknown variable; {nearest(f'{prefix}{rest}', [prefix + each.upper() for each in known])}"
        )
    return (*path, key)


def _lay(tables: Mapping[str, list[Section]], file: str, path: KeyPath, given: Given) -> None:
    """Put one variable in its place; `path` comes in ascending order, so a new section is the next one."""
    name, *rest = path
    sections = tables[str(name)]
    index = rest.pop(0) if isinstance(rest[0], int) else 0
    assert isinstance(index, int)
    if index > len(sections):
        raise given.error(f"there is no {name}[{len(sections)}] yet; number the variables from {len(sections)} on")
    if index == len(sections):
        sections.append(Section(f"{name}[{index}]", file, {}))
    key = str(rest[0])
    if len(rest) > 1:
        options = sections[index].keys[key].value if key in sections[index].keys else {}
        given = Given({**options, str(rest[1]): given}, given.where)
    sections[index] = attrs.evolve(sections[index], keys={**sections[index].keys, key: given})
