"""The tables of a shard.

Clustered so that locks are taken in one order and a range of slots can be moved or dropped. Identifiers are
VARBINARY, since a text collation merges different ids. No AUTO_INCREMENT and no secondary unique key: both would cost
a lock of their own.
"""

from alembic import op

revision = "0001"
down_revision = None

_MYSQL_TYPES = {
    "SLOT": "SMALLINT UNSIGNED NOT NULL",
    "KEY": "VARBINARY({})",
    "SECONDS": "INT UNSIGNED NOT NULL",
    "DAY": "DATE NOT NULL",
    "AMOUNT": "DECIMAL(38,12) NOT NULL",
    "UINT64": "BIGINT UNSIGNED NOT NULL",
    "PAYLOAD": "MEDIUMBLOB NOT NULL",
    "END": "ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=binary",
    "BY_DAY": "PARTITION BY RANGE COLUMNS(day) (PARTITION p_future VALUES LESS THAN (MAXVALUE))",
}
_SQLITE_TYPES = {
    "SLOT": "INTEGER NOT NULL",
    "KEY": "TEXT",
    "SECONDS": "INTEGER NOT NULL",
    "DAY": "TEXT NOT NULL",
    "AMOUNT": "TEXT NOT NULL",
    "UINT64": "INTEGER NOT NULL",
    "PAYLOAD": "BLOB NOT NULL",
    "END": "WITHOUT ROWID",
    "BY_DAY": "",
}
# Widths: identifiers 64 bytes, a foreign event key two of them and a blank; kept as billing/kept.py bounds it.
_TABLES = """
CREATE TABLE records (
    slot {SLOT}, account {KEY64} NOT NULL, day {DAY}, event {KEY129} NOT NULL, line SMALLINT NOT NULL, time_us BIGINT
    NOT NULL, digest {UINT64}, product {KEY64} NOT NULL, rule {KEY64} NOT NULL, currency {KEY12} NOT NULL,
    book_version INT NOT NULL, quantity {AMOUNT}, amount {AMOUNT}, kept {KEY4096} NOT NULL, PRIMARY KEY (slot,
    account, day, event, line)
) {END} {BY_DAY};
CREATE TABLE rollups (
    slot {SLOT}, account {KEY64} NOT NULL, rollup {KEY64} NOT NULL, bucket {SECONDS}, dims {KEY1024} NOT NULL,
    events BIGINT NOT NULL, quantity {AMOUNT}, amount {AMOUNT}, checksum {UINT64},
    PRIMARY KEY (slot, account, rollup, bucket, dims)
) {END};
CREATE TABLE balances (
    slot {SLOT}, account {KEY64} NOT NULL, currency {KEY12} NOT NULL,
    events BIGINT NOT NULL, amount {AMOUNT}, checksum {UINT64},
    PRIMARY KEY (slot, account, currency)
) {END};
CREATE TABLE tiers (
    slot {SLOT}, account {KEY64} NOT NULL, rule {KEY64} NOT NULL, period {SECONDS}, quantity {AMOUNT},
    PRIMARY KEY (slot, account, rule, period)
) {END};
CREATE TABLE cursors (
    log {KEY192} NOT NULL, `partition` INT NOT NULL, next_offset BIGINT NOT NULL,
    map_version INT NOT NULL, book_version INT NOT NULL,
    accepted BIGINT NOT NULL DEFAULT 0, duplicates BIGINT NOT NULL DEFAULT 0, quarantined BIGINT NOT NULL DEFAULT 0,
    time_us_max BIGINT NOT NULL DEFAULT 0, applied_at_us BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (log, `partition`)
) {END};
CREATE TABLE quarantine (
    log {KEY192} NOT NULL, `partition` INT NOT NULL, `offset` BIGINT NOT NULL, account {KEY64} NOT NULL,
    reason {KEY32} NOT NULL, detail {KEY512} NOT NULL, payload_bytes BIGINT NOT NULL, payload {PAYLOAD},
    retried SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (log, `partition`, `offset`)
) {END};
CREATE TABLE control (
    name {KEY64} NOT NULL, value {KEY1024} NOT NULL,
    PRIMARY KEY (name)
) {END}
"""


def upgrade() -> None:
    """Create the tables."""
    types = dict(_SQLITE_TYPES if op.get_bind().dialect.name == "sqlite" else _MYSQL_TYPES)
    types |= {f"KEY{width}": types["KEY"].format(width) for width in (12, 32, 64, 129, 192, 512, 1024, 4096)}
    for statement in _TABLES.format(**types).split(";"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables: only for a shard that holds nothing worth keeping."""
    for table in ("records", "rollups", "balances", "tiers", "cursors", "quarantine", "control"):
        op.execute(f"DROP TABLE {table}")
