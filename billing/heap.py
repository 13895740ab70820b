"""The heap: how a worker that runs for months keeps its memory small.

Owns what is asked of the C library and the kernel. Must not know what is kept in it.
"""

import ctypes
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow as pa

_COMPILER: Final = "/libllvmlite.so"
_MADV_DONTNEED: Final = 4  # madvise(2)
_M_ARENA_MAX: Final = -8  # mallopt(3)
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_MALLOC_ARENAS: Final = 2  # glibc makes one for each thread otherwise, and none gives back what another could use
_MAPPED_BYTES: Final = 1 << 20  # packets of millions of bytes in the heap leave holes that nothing else fits
_FREE_BYTES: Final = 32 << 20  # at the end of the heap: what one read frees, the next one takes


def share_heap() -> None:
    """Keep one heap, in few arenas, and what is large out of it; other C libraries than glibc have no mallopt(3).

    What is mapped goes back to the system when it is freed. Left alone, glibc raises the size from which it maps to the
    largest that was freed, up to 32 MiB, and with it how much may be free at the end of the heap, which is 128 KiB once
    the size is set: too little for pages not to go back and forth with every read. An allocator of Arrow's own would
    keep for itself what it has once had: 24 MiB for the 5 that are in use at a time.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _MALLOC_ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _FREE_BYTES)


def give_memory_back() -> None:
    """Return to the system what is not in use: free pages (malloc_trim(3)), since batches leave holes, and LLVM's code.

    Machine code of loops is read from the cache once, by a compiler of 50 MiB that then has nothing to do. Its pages
    are as they are in its file, from which they come again should a loop be called with other types.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        for start, size in _compiler_code():
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_DONTNEED)


@lru_cache(maxsize=1)
def _compiler_code() -> list[tuple[int, int]]:
    """Return start and size of the compiler's code in memory: what may be executed was never written to (proc(5))."""
    if sys.platform != "linux":
        return []
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    found = [one[0].split("-") for one in maps if one[-1].endswith(_COMPILER) and one[1] == "r-xp"]
    return [(int(start, 16), int(stop, 16) - int(start, 16)) for start, stop in found]
