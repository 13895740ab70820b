"""The oracle's closing: what is missing to the minimums of a period, from counters and contracts.

Owns a second reading of minimums in rules/books/FORMAT.md. Must not share code with what it checks.
"""

from collections.abc import Mapping
from decimal import Decimal

from generators.oracle_book import EXACT, Book, Rule
from generators.oracle_period import name_of, starts_named
from generators.oracle_tiers import State

Key = tuple[str, str, int]  # account, rule, start of the period in seconds since 1970-01-01 UTC


def missing(book: Book, counters: Mapping[Key, State], name: str) -> dict[Key, Decimal]:
    """Return what each account owes beyond what it was charged, by rule and period of a name that has ended."""
    owed = {}
    for group, rules in book.groups:
        for rule in rules:
            keys = {key for key in counters if key[1] == rule.id and name_of(rule.per, key[2]) == name}
            for key in keys | _promised(book, rule, name):
                contract = book.accounts.contract_of(key[0], rule.id, group, key[2] * 1_000_000)
                state, least = counters.get(key, State()), rule.least if _used(counters, key) else None
                if contract is not None and contract.minimum is not None:
                    least = contract.minimum if _used(counters, key) or _holds(rule, key[2]) else None
                if least is not None and least > state.amount:
                    owed[key] = EXACT.subtract(least, state.amount)
    return owed


def _used(counters: Mapping[Key, State], key: Key) -> bool:
    """Tell whether any event was counted, and not taken back."""
    return key in counters and counters[key].events > 0


def _promised(book: Book, rule: Rule, name: str) -> set[Key]:
    rows = [key for key in book.accounts.contracts if key[1:] == ("rule", rule.id)] if rule.per is not None else []
    starts = starts_named(rule.per, name) if rows else ()
    return {(account, rule.id, start) for account, _, _ in rows for start in starts if _holds(rule, start)}


def _holds(rule: Rule, start: int) -> bool:
    begun = rule.from_us is None or rule.from_us <= start * 1_000_000
    return begun and (rule.until_us is None or start * 1_000_000 < rule.until_us)
