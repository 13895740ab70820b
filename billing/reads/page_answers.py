"""Page answers: what the page shows beside an account's own answers: the fleet's load, a breakdown, who is calling.

Owns their JSON shape, in the manner of `billing.reads.answers`. Must not know how they are found.
"""

import msgspec

from billing.reads.answers import AsOf


class CallerAnswer(msgspec.Struct, frozen=True):
    """Who shows a key: its id, and what it may do for which accounts (ids, or beginnings and *)."""

    id: str
    scopes: list[str]
    accounts: list[str]


class Charged(msgspec.Struct, frozen=True):
    """What one rule charged for one product: lines, those of voids too, whose quantity and amount are below 0."""

    product: str
    rule: str
    currency: str
    lines: int
    quantity: str
    amount: str


class ChargedAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an account was charged in a time, by product and rule, added up from its lines."""

    account: str
    charged: list[Charged]
    as_of: list[AsOf]
    book_version: int
    consistent: bool = True


class ShardLoad(msgspec.Struct, frozen=True):
    """One shard's part of the load; None where it does not answer, or the log's end is not known.

    events: accepted, repeated and quarantined, since its cursors began; share: of the fleet's events a second;
    behind: offsets of the log that it has not applied, which for a file are bytes; lag_seconds: how long ago the log
    ended where the shard is now, at least.
    """

    shard: str
    answers: bool
    events: int | None
    events_per_second: float | None
    share: float | None
    behind: int | None
    lag_seconds: float | None


class HotAccount(msgspec.Struct, frozen=True):
    """An account among the newest events of the log: how many are of it, which share that is, where it lives."""

    account: str
    events: int
    share: float
    shards: list[str]


class LoadAnswer(msgspec.Struct, frozen=True):
    """The fleet's load now.

    seconds: over which rates were measured; behind, lag_seconds: of the shard that is furthest behind; newest_events:
    how many of the log's newest events were looked at for hot accounts, 0 where it cannot be read so.
    """

    at: str
    seconds: float
    events_per_second: float
    behind: int | None
    lag_seconds: float | None
    shards: list[ShardLoad]
    newest_events: int
    hot: list[HotAccount]
