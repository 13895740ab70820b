"""Credits: payments and grants, beside what was charged.

One row a credit, and one with the opposite amount for a void of it, under the keys of their records. Not partitioned:
they are few, and what is left of a grant must be known for longer than records are kept.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

_TYPES = {
    "SLOT": ("SMALLINT UNSIGNED NOT NULL", "INTEGER NOT NULL"),
    "KEY16": ("VARBINARY(16)", "TEXT"),
    "KEY64": ("VARBINARY(64)", "TEXT"),
    "KEY12": ("VARBINARY(12)", "TEXT"),
    "KEY4096": ("VARBINARY(4096)", "TEXT"),
    "DAY": ("DATE NOT NULL", "TEXT NOT NULL"),
    "AMOUNT": ("DECIMAL(38,12) NOT NULL", "TEXT NOT NULL"),
    "UINT64": ("BIGINT UNSIGNED NOT NULL", "INTEGER NOT NULL"),
    "END": ("ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=binary", "WITHOUT ROWID"),
}
_TABLE = """
CREATE TABLE credits (
    slot {SLOT}, account {KEY64} NOT NULL, day {DAY}, event {KEY64} NOT NULL, line SMALLINT NOT NULL,
    time_us BIGINT NOT NULL, digest {UINT64}, kind {KEY16} NOT NULL, currency {KEY12} NOT NULL, amount {AMOUNT},
    cost {AMOUNT}, priority SMALLINT NOT NULL, expires_us BIGINT, products {KEY4096} NOT NULL,
    PRIMARY KEY (slot, account, day, event, line)
) {END}
"""


def upgrade() -> None:
    """Make the table."""
    column = 1 if op.get_bind().dialect.name == "sqlite" else 0
    op.execute(_TABLE.format(**{name: types[column] for name, types in _TYPES.items()}))


def downgrade() -> None:
    """Drop the table, and with it every credit."""
    op.execute("DROP TABLE credits")
