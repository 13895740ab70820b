"""Republishing: puts payloads into the source once more, behind everything that it has.

Owns which sources can take them. Returns only when they are durable there, so that a mark made afterwards never lies.
"""

import os
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from billing import source_settings
from billing.errors import BillingError
from generators.producer import produce

Publish = Callable[[Sequence[bytes]], None]


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
            return lambda payloads: _append(path, payloads)
        case source_settings.FileSource(path):
            raise CannotRepublishError(
                f"source.path: {path} is compressed and cannot be added to; bill an uncompressed copy instead"
            )
    raise CannotRepublishError(
        'source.kind: generated traffic cannot be added to; only kind = "kafka" and "file" take events again'
    )


def _to_topic(source: source_settings.KafkaSource, payloads: Sequence[bytes]) -> None:
    produce([payloads], source.bootstrap, source.topic, settings=source.options)


def _append(path: Path, payloads: Sequence[bytes]) -> None:
    """Append lines and wait until they are on disk; of a line that a full disk cut, nothing stays."""
    try:
        with path.open("r+b", buffering=0) as stream:  # unlike "ab", it does not create a file that is missing
            end = stream.seek(0, os.SEEK_END)
            lines = b"".join(payload + b"\n" for payload in payloads)
            _write_lines(stream, lines if _ends_a_line(stream, end) else b"\n" + lines)
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
