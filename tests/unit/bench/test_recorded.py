"""Recorded events as the traffic of a run."""

import gzip

import pytest
import zstandard

from bench.errors import MeasureError
from bench.recorded import BLOCK_EVENTS, blocks, first

LINES = [b'{"id": "%d"}' % number for number in range(BLOCK_EVENTS + 3)]


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.jsonl.zst"])
def test_every_line_of_a_file_is_an_event(tmp_path, name):
    """Else a run of what really happened would lack some of it, or bill line ends."""
    text = b"\r\n".join(LINES[:5]) + b"\n\n" + b"\n".join(LINES[5:])
    packed = {".gz": gzip.compress, ".zst": zstandard.compress}.get((tmp_path / name).suffix, bytes)(text)
    (tmp_path / name).write_bytes(packed)
    found = list(blocks(tmp_path / name))
    assert [len(block) for block in found] == [BLOCK_EVENTS, 3]
    assert [line for block in found for line in block] == LINES
    assert list(blocks(tmp_path / name, 2)) == [LINES[:2]]
    assert first(tmp_path / name) == LINES[0]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.jsonl", None, "No such file or directory; name a file"),
        ("empty.jsonl", b"\n", "has no events; name a file"),
        ("not.jsonl.gz", b"{}", "Not a gzipped file"),
        ("not.jsonl.zst", b"{}{}{}", "name a file of JSON texts"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path, name, content, words):
    """Else servers would be started to end in a traceback."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MeasureError, match=words):
        first(tmp_path / name)
