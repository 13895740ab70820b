"""Republishing: puts payloads into the source once more, behind everything that it has.

Owns which sources can take them. Returns only when they are durable there, so that a mark made afterwards never lies.
"""

import fcntl
import itertools
import os
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from billing.config import source_settings
from billing.errors import BillingError
from generators.producer import produce

Publish = Callable[[Sequence[bytes]], object]


class CannotRepublishError(BillingError):
    """The source takes no payloads. Reaction: stop before anything is marked."""

    exit_code = 2


class AppendError(BillingError):
    """The file takes no lines now. Reaction: stop; what is not marked is published by the next try."""


def publisher(source: source_settings.Source) -> Publish:
    """Return what publishes payloads: to a topic, keyed by account, or to the end of a plain JSON Lines file.

    Raises: CannotRepublishError for generated traffic and compressed files.
    """
    match source:
        case source_settings.KafkaSource():
            return lambda payloads: _to_topic(source, payloads)
        case source_settings.FileSource(path) if path.suffix not in {".gz", ".zst"}:
            return lambda payloads: append_lines(path, payloads)
        case source_settings.FileSource(path):
            raise CannotRepublishError(
                f"source.path: {path} is compressed and cannot be added to; bill an uncompressed copy instead"
            )
    raise CannotRepublishError(
        'source.kind: generated traffic cannot be added to; only kind = "kafka" and "file" take events again'
    )


def _to_topic(source: source_settings.KafkaSource, payloads: Sequence[bytes]) -> None:
    produce([payloads], source.bootstrap, source.topic, settings=source.options)


def append_lines(path: Path, payloads: Sequence[bytes]) -> list[int]:
    """Append lines, wait until they are on disk, and return the offset after each.

    Several processes may do so at once. Of a line that a full disk cut, nothing stays. Raises: AppendError.
    """
    try:
        with path.open("r+b", buffering=0) as stream:  # unlike "ab", it does not create a file that is missing
            fcntl.flock(stream, fcntl.LOCK_EX)  # until it is closed
            end = stream.seek(0, os.SEEK_END)
            start = b"" if _ends_a_line(stream, end) else b"\n"
            _write_lines(stream, start + b"".join(payload + b"\n" for payload in payloads))
            lengths = (len(payload) + 1 for payload in payloads)
            return list(itertools.accumulate(lengths, initial=end + len(start)))[1:]
    except OSError as error:
        raise AppendError(f"{path}: cannot be added to: {error.strerror}; make it writable, with room") from error


def _write_lines(stream: FileIO, lines: bytes) -> None:
    end, written = stream.seek(0, os.SEEK_END), 0
    try:
        while written < len(lines):
            written += stream.write(lines[written:])
        os.fsync(stream.fileno())
    except OSError:
        stream.truncate(end + lines[:written].rfind(b"\n") + 1)
        raise


def _ends_a_line(stream: FileIO, end: int) -> bool:
    if end == 0:
        return True
    stream.seek(end - 1)
    return stream.read(1) == b"\n"
