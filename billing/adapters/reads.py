"""Reads: an account's balance and usage, gathered from the shards it is on, with how fresh they are.

Owns what the API and the commands answer alike, and which endpoint is asked. Must not know HTTP or terminals.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection

from billing import balance as core
from billing.adapters.sql import run
from billing.credits import drawing_rollup
from billing.cursor import CursorRow
from billing.deployment import Deployment
from billing.errors import BillingError, StoreUnreachableError
from billing.standing import Drawn, Pieces, Standing, UntoldError, read_pieces, standings
from billing.wire import IDENTIFIER_LENGTH_MAX, is_identifier
from rules.book import Rollup

ROUNDS_MAX: Final = 5  # of reading a spread account, each because a grant came in between
CONNECTIONS_MAX: Final = 32  # of one process at a time: a database has a few hundred, and workers come first
_EXACT: Final = Context(prec=80)
_TWELVE_PLACES: Final = Decimal("1e-12")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS: Final = 1_000_000

_T = TypeVar("_T")


class BadRequestError(BillingError):
    """The question itself is wrong: no such rollup, or a text that cannot be an account."""

    exit_code = 2


class ShardDownError(StoreUnreachableError):
    """No endpoint of a shard answers; `shard` is its name. Concerns the accounts on it and no others."""

    def __init__(self, shard: str, sentence: str) -> None:
        super().__init__(f"{shard}: {sentence}")
        self.shard = shard


class AsOf(msgspec.Struct, frozen=True):
    """How far an answer reaches: all offsets of the partition below `position` are in it.

    time: of the newest event below it; applied_at: when the shard's cursor last moved; lag_seconds: how long ago that
    was, which is how far behind the answer can be. Times are RFC 3339 in UTC, None before the first event.
    """

    log: str
    partition: int
    position: int
    time: str | None
    applied_at: str | None
    lag_seconds: float | None


class BalanceOf(msgspec.Struct, frozen=True):
    """An account in one currency; amounts have 12 places.

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


class BalanceAnswer(msgspec.Struct, frozen=True):
    """The balances of one account."""

    account: str
    balances: list[BalanceOf]
    credits: list[CreditOf]
    as_of: list[AsOf]
    book_version: int


class UsageOf(msgspec.Struct, frozen=True):
    """One bucket of a rollup: its start in UTC and its dimensions by name, None where events lack the attribute."""

    bucket: str
    dims: dict[str, str | None]
    events: int
    quantity: str
    amount: str


class UsageAnswer(msgspec.Struct, frozen=True):
    """The usage of one account by a rollup."""

    account: str
    rollup: str
    every: str
    currency: str
    usage: list[UsageOf]
    as_of: list[AsOf]
    book_version: int


