"""What is told of the fleet's load, from what was seen of it."""

from collections.abc import Mapping

from billing.adapters.load import Sample, behind, lag_seconds
from billing.adapters.newest import Tail
from billing.cursor import CursorRow

LOG = "kafka:c:t"


def cursors(**positions: int) -> list[CursorRow]:
    """Return a shard's cursors: p0=5 is partition 0 at offset 5."""
    return [CursorRow(LOG, int(name[1:]), position, 1, 1, position, 0, 0, 0, 1) for name, position in positions.items()]


def sample(at_seconds: float, ends: Mapping[int, int], **shards: list[CursorRow]) -> Sample:
    return Sample(at_seconds, shards, Tail(dict(ends), ()))


def test_what_is_not_applied_is_counted_over_all_partitions() -> None:
    """A shard that stands still in one partition would be told to be at the log's end."""
    ends = {0: 100, 1: 50}
    assert behind(cursors(p0=100, p1=50), ends) == 0
    assert behind(cursors(p0=90, p1=50), ends) == 10
    assert behind(cursors(p0=100), ends) == 50, "a partition that no event was applied of"
    assert behind(cursors(p0=101, p1=50), ends) == 0, "the end was asked for first"
    assert behind(None, ends) is None
    assert behind(cursors(p0=1), {}) is None, "the end of the log is not known"


def test_of_a_log_that_was_replaced_the_one_that_is_billed_counts() -> None:
    """Operators would be told that a shard is at the end, by a cursor of a topic that is gone."""
    old = CursorRow("kafka:c:old", 0, 1_000, 1, 1, 1_000, 0, 0, 0, 1)
    new = CursorRow(LOG, 0, 10, 1, 1, 10, 0, 0, 0, 2)
    assert behind([new, old], {0: 100}) == 90


def test_lag_is_how_long_ago_the_log_ended_where_a_shard_is() -> None:
    """A worker that is minutes behind and busy would be told to be up to date, since its cursor moves."""
    seen = [
        sample(0.0, {0: 100}, a=cursors(p0=0)),
        sample(10.0, {0: 200}, a=cursors(p0=60)),
        sample(20.0, {0: 300}, a=cursors(p0=100)),
        sample(30.0, {0: 400}, a=cursors(p0=250), b=cursors(p0=400), c=cursors(p0=99)),
    ]
    assert lag_seconds(seen, "a") == 20.0, "250 is beyond the end of second 10"
    assert lag_seconds(seen, "b") == 0.0
    assert lag_seconds(seen, "c") == 30.0, "at least: nothing older was seen"
    assert lag_seconds(seen, "d") is None, "does not answer"
