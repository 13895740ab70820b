"""Answers: what a reader is told, the same by the API, the commands and the Python client.

Owns the JSON shape of every answer. Decimals are text with 12 places, times RFC 3339 in UTC. Must not know how they are
found.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from billing.exact import EXACT

_TWELVE_PLACES: Final = Decimal("1e-12")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AsOf(msgspec.Struct, frozen=True):
    """How far an answer reaches: all offsets of the partition below `position` are in it.

    time: of the newest event below it; applied_at: when the shard's cursor last moved; lag_seconds: how long ago that
    was, which is how far behind the answer can be. Times are None before the first event.
    """

    log: str
    partition: int
    position: int
    time: str | None
    applied_at: str | None
    lag_seconds: float | None


class BalanceOf(msgspec.Struct, frozen=True):
    """An account in one currency.

    amount: what was charged, as `charged`; credited: payments and grants; granted: the grants of these; drawn: what
    credits have paid; expired: what grants have not, and never will; remaining: what credits can still pay; due: what
    no credit has paid. charged = drawn + due, and credited = drawn + expired + remaining.
    """

    currency: str
    amount: str
    events: int
    charged: str
    credited: str
    granted: str
    drawn: str
    expired: str
    remaining: str
    due: str


class CreditOf(msgspec.Struct, frozen=True):
    """A payment or a grant, and what became of it: amount = drawn + expired + remaining.

    id, time: of its event; cost: what the customer paid for it; priority: the lowest is drawn first; expires: None for
    never; products: what it may pay for, none for anything. A credit that was voided is none.
    """

    id: str
    kind: str
    time: str
    currency: str
    amount: str
    cost: str
    priority: int
    expires: str | None
    products: list[str]
    drawn: str
    expired: str
    remaining: str


class BalanceAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The balances of one account, and its credits.

    consistent: false where its shards stood at different positions, so that some are ahead of `as_of`.
    """

    account: str
    balances: list[BalanceOf]
    credits: list[CreditOf]
    as_of: list[AsOf]
    book_version: int
    consistent: bool = True


class AccountBalances(msgspec.Struct, frozen=True):
    """One account's balances among those of others."""

    account: str
    balances: list[BalanceOf]


class AccountError(msgspec.Struct, frozen=True):
    """Why one account among others has no answer; status as HTTP has them."""

    account: str
    status: int
    detail: str


class BalancesAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The balances of many accounts, in the order asked for, and those that could not be read."""

    balances: list[AccountBalances]
    errors: list[AccountError]
    as_of: list[AsOf]
    book_version: int
    consistent: bool = True


class UsageOf(msgspec.Struct, frozen=True):
    """One bucket: its start, and its dimensions by name, None where events lack the attribute."""

    bucket: str
    dims: dict[str, str | None]
    events: int
    quantity: str
    amount: str


class UsageTotal(msgspec.Struct, frozen=True):
    """The sum of all buckets of an answer."""

    events: int
    quantity: str
    amount: str


class UsageAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The usage of one account: sums of the rollup, in buckets of `every`."""

    account: str
    rollup: str
    every: str
    currency: str
    usage: list[UsageOf]
    total: UsageTotal
    as_of: list[AsOf]
    book_version: int
    consistent: bool = True


class Line(msgspec.Struct, frozen=True):
    """One line of a statement; lines below 0 take back what a void was for.

    day: the event's UTC day, which with its id is its identity; origin: whose event it is, where that is not the
    account charged; attributes: those that the book keeps.
    """

    day: str
    event: str
    line: int
    time: str
    origin: str | None
    product: str
    rule: str
    currency: str
    quantity: str
    amount: str
    book_version: int
    attributes: dict[str, str]


class TransactionsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of an account's lines, newest day first; next: the cursor of the page that follows, None at the end."""

    account: str
    transactions: list[Line]
    next: str | None
    as_of: list[AsOf]
    book_version: int
    consistent: bool = True


class RuleWords(msgspec.Struct, frozen=True):
    """A rule as the book in force has it: each condition in words, the kind of price, the dates."""

    id: str
    group: str
    when: dict[str, str]
    price: str
    currency: str
    since: str | None = None
    until: str | None = None


class LineExplained(msgspec.Struct, frozen=True):
    """One recorded line and its rule; None where the book in force no longer has it."""

    line: Line
    rule: RuleWords | None
    same_book: bool


class ExplainAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event charged an account, as recorded, and by which rules."""

    account: str
    event: str
    lines: list[LineExplained]
    total: str
    as_of: list[AsOf]
    book_version: int
    consistent: bool = True


class RollupWords(msgspec.Struct, frozen=True):
    """A sum that the book keeps."""

    name: str
    every: str
    by: list[str]


class BookAnswer(msgspec.Struct, frozen=True):
    """The rulebook in force; rules_total: how many rules it has, of which the first are listed."""

    name: str
    version: int
    currency: str
    dimensions: list[str]
    rollups: list[RollupWords]
    rules: list[RuleWords]
    rules_total: int


class ShardState(msgspec.Struct, frozen=True):
    """How one shard stands; behind: offsets that the furthest shard has applied and it has not.

    accepted, duplicates, quarantined: events whose home it is, since its cursors began.
    """

    shard: str
    answers: bool
    slots: int
    behind: int | None
    accepted: int | None
    duplicates: int | None
    quarantined: int | None
    lag_seconds: float | None
    as_of: list[AsOf]


class ShardsAnswer(msgspec.Struct, frozen=True):
    """Every shard, in the order of the settings."""

    map_version: int
    shards: list[ShardState]


class Position(msgspec.Struct, frozen=True):
    """A place in the log below which the events of one request are durable."""

    partition: int
    position: int


class ItemError(msgspec.Struct, frozen=True):
    """Why one event of a request was not taken: its place in the request, and a status as HTTP has them."""

    index: int
    status: int
    reason: str
    detail: str


class EventsAnswer(msgspec.Struct, frozen=True):
    """What became of published events: accepted ones are durable in the log; min_position waits for them in reads."""

    accepted: int
    errors: list[ItemError]
    positions: list[Position]
    min_position: str


class Health(msgspec.Struct, frozen=True):
    """This process serves; a shard that is down concerns its accounts only."""

    status: Literal["ok"] = "ok"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error, as RFC 9457, section 3.1, has it; shard: which one does not answer, where that is the problem."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    instance: str = ""
    shard: str = ""
    errors: list[dict[str, Any]] = []


def exact(amount: Decimal) -> str:
    """Write a decimal with its 12 places, the same text whatever database it comes from."""
    return f"{amount.quantize(_TWELVE_PLACES, context=EXACT):f}"


@lru_cache(maxsize=10_000)  # answers repeat the times of cursors
def moment(time_us: int) -> str:
    """Write microseconds since 1970-01-01 as RFC 3339 in UTC."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")
