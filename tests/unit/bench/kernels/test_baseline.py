"""Kernels are held against a baseline of any machine."""

import attrs
import pytest

from bench.errors import MeasureError
from bench.kernels import baseline
from bench.kernels.report import ratios_text
from bench.kernels.stages import KernelTimes
from bench.report import Machine, as_json

MACHINE = Machine("a CPU", 2, 24_064, "6.18", "3.11")
STAGES = {"decode": (0.002, 0.004, 0.002), "price": (0.001, 0.001, 0.003)}
BEFORE = KernelTimes("skewed", 1_000, STAGES, whole=(0.010, 0.008, 0.008), yardstick=(0.001, 0.001, 0.001))


def document(tmp_path, *times, kind=baseline.KIND):
    path = tmp_path / "before.json"
    path.write_bytes(as_json(kind, "billing-bench kernels", {"machine": MACHINE, "times": times}))
    return path


def test_a_machine_that_is_slower_now_and_then_does_not_look_like_slower_code(tmp_path):
    """Else nobody could tell a slower release from a slower machine, or from a slow moment of the same one."""
    known = baseline.read(document(tmp_path, BEFORE))

    def slowed(seconds):
        return tuple(factor * one for factor, one in zip((2, 5, 1), seconds, strict=True))

    slow = attrs.evolve(
        BEFORE,
        stages={stage: slowed(seconds) for stage, seconds in STAGES.items()},
        whole=slowed((0.012, 0.012, 0.012)),
        yardstick=slowed(BEFORE.yardstick),
    )
    (found,) = baseline.ratios([slow], known)
    assert found == pytest.approx({"decode": 1.0, "price": 1.0, "all": 1.5})
    assert ratios_text([slow], [found], MACHINE, known.machine).splitlines()[1:5] == [
        "          skewed",
        "  decode  1.00",
        "  price   1.00",
        "  all     1.50",
    ]


def test_another_number_of_events_is_no_baseline(tmp_path):
    """Else batches of other sizes would be compared, of which one folds more than the other."""
    known = baseline.read(document(tmp_path, BEFORE))
    with pytest.raises(MeasureError, match="1000 events skewed; ask for as many by --events"):
        baseline.ratios([attrs.evolve(BEFORE, events=2_000)], known)
    with pytest.raises(MeasureError, match="1000 events skewed"):
        baseline.ratios([attrs.evolve(BEFORE, model="uniform")], known)


def test_what_is_no_baseline_is_one_line(tmp_path):
    """Else a person would have to read a traceback to find a wrong path."""
    broken, bare = tmp_path / "broken.json", tmp_path / "bare.json"
    broken.write_text("{")
    bare.write_text('{"kind": "kernels", "result": {}}')
    for path, words in (
        (tmp_path / "none.json", "No such file"),
        (broken, "truncated"),
        (bare, "missing required field"),
        (document(tmp_path, BEFORE, kind="run"), 'of kind "run"'),
    ):
        with pytest.raises(MeasureError, match=words) as caught:
            baseline.read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
