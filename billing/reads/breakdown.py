"""Breakdown: what an account was charged in a time, by product and rule.

Owns the select that adds up on the server, and the exact sum over shards. Must not know connections.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
from sqlalchemy import Select, func

from billing.exact import EXACT
from billing.reads.question import Question
from billing.reads.statement import Wanted, matching
from billing.schema import records
from billing.tail import CREDIT_RULE, ZERO_LINE_RULE
from billing.voids import VOIDED_RULE

_NO_RULES: Final = (ZERO_LINE_RULE, CREDIT_RULE, VOIDED_RULE)  # of lines that charge nothing


@attrs.frozen
class RuleSum:
    """What one rule charged for one product in one currency; quantity and amount exact."""

    product: str
    rule: str
    currency: str
    lines: int
    quantity: Decimal
    amount: Decimal


def rule_sums_of(account: str, slots: Sequence[int], wanted: Wanted, limit: int) -> Question[list[RuleSum]]:
    """Add up an account's lines on one shard: few rows come, however many lines there are; at most `limit` a slot."""
    by = records.c.product, records.c.rule, records.c.currency

    def selects(dialect: str) -> list[Select[Any]]:
        adds = func.decimal_sum if dialect == "sqlite" else func.sum
        sums = [adds(one, type_=one.type) for one in (records.c.quantity, records.c.amount)]
        return [
            matching(account, slot, wanted)
            .where(records.c.rule.not_in(_NO_RULES))
            .with_only_columns(*by, func.count(), *sums)
            .group_by(*by)
            .limit(limit)
            for slot in slots
        ]

    return Question(selects, lambda rows: [RuleSum(*row) for row in rows])


def gather_rule_sums(pieces: Iterable[RuleSum]) -> list[RuleSum]:
    """Add sums of the same product, rule and currency exactly; the largest amount comes first."""
    total: dict[tuple[str, str, str], RuleSum] = {}
    for one in pieces:
        key = one.product, one.rule, one.currency
        old = total.get(key)
        total[key] = one if old is None else _added(old, one)
    return sorted(total.values(), key=lambda one: (-abs(one.amount), one.currency, one.product, one.rule))


def _added(old: RuleSum, new: RuleSum) -> RuleSum:
    quantity, amount = EXACT.add(old.quantity, new.quantity), EXACT.add(old.amount, new.amount)
    return attrs.evolve(old, lines=old.lines + new.lines, quantity=quantity, amount=amount)
