"""Source settings: which log is billed, as `[source]` says.

Owns the keys of every kind of source. Must not know how a source is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from billing.config.document import TableSchema, read_secret
from billing.config.sections import Given, Section

MODELS: Final = ("uniform", "skewed", "hot-shard")
FAMILIES: Final = ("telecom", "llm")
STARTS: Final = ("zero", "earliest")
EVENTS_MAX: Final = 10**12  # the generator numbers events with twelve digits
SEED_MAX: Final = 2**32 - 1
OPTIONS_MAX: Final = 200  # librdkafka has fewer
_ADDRESS: Final = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}"
_ADDRESSES: Final = rf"{_ADDRESS}(,{_ADDRESS})*"
_TOPIC: Final = r"[A-Za-z0-9._-]{1,249}"  # what Kafka allows
_GROUP: Final = r"[!-~]{1,249}"
# Exactly-once rests on these: the worker sets them itself and nobody else may.
OWNED_OPTIONS: Final = (
    "bootstrap.servers", "group.id", "isolation.level", "enable.auto.commit", "enable.auto.offset.store",
    "auto.offset.reset",
)  # fmt: skip


FILE_OPTIONS: Final = (
    "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.crl.location",
)  # fmt: skip


@attrs.frozen
class KafkaSource:
    """A topic.

    bootstrap: `host:port,host:port`; start: where a shard without a cursor begins, "zero" (a log that no longer starts
    at offset 0 stops the worker) or "earliest" (what the log still has); options: further librdkafka settings;
    password_file: where sasl.password was read, and is read again, None where it stands in the options.
    """

    bootstrap: str
    topic: str
    group: str
    start: str = STARTS[0]
    options: Mapping[str, str | int | bool] = attrs.field(factory=dict, repr=False)
    password_file: Path | None = None


@attrs.frozen
class FileSource:
    """A JSON Lines file, plain, .gz or .zst: one partition whose offsets are byte positions."""

    path: Path


@attrs.frozen
class GeneratorSource:
    """A synthetic log of `events` events; the last four are shares, 0 to 1."""

    model: str
    events: int
    seed: int = 1
    family: str = "telecom"
    duplicates: float = 0.0
    malformed: float = 0.0
    late: float = 0.0
    out_of_order: float = 0.0


Source = KafkaSource | FileSource | GeneratorSource


_GENERATOR_SHARES: Final = ("duplicates", "malformed", "late", "out_of_order")
_KEYS: Final = {
    "kafka": ("bootstrap", "topic", "group", "start", "options", "password_file"),
    "file": ("path",),
    "generator": ("model", "events", "seed", "family", *_GENERATOR_SHARES),
}
SCHEMA: Final = TableSchema(("kind", *(key for keys in _KEYS.values() for key in keys)), free="options")


def read_source(section: Section, folder: Path) -> Source:
    """Read the source; relative paths start at the folder. `password_file` holds the option sasl.password.

    Raises: SettingsError.
    """
    kind = section.need("kind", " or ".join(f'"{kind}"' for kind in _KEYS)).choice([*_KEYS])
    for key, given in section.keys.items():
        if key not in ("kind", *_KEYS[kind]):
            raise given.error(f'is not a key of kind = "{kind}"; remove it, or write one of {", ".join(_KEYS[kind])}')
    if kind == "kafka":
        return _kafka(section, folder)
    if kind == "file":
        return FileSource(section.need("path", "the path of a JSON Lines file").path(folder))
    return _generator(section)


def _generator(section: Section) -> GeneratorSource:
    model = section.need("model", f"one of {', '.join(MODELS)}").choice(MODELS)
    events = section.need("events", "how many events").integer(1, EVENTS_MAX)
    rest: dict[str, Any] = {key: section.keys[key].share() for key in _GENERATOR_SHARES if key in section.keys}
    if "seed" in section.keys:
        rest["seed"] = section.keys["seed"].integer(0, SEED_MAX)
    if "family" in section.keys:
        rest["family"] = section.keys["family"].choice(FAMILIES)
    return GeneratorSource(model, events, **rest)


def _kafka(section: Section, folder: Path) -> KafkaSource:
    options = _options(section.keys["options"], folder) if "options" in section.keys else {}
    password_file = None
    if "password_file" in section.keys:
        if "sasl.password" in options:
            raise section.keys["password_file"].error("sasl.password is set in options too; keep one of them")
        options["sasl.password"], password_file = read_secret(section.keys["password_file"], folder)
    return KafkaSource(
        section.need("bootstrap", "host:port").matching(_ADDRESSES, "host:port, or several with commas"),
        section.need("topic", "the name of a topic").matching(_TOPIC, "1 to 249 of A-Z a-z 0-9 . _ -"),
        section.need("group", "the name of a consumer group").matching(_GROUP, "1 to 249 visible characters"),
        section.keys["start"].choice(STARTS) if "start" in section.keys else STARTS[0],
        options,
        password_file,
    )


def _options(given: Given, folder: Path) -> dict[str, str | int | bool]:
    if len(given.value) > OPTIONS_MAX:
        raise given.error(f"{len(given.value)} options are too many; write at most {OPTIONS_MAX}")
    for name, option in given.value.items():
        if name in OWNED_OPTIONS:
            raise option.error("the worker sets this itself, because exactly-once rests on it; remove it")
        if not isinstance(option.value, str | int):
            raise option.error("is not text, a whole number, true or false; write one of these")
    files = {name: option for name, option in given.value.items() if name in FILE_OPTIONS and option.value != "probe"}
    paths = {name: str(option.path(folder)) for name, option in files.items()}
    for name, path in paths.items():
        if not Path(path).exists():
            raise files[name].error(f"{path} does not exist; name a file")
    return {name: option.value for name, option in given.value.items()} | paths
