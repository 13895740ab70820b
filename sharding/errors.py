"""Errors in a shard map: which of its values is wrong, and what to write instead."""

Key = tuple[str | int, ...]


class ShardMapError(Exception):
    """A map that cannot be used: the configuration is wrong, so nothing starts.

    key: path of the wrong value, such as ("ranges", 2, "start"); sentence: what is wrong and what to write instead;
    where: the file and line, or "shard map" for a map that was built in code.
    """

    def __init__(self, key: Key, sentence: str, where: str = "shard map") -> None:
        super().__init__(": ".join(part for part in (where, dotted(key), sentence) if part))
        self.key = key
        self.sentence = sentence


def dotted(key: Key) -> str:
    """Write a key path as people do: `ranges[2].start`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")
