"""Gathering: one question put to all shards that an account is on, at once, as fresh as was asked for.

Owns the waits: for a position to be applied, and for several shards to stand at one position. Must not know what is
asked.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import attrs

from billing.adapters.endpoints import Endpoints, Found, Work
from billing.adapters.hot import Balances, HotBalances
from billing.adapters.snapshot import Place
from billing.config.api_settings import ApiLimits
from billing.config.deployment import Deployment
from billing.credits import drawing_rollup
from billing.errors import BillingError
from billing.reads.freshness import Want, is_consistent
from billing.reads.question import Question

_PAUSE_SECONDS: Final = 0.005  # the first wait; each is twice as long, up to:
_PAUSE_SECONDS_MAX: Final = 0.1
_T = TypeVar("_T")


class NotAppliedError(BillingError):
    """A shard has not applied what the caller waits for, and the wait is over. Reaction: tell the caller to try on."""


@attrs.frozen
class Gathered(Generic[_T]):
    """What each shard had, with the cursors of each; consistent: all stood at one position."""

    found: Sequence[Found[_T]]
    consistent: bool


class Fleet:
    """Every shard's endpoints; used from one event loop."""

    def __init__(self, deployment: Deployment, limits: ApiLimits) -> None:
        self.map = deployment.shardmap
        self.endpoints = {shard.name: Endpoints(shard, limits) for shard in deployment.settings.shards}
        self._hot = {
            (name, strong): HotBalances(one, drawing_rollup(deployment.book), strong=strong)
            for name, one in self.endpoints.items()
            for strong in (False, True)
        }

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(one.close() for one in self.endpoints.values()))

    async def of_account(
        self, account: str, want: Want, asks: Callable[[Sequence[int]], Work[_T] | Question[_T]], *, heavy: bool
    ) -> Gathered[_T]:
        """Ask every shard that the account is on; asks: makes what is asked of the account's slots on a shard.

        Raises: ShardDownError, StatementTimeoutError, NotAppliedError.
        """
        slots: dict[str, list[int]] = {}
        for slot, shard in self.map.shards_of(account):
            slots.setdefault(self.map.shards[shard], []).append(slot)

        async def once(*, strong: bool) -> Sequence[Found[_T]]:
            asked = (
                self.endpoints[name].ask(asks(of_shard), strong=strong, heavy=heavy) for name, of_shard in slots.items()
            )
            return await asyncio.gather(*asked)

        return await fresh_enough(once, want)

    def balance_at(self, shard: str, place: Place) -> asyncio.Task[Found[Balances]]:
        """Return the read that will have a balance, and others: it is not the caller's to cancel.

        Raises as of_account.
        """
        return self._hot[shard, False].read_one(place)

    async def balances(self, places: Mapping[str, Sequence[Place]], want: Want) -> Gathered[Balances]:
        """Read balances at places of shards. Raises as of_account."""

        async def once(*, strong: bool) -> Sequence[Found[Balances]]:
            asked = [self._hot[name, strong].read(of_shard) for name, of_shard in places.items()]
            return [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)  # most are on one: no task

        return await fresh_enough(once, want)


class Ask(Protocol[_T]):
    """Asks all shards concerned, once."""

    async def __call__(self, *, strong: bool) -> Sequence[Found[_T]]:
        """Return what each had."""
        ...


async def fresh_enough(ask: Ask[_T], want: Want) -> Gathered[_T]:
    """Ask until the answer is as fresh as wanted, or the wait is over.

    Raises: NotAppliedError. That shards never stand at one position while asked is no error: the answer says so.
    """
    deadline = time.monotonic() + want.wait_seconds
    strong, pause = want.strong, _PAUSE_SECONDS
    while True:
        found = await ask(strong=strong)
        cursors = [one.cursors for one in found]
        applied = want.applied is None or all(map(want.applied.is_reached, cursors))
        consistent = is_consistent(cursors)
        if applied and (consistent or not want.strong):
            return Gathered(found, consistent)
        if time.monotonic() + pause > deadline:
            if applied:
                return Gathered(found, consistent)
            raise NotAppliedError(f"{want.applied} is not applied yet; ask again")
        await asyncio.sleep(pause)
        strong, pause = True, min(2 * pause, _PAUSE_SECONDS_MAX)  # a reader may be what is late
