"""Settings: what `billing.toml` and the environment say, checked as a whole before anything starts.

Owns every key, its meaning and its default. Must not know who uses it; opens nothing but the settings' own files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from billing.config import api_settings, database_settings, source_settings
from billing.config.api_settings import Api, read_api
from billing.config.database_settings import Database, Login, Role, read_database
from billing.config.document import Document, TableSchema, read, read_secret
from billing.config.sections import Given, Section
from billing.config.source_settings import Source, read_source
from billing.config.store_url import MysqlUrl, SqliteUrl, StoreUrl, StoreUrlError, parse
from billing.errors import SettingsError
from billing.limits import DEPENDENCIES, Limits
from sharding import mapfile
from sharding.errors import ShardMapError
from sharding.shardmap import ShardMap

PORT_MAX: Final = 65_535
_HOST: Final = r"[A-Za-z0-9._-]{1,255}"


@attrs.frozen
class Shard:
    """One cluster: the endpoint that writes, and those that reads may go to (the writer where none is named).

    Each with who enters: writer as the worker, readers as the reader; primary: the writer's endpoint as the reader,
    who looks at what is newest; migrator: as who changes tables. Where `[database]` names no users, all are one.
    """

    name: str
    writer: StoreUrl
    readers: tuple[StoreUrl, ...]
    primary: StoreUrl = attrs.field(default=attrs.Factory(lambda shard: shard.writer, takes_self=True))
    migrator: StoreUrl = attrs.field(default=attrs.Factory(lambda shard: shard.writer, takes_self=True))


@attrs.frozen
class Rules:
    """The rulebook's file."""

    book: Path


@attrs.frozen
class Sharding:
    """The shard map's file; None divides the slots evenly over the shards, in their order."""

    map: Path | None = None


@attrs.frozen
class Metrics:
    """Where workers answer Prometheus and who supervises them: each process a port from this one on; 0 is nowhere."""

    port: int = 0
    host: str = "127.0.0.1"


@attrs.frozen
class Settings:
    """Everything that `billing.toml` says."""

    source: Source
    shards: tuple[Shard, ...]
    rules: Rules
    sharding: Sharding
    limits: Limits
    metrics: Metrics
    api: Api
    database: Database = attrs.field(factory=Database)


