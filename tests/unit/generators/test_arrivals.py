import numpy as np
import pytest

from generators.arrivals import DEFAULT_START_US, Arrivals, Shape, shape_named
from generators.errors import ArrivalsError

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def test_steady_events_come_at_the_rate():
    """Else a generated day would hold more or less than was asked for."""
    times = Arrivals(Shape.STEADY, rate_per_second=4).times_us(np.array([0, 1, 2, 4, 4_000_000]), np.zeros(5))
    assert (times - DEFAULT_START_US).tolist() == [0, 250_000, 500_000, 1_000_000, 1_000_000_000_000]


def test_the_default_start_is_the_new_year_of_2026():
    """Else books that start in 2026 would not price the default workload."""
    assert np.datetime64(DEFAULT_START_US, "us") == np.datetime64("2026-01-01T00:00:00")


def test_a_diurnal_day_has_its_peak_in_the_afternoon_and_keeps_its_total():
    """Else the planner would size for a flat day that no one has."""
    per_day = 48_000
    arrivals = Arrivals(Shape.DIURNAL, rate_per_second=per_day / 86_400)
    offsets = arrivals.times_us(np.arange(2 * per_day), np.full(2 * per_day, 0.5)) - DEFAULT_START_US
    days = np.bincount(offsets // DAY_US)
    half_hours = np.bincount(offsets[:per_day] // (HOUR_US // 2), minlength=48)
    assert days.tolist() == [per_day, per_day]
    assert (int(half_hours.argmax()), int(half_hours.max())) == (32, 1800)
    assert (int(half_hours.argmin()), int(half_hours.min())) == (8, 200)


def test_a_burst_brings_most_events_in_the_first_minute_of_ten():
    """Else the queue limits would never be tried."""
    offsets = (
        Arrivals(Shape.BURST, rate_per_second=3.5).times_us(np.arange(2_100), np.full(2_100, 0.5)) - DEFAULT_START_US
    )
    assert np.bincount(offsets // 60_000_000).tolist() == [1200, *[100] * 9]


@pytest.mark.parametrize("shape", list(Shape))
@pytest.mark.parametrize("rate", [0.003, 7.3, 250_000.0])
def test_times_never_decrease_and_do_not_depend_on_the_cut(shape, rate):
    """Else order in the log would be broken where nobody asked for it."""
    arrivals = Arrivals(shape, rate_per_second=rate)
    ordinals = np.arange(20_000)
    draws = np.random.default_rng(5).random(20_000)
    whole = arrivals.times_us(ordinals, draws)
    assert (np.diff(whole) >= 0).all()
    assert np.array_equal(whole[12_345:], arrivals.times_us(ordinals[12_345:], draws[12_345:]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate_per_second": 0}, "rate_per_second: 0 is not a positive number; write one such as 10"),
        ({"rate_per_second": float("inf")}, "rate_per_second: inf is not a positive number; write one such as 10"),
        ({"start_us": 0}, "start: 0 us is outside the years 2000 to 2099; write a time within them"),
    ],
)
def test_impossible_arrivals_are_refused_with_the_remedy(arguments, message):
    with pytest.raises(ArrivalsError) as caught:
        Arrivals(Shape.STEADY, **arguments)
    assert str(caught.value) == message


def test_events_after_2099_are_refused():
    """Else a long slow workload would silently turn into rejects."""
    with pytest.raises(ArrivalsError, match=r"^event 3000000000 would happen after 2099; raise rate_per_second"):
        Arrivals(Shape.STEADY, rate_per_second=1).times_us(np.array([3_000_000_000]), np.zeros(1))


def test_an_unknown_shape_is_refused_with_the_names_of_all():
    with pytest.raises(ArrivalsError) as caught:
        shape_named("weekly")
    assert str(caught.value) == 'arrivals: "weekly" is not known; write one of steady, diurnal, burst'
