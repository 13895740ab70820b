"""Locks a folder against a second process that installs or starts in it.

Owns the waiting. Must not know what the folder is for.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ops.local.errors import LocalServerError

POLL_SECONDS: Final = 0.1
WAIT_SECONDS_MAX: Final = 900  # a cold install over a slow line takes minutes, never a quarter of an hour


class LockTimeoutError(LocalServerError):
    """Another process kept the folder locked for longer than any install or start takes."""


@contextmanager
def folder_lock(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder alone, making it when missing; the lock ends with the process, so it is never stale.

    Raises: LocalServerError when the folder cannot be made, LockTimeoutError after `WAIT_SECONDS_MAX`.
    """
    deadline_seconds = time.monotonic() + WAIT_SECONDS_MAX
    handle = _acquired(folder, deadline_seconds, say)
    try:
        yield
    finally:
        os.close(handle)


def _acquired(folder: Path, deadline_seconds: float, say: Callable[[str], None]) -> int:
    told = False
    while True:
        handle = _opened(folder)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            if _still_there(handle, folder):
                return handle
            os.close(handle)  # its last owner removed the folder while we waited: lock the new one
            continue
        if time.monotonic() > deadline_seconds:
            raise LockTimeoutError(f"{folder}: another process has held it for {WAIT_SECONDS_MAX} s; end that process")
        if not told:
            say(f"waiting for another process that works in {folder}")
            told = True
        time.sleep(POLL_SECONDS)


def _opened(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise LocalServerError(f"{folder}: cannot be used: {error.strerror}; name another folder") from error


def _still_there(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False
