"""Balances of many accounts at once: one read of each shard, and further ones only of what that could not tell.

Owns what is told of accounts apart from others: on a shard that does not answer, or on shards that stand apart.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import attrs

from billing.adapters.endpoints import Found, ShardDownError
from billing.adapters.gather import Gathered, NotAppliedError
from billing.adapters.hot import Balances
from billing.adapters.reads import Reads, check_account
from billing.adapters.snapshot import Place
from billing.adapters.sql import StatementTimeoutError
from billing.cursor import CursorRow
from billing.reads.answers import AccountBalances, AccountError, BalancesAnswer
from billing.reads.freshness import ANY, Want, is_consistent
from billing.reads.standing import UntoldError
from billing.reads.telling import balance_of

_TURN: Final = (
    250  # accounts told in one go, 1 to 2 ms: then those who ask for one have their turn, which takes as long
)


async def balances_answer(reads: Reads, accounts: Sequence[str], want: Want = ANY) -> BalancesAnswer:
    """Return balances of many accounts; those on a shard that does not answer are told apart.

    Raises: BadRequestError.
    """
    accounts = list(dict.fromkeys(accounts))
    for account in accounts:
        check_account(account)
    places = reads.places(accounts)
    results = await asyncio.gather(
        *(reads.fleet.balances({name: of}, want) for name, of in places.items()), return_exceptions=True
    )
    batch = _Batch(reads, want)
    of_account: dict[str, list[Place]] = {account: [] for account in accounts}
    for of, result in zip(places.values(), results, strict=True):
        batch.take(of, result)
        for place in of:
            of_account[place[1]].append(place)
    first: dict[str, AccountBalances | AccountError | None] = {}
    for start in range(0, len(accounts), _TURN):
        for account in accounts[start : start + _TURN]:
            first[account] = batch.tell(account, of_account[account])
        await asyncio.sleep(0)
    again = [account for account, told in first.items() if told is None]
    second = dict(zip(again, await asyncio.gather(*map(batch.ask, again)), strict=True))
    answers = [told or second[account] for account, told in first.items()]
    fresh, version = reads.freshness(batch.whole)
    return BalancesAnswer(
        [one for one in answers if isinstance(one, AccountBalances)],
        [one for one in answers if isinstance(one, AccountError)],
        fresh,
        version,
        batch.consistent,
    )


@attrs.define(eq=False)
class _Batch:
    """What the shards had: by place what was found, with which cursors, or what is wrong."""

    reads: Reads
    want: Want
    found: Balances = attrs.Factory(dict)
    cursors: dict[Place, Sequence[CursorRow]] = attrs.Factory(dict)
    wrong: dict[Place, AccountError] = attrs.Factory(dict)
    whole: list[Found[Balances]] = attrs.Factory(list)
    consistent: bool = True

    def take(self, places: Sequence[Place], result: Gathered[Balances] | BaseException) -> None:
        """Keep what one shard had of its places, or why it had nothing; a defect is raised."""
        if isinstance(result, Gathered):
            (shard,) = result.found
            self.whole.append(shard)
            self.found |= {place: shard.rows[place] for place in places}
            self.cursors |= dict.fromkeys(places, shard.cursors)
        else:
            self.wrong |= {place: _account_error(place[1], result) for place in places}

    def tell(self, account: str, at: Sequence[Place]) -> AccountBalances | AccountError | None:
        """Tell an account that is at these places; None where it must be asked for alone."""
        for place in at:
            if place in self.wrong:
                return self.wrong[place]
        try:
            standing = self.reads.standings(account, [self.found[place] for place in at])
        except UntoldError as untold:
            return _account_error(account, untold)
        stands_at_one = len(at) == 1 or is_consistent([self.cursors[place] for place in at])
        if standing is None or (self.want.strong and not stands_at_one):
            return None
        self.consistent &= stands_at_one
        return AccountBalances(account, list(map(balance_of, standing)))

    async def ask(self, account: str) -> AccountBalances | AccountError:
        """Ask for an account alone, which waits for one position, or for pieces that go together."""
        try:
            alone = await self.reads.balance(account, self.want)
        except (UntoldError, ShardDownError, NotAppliedError, StatementTimeoutError) as error:
            return _account_error(account, error)
        self.consistent &= alone.consistent
        return AccountBalances(account, alone.balances)


def _account_error(account: str, error: BaseException) -> AccountError:
    """Tell why an account among others has no answer; a defect is raised."""
    if isinstance(error, ShardDownError):
        return AccountError(account, 503, f"shard {error.shard} does not answer; ask again when it is back")
    if isinstance(error, NotAppliedError | StatementTimeoutError | UntoldError):
        return AccountError(account, 503, str(error))
    raise error
