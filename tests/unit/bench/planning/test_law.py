"""The scalability law, against fits that others have published."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.planning.law import FitError, fit, throughput

# SPEC SDM91 on a Sun SPARCcenter 2000, and what the R package usl 3.0 prints (README, tests/summary.Rout.save).
SDM91 = [1, 18, 36, 72, 108, 144, 216], [64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2]
# The Cisco benchmark, 1 to 32 threads, of B. Schwartz, "Practical Scalability Analysis with the USL".
CISCO = [
    955.16,
    1878.91,
    2688.01,
    3548.68,
    4315.54,
    5130.43,
    5931.37,
    6531.08,
    7219.8,
    7867.61,
    8278.71,
    8646.7,
    9047.84,
]
CISCO += [
    9426.55,
    9645.37,
    9897.24,
    10097.6,
    10240.5,
    10532.39,
    10798.52,
    11151.43,
    11518.63,
    11806,
    12089.37,
    12075.41,
]
CISCO += [12177.29, 12211.41, 12158.93, 12155.27, 12118.04, 12140.4, 12074.39]


def test_coefficients_and_their_errors_are_those_that_r_publishes():
    """Else every plan and every range in it would rest on a wrong regression."""
    law = fit(*SDM91)
    assert (law.alpha, law.beta, law.gamma) == pytest.approx((0.0277285, 0.0001044, 89.9952), rel=1e-3)
    assert np.sqrt(np.diag(law.covariance)) == pytest.approx([9.122e-3, 1.988e-5, 14.21349], rel=1e-3)
    assert law.freedom == 4
    assert law.writers_best == pytest.approx(96.51956, rel=1e-4)
    assert law.throughput(law.writers_best) == pytest.approx(1884, rel=1e-3)


def test_coefficients_are_those_of_the_book():
    """Else another data set would fit worse than it can."""
    law = fit(range(1, 33), CISCO)
    assert (law.alpha, law.beta, law.gamma) == pytest.approx((0.02671591, 7.690945e-4, 995.6486), rel=2e-3)
    assert law.writers_best == pytest.approx(35, abs=1)
    assert law.throughput(35) == pytest.approx(12341, rel=1e-3)


@given(alpha=st.floats(0.01, 0.6), beta=st.floats(0.001, 0.1), gamma=st.floats(100, 1e6))
def test_a_law_is_found_again_in_what_it_says(alpha, beta, gamma):
    """Else what was measured would not be what is planned with."""
    writers = [1, 2, 3, 4, 6, 8]
    law = fit(writers, [throughput(count, alpha, beta, gamma) for count in writers])
    assert law.gamma == pytest.approx(gamma, rel=1e-3)
    assert law.throughput(5) == pytest.approx(throughput(5, alpha, beta, gamma), rel=1e-3)
    capacity = law.capacity()
    assert capacity.low <= capacity.mid <= capacity.high


def test_the_interval_holds_the_truth_nineteen_times_of_twenty():
    """Else ranges would promise a certainty that measurements do not give."""
    generator = np.random.default_rng(7)
    writers = [1, 1, 1, 2, 2, 2, 4, 4, 4]
    truth = throughput(2.0, 0.4, 0.06, 30_000.0)
    held = 0
    for _ in range(100):
        noisy = [throughput(count, 0.4, 0.06, 30_000.0) * generator.normal(1, 0.03) for count in writers]
        law = fit(writers, noisy)
        found = law.interval(2)
        held += found.low <= truth <= found.high
    assert 88 <= held <= 99  # of 100, around 95; the seed is fixed


def test_no_more_writers_are_planned_than_were_measured():
    """Else a plan would trust the law where nobody looked."""
    law = fit([1, 2, 3, 4], [100, 200, 300, 401])
    assert law.writers_best > 4
    assert law.writers_used == 4
    assert law.capacity().mid == pytest.approx(400, rel=0.01)


def test_the_best_whole_number_of_writers_is_planned():
    """Else a plan would count on one writer where two do more: the peak of this law is at 1.9."""
    law = fit([1, 2, 3, 4], [throughput(count, 0.02, 0.27, 100.0) for count in (1, 2, 3, 4)])
    assert law.writers_best == pytest.approx(1.905, abs=0.01)
    assert law.writers_used == 2


@pytest.mark.parametrize(
    ("writers", "rates"), [([1, 2, 2, 2], [1, 2, 2, 2]), ([1, 2, 3], [1, 2, 3]), ([1], [5.0]), ([], [])]
)
def test_too_few_samples_are_refused_with_how_many_are_needed(writers, rates):
    """Else a line through three points would pass for knowledge without error."""
    with pytest.raises(FitError, match="measure 3 numbers or more, and 4 samples in all"):
        fit(writers, rates)
