"""Positions in the log, and how far shards have come."""

import msgspec
import pytest

from billing.cursor import CursorRow
from billing.reads.freshness import (
    Cursors,
    LogPosition,
    PositionError,
    as_of,
    book_version,
    is_consistent,
    position_of,
    positions_text,
)


def cursor(partition, offset, log="l", book=1, at_us=0):
    return CursorRow(log, partition, offset, 1, book, 0, 0, 0, at_us, at_us)


@pytest.mark.parametrize("text", ["0:0", "0:5,7:12", "kafka:C:T@3:99", "file:a@b.jsonl:1f@0:1"])
def test_positions_come_back_as_they_were(text):
    """A caller would wait for another position than that of his event."""
    assert str(position_of(text)) == text


@pytest.mark.parametrize("text", ["", "1", ":", "0:", "a:1", "0:1,", "0:-1", "0:1;1:1", "l@", "l m@0:1", "0:1" * 2000])
def test_other_texts_are_refused(text):
    """A mistyped position would be waited for, or taken for one long applied."""
    with pytest.raises(PositionError):
        position_of(text)


@pytest.mark.parametrize(
    ("text", "reached"),
    [("0:5", True), ("0:6", False), ("0:5,1:9", True), ("0:5,1:10", False), ("2:1", False), ("l@0:5", True),
     ("m@0:1", False)],
)  # fmt: skip
def test_a_position_is_reached_when_every_partition_is(text, reached):
    """A read would come before the write that it should see."""
    assert position_of(text).is_reached([cursor(0, 5), cursor(1, 9)]) is reached
    assert LogPosition(None, {}).is_reached([])


def test_age_is_told_from_when_the_slowest_shard_moved():
    """An answer would claim to be fresher than its oldest part."""
    (place,) = as_of([[cursor(0, 9, at_us=5_000_000)], [cursor(0, 7, at_us=3_000_000)]], 5_500_000)
    assert (place.position, place.lag_seconds, place.applied_at) == (7, 2.5, "1970-01-01T00:00:03Z")
    assert as_of([[cursor(0, 0)]], 1)[0].lag_seconds is None


def test_parts_of_different_positions_are_told_apart():
    """A sum of parts that were read at different times would pass for one of one moment."""
    assert is_consistent([[cursor(0, 5)], [cursor(0, 5)]])
    assert not is_consistent([[cursor(0, 5)], [cursor(0, 6)]])
    assert not is_consistent([[cursor(0, 5)], []])
    assert is_consistent([])


def test_the_newest_book_that_wrote_is_told():
    """A reader would be told a version that no longer prices."""
    assert book_version([[cursor(0, 1, book=3)], [cursor(0, 1, book=4)]], 2) == 4
    assert book_version([[]], 2) == 2


@pytest.mark.parametrize("now_us", [0, 3_000_000, 3_000_499, 3_001_000, 4_123_456, 10**16])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_is_written_once_is_what_would_be_written_each_time(count, now_us):
    """A looked up balance would tell another position or age than the same asked for in another way."""
    rows = [cursor(1, 9, at_us=3_000_000), cursor(0, 7, log="m"), cursor(0, 5, at_us=2_999_999)][:count]
    cursors = Cursors.of(rows)
    expected = as_of([rows], now_us)
    assert cursors.as_of_json(now_us) == msgspec.json.encode(expected) == msgspec.json.encode(cursors.as_of(now_us))
    assert cursors.positions_text == positions_text(expected)
    assert [(one.log, one.partition, one.position) for one in expected] == list(cursors.positions)
    assert cursors.book_version == (1 if rows else None)
