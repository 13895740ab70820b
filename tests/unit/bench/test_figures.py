"""The arithmetic of the benchmark."""

import pytest

from bench import figures
from bench.figures import Sample, Throughput


def sample(at_seconds, events, cpu=None, counters=None):
    return Sample(at_seconds, events, cpu or {}, 0, counters or {})


def test_percentiles_are_measured_values_and_never_flatter():
    """Else a p99 could lie below what one request in a hundred really waited."""
    values = [float(value) for value in range(1, 101)]
    assert [figures.percentile(values, share) for share in (0.0, 0.5, 0.99, 0.991, 1.0)] == [1, 50, 99, 100, 100]
    assert figures.percentile([7.0], 0.99) == 7
    assert figures.percentile([3.0, 1.0, 2.0], 0.5) == 2


def test_windows_show_a_decline_that_the_mean_hides():
    """Else a system that slows down as its tables grow would look as fast as one that does not."""
    samples = [sample(float(second), min(second, 10) * 100 + max(second - 10, 0) * 50) for second in range(25)]
    assert figures.windows(samples) == [100.0, 50.0]
    assert figures.throughput(samples) == Throughput(pytest.approx(1700 / 24), 50.0, 100.0, (100.0, 50.0))


def test_a_late_sample_does_not_make_a_window_faster():
    """Else a hiccup of the sampler would be reported as a burst of the system."""
    assert figures.windows([sample(0.0, 0), sample(9.0, 900), sample(12.0, 1200)]) == [100.0]


def test_a_run_shorter_than_a_window_is_one_window():
    assert figures.windows([sample(0.0, 0), sample(4.0, 200)]) == [50.0]


def test_start_up_and_an_empty_log_are_no_work():
    """Else waiting for the broker, or for a log that has run dry, would be counted as the system's own slowness."""
    events = [0, 0, 0, 50, 90, 90, 120, 120, 120]
    samples = [sample(float(second), count) for second, count in enumerate(events)]
    assert [one.at_seconds for one in figures.worked(samples)] == [2, 3, 4, 5, 6]
    assert figures.worked(samples[:3]) == []


def test_growth_and_cores_are_differences_by_the_second():
    """Else what happened before the run would count."""
    first = sample(10.0, 0, {"workers": 3.0}, {"transactions": 100.0})
    last = sample(14.0, 9, {"workers": 9.0, "broker": 2.0}, {"transactions": 140.0})
    assert figures.growth([first, last]) == {"transactions": 10.0}
    assert figures.cpu_cores([first, last]) == {"workers": 1.5, "broker": 0.5}


def test_counters_that_could_not_be_read_are_neither_zero_nor_a_fall():
    """Else a worker too busy to answer once would make a run of no transactions, which no plan can be made from."""
    rows = [(10.0, None), (12.0, 50.0), (14.0, None), (17.0, 100.0), (18.0, None)]
    samples = [sample(at, 0, counters={} if count is None else {"transactions": count}) for at, count in rows]
    assert figures.growth(samples) == {"transactions": 10.0}
    assert figures.growth(samples[:3]) == {}


def test_a_short_run_tells_how_much_throughput_varies():
    """Else three short levels would be three samples, and no law could be fitted to what was measured for minutes."""
    found = figures.throughput(
        [sample(float(second), [0, 100, 300, 300, 400, 600, 700][second]) for second in range(7)]
    )
    assert found == Throughput(pytest.approx(700 / 6), 50.0, 150.0, (150.0, 50.0, 150.0), 2.0)


def test_points_are_what_went_on_between_two_samples():
    """Else a picture of throughput or of a hot shard would show sums since the start."""
    before = Sample(10.0, 100, {"workers": 1.0}, 0, {}, (60, 40))
    after = Sample(12.0, 160, {"workers": 4.0}, 0, {}, (100, 60))
    assert figures.points([before, after]) == [figures.Point(2.0, 160, 30.0, (20.0, 10.0), {"workers": 1.5})]
