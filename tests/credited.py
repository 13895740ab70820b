"""Standings of accounts after a log, by the engine on a shard in memory and by the oracle, which must say the same."""

from decimal import Decimal

import msgspec

from billing.adapters.memory import MemoryShard
from billing.reads.balance import Balance
from billing.reads.standing import Pieces, Standing, live, standings
from generators import oracle
from rules.burndown import Charged, edges

PICO = Decimal("1e-12")
SUMS = ("charged", "credited", "granted", "drawn", "expired", "remaining", "due")


def pieces_of(shard: MemoryShard, account: str) -> Pieces:
    """Return what the selects of `billing.reads.standing` return of an account on a shard with tables."""
    tables = shard.tables
    found = live(row for row in tables.credits.values() if row.account == account)
    own = edges(one.grant for one in found if one.kind == "grant")
    charges = [
        Charged(bucket // 3_600, str(msgspec.json.decode(dims)[0]), int(amount / PICO))
        for (_, of, rollup, bucket, dims), (_, _, amount, _) in tables.rollups.items()
        if (of, rollup) == (account, "hourly")
    ]
    balances = [
        Balance(account, currency, amount, events, checksum)
        for (_, of, currency), (events, amount, checksum) in tables.balances.items()
        if of == account
    ]
    return Pieces(balances, found, own, charges)


def standing_of(shard: MemoryShard, account: str, at_us: int) -> Standing:
    """Return an account's standing in its only currency."""
    (found,) = standings([pieces_of(shard, account)], "USD", at_us)
    return found


def agreed(shard: MemoryShard, expected: oracle.Expected, account: str, at_us: int) -> Standing:
    """Return an account's standing after comparing it with the oracle's, to the last place."""
    found, wanted = standing_of(shard, account, at_us), expected.standing(account, at_us)
    for name in SUMS:
        assert (name, getattr(found, name)) == (name, getattr(wanted, name))
    left = {(one.credit.time_us, one.credit.id): one.expired + one.remaining for one in found.credits}
    assert left == wanted.left
    assert found.charged == found.drawn + found.due
    assert found.credited == found.drawn + found.expired + found.remaining
    assert all(0 <= one.drawn <= one.credit.amount for one in found.credits)
    return found
