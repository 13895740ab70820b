"""The heap: how a worker that runs for months keeps its memory small.

Owns what is asked of the C library. Must not know what is kept in it.
"""

import ctypes
from contextlib import suppress
from typing import Final

import pyarrow as pa

_MALLOC_ARENAS: Final = 2  # glibc makes one for each thread otherwise, and none gives back what another could use


def share_heap() -> None:
    """Keep one heap, in few arenas (mallopt(3): M_ARENA_MAX is -8); other C libraries than glibc have no such call.

    An allocator of Arrow's own would keep for itself what it has once had: 24 MiB for the 5 that are in use at a time.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-8, _MALLOC_ARENAS)


def give_memory_back() -> None:
    """Return free pages to the system (malloc_trim(3)): batches come and go in sizes that leave holes."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
