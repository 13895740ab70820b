"""Runs: uses of several counters in the order in which they came; worked by hand."""

import numpy as np
import pytest

from rules.columns import Decimals
from rules.runs import Runs, coarsened

COUNTER = np.array([2, 0, 2, 2, 0], dtype=np.int32)  # counter 1 has no use
HELD = Decimals(np.array([10, 20, 30]), 1)
ADDED = [1, 2, 3, 4, 5]


@pytest.mark.parametrize("dtype", [np.int64, object])
def test_counters_run_in_the_order_of_their_uses(dtype: type) -> None:
    """A use would be charged before one that came earlier, or on top of another counter."""
    runs = Runs(COUNTER, 3)
    assert runs.counter.tolist() == [0, 0, 2, 2, 2]
    assert runs.number.tolist() == [0, 1, 0, 1, 2]
    assert runs.counts.tolist() == [2, 0, 3]
    running = runs.running(HELD, Decimals(np.array(ADDED, dtype=dtype)[runs.order], 1))
    assert running.units.tolist() == [12, 17, 31, 34, 38]
    assert running.units[runs.back].tolist() == [31, 12, 34, 38, 17]
    assert runs.previous(HELD, running).units.tolist() == [10, 12, 30, 31, 34]
    last = runs.last(HELD, running)
    assert (last.units.tolist(), last.units.dtype, last.scale) == ([17, 20, 38], np.int64, 1)


def test_sums_beyond_int64_become_python_integers() -> None:
    """A sum would wrap around, though each use fits."""
    runs = Runs(np.zeros(3, dtype=np.int32), 2)
    held = Decimals.of_integers([2**62, -(2**63)])
    running = runs.running(held, Decimals(np.array([2**62, 2**62, 5]), 0))
    assert running.units.tolist() == [2**63, 2**63 + 2**62, 2**63 + 2**62 + 5]
    assert runs.previous(held, running).units.tolist() == [2**62, 2**63, 2**63 + 2**62]
    assert runs.last(held, running).units.tolist() == [2**63 + 2**62 + 5, -(2**63)]
    many = Runs(np.zeros(3, dtype=np.int32), 1).running(Decimals.of_integers([0]), Decimals.of_integers([2**62] * 3))
    assert many.units.tolist() == [2**62, 2**63, 2**63 + 2**62]


def test_many_uses_keep_their_order() -> None:
    """Sorts that are fast on big batches would swap two uses of one account, and with them their prices."""
    counter = np.random.default_rng(1).integers(0, 3, 5_000).astype(np.int32)
    order = Runs(counter, 3).order
    assert order.tolist() == sorted(range(5_000), key=counter.tolist().__getitem__)


@pytest.mark.parametrize(
    ("units", "scale", "expected"),
    [
        ([3 * 10**12, 0], 12, ([3, 0], 0)),
        ([3 * 10**12, 10**9], 12, ([3000, 1], 3)),
        ([3 * 10**12, 1], 12, ([3 * 10**12, 1], 12)),
        ([10**25 * 10**12, 10**12], 12, ([10**25, 1], 0)),
        ([5 * 10**30, 10**12], 12, ([5 * 10**18, 1], 0)),
        ([1000], 2, ([1000], 2)),
        ([], 12, ([], 0)),
    ],
)
def test_numbers_are_kept_as_coarse_as_they_are(units: list[int], scale: int, expected: tuple[list[int], int]) -> None:
    """Counters of whole numbers would leave int64 twelve digits too early, or digits would be lost."""
    found = coarsened(Decimals.of_integers(units, scale))
    assert (found.units.tolist(), found.scale) == expected
    assert (found.units.dtype == object) == any(abs(unit) >= 2**63 for unit in expected[0])
