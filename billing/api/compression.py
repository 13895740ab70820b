"""Compression: zstd for who takes it, gzip for the others (RFC 8878, RFC 1952).

Owns the glue between Litestar and python-zstandard.
"""

import gzip
from io import BytesIO
from typing import ClassVar, Final

import zstandard
from litestar.config.compression import CompressionConfig
from litestar.enums import CompressionEncoding

_LEVEL: Final = 3  # of either: higher ones take several times as long for a tenth less
BYTES_MIN: Final = 1_000  # what fits a packet of the network is sent as it is


class Zstd:
    """Writes a body through a compressor; keeps `litestar.middleware.compression.facade.CompressionFacade`."""

    encoding: ClassVar[str] = "zstd"

    def __init__(
        self, buffer: BytesIO, compression_encoding: CompressionEncoding | str, config: CompressionConfig
    ) -> None:
        """Begin. The last two are the protocol's, and say nothing new."""
        del compression_encoding, config
        self._stream = zstandard.ZstdCompressor(level=_LEVEL).stream_writer(buffer, closefd=False)

    def write(self, body: bytes) -> None:
        """Compress more, so that it can be sent."""
        self._stream.write(body)
        self._stream.flush()

    def close(self) -> None:
        """End the frame."""
        self._stream.close()  # type: ignore[no-untyped-call]  # python-zstandard's stubs lack it


def packed(body: bytes, accepted: str) -> tuple[bytes, str]:
    """Return a body as a caller takes it best, and the name of that; accepted: `accept-encoding`."""
    if len(body) >= BYTES_MIN and Zstd.encoding in accepted:
        return zstandard.ZstdCompressor(level=_LEVEL).compress(body), Zstd.encoding
    if len(body) >= BYTES_MIN and CompressionEncoding.GZIP in accepted:
        return gzip.compress(body, _LEVEL, mtime=0), CompressionEncoding.GZIP.value
    return body, ""


CONFIG: Final = CompressionConfig(
    backend="zstd", compression_facade=Zstd, gzip_compress_level=_LEVEL, minimum_size=BYTES_MIN
)
