"""Files as logs: JSON Lines, plain or compressed by .gz or .zst; offsets are byte positions in the decompressed text.

Owns the identity of a file: its name and first line. A file that begins differently is another log.
"""

import asyncio
import gzip
import io
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import xxhash
import zstandard

from billing.batch import Span
from billing.cursor import Bounds
from billing.errors import SourceError
from billing.ports import Ownership, Records

PARTITION: Final = 0
_READ_BYTES: Final = 1 << 20
_LINE_BYTES_MAX: Final = (
    1 << 20
)  # longer lines are cut: sixteen times what an event may have, so still refused as too large
_SCAN_BYTES: Final = 1 << 24
_RECORDS_BYTES_MAX: Final = 1 << 23  # of one read, and at least one line: as much as a broker answers at a time
_LOOK_SECONDS: Final = 0.005  # between two looks whether a file has grown


class FileSource:
    """One file as a log of one partition. Keeps the contract of `billing.ports.Source`.

    follow: wait for lines to be appended; a last line without a line end is then not finished yet. Otherwise it counts.
    """

    def __init__(self, path: Path, *, follow: bool) -> None:
        self._path = path
        self._follow = follow
        self._log = ""
        self._decompressed: tuple[tuple[int, int], int] | None = None  # the file's time and size, and what is in it

    @property
    def log(self) -> str:
        """Return `file:NAME:DIGEST` of the first line."""
        return self._log

    async def open(self) -> None:
        """Read the first line. Raises SourceError when there is no such file or it is not what its name says."""
        self._log = await asyncio.to_thread(self._identify)

    def reader(self) -> "FileReader":
        """Return a reader."""
        return FileReader(self._path, follow=self._follow)

    def ownership(self) -> Ownership:
        """Own the only partition: a file has one reader."""
        return Ownership(frozenset({PARTITION}), 0)

    async def partitions(self) -> Sequence[int]:
        """Return the only partition."""
        return [PARTITION]

    async def bounds(self, partitions: Sequence[int]) -> Mapping[int, Bounds]:
        """Return 0 and the size of the decompressed text, up to the last line end where the file is followed."""
        size = await asyncio.to_thread(self._size)
        return {partition: Bounds(0, size) for partition in partitions}

    async def verify(self) -> None:
        """Say nothing: an open file stays what it was, whatever gets its name."""

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Tell nobody: a file keeps no positions."""

    async def close(self) -> None:
        """Leave the file alone."""

    def _identify(self) -> str:
        with _opened(self._path) as stream:
            try:
                first = stream.readline(_LINE_BYTES_MAX).rstrip(b"\r\n")  # a last line may get its end later
            except (OSError, EOFError, zstandard.ZstdError) as error:
                raise SourceError(f"{self._path}: cannot be decompressed: {error}") from error
        return f"file:{self._path.name.encode()[:96].decode(errors='ignore')}:{xxhash.xxh3_64_hexdigest(first)}"

    def _size(self) -> int:
        try:
            if self._path.suffix not in {".gz", ".zst"}:
                size = self._path.stat().st_size
                return size if not self._follow else self._last_line_end(size)
            found = self._path.stat()
            state = found.st_mtime_ns, found.st_size
            if self._decompressed is not None and self._decompressed[0] == state:
                return self._decompressed[1]
            total = 0
            with _opened(self._path) as stream:
                while chunk := stream.read(_SCAN_BYTES):
                    total += len(chunk)
            self._decompressed = state, total
        except (OSError, EOFError, zstandard.ZstdError) as error:
            raise SourceError(f"{self._path}: cannot be read to its end: {error}") from error
        return total

    def _last_line_end(self, size: int) -> int:
        with self._path.open("rb") as stream:
            at = size
            while at > 0:
                start = max(0, at - _READ_BYTES)
                stream.seek(start)
                found = stream.read(at - start).rfind(b"\n")
                if found >= 0:
                    return start + found + 1
                at = start
        return 0


class FileReader:
    """A position in a file. Keeps the contract of `billing.ports.Reader`."""

    def __init__(self, path: Path, *, follow: bool) -> None:
        self.generation = 0
        self._path = path
        self._follow = follow
        self._stream: BinaryIO | None = None
        self._position = 0
        self._lines: deque[tuple[int, bytes]] = deque()  # bytes in the file, with the line end; the line, cut
        self._rest = b""
        self._cut_bytes = 0
        self._active = False
        self._within_line = False  # the position lies behind a last line that had no line end when it was read

    async def read(self, records_max: int, wait_seconds: float, gather_seconds: float = 0.0) -> Records:
        """Return the next lines."""
        del gather_seconds  # a file has them at once
        records = await asyncio.to_thread(self._read, records_max) if self._active else _records([], [], 0, 0)
        if not records.spans:
            await asyncio.sleep(min(wait_seconds, _LOOK_SECONDS))
        return records

    async def idle(self) -> None:
        """Do nothing: nobody else waits for this file."""

    async def seek(self, positions: Mapping[int, int]) -> None:
        """Go to a byte position in the decompressed text."""
        self.generation += 1
        self._active = PARTITION in positions
        if self._active:
            await asyncio.to_thread(self._seek, positions[PARTITION])

    async def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _seek(self, position: int) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = _opened(self._path)
        self._lines.clear()
        self._rest, self._cut_bytes = b"", 0
        self._position = position
        self._within_line = False
        if self._path.suffix not in {".gz", ".zst"}:
            self._stream.seek(max(position - 1, 0))
            self._within_line = position > 0 and self._stream.read(1) not in {b"\n", b""}
            return
        left = position
        while left > 0:
            skipped = len(self._stream.read(min(left, _SCAN_BYTES)))
            if skipped == 0:
                raise SourceError(
                    f"{self._path}: ends before offset {position}; it is not the file that was read before"
                )
            left -= skipped

    def _read(self, records_max: int) -> Records:
        start = self._position
        offsets: list[int] = []
        payloads: list[bytes] = []
        while (
            len(payloads) < records_max
            and self._position - start < _RECORDS_BYTES_MAX
            and (self._lines or self._fill())
        ):
            length, payload = self._lines.popleft()
            if payload or not self._within_line:  # else it is the line end that the line before lacked
                offsets.append(self._position)
                payloads.append(payload)
            self._within_line = False
            self._position += length
        return _records(offsets, payloads, start, self._position)

    def _fill(self) -> bool:
        """Read more lines; an overlong one is cut as it comes, so that it never takes more memory than a read."""
        assert self._stream is not None, "a reader is positioned before it reads"
        while not self._lines:
            try:
                more = self._stream.read(_READ_BYTES)
            except (OSError, EOFError, zstandard.ZstdError) as error:
                raise SourceError(f"{self._path}: cannot be read after offset {self._position}: {error}") from error
            if not more:
                if self._rest and not self._follow:
                    self._lines.append((len(self._rest) + self._cut_bytes, self._rest))
                    self._rest, self._cut_bytes = b"", 0
                return bool(self._lines)
            *complete, rest = (self._rest + more).split(b"\n")
            for line in complete:
                self._lines.append((len(line) + 1 + self._cut_bytes, line[:_LINE_BYTES_MAX].removesuffix(b"\r")))
                self._cut_bytes = 0
            self._rest = rest[:_LINE_BYTES_MAX]
            self._cut_bytes += len(rest) - len(self._rest)
        return True


def _records(offsets: list[int], lines: list[bytes], start: int, stop: int) -> Records:
    return Records(
        np.zeros(len(offsets), dtype=np.int32),
        np.array(offsets, dtype=np.int64),
        lines,
        {PARTITION: Span(start, stop)} if stop > start else {},
    )


def _opened(path: Path) -> BinaryIO:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rb")  # type: ignore[return-value]  # a GzipFile reads as a binary file does
        stream = path.open("rb")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; write the path of a JSON Lines file") from error
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(stream, closefd=True))
    return stream
