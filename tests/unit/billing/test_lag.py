"""Lag and retention margin: what operators are warned by before anything is lost."""

import pytest

from billing.cursor import Bounds
from billing.lag import CAUGHT_UP, SAMPLES_MAX, Behind, LogWatch, Margin, furthest, together


def test_a_cursor_at_the_end_is_not_behind():
    """An idle shard would look ever later, and people would be called for nothing."""
    watch = LogWatch()
    watch.look({0: Bounds(0, 7)}, 10.0)
    watch.look({0: Bounds(0, 7)}, 900.0)
    assert watch.behind(0, 7, 900.0) == CAUGHT_UP
    assert watch.behind(0, 9, 900.0) == CAUGHT_UP  # it has applied what came since the look


def test_lag_is_the_age_of_the_first_event_that_is_missing():
    """A shard that stands still would be called a moment late for as long as it stands."""
    watch = LogWatch()
    for end, seconds in ((100, 0.0), (200, 10.0), (300, 20.0)):
        watch.look({0: Bounds(0, end)}, seconds)
    assert watch.behind(0, 100, 20.0) == Behind(200, 20.0)
    assert watch.behind(0, 250, 20.0) == Behind(50, 5.0)  # half way between two looks
    assert watch.behind(0, 250, 80.0) == Behind(50, 65.0)


def test_what_came_after_a_silence_is_not_as_old_as_the_silence():
    """The first event of a morning would look as late as the night was long."""
    watch = LogWatch()
    for seconds in range(0, 1000, 5):
        watch.look({0: Bounds(0, 100)}, float(seconds))
    watch.look({0: Bounds(0, 101)}, 1000.0)
    assert watch.behind(0, 100, 1000.0) == Behind(1, 5.0)


def test_of_what_was_there_before_the_first_look_the_least_is_told():
    """A worker that starts with a backlog would say that there is none."""
    watch = LogWatch()
    watch.look({0: Bounds(0, 1000)}, 50.0)
    assert watch.behind(0, 10, 50.0) == Behind(990, 0.0)
    assert watch.behind(0, 10, 110.0) == Behind(990, 60.0)


def test_days_of_lag_are_remembered_in_little_memory():
    """A shard that is down for a weekend would fill its worker's memory, or look hours late instead of days."""
    watch = LogWatch()
    for look in range(50_000):
        watch.look({0: Bounds(0, look * 10)}, look * 5.0)
    assert len(watch._samples[0]) <= SAMPLES_MAX  # noqa: SLF001 - the bound is the point
    now = 49_999 * 5.0
    for position in (0, 123_450, 499_000):
        assert watch.behind(0, position, now).seconds == pytest.approx(now - position / 2, rel=0.05)


def test_partitions_that_moved_away_are_forgotten():
    """Two workers would tell of one partition, the former owner with old figures."""
    watch = LogWatch()
    watch.look({0: Bounds(0, 5), 1: Bounds(0, 5)}, 0.0)
    watch.look({1: Bounds(0, 5)}, 5.0)
    with pytest.raises(KeyError):
        watch.behind(0, 0, 5.0)


def test_a_log_that_becomes_shorter_breaks_nothing():
    """The worker would end with a traceback instead of the sentence about a truncated log."""
    watch = LogWatch()
    watch.look({0: Bounds(0, 50)}, 0.0)
    watch.look({0: Bounds(0, 20)}, 5.0)
    assert watch.behind(0, 10, 6.0) == Behind(10, 1.0)


@pytest.mark.parametrize(
    ("bounds", "position", "margin"),
    [
        (Bounds(100, 300), 300, Margin(200, 1.0)),
        (Bounds(100, 300), 150, Margin(50, 0.25)),
        (Bounds(100, 300), 100, Margin(0, 0.0)),
        (Bounds(100, 300), 90, Margin(0, 0.0)),  # lost: the worker stops at its next seek
        (Bounds(100, 300), 301, Margin(201, 1.0)),  # applied since the look
        (Bounds(300, 300), 300, Margin(0, 1.0)),  # all was deleted, and all was applied
        (Bounds(0, 0), 0, Margin(0, 1.0)),
    ],
)
def test_the_margin_is_what_retention_has_left_to_delete(bounds, position, margin):
    """Nobody would hear of a lagging shard before its events are deleted."""
    watch = LogWatch()
    watch.look({3: bounds}, 0.0)
    assert watch.margin(3, position) == margin


def test_a_shard_is_as_late_as_its_latest_partition():
    """One partition that stands still would hide behind the others."""
    lags = [Behind(5, 2.0), Behind(0, 0.0), Behind(1, 60.0)]
    assert together(lags) == Behind(6, 60.0)
    assert furthest(lags) == Behind(5, 60.0)
    assert together([]) is None
    assert furthest([]) is None
