"""Recorded events: a file of JSON texts, one a line, plain, .gz or .zst, as the traffic of a run.

A shell: reads the file, and as a program of its own sends it to a topic at a rate. Must not know what events say.
"""

import gzip
import io
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from bench.errors import MeasureError
from billing.cli.setup import deployment
from billing.config.source_settings import KafkaSource
from generators.producer import produce

BLOCK_EVENTS: Final = 8_192  # a hundredth of a second's work for a producer


def blocks(path: Path, events: int | None = None) -> Iterator[list[bytes]]:
    """Yield the events of a file, or so many of the first. Raises: MeasureError when it cannot be read or has none."""
    try:
        with _opened(path) as file:
            lines = islice((line.rstrip(b"\r\n") for line in file if line.strip()), events)
            block = list(islice(lines, BLOCK_EVENTS))
            if not block:
                raise MeasureError(f"{path}: has no events; name a file of JSON texts, one a line")
            while block:
                yield block
                block = list(islice(lines, BLOCK_EVENTS))
    except (OSError, EOFError, zstandard.ZstdError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MeasureError(f"{path}: {why}; name a file of JSON texts, one a line, plain, .gz or .zst") from error


def first(path: Path) -> bytes:
    """Return the first event of a file. Raises: MeasureError."""
    return next(blocks(path, 1))[0]


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".zst":
        stream: Any = zstandard.open(path, "rb")
        return io.BufferedReader(stream)  # its own has no lines
    opened: Any = gzip.open if path.suffix == ".gz" else Path.open
    file: IO[bytes] = opened(path, "rb")
    return file


def sending(path: Path, config: Path, rate_per_second: float) -> list[str]:
    """Return the command that sends a file to the topic of a settings file at a rate."""
    return [sys.executable, "-m", "bench.recorded", str(path), str(config), str(rate_per_second)]


def _main(path: str, config: str, rate_per_second: str) -> None:
    source = deployment(Path(config)).settings.source
    assert isinstance(source, KafkaSource), "checked by who starts this"
    rate = float(rate_per_second)
    produce(blocks(Path(path)), source.bootstrap, source.topic, rate_per_second=rate, settings=source.options)


if __name__ == "__main__":
    _main(*sys.argv[1:])
