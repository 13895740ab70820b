"""The shard map that a settings file names."""

from pathlib import Path

import pytest

from billing.config.settings import shard_map
from billing.errors import SettingsError
from sharding.shardmap import ShardMap
from tests.settings_files import GOOD, loaded


def test_without_a_map_the_slots_are_divided_evenly() -> None:
    """A new deployment would need a map file before its first event."""
    assert shard_map(loaded(GOOD)) == ShardMap.even(["shard-0", "shard-1"])


MAP = "version: 2\nshards: [shard-1, shard-0]\nranges:\n- {start: 0, stop: 65536, shard: shard-0}\n"


def test_the_map_is_read_and_keeps_its_own_order(folder: Path) -> None:
    """Shard indexes of the map would be taken for positions in the settings: charges on the wrong shard."""
    (folder / "map.yaml").write_text(MAP)
    assert shard_map(loaded(GOOD + '[sharding]\nmap = "map.yaml"\n')).shards == ("shard-1", "shard-0")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            MAP.replace("[shard-1,", "[shard-1, shard-9,"),
            'map.yaml: shards: "shard-9" is missing in [[shards]]; add its writer there',
        ),
        (MAP.replace("[shard-1,", "["), 'map.yaml: shards: "shard-1" is missing in the map; add it to shards'),
        (
            MAP.replace("65536", "65535"),
            "map.yaml:4: ranges[0].stop: is 65535, so slot 65535 has no shard; write 65536",
        ),
        (None, "map.yaml: cannot be read (No such file or directory); name a shard map file"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(folder: Path, text: str | None, error: str) -> None:
    """A shard of the map would have no database, or a database would stay empty without anybody knowing."""
    if text is not None:
        (folder / "map.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        shard_map(loaded(GOOD + '[sharding]\nmap = "map.yaml"\n'))
    assert str(caught.value) == error
