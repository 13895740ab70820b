"""Ready: the machine code of every loop is there before anybody waits for this process; and `billing compile`.

Compiling takes half a minute, in which a worker would hear neither brokers nor shards and the API no caller, and 200
MiB that they would keep: a process of its own does it, if what it makes can be kept.
"""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from billing.hash64 import hash64
from billing.rehearsal import rehearse_all
from rules.machine_code import is_kept, is_ready

_LOOK_SECONDS: Final = 0.1  # at the process that compiles; who asks for the worker's health hears that it goes on


def compile_() -> int:
    """Compile every loop, and keep the machine code: for the build of an image. run and serve do it where they must.

    It is kept beside the sources, or where NUMBA_CACHE_DIR says, and is of use to processors like this one.
    """
    with Path(__file__).open("rb") as held:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)  # of the workers of a fleet, one compiles
        rehearse_all()
    return 0


def make_ready(beat: Callable[[], object] = lambda: None) -> None:
    """Have every loop compiled; beat is called again and again meanwhile. Ends this process with 0 at a SIGTERM."""
    if not is_ready(rehearse_all):
        if is_kept(hash64):
            _compile_apart(beat)
        rehearse_all()


def _compile_apart(beat: Callable[[], object]) -> None:
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True  # and raises nothing: while a process is being made, that would leave it behind

    before = signal.signal(signal.SIGTERM, stop)
    compiler = subprocess.Popen([sys.executable, "-m", "billing", "compile"])
    try:
        while compiler.poll() is None and not stopping:
            beat()
            with suppress(subprocess.TimeoutExpired):
                compiler.wait(_LOOK_SECONDS)
    finally:
        compiler.kill()
        compiler.wait()
        signal.signal(signal.SIGTERM, before)
    if stopping:
        sys.exit(0)
