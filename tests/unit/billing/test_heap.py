"""The heap: what a worker gives back to the system, and that it still works then."""

import re
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from billing.heap import give_memory_back

CODE = re.compile(r"r-xp .*/libllvmlite\.so\n(?:.*\n)*?Rss: +(\d+) kB")
LARGE_AFTER_LARGER = """
import numpy as np
from pathlib import Path
from billing.heap import share_heap

{first}
larger = np.ones(30 << 20, dtype=np.uint8)
del larger
large = np.ones(2 << 20, dtype=np.uint8)
at = large.ctypes.data
del large
maps = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
print(any(int(start, 16) <= at < int(stop, 16) for start, stop in maps))
"""
SAME_AGAIN = """
import resource
import numpy as np
from billing.heap import share_heap

share_heap()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(1 << 19, dtype=np.uint8) for _ in range(20)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


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


@pytest.mark.parametrize(("first", "kept"), [("share_heap()", "False"), ("", "True")])
def test_what_is_large_goes_back_to_the_system(first: str, kept: str) -> None:
    """Packets would be cut from the heap once one was freed, and leave holes of millions of bytes in it."""
    code = LARGE_AFTER_LARGER.format(first=first)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == kept


def test_what_one_read_frees_the_next_one_takes() -> None:
    """Each read would ask the system for every page again, which must clear it first: a seventh of the CPU time."""
    done = subprocess.run([sys.executable, "-c", SAME_AGAIN], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 500  # of 2,560 pages
