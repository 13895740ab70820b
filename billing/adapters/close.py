"""Closing a shard: its counters page by page, and a transaction for each page of what is missing.

Owns the tries of a transaction and when they end. Must not know which counters are due.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import attrs

from billing.adapters.sql import run
from billing.closing import Closing, Posting
from billing.config.store_url import StoreUrl
from billing.due import PAGE_ROWS, CounterRow, Plan, again, missing, read_page
from billing.errors import BillingError, StoreUnreachableError, VersionFencedError
from billing.limits import Limits
from billing.ports import Applied, Reaction, Refused, Store
from billing.tiers import TierKey

POSTINGS_MAX: Final = 500  # of a transaction, which holds up workers of the same accounts, and cursors, while it runs
TRIES_MAX: Final = 10  # of a transaction, a minute in all: a database that fails over is back by then
_TRY_AGAIN: Final = frozenset({Reaction.RETRY, Reaction.RECONNECT, Reaction.RESOLVE_WRITER, Reaction.PAUSE})

ReadPage = Callable[[TierKey | None], Awaitable[Sequence[CounterRow]]]


class CloseRefusedError(BillingError):
    """A shard refuses a posting for a reason that no other try removes. Reaction: a person looks."""


@attrs.frozen
class Settled:
    """What one step has posted, or would post; open: counters whose periods have not ended."""

    postings: Sequence[Posting]
    open: int


def pages_of(url: StoreUrl, plan: Plan) -> ReadPage:
    """Return what reads the counters of a shard, each page in a snapshot of its own."""

    async def read(after: TierKey | None) -> Sequence[CounterRow]:
        return await run(url, partial(read_page, plan=plan, after=after, rows_max=PAGE_ROWS))

    return read


async def settle(
    plan: Plan, promises: dict[TierKey, CounterRow], read: ReadPage, store: Store | None, limits: Limits
) -> AsyncIterator[Settled]:
    """Settle what is missing on a shard, step by step; without a store, only tell it.

    promises: counters that owe a minimum even if the shard has no row of them; read: the shard's counters behind a key.
    Safe to repeat, to end anywhere, and to run twice at once. Raises: StoreUnreachableError, VersionFencedError.
    """
    unseen, after = dict(promises), None
    while rows := await read(after):
        last = rows[-1]
        after = last.slot, last.account, last.rule, last.period
        for row in rows:
            unseen.pop((row.slot, row.account, row.rule, row.period), None)
        async for step in _steps(plan, rows, store, limits):
            yield step
    async for step in _steps(plan, list(unseen.values()), store, limits):
        yield step


async def _steps(plan: Plan, rows: Sequence[CounterRow], store: Store | None, limits: Limits) -> AsyncIterator[Settled]:
    found, still_open = missing(plan, rows)
    postings = found.postings if found is not None else ()
    if still_open or not postings:
        yield Settled((), still_open)
    for start in range(0, len(postings), POSTINGS_MAX):
        some = postings[start : start + POSTINGS_MAX]
        yield Settled(some if store is None else await _post(plan, some, store, limits), 0)


async def _post(plan: Plan, postings: Sequence[Posting], store: Store, limits: Limits) -> Sequence[Posting]:
    refused = Refused(Reaction.RETRY, "not tried")
    wait_ms = limits.retry_backoff_min_ms
    for _ in range(TRIES_MAX):
        outcome = await store.apply(again(plan, postings))
        if isinstance(outcome, Applied):
            assert isinstance(outcome.written, Closing), "a store says what it wrote"
            return outcome.written.postings
        refused = outcome
        if refused.reaction is Reaction.SPLIT and len(postings) > 1:
            half = len(postings) // 2
            first = await _post(plan, postings[:half], store, limits)
            return [*first, *await _post(plan, postings[half:], store, limits)]
        if refused.reaction is Reaction.FENCED:
            raise VersionFencedError(f"{refused.detail}; the shard has a newer map or book: close by that one")
        if refused.reaction not in _TRY_AGAIN:
            raise CloseRefusedError(f"{refused.detail}; run `billing audit`, which compares counters with records")
        await asyncio.sleep(wait_ms / 1_000)
        wait_ms = min(2 * wait_ms, limits.retry_backoff_max_ms)
    raise StoreUnreachableError(f"{refused.detail}; what was posted stays, run the command again")
