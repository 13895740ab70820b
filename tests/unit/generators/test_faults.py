import numpy as np
import pytest

from generators.errors import FaultsError
from generators.faults import CONFLICT_KIND, DRAWS, DUPLICATE_KIND, KINDS, ORDINARY_KIND, REASONS, Faults, plan


def draws(count: int = 8_192) -> np.ndarray:
    return np.random.Generator(np.random.Philox(9)).random((DRAWS, count))


def test_without_faults_everything_is_ordinary_and_in_order():
    """Else a clean benchmark would have rejects in it."""
    quiet = plan(Faults(), 0, draws())
    assert set(quiet.kind.tolist()) == {ORDINARY_KIND}
    assert quiet.order.tolist() == list(range(8_192))
    assert set(quiet.late_us.tolist()) == {0}


def test_shares_are_met():
    """Else a stated fault rate would be another one."""
    noisy = plan(Faults(duplicates=0.05, late=0.1, malformed=0.02), 10**6, draws())
    assert int((noisy.kind == DUPLICATE_KIND).sum()) == 412
    assert int((noisy.kind >= CONFLICT_KIND).sum()) == 141
    assert int((noisy.late_us > 0).sum()) == 820


def test_every_way_to_be_bad_occurs():
    """Else a defect could be in the list and never be tried."""
    assert set(plan(Faults(malformed=0.99), 0, draws()).kind.tolist()) == {
        ORDINARY_KIND,
        *range(CONFLICT_KIND, len(KINDS)),
    }
    assert set(REASONS) == set(KINDS[CONFLICT_KIND:])


def test_late_events_lie_one_to_72_hours_back():
    """Else late events would never cross the end of a day."""
    late = plan(Faults(late=1.0), 0, draws()).late_us
    assert 3_600_000_000 <= int(late.min()) < 2 * 3_600_000_000
    assert 71 * 3_600_000_000 < int(late.max()) <= 72 * 3_600_000_000


def test_disorder_is_a_local_shuffle():
    """Else an event would be lost, or travel further than a producer's batch."""
    order = plan(Faults(out_of_order=0.1), 0, draws()).order
    moved = order - np.arange(8_192)
    assert sorted(order.tolist()) == list(range(8_192))
    assert int((moved < 0).sum()) == 787
    assert -201 <= int(moved.min()) < -150


def test_a_duplicate_looks_back_within_the_window_and_the_log():
    """Else a repeat would come from a future or forgotten event."""
    back = plan(Faults(duplicate_window=100), 0, draws()).back
    assert int(back.min()) == 1
    assert int(back.max()) == 100
    assert (back[:100] <= np.maximum(np.arange(100), 1)).all()


def test_switching_one_fault_on_leaves_the_others_where_they_were():
    """Else two runs could not be compared fault by fault."""
    one, both = plan(Faults(late=0.1), 0, draws()), plan(Faults(late=0.1, out_of_order=0.5, duplicates=0.2), 0, draws())
    assert np.array_equal(one.late_us, both.late_us)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"late": 1.5}, "faults.late: 1.5 is not a share; write 0 to 1"),
        ({"malformed": float("nan")}, "faults.malformed: nan is not a share; write 0 to 1"),
        ({"duplicate_window": 50_001}, "faults.duplicate_window: 50001 is out of bounds; write 1 to 50000"),
        (
            {"duplicates": 0.5, "malformed": 0.5},
            "faults: duplicates and malformed add up to 1 or more; leave a share for sound events",
        ),
    ],
)
def test_impossible_faults_are_refused_with_the_remedy(arguments, message):
    with pytest.raises(FaultsError) as caught:
        Faults(**arguments)
    assert str(caught.value) == message
