"""Cursors against the bounds of a log."""

import pytest

from billing.cursor import Bounds, Claim, Standing, begun_late, check_within
from billing.errors import LogChangedError


def test_positions_within_the_log_are_fine():
    """A worker would refuse to start on a healthy log."""
    check_within("log", {0: 5, 1: 9, 2: 0}, {0: Bounds(5, 9), 1: Bounds(5, 9), 2: Bounds(0, 0)})
    check_within("log", {}, {})


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ({0: 4}, "log partition 0 begins at offset 5, but a shard has applied only up to 4: 1 offsets are gone"),
        ({0: 10}, "log partition 0 ends at offset 9, but a shard has applied up to 10: the log was truncated"),
        ({7: 0}, "log has no partition 7, yet a shard's cursor stands in it"),
    ],
)
def test_positions_outside_the_log_stop_the_worker(positions, words):
    """Events would be skipped in silence."""
    with pytest.raises(LogChangedError) as caught:
        check_within("log", positions, {0: Bounds(5, 9)})
    assert str(caught.value) == f"{words}; see runbook: log changed"


def test_a_shard_that_begins_after_the_logs_first_offset_is_found():
    """With `start = "earliest"` a new shard would pass what retention has deleted, and nobody would hear of it."""
    claim = Claim("log", {0: 0, 1: 70, 2: 70}, 1, 1)
    assert begun_late(claim, Standing({0: 0, 1: 70, 2: 95}, 1, 1)) == {1: 70}
    assert begun_late(claim, Standing({}, 1, 1)) == {}
