"""What a shard carries, from what was measured of a few models on one machine."""

from math import log

import numpy as np
import pytest

from bench.planning.measured import Latency
from bench.planning.prices import Instance, Scaling
from bench.planning.sizing import factor_of, relative, sizing
from generators.population import Model
from tests.planned import capacity, measurements, prices


def test_between_two_models_time_grows_with_rows():
    """Else loads of another skew than those measured would be sized wrong."""
    one = sizing(measurements(capacity(Model.UNIFORM, 10_000), capacity(Model.HOT_SHARD, 40_000)), prices())
    assert one.batch == 1_000
    slow, mid, fast = one.events_per_second(np.array([0.0, 1 / 1_000, (1 + 1 / 1_000) / 2, 1.0]))
    # 25 us an event on a hot shard, 100 us where all accounts differ, 62.5 us in the middle; nearest beyond the ends
    assert mid == pytest.approx([40_000, 40_000, 16_000, 10_000], rel=1e-6)
    assert (slow <= mid).all()
    assert (mid <= fast).all()


def test_latency_grows_as_in_a_queue():
    """Else a shard at nine tenths would be promised to answer as fast as an idle one. M/M/1: T(u) = T(0) / (1 - u)."""
    quarter = Latency(5_000, 8.0, 40.0)  # at half of 10,000 events/s: 4 and 20 ms when idle
    one = sizing(measurements(capacity(latency=quarter)), prices())
    assert one.latency_ms(1.0, 0.5) == pytest.approx((8.0, 40.0))
    assert one.latency_ms(1.0, 0.9) == pytest.approx((40.0, 200.0))
    assert one.latency_ms(1.0, 1.0) is None


def test_without_measured_latency_it_is_that_of_transactions():
    """Else there would be none: one writer makes 10 transactions a second, so one takes 100 ms on average."""
    p50, p99 = sizing(measurements(capacity()), prices()).latency_ms(1.0, 0.0)
    assert p50 == pytest.approx(100 * log(2))
    assert p99 == pytest.approx(100 * log(100))


def test_vcpus_scale_by_the_law_and_no_further_than_its_peak():
    """Else large instances would be promised what no database does: C(16) = 16 / (1 + 15 a + 240 b), peak at 35.6."""
    scaling = Scaling(0.02671591, 0.0007690945)
    assert relative(scaling, 1) == 1
    assert relative(scaling, 16) == pytest.approx(16 / (1 + 15 * 0.02671591 + 240 * 0.0007690945))
    assert relative(scaling, 64) == relative(scaling, 128) == pytest.approx(12.397, rel=1e-3)
    assert relative(scaling, 0.5) == 0.5


def test_an_instance_is_scaled_by_vcpus_and_speed():
    """Else sizes would be recommended as if all were the machine at hand."""
    table = prices(Instance("slow", 2, 8, 1.0, speed=0.5), Instance("big", 8, 32, 1.0, speed=1.5))
    elsewhere = measurements()
    factor = factor_of(elsewhere, table, sizing(elsewhere, table).cores)  # the database had one core
    assert [factor(each) for each in table.instances] == pytest.approx([1.0, 12.0])
    there = measurements(instance="slow")
    factor = factor_of(there, table, sizing(there, table).cores)
    assert [factor(each) for each in table.instances] == pytest.approx([1.0, 12.0])
