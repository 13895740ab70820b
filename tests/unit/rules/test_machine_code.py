"""Machine code on disk: it is of all that it was made of, and who needs some that is not there can tell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RATE = "RATE = {rate}\n"
STEP = """
from parcel import (
    nothing,
    rate as told,
)
from rules.compiled import {decorator} as decorator


@decorator
def step(number):
    return number * told.RATE {more}
"""
LOOP = """
from parcel.step import step
from rules.compiled import compiled


@compiled
def total(count):
    whole = 0
    for number in range(count):
        whole += step(number)
    return whole
"""


def total(folder: Path) -> tuple[int, bool]:
    """Return the sum of a new process, which first asks whether the machine code is there, and whether it was.

    Where it was not, the process must say so, once.
    """
    asked = (
        "import logging\n"
        "from parcel.loop import total\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "from rules.machine_code import is_ready\n"
        "print(is_ready(lambda: total(4)), total(4))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    there, found = done.stdout.split()
    assert done.stderr.count("compiling") == (there == "False"), done.stderr
    return int(found), there == "True"


def step(decorator: str, more: str = "") -> str:
    """Return the source of the step."""
    return STEP.format(decorator=decorator, more=more)


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    """Return a package whose loop takes a step from another module, and that a rate from a third."""
    package = tmp_path / "parcel"
    package.mkdir()
    modules = {"__init__": "", "nothing": "", "rate": RATE.format(rate=2), "loop": LOOP}
    for name, text in modules.items():
        (package / f"{name}.py").write_text(text)
    return package


@pytest.mark.parametrize("decorator", ["compiled", "step"])
def test_code_is_kept_until_anything_in_it_changes(parcel: Path, decorator: str) -> None:
    """Otherwise an upgrade goes on with steps and constants of before, whose file is not that of the loop."""
    (parcel / "step.py").write_text(step(decorator))
    assert total(parcel.parent) == (12, False)
    assert total(parcel.parent) == (12, True)
    (parcel / "step.py").write_text(step(decorator, "+ 1"))
    assert total(parcel.parent) == (16, False)
    (parcel / "rate.py").write_text(RATE.format(rate=3))
    assert total(parcel.parent) == (22, False)
    assert total(parcel.parent) == (22, True)
