"""The tables of every shard, as SQLAlchemy Core sees them for reads; the migrations create them.

Owns the mapping between columns at rest and Python values, for MySQL, MariaDB and SQLite.
"""

from decimal import Decimal
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Date, Dialect, Integer, LargeBinary, MetaData, SmallInteger, Table, Text
from sqlalchemy import Numeric as SqlNumeric
from sqlalchemy.dialects.mysql import BIGINT, INTEGER, SMALLINT, VARBINARY
from sqlalchemy.types import TypeDecorator, TypeEngine

_UINT64: Final = 2**64


class Key(TypeDecorator[str]):
    """Text compared byte by byte: VARBINARY where collations exist, TEXT in SQLite, whose comparison is binary."""

    impl = VARBINARY
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self._length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else VARBINARY(self._length))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401 - the driver's type
        """Give bytes to servers with collations."""
        return value if value is None or dialect.name == "sqlite" else value.encode()

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401, ARG002
        """Take text from either."""
        return value.decode() if isinstance(value, bytes) else value


class Amount(TypeDecorator[Decimal]):
    """DECIMAL(38,12); SQLite has no decimals, so it keeps their text."""

    impl = SqlNumeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else SqlNumeric(38, 12))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:  # noqa: ANN401 - the driver's type
        """Give text to SQLite."""
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ANN401, ARG002
        """Take a decimal from either."""
        return value if value is None else Decimal(value)


class UInt64(TypeDecorator[int]):
    """BIGINT UNSIGNED; in SQLite the same 64 bits, signed."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else BIGINT(unsigned=True))

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:  # noqa: ANN401, ARG002
        """Read the 64 bits as unsigned."""
        return value if value is None else value % _UINT64


_slot = SmallInteger().with_variant(SMALLINT(unsigned=True), "mysql", "mariadb")
_seconds = Integer().with_variant(INTEGER(unsigned=True), "mysql", "mariadb")

metadata: Final = MetaData()

records: Final = Table(
    "records",
    metadata,
    Column("slot", _slot, primary_key=True),
    Column("account", Key(64), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("event", Key(129), primary_key=True),
    Column("line", SmallInteger, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
    Column("digest", UInt64, nullable=False),
    Column("product", Key(64), nullable=False),
    Column("rule", Key(64), nullable=False),
    Column("currency", Key(12), nullable=False),
    Column("book_version", Integer, nullable=False),
    Column("quantity", Amount, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("kept", Key(4096), nullable=False),
)

credits: Final = Table(  # noqa: A001 - the noun
    "credits",
    metadata,
    Column("slot", _slot, primary_key=True),
    Column("account", Key(64), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("event", Key(64), primary_key=True),
    Column("line", SmallInteger, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
    Column("digest", UInt64, nullable=False),
    Column("kind", Key(16), nullable=False),
    Column("currency", Key(12), nullable=False),
    Column("amount", Amount, nullable=False),
    Column("cost", Amount, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=True),
    Column("products", Key(4096), nullable=False),
)

rollups: Final = Table(
    "rollups",
    metadata,
    Column("slot", _slot, primary_key=True),
    Column("account", Key(64), primary_key=True),
    Column("rollup", Key(64), primary_key=True),
    Column("bucket", _seconds, primary_key=True),
    Column("dims", Key(1024), primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("quantity", Amount, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("checksum", UInt64, nullable=False),
)

balances: Final = Table(
    "balances",
    metadata,
    Column("slot", _slot, primary_key=True),
    Column("account", Key(64), primary_key=True),
    Column("currency", Key(12), primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("amount", Amount, nullable=False),
    Column("checksum", UInt64, nullable=False),
)

tiers: Final = Table(
    "tiers",
    metadata,
    Column("slot", _slot, primary_key=True),
    Column("account", Key(64), primary_key=True),
    Column("rule", Key(64), primary_key=True),
    Column("period", BigInteger, primary_key=True),
    Column("quantity", Amount, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("amount", Amount, nullable=False),
)

cursors: Final = Table(
    "cursors",
    metadata,
    Column("log", Key(192), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("map_version", Integer, nullable=False),
    Column("book_version", Integer, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("time_us_max", BigInteger, nullable=False),
    Column("applied_at_us", BigInteger, nullable=False),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("log", Key(192), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("account", Key(64), nullable=False),
    Column("reason", Key(32), nullable=False),
    Column("detail", Key(512), nullable=False),
    Column("payload_bytes", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("retried", SmallInteger, nullable=False),
)

control: Final = Table(
    "control",
    metadata,
    Column("name", Key(64), primary_key=True),
    Column("value", Key(1024), nullable=False),
)