SCHEMA: Final = {
    "source": source_settings.SCHEMA,
    "shards": TableSchema(("name", "writer", "readers", "password_file"), repeated=True),
    "rules": TableSchema(("book",)),
    "sharding": TableSchema(("map",)),
    "limits": TableSchema(tuple(field.name for field in attrs.fields(Limits))),
    "metrics": TableSchema(("port", "host")),
    "api": api_settings.SCHEMA,
    "database": database_settings.SCHEMA,
}


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read settings from a TOML file and the variables that override its keys.

    environ: all variables; those that begin with BILLING_ and a section's name are settings, and unknown ones are
    refused. Relative paths start at the file's folder.
    Raises: SettingsError, one line: file and line (or the variable), key, what is wrong and what to write instead.
    """
    document = read(path, environ, SCHEMA)
    folder = path.parent
    database = read_database(document.one("database"), folder)
    return Settings(
        read_source(document.one("source"), folder),
        _shards(document, path, database),
        Rules(document.one("rules").need("book", "the path of a rulebook").path(folder)),
        Sharding(*(given.path(folder) for given in document.one("sharding").keys.values())),
        read_limits(document.one("limits")),
        _metrics(document.one("metrics")),
        read_api(document.one("api"), folder),
        database,
    )


def shard_map(settings: Settings) -> ShardMap:
    """Return the map that the settings name, or the even one; its shards are the settings' shards, in any order.

    Raises: SettingsError when the file is wrong or names other shards.
    """
    names = [shard.name for shard in settings.shards]
    if settings.sharding.map is None:
        return ShardMap.even(names)
    try:
        shardmap = mapfile.load(settings.sharding.map)
    except ShardMapError as error:
        raise SettingsError(str(error)) from error
    for name in sorted({*names} ^ {*shardmap.shards}):
        lacking, remedy = (
            ("[[shards]]", "add its writer there") if name not in names else ("the map", "add it to shards")
        )
        raise SettingsError(f'{settings.sharding.map}: shards: "{name}" is missing in {lacking}; {remedy}')
    return shardmap


def _shards(document: Document, path: Path, database: Database) -> tuple[Shard, ...]:
    sections = document.all("shards")
    if not sections:
        raise SettingsError(f"{path}: shards: is missing; write [[shards]] with name and writer")
    shards: dict[str, Shard] = {}
    places: dict[tuple[str, ...], str] = {}
    for section in sections:
        shard = _shard(section, path.parent, database)
        if shard.name in shards:
            raise section.keys["name"].error(f'"{shard.name}" is another shard\'s name too; give each its own')
        if shard.writer.place() in places:
            other = places[shard.writer.place()]
            raise section.keys["writer"].error(f"is the store of {other} too; give each shard its own database")
        shards[shard.name] = shard
        places[shard.writer.place()] = shard.name
    return tuple(shards.values())


def _shard(section: Section, folder: Path, database: Database) -> Shard:
    pattern = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
    name = section.need("name", "a name").matching(
        pattern, "a name: 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first"
    )
    password = section.keys.get("password_file")
    if password is not None and database.logins:
        raise password.error("[database] names the users, and where their passwords are; remove it")
    secret = (None, None) if password is None else read_secret(password, folder)
    writer = _url(section.need("writer", "mysql://user@host:port/database or sqlite:///path"), folder, secret, database)
    given = section.keys["readers"].items("URL") if "readers" in section.keys else []
    readers = [_url(each, folder, secret, database) for each in given] or [writer]
    for each, reader in zip(given, readers, strict=False):
        if type(reader) is not type(writer):
            raise each.error("is another kind of store than the writer; name a reader of the same cluster")
    worker, looker, migrator = (database.logins.get(role) for role in (Role.WORKER, Role.READER, Role.MIGRATOR))
    return Shard(
        name,
        entered_by(worker, writer),
        tuple(entered_by(looker, url) for url in readers),
        entered_by(looker, writer),
        entered_by(migrator, writer),
    )


def entered_by(login: Login | None, url: StoreUrl) -> StoreUrl:
    """Return the same place with another who enters; files, and None, are left as they are."""
    if login is None or isinstance(url, SqliteUrl):
        return url
    return attrs.evolve(
        url, user=login.user, password=login.password, password_file=login.password_file, lacking=login.lacking
    )


def require_password(url: StoreUrl) -> None:
    """Check that who enters a store has the password here. Raises: SettingsError, which says where it is missed."""
    if isinstance(url, MysqlUrl) and url.lacking:
        raise SettingsError(url.lacking)


def _url(given: Given, folder: Path, secret: tuple[str | None, Path | None], database: Database) -> StoreUrl:
    try:
        text = given.text("mysql://user@host:port/database or sqlite:///path")
        url = parse(text, folder, has_user=not database.logins)
    except StoreUrlError as error:
        raise given.error(str(error)) from error
    password, password_file = secret
    if isinstance(url, SqliteUrl):
        if password is not None:
            raise given.error("is a file, which has no password; remove password_file")
        return url
    if password is not None and url.password:
        raise given.error("has a password, and password_file has one too; keep one of them")
    return attrs.evolve(
        url,
        password=url.password if password is None else password,
        password_file=password_file,
        tls_ca=database.tls_ca,
        tls_client=database.tls_client,
    )


def _metrics(section: Section) -> Metrics:
    found = Metrics()
    if "port" in section.keys:
        found = attrs.evolve(found, port=section.keys["port"].integer(0, PORT_MAX))
    if "host" in section.keys:
        found = attrs.evolve(found, host=section.keys["host"].matching(_HOST, "an address to listen on, as 0.0.0.0"))
    return found


def read_limits(section: Section) -> Limits:
    """Read the bounds of the engine, each within its range and none in conflict with another.

    Raises: SettingsError.
    """
    bounds = {field.name: field.metadata for field in attrs.fields(Limits)}
    given = {key: value.integer(bounds[key]["minimum"], bounds[key]["maximum"]) for key, value in section.keys.items()}
    limits = Limits(**given)
    for rule in DEPENDENCIES:
        smaller, larger = getattr(limits, rule.smaller), getattr(limits, rule.larger)
        if smaller * rule.factor <= larger:
            continue
        if rule.larger in section.keys:
            least = smaller * rule.factor
            raise section.keys[rule.larger].error(
                f"{larger} is too small for limits.{rule.smaller} = {smaller}: {rule.reason}; write at least {least}"
            )
        most = larger // rule.factor
        raise section.keys[rule.smaller].error(
            f"{smaller} is too large for limits.{rule.larger} = {larger}: {rule.reason}; write at most {most}"
        )
    return limits
