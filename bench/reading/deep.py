"""Deep accounts: millions of recorded lines of one account on each shard, put into the tables without being billed.

Owns the statements, and where each line is. They have no rollups and balances: an audit would say so.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

import attrs

from billing.reads.statement import token_of
from sharding.shardmap import ShardMap

DAYS: Final = 365
BLOCK: Final = 100_000  # lines of a statement: a transaction of some 20 MB
FIRST: Final = date(2026, 1, 1)
BEGIN: Final = 1_767_225_600  # the same, in seconds
_DIGITS: Final = "(" + " UNION ALL ".join(f"SELECT {digit} AS n" for digit in range(10)) + ")"
_TRIES_MAX: Final = 100_000


@attrs.frozen
class DeepAccount:
    """An account with so many lines: line number n, from 0, is of day n * DAYS // lines."""

    account: str
    slot: int
    lines: int

    def cursor(self, number: int) -> str:
        """Return the cursor of the page that follows a line."""
        day = FIRST + timedelta(days=number * DAYS // self.lines)
        return token_of((day.isoformat(), f"deep-{number:012d}", 0, self.slot))

    def statement(self, start: int) -> str:
        """Return what inserts a block of lines, in the order of their key."""
        digits = ", ".join(f"{_DIGITS} AS d{place}" for place in range(5))
        number = f"({start} + " + " + ".join(f"d{place}.n * {10**place}" for place in range(5)) + ")"
        day = f"FLOOR(m.n * {DAYS} / {self.lines})"
        return (
            "INSERT INTO records (slot, account, day, event, line, time_us, digest, product, rule, currency, "
            "book_version, quantity, amount, kept) "
            f"SELECT {self.slot}, '{self.account}', DATE_ADD('{FIRST}', INTERVAL {day} DAY), "
            f"CONCAT('deep-', LPAD(m.n, 12, '0')), 0, ({BEGIN} + {day} * 86400) * 1000000, m.n, 'sms', 'deep', 'USD', "
            f"1, 1, 0.0079, '' FROM (SELECT {number} AS n FROM {digits}) m WHERE m.n < {self.lines} ORDER BY m.n"
        )


def deep_accounts(shardmap: ShardMap, lines: int) -> dict[str, DeepAccount]:
    """Return an account on each shard, which share the lines."""
    found: dict[str, DeepAccount] = {}
    for number in range(_TRIES_MAX):
        account = f"deep-{number}"
        places = shardmap.shards_of(account)
        if len(places) == 1:
            slot, shard = places[0]
            found.setdefault(shardmap.shards[shard], DeepAccount(account, slot, lines // len(shardmap.shards)))
        if len(found) == len(shardmap.shards):
            break
    return found


async def insert(connection: Any, deep: DeepAccount, tell: Callable[[int], None]) -> None:  # noqa: ANN401 - the driver's
    """Insert an account's lines, a block at a time; tell: how many more there are."""
    for start in range(0, deep.lines, BLOCK):
        await connection.query(deep.statement(start))
        tell(min(BLOCK, deep.lines - start))
