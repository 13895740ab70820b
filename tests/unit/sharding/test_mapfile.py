from pathlib import Path

import pytest

from sharding.errors import ShardMapError
from sharding.key import SLOTS
from sharding.mapfile import dump, load, parse
from sharding.shardmap import ShardMap, SlotRange, Spread

GOOD = """\
version: 3
shards: [shard-0, shard-1]   # order gives the shard index
ranges:
  - {start: 0, stop: 32768, shard: shard-0}
  - {start: 32768, stop: 65536, shard: shard-1}
pins:
  whale: shard-1
  0123: shard-0
spreads:
  hot: {by: event, ways: 4}
  hotter: {by: [country, carrier], ways: 8}
"""


def test_a_file_becomes_a_map(tmp_path: Path) -> None:
    """Accounts that look like numbers would be renamed by YAML and never found."""
    path = tmp_path / "map.yaml"
    path.write_text(GOOD)
    assert load(path) == ShardMap(
        3,
        ("shard-0", "shard-1"),
        (SlotRange(0, 32768, "shard-0"), SlotRange(32768, SLOTS, "shard-1")),
        {"whale": "shard-1", "0123": "shard-0"},
        {"hot": Spread("event", 4), "hotter": Spread(("country", "carrier"), 8)},
    )


def test_dump_reads_back_and_fits_a_review() -> None:
    """A map that a tool wrote would differ from the map it meant, or be unreadable to the person who approves it."""
    shardmap = parse(GOOD, "map.yaml")
    assert parse(dump(shardmap), "copy.yaml") == shardmap
    assert dump(ShardMap.even(["a", "b"])) == (
        "version: 1\nshards: [a, b]\nranges:\n"
        "- {start: 0, stop: 32768, shard: a}\n- {start: 32768, stop: 65536, shard: b}\n"
    )


# what is replaced in the good file, by what, and the full error
BAD = [
    ("version: 3", "version: three", '1: version: "three" is not a whole number; write digits, without quotes'),
    ("version: 3", 'version: "3"', '1: version: "3" is not a whole number; write digits, without quotes'),
    ("version: 3", "version: -3", '1: version: "-3" is not a whole number; write digits, without quotes'),
    ("version: 3", "version: [3]", "1: version: a list is not a whole number; write digits, without quotes"),
    ("version: 3", "version: 0", "1: version: 0 is out of bounds; write a number from 1 to 2147483647"),
    ("version: 3\n", "", '1: "version" is missing; add it'),
    ("ranges:", "range:", "3: range: unknown key; did you mean ranges?"),
    ("pins:", "customers:", "6: customers: unknown key; write version, shards, ranges, pins, spreads"),
    ("[shard-0, shard-1]", "shard-0", '2: shards: "shard-0" is not a list; write [...]'),
    ("[shard-0, shard-1]", "[shard-0, [x]]", "2: shards[1]: a list is not a name; write text"),
    ("start: 32768", "start: 32769",
     "5: ranges[1].start: 32769 leaves a gap after the range before it, which stops at 32768; write 32768"),
    ("start: 32768, ", "", '5: ranges[1]: "start" is missing; add it'),
    ("stop: 65536, shard: shard-1", "stop: 65536, shard: shard-9",
     '5: ranges[1].shard: no shard is named "shard-9"; write one of shard-0, shard-1'),
    ("whale: shard-1", "whale: shard-9", '7: pins.whale: no shard is named "shard-9"; write one of shard-0, shard-1'),
    ("  0123:", "  whale:", "8: pins.whale: is written twice; keep one"),
    ("whale: shard-1\n  0123: shard-0", "whale", '6: pins: "whale" is not a mapping; write `key: value` pairs'),
    ("hotter:", "whale:", "11: spreads.whale: is pinned too; remove it from pins or from spreads"),
    ("ways: 8", "ways: 1", "11: spreads.hotter.ways: 1 is out of bounds; write a number from 2 to 256"),
    ("ways: 8", "way: 8", "11: spreads.hotter.way: unknown key; did you mean ways?"),
    ("by: event", "by: country",
     '10: spreads.hot.by: "country" is not a way to spread; write event, or [country] for an attribute'),
    ("ranges:", "ranges: [", "4: is not YAML: expected the node content, but found '-'; correct the syntax"),
    (GOOD, "", " is empty; write version, shards and ranges"),
    (GOOD, "[" * 100_000, " is not YAML: it nests too deep or has forbidden characters; correct the syntax"),
    (GOOD, "\0", " is not YAML: it nests too deep or has forbidden characters; correct the syntax"),
    (GOOD, "- 1", "1: a list is not a mapping; write `key: value` pairs"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "error"), BAD)
def test_errors_name_file_line_key_and_remedy(good: str, bad: str, error: str) -> None:
    """The person who edits the map would have to search for the mistake."""
    assert good in GOOD
    with pytest.raises(ShardMapError) as caught:
        parse(GOOD.replace(good, bad, 1), "map.yaml")
    assert str(caught.value) == f"map.yaml:{error}"


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """The operator would get a traceback instead of the file's name."""
    missing, binary, huge = tmp_path / "missing.yaml", tmp_path / "binary.yaml", tmp_path / "huge.yaml"
    binary.write_bytes(b"\xff\xfe\xff")
    with huge.open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    for path, sentence in (
        (missing, "cannot be read (No such file or directory); name a shard map file"),
        (tmp_path, "cannot be read (Is a directory); name a shard map file"),
        (binary, "is not UTF-8 text; save it as UTF-8"),
        (huge, "is too large; a map has at most 16777216 bytes"),
    ):
        with pytest.raises(ShardMapError) as caught:
            load(path)
        assert str(caught.value) == f"{path}: {sentence}"
