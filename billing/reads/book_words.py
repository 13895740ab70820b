"""The book in words: its rules and rollups as readers see them.

Owns how much of a rule is told. Must not know where it is shown.
"""

import re
from typing import Final

from billing.reads.answers import BookAnswer, RollupWords, RuleWords
from rules.book import Book, Rule
from rules.describe import condition_text, moment_text

RULES_SHOWN_MAX: Final = 1_000  # a book of 10,000 rules is read as a file
_WORD_START: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def rule_words(rule: Rule) -> RuleWords:
    """Tell a rule: each condition, and its price model by the name that the book's format has for it."""
    return RuleWords(
        id=rule.id,
        group=rule.group,
        when={name: condition_text(condition) for name, condition in rule.when.items()},
        price=_WORD_START.sub("_", type(rule.price).__name__.removesuffix("Price")).lower(),
        currency=rule.currency,
        since=None if rule.from_us is None else moment_text(rule.from_us),
        until=None if rule.until_us is None else moment_text(rule.until_us),
    )


def book_words(book: Book) -> BookAnswer:
    """Tell a book; of a large one, its first rules."""
    return BookAnswer(
        name=book.name,
        version=book.version,
        currency=book.currency,
        dimensions=list(book.dimensions),
        rollups=[RollupWords(one.name, one.every.value, list(one.by)) for one in book.rollups],
        rules=[rule_words(rule) for rule in book.rules[:RULES_SHOWN_MAX]],
        rules_total=len(book.rules),
    )
