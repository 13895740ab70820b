"""The heap: what a worker gives back to the system, and that it still works then."""

import re
from pathlib import Path

import numba
import pytest

from billing.heap import give_memory_back

CODE = re.compile(r"r-xp .*/libllvmlite\.so\n(?:.*\n)*?Rss: +(\d+) kB")


def compiler_kib() -> int:
    """Return how much of the compiler's code is in this process's memory."""
    return sum(map(int, CODE.findall(Path("/proc/self/smaps").read_text())))


def test_the_compiler_is_forgotten_and_comes_back() -> None:
    """Each worker would keep 50 MiB of a compiler that has nothing to do, or crash when it is needed again."""
    once = numba.njit(lambda number: number + 1)
    assert once(1) == 2
    before = compiler_kib()
    give_memory_back()
    assert compiler_kib() < before / 4
    again = numba.njit(lambda number: number * 3)
    assert again(2) == pytest.approx(6)
    assert again(2.5) == pytest.approx(7.5)
