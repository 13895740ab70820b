"""The billing.toml of a stack.

Owns its text. Must not know how the servers run.
"""

import json
from collections.abc import Sequence
from typing import Final

CONFIG_NAME: Final = "billing.toml"
GROUP: Final = "billing"


def config_text(*, bootstrap: str, topic: str, book: str, shards: Sequence[tuple[str, str]]) -> str:
    """Return the configuration for one Kafka and these shards.

    bootstrap: host:port; book: path of the rulebook; shards: name and URL of each (its writer is its reader too).
    """
    source = (("kind", "kafka"), ("bootstrap", bootstrap), ("topic", topic), ("group", GROUP))
    tables = [
        _table("[source]", *(f"{key} = {_text(value)}" for key, value in source)),
        _table("[rules]", f"book = {_text(book)}"),
    ]
    for name, url in shards:
        tables.append(
            _table("[[shards]]", f"name = {_text(name)}", f"writer = {_text(url)}", f"readers = [{_text(url)}]")
        )
    return "\n".join(tables)


def _table(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # JSON's strings are TOML's basic strings
