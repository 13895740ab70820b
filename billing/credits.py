"""Credits of a batch: what a book says of them, and what is kept of them with their event.

Owns which credits are refused, and which rollup grants are drawn by. Must not know tables or stores.
"""

from functools import lru_cache
from typing import Final

import pyarrow as pa

from billing.credit import Credits, Kind
from billing.event import Events
from billing.wire import Reason
from rules.book import Book, Every, Rollup

_CHARGED_MAX: Final = 65_536  # answers remembered, about 10 MB: a book may have 10,000 rules


def drawing_rollup(book: Book) -> Rollup | None:
    """Return the rollup that says what an account was charged for a product in an hour: the one with fewest rows."""
    fitting = [one for one in book.rollups if one.every is Every.HOUR and "product" in one.by]
    return min(fitting, key=lambda one: len(one.by), default=None)


def refused_credits(events: Events, book: Book) -> dict[int, tuple[Reason, str]]:
    """Return the credits that cannot be, by row; a void takes back what is recorded, whatever the book says now."""
    refused: dict[int, tuple[Reason, str]] = {}
    for row, credit in events.credits.items():
        if events.void[row]:
            continue
        own = book.currency_of(events.account.values[events.account.codes[row]])
        if credit.currency != own or own not in book.currencies:
            refused[row] = Reason.WRONG_CURRENCY, f"the credit is in {credit.currency[:12]!a}, its account in {own}"
        elif credit.kind is Kind.GRANT and drawing_rollup(book) is None:
            refused[row] = Reason.BAD_CREDIT, "grants need a rollup by product, every hour, and the book has none"
        else:
            unknown = [one for one in credit.products if not _is_charged(book, one, own)]
            if unknown:
                refused[row] = Reason.UNKNOWN_SCOPE, f"no rule charges the product {unknown[0]!a}"
    return refused


def with_terms(kept: pa.StringArray, credits: Credits) -> pa.StringArray:  # noqa: A002 - the noun
    """Put the terms of credits in the place of kept attributes."""
    if not credits:
        return kept
    texts = kept.to_pylist()
    for row, credit in credits.items():
        texts[row] = credit.text
    return pa.array(texts, type=pa.string())


@lru_cache(maxsize=_CHARGED_MAX)
def _is_charged(book: Book, product: str, currency: str) -> bool:
    """Tell whether the product alone keeps no rule from charging it."""
    conditions = (rule.when.get("product") for rule in book.rules if rule.currency == currency)
    return any(condition is None or condition.holds(product) for condition in conditions)
