"""The operators' log: who did what with an operator's power, and when, one JSON document a line.

Owns the file, which is only ever appended to. What cannot be recorded is not done.
"""

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from billing.errors import BillingError
from billing.reads.answers import moment

REPEAT_SECONDS: Final = 60.0  # the same of the same caller is recorded once in so long: a page that polls is one line
_REMEMBERED_MAX: Final = 10_000
_SYNC_SECONDS: Final = 1.0  # how often the disk is waited for; the system writes the rest by itself, within seconds


class OperatorLogError(BillingError):
    """The file cannot be used. Reaction: refuse what was to be recorded; a person corrects the file's rights."""


class Action(msgspec.Struct, frozen=True):
    """One line: at is RFC 3339 in UTC; who: a key's id, a token's bearer or a user of the machine."""

    at: str
    who: str
    did: str


class OperatorLog:
    """Appends to one file, whoever else does; used from one thread. A file that was moved away is made anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._recent: dict[tuple[str, str], float] = {}
        self._synced_at = 0.0

    def record(self, who: str, did: str) -> None:
        """Append a line, or nothing where the same is there already. Raises: OperatorLogError."""
        now = time.monotonic()
        if now - self._recent.get((who, did), -REPEAT_SECONDS) < REPEAT_SECONDS:
            return
        line = msgspec.json.encode(Action(moment(time.time_ns() // 1_000), who, did)) + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            try:
                written = os.write(file, line)  # one call: lines of several processes do not mix
                if written < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if now - self._synced_at >= _SYNC_SECONDS:
                    os.fsync(file)
                    self._synced_at = now
            finally:
                os.close(file)
        except OSError as error:
            raise OperatorLogError(
                f"{self._path}: cannot be written: {error.strerror}; correct api.operators_log or its rights"
            ) from error
        if len(self._recent) >= _REMEMBERED_MAX:
            self._recent.clear()
        self._recent[who, did] = now


def actions(path: Path) -> Iterator[Action]:
    """Yield what was recorded, oldest first; a last line that is not whole is left out. Raises: OperatorLogError."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield _action(path, number, line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OperatorLogError(f"{path}: cannot be read: {error.strerror}; correct its rights") from error


def _action(path: Path, number: int, line: bytes) -> Action:
    try:
        return msgspec.json.decode(line, type=Action)
    except msgspec.DecodeError as error:
        raise OperatorLogError(f"{path}:{number}: is no line of the operators' log: {error}") from error
