"""Commitments: what an account owes for a period at least, by a rule of the book or by its contract.

Owns which rules have one, for which accounts and periods, and the name that it is charged under. Must not know what
was charged, nor who settles it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import attrs
import numpy as np

from rules.book import Book, Rule
from rules.columns import MISSING, PICO_PLACES, Int32s, Int64s
from rules.number import decimal_text
from rules.period import SECOND_US, Unit
from rules.quote import quoted

SETTLED_AS: Final = "minimum "  # before the rule's id; the space keeps it apart from all ids
ID_LENGTH_MAX: Final = 64 - len(SETTLED_AS)  # a column of records has 64 bytes for both


@attrs.frozen
class Minimum:
    """What is owed for a period at least, in 1e-12 currency units; promised: by contract, and so without any use too.

    The minimum of a book is for all accounts, and is owed by those that use its rule in the period.
    """

    pico: int
    promised: bool


def settled_as(rule_id: str) -> str:
    """Return the name under which what is missing to a rule's minimum is charged and counted."""
    return SETTLED_AS + rule_id


def minimum_fault(rule: Rule, minimum_pico: int) -> str | None:
    """Say why a rule cannot have this minimum for each period (1e-12 currency units), or None if it can."""
    if rule.per is None:
        return f"{quoted(rule.id)} has no periods; add `per_period: {{per: month, minimum: 0}}` to it"
    if rule.per.unit is Unit.EVER:
        return f"{quoted(rule.id)} counts for ever, so that no period ends in which a minimum is due; name a period"
    if len(rule.id) > ID_LENGTH_MAX:
        return f"the id of a rule with a minimum has at most {ID_LENGTH_MAX} characters; shorten {quoted(rule.id)}"
    if minimum_pico % 10 ** (PICO_PLACES - rule.rounding.places):
        return f"{quoted(rule.id)} is rounded to {rule.rounding.places} places; write no more"
    if rule.period_maximum_pico is not None and minimum_pico > rule.period_maximum_pico:
        most = decimal_text(rule.period_maximum_pico, PICO_PLACES)
        return f"is above the maximum of {quoted(rule.id)}, {most}; write a smaller one"
    return None


def has_minimums(book: Book, rule: int) -> bool:
    """Tell whether a rule (index into `Book.rules`) has a minimum for anybody."""
    return book.rules[rule].period_minimum_pico is not None or bool(len(_promises(book, rule)))


def minimums(book: Book, rule: int, accounts: Sequence[str], starts: Sequence[int]) -> list[Minimum | None]:
    """Return what n accounts owe at least by a rule for the periods that start then, None for nothing.

    accounts: charged accounts; starts: seconds since 1970-01-01 UTC. The contract in effect at the start counts.
    """
    contracts, own_pico = book.contracts, book.rules[rule].period_minimum_pico
    own = None if own_pico is None else Minimum(own_pico, promised=False)
    found: list[Minimum | None] = [own] * len(accounts)
    if contracts is None:
        return found
    numbers = np.array([contracts.accounts.get(account, MISSING) for account in accounts], dtype=np.int32)
    rows = _rows(book, rule, numbers, np.array(starts, dtype=np.int64))
    scale: int = 10 ** (PICO_PLACES - contracts.minimum.scale)
    for at in np.flatnonzero((rows != MISSING) & contracts.committed[rows]).tolist() if len(contracts.keys) else ():
        pico = int(contracts.minimum.units[rows[at]]) * scale
        found[at] = Minimum(pico, promised=_in_effect(book.rules[rule], starts[at]))
    return found


def promised(book: Book, rule: int, start: int) -> Iterator[str]:
    """Yield the accounts that owe a minimum by contract for the period that starts then, whether they use it or not."""
    if book.contracts is None:
        return
    numbers, names = np.unique(_promises(book, rule)).tolist(), list(book.contracts.accounts)
    accounts = [names[number] for number in numbers]
    for account, minimum in zip(accounts, minimums(book, rule, accounts, [start] * len(accounts)), strict=True):
        if minimum is not None and minimum.promised:
            yield account


def _in_effect(rule: Rule, start: int) -> bool:
    start_us = start * SECOND_US
    return (rule.from_us is None or rule.from_us <= start_us) and (rule.until_us is None or start_us < rule.until_us)


def _rows(book: Book, rule: int, accounts: Int32s, starts: Int64s) -> Int32s:
    assert book.contracts is not None, "somebody has a contract"
    rules = np.full(len(accounts), rule, dtype=np.int32)
    return book.contracts.find(accounts, rules, starts * SECOND_US)


def _promises(book: Book, rule: int) -> Int64s:
    """Return the number of the account of each row that promises a minimum of this rule."""
    contracts = book.contracts
    if contracts is None or contracts.target_of_rule[rule] == MISSING:
        return np.zeros(0, dtype=np.int64)
    account, target = np.divmod(contracts.keys // len(contracts.starts_us), contracts.targets)
    promises: Int64s = account[contracts.committed & (target == contracts.target_of_rule[rule])]
    return promises
