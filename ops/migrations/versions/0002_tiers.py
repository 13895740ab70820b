"""Counters of cumulative prices.

Nothing wrote to `tiers` before, so that the table is made anew. Periods are signed: in zones west of Greenwich the
first one begins before 1970 in UTC.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = "slot {}, account {} NOT NULL, rule {} NOT NULL, period {} NOT NULL, quantity {}"
_MYSQL = "SMALLINT UNSIGNED NOT NULL", "VARBINARY(64)", "VARBINARY(64)"
_SQLITE = "INTEGER NOT NULL", "TEXT", "TEXT"
_AMOUNT = {"sqlite": "TEXT NOT NULL"}
_END = {"sqlite": "WITHOUT ROWID"}


def upgrade() -> None:
    """Make the table with what every price model may need to know of the past."""
    _make("BIGINT", ", events BIGINT NOT NULL, amount {amount}")


def downgrade() -> None:
    """Make it as it was."""
    _make("INT UNSIGNED", "")


def _make(period: str, more: str) -> None:
    name = op.get_bind().dialect.name
    amount = _AMOUNT.get(name, "DECIMAL(38,12) NOT NULL")
    end = _END.get(name, "ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=binary")
    columns = _KEY.format(*(_SQLITE if name == "sqlite" else _MYSQL), period, amount) + more.format(amount=amount)
    op.execute("DROP TABLE tiers")
    op.execute(f"CREATE TABLE tiers ({columns}, PRIMARY KEY (slot, account, rule, period)) {end}")