class Reads:
    """Answers questions about one deployment; used from one event loop."""

    def __init__(self, deployment: Deployment) -> None:
        self._settings = deployment.settings
        self._map = deployment.shardmap
        self._book = deployment.book
        self._connections = asyncio.Semaphore(CONNECTIONS_MAX)

    async def balance(self, account: str) -> BalanceAnswer:
        """Return an account's balances, added exactly; one that was never charged has 0 in its currency.

        Raises: BadRequestError, ShardDownError, UntoldError.
        """
        _check_account(account)
        pieces, cursors = await self._pieces(account)
        found = standings(pieces, self._book.currency_of(account), time.time_ns() // 1_000)
        credited = [_credit_of(one) for standing in found for one in standing.credits]
        balances = list(map(_balance_of, found))
        return BalanceAnswer(account, balances, credited, as_of(cursors), self._book.version)

    async def _pieces(self, account: str) -> tuple[list[Pieces], list[list[CursorRow]]]:
        """Read an account's pieces of all its shards, with charges added up between the edges of all grants."""
        rollup, between = drawing_rollup(self._book), None
        for _ in range(ROUNDS_MAX):
            read = partial(_read_pieces, account=account, rollup=rollup, between=between)
            found = await self._gather(account, read)
            pieces = [piece for rows, _ in found for piece in rows]
            needed = {edge for piece in pieces for edge in piece.edges_of_credits}
            if all(needed <= set(piece.edges) for piece in pieces):
                return pieces, [cursors for _, cursors in found]
            between = tuple(sorted(needed))
        raise UntoldError(f"{account} is given grants faster than its shards can be read together; ask again")

    async def usage(self, account: str, rollup: str) -> UsageAnswer:
        """Return an account's usage by one of the book's rollups, in order of time.

        Raises: BadRequestError, ShardDownError.
        """
        _check_account(account)
        kept = next((one for one in self._book.rollups if one.name == rollup), None)
        if kept is None:
            names = ", ".join(one.name for one in self._book.rollups) or "none"
            raise BadRequestError(f"rollup: {rollup[:64]!a} is not in book {self._book.name}, which has: {names}")
        found = await self._gather(
            account, lambda connection, slots: core.read_usage(connection, account, slots, rollup)
        )
        rows = core.gather_usage(row for rows, _ in found for row in rows)
        usage = [
            UsageOf(
                moment(row.bucket * _MICROSECONDS),
                named(row.dims, kept),
                row.events,
                exact(row.quantity),
                exact(row.amount),
            )
            for row in rows
        ]
        fresh = as_of(cursors for _, cursors in found)
        currency = self._book.currency_of(account)
        return UsageAnswer(account, rollup, kept.every.value, currency, usage, fresh, self._book.version)

    async def _gather(
        self, account: str, read: Callable[[Connection, Sequence[int]], Sequence[_T]]
    ) -> list[tuple[Sequence[_T], list[CursorRow]]]:
        """Ask every shard that the account is on at once; rows and cursors of a shard are of one snapshot."""
        slots: dict[int, list[int]] = {}
        for slot, shard in self._map.shards_of(account):
            slots.setdefault(shard, []).append(slot)

        def asking(of_shard: Sequence[int]) -> Callable[[Connection], tuple[Sequence[_T], list[CursorRow]]]:
            return lambda connection: (read(connection, of_shard), core.read_cursors(connection))

        return await asyncio.gather(*(self.ask(self._map.shards[shard], asking(of)) for shard, of in slots.items()))

    async def ask(self, name: str, work: Callable[[Connection], _T]) -> _T:
        """Run a query on the first endpoint of a shard that answers: its readers, then its writer.

        Raises: ShardDownError.
        """
        shard = next(one for one in self._settings.shards if one.name == name)
        refusals = []
        for url in dict.fromkeys((*shard.readers, shard.writer)):
            try:
                async with self._connections:
                    return await run(url, work)
            except StoreUnreachableError as error:
                refusals.append(error)
        raise ShardDownError(name, str(refusals[0])) from refusals[0]


def _read_pieces(
    connection: Connection, slots: Sequence[int], account: str, rollup: Rollup | None, between: tuple[int, ...] | None
) -> list[Pieces]:
    return [read_pieces(connection, account, slots, rollup, between)]


def _balance_of(one: Standing) -> BalanceOf:
    amounts = (one.charged, one.credited, one.granted, one.drawn, one.expired, one.remaining, one.due)
    return BalanceOf(one.currency, exact(one.charged), one.events, *map(exact, amounts))


def _credit_of(one: Drawn) -> CreditOf:
    credit = one.credit
    return CreditOf(
        id=credit.id,
        kind=credit.kind.value,
        time=moment(credit.time_us),
        currency=credit.currency,
        amount=exact(credit.amount),
        cost=exact(credit.cost),
        priority=credit.priority,
        expires=None if credit.expires_us is None else moment(credit.expires_us),
        products=list(credit.products),
        drawn=exact(one.drawn),
        expired=exact(one.expired),
        remaining=exact(one.remaining),
    )


def exact(amount: Decimal) -> str:
    """Write a decimal with its 12 places, the same text whatever database it comes from."""
    return f"{amount.quantize(_TWELVE_PLACES, context=_EXACT):f}"


def moment(time_us: int) -> str:
    """Write microseconds since 1970-01-01 as RFC 3339 in UTC."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def named(dims: str, rollup: Rollup) -> dict[str, str | None]:
    """Name the values of a rollup's row; what an older book summed by differently keeps the places it had."""
    values: list[str | None] = msgspec.json.decode(dims)
    names = rollup.by if len(rollup.by) == len(values) else tuple(map(str, range(len(values))))
    return dict(zip(names, values, strict=True))


def as_of(cursors: Iterable[Sequence[CursorRow]]) -> list[AsOf]:
    """Return how far all these shards have come, by log and partition."""
    now_us = time.time_ns() // 1_000
    by_shard = {str(shard): rows for shard, rows in enumerate(cursors)}
    return [_as_of(row, now_us) for row in core.as_of(by_shard)]


def _as_of(row: dict[str, Any], now_us: int) -> AsOf:
    time_us, applied_at_us = row["time_us"], row["applied_at_us"]
    return AsOf(
        log=row["log"],
        partition=row["partition"],
        position=row["position"],
        time=moment(time_us) if time_us else None,
        applied_at=moment(applied_at_us) if applied_at_us else None,
        lag_seconds=round(max(now_us - applied_at_us, 0) / _MICROSECONDS, 3) if applied_at_us else None,
    )


def _check_account(account: str) -> None:
    if not is_identifier(account):
        raise BadRequestError(
            f"account: {account[:IDENTIFIER_LENGTH_MAX]!a} cannot be one; "
            f"write 1 to {IDENTIFIER_LENGTH_MAX} characters of visible ASCII without quotes and backslash"
        )
