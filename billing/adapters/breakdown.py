"""Breakdown of an account's charges, gathered from the shards that it is on.

Owns what the API answers of it. Must not know HTTP.
"""

from typing import Final

from billing.adapters.reads import BadRequestError, Reads, check_account
from billing.reads.answers import exact
from billing.reads.breakdown import gather_rule_sums, rule_sums_of
from billing.reads.freshness import ANY, Want
from billing.reads.page_answers import Charged, ChargedAnswer
from billing.reads.statement import Wanted

ROWS_MAX: Final = 10_000  # a book of 10,000 rules has few that charge one account


async def charged_answer(reads: Reads, account: str, wanted: Wanted, want: Want = ANY) -> ChargedAnswer:
    """Return what an account was charged, by product and rule.

    Raises: BadRequestError, ShardDownError, StatementTimeoutError, NotAppliedError.
    """
    check_account(account)
    gathered = await reads.fleet.of_account(
        account, want, lambda slots: rule_sums_of(account, slots, wanted, ROWS_MAX + 1), heavy=True
    )
    sums = gather_rule_sums(row for one in gathered.found for row in one.rows)
    if len(sums) > ROWS_MAX:
        raise BadRequestError(f"more than {ROWS_MAX:,} products and rules charged the account; ask for less time")
    told = [
        Charged(one.product, one.rule, one.currency, one.lines, exact(one.quantity), exact(one.amount)) for one in sums
    ]
    fresh, version = reads.freshness(gathered.found)
    return ChargedAnswer(account, told, fresh, version, gathered.consistent)
