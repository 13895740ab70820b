"""Sinks: where exported rows go, as CSV or Parquet, chunk by chunk.

Owns both formats. Decimals stay exact: text with 12 places in CSV, decimal128(38, 12) in Parquet. Must not know shards.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, BinaryIO, Protocol

import attrs
import pyarrow as pa
import pyarrow.parquet as pq

from billing.errors import BillingError
from billing.reads.answers import exact, moment


class ExportError(BillingError):
    """The output cannot be written. Reaction: stop; a file under its final name is always complete."""


class ReaderGoneError(Exception):
    """Who read the output has seen enough. Reaction: stop quietly."""


class Kind(Enum):
    """What a column holds, with its Parquet type; a moment is in microseconds since 1970-01-01 UTC."""

    TEXT = pa.string()
    INTEGER = pa.int64()
    DECIMAL = pa.decimal128(38, 12)
    DAY = pa.date32()
    MOMENT = pa.timestamp("us", tz="UTC")


@attrs.frozen
class Field:
    """One column of an export."""

    name: str
    kind: Kind


Row = Sequence[str | int | Decimal | date]


class Sink(Protocol):
    """Takes rows in order; complete once closed."""

    def write(self, rows: Sequence[Row]) -> None:
        """Take some rows. Raises ExportError or ReaderGoneError."""

    def close(self) -> None:
        """Write what a format has at its end."""


class CsvSink:
    """RFC 4180 with a line of names; lines end in a line feed, as other tools of this kind write them."""

    def __init__(self, stream: BinaryIO, fields: Sequence[Field]) -> None:
        self._stream = stream
        self._kinds = [field.kind for field in fields]
        self._put([[field.name for field in fields]])

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        self._put([[_text(kind, value) for kind, value in zip(self._kinds, row, strict=True)] for row in rows])

    def close(self) -> None:
        """Hand over what is buffered."""
        with _output():
            self._stream.flush()

    def _put(self, rows: Sequence[Sequence[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        with _output():
            self._stream.write(text.getvalue().encode())


class ParquetSink:
    """One row group for each chunk."""

    def __init__(self, stream: BinaryIO, fields: Sequence[Field]) -> None:
        self._schema = pa.schema([pa.field(field.name, field.kind.value, nullable=False) for field in fields])
        self._kinds = [field.kind for field in fields]
        with _output():
            self._writer = pq.ParquetWriter(_Counted(stream), self._schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows as one group."""
        if not rows:
            return
        columns = [
            pa.array([_value(kind, value) for value in column], type=kind.value)
            for kind, column in zip(self._kinds, zip(*rows, strict=True), strict=True)
        ]
        with _output():
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        """Write the footer, without which the file cannot be read."""
        with _output():
            self._writer.close()


class _Counted:
    """A stream that knows its position, which a pipe does not."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        content = bytes(data)
        self._stream.write(content)
        self._position += len(content)
        return len(content)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


@contextmanager
def _output() -> Iterator[None]:
    """Tell errors of the output from errors of the database, which are OSErrors too."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        raise ExportError(f"--out: cannot be written: {error.strerror or error}; name a file with room") from error


def _text(kind: Kind, value: Any) -> str:  # noqa: ANN401 - as the kind says
    if kind is Kind.DECIMAL:
        return exact(value)
    return moment(value) if kind is Kind.MOMENT else str(value)


def _value(kind: Kind, value: Any) -> Any:  # noqa: ANN401 - as the kind says
    return Decimal(exact(value)) if kind is Kind.DECIMAL else value
