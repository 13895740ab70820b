"""Tails: what many lines share, kept once: product, rule, currency, version and the dimension values of each rollup.

Owns their dictionary, which grows from batch to batch. Must not know how lines are priced.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import attrs
import msgspec
import numpy as np
from numpy.typing import NDArray

from billing.event import Events
from rules.book import Book
from rules.classes import distinct
from rules.columns import Dictionary, Int32s

TAILS_MAX: Final = 65_536  # remembered a book, about 40 MB; few combinations occur, and those again and again
ZERO_LINE_RULE: Final = ""  # the rule of line 0 where only other accounts are charged
CREDIT_RULE: Final = "+"  # of the line of a credit, which charges nothing: no rule's id


@attrs.frozen(cache_hash=True)
class Tail:
    """What many lines share; rollup_dims: for each rollup of the book, its dimension values as a JSON array."""

    product: str
    rule: str
    currency: str
    book_version: int
    rollup_dims: tuple[str, ...]


class _Tails(Dictionary[Tail]):
    """The tails that lines of one book have had, and where each stands."""

    def __init__(self, book: Book) -> None:
        super().__init__()
        self._book = book
        self._codes: dict[tuple[int, str, tuple[str | None, ...]], int] = {}

    def code(self, rule: int, product: str, dimensions: tuple[str | None, ...]) -> int:
        """Return the number of a tail; rule: index into Book.rules, below 0 for a line 0 without charge.

        Such a rule is the place of the line's currency in the book's, counted from the end; of a credit's line once
        round more.
        """
        code = self._codes.setdefault((rule, product, dimensions), len(self))
        if code == len(self):
            book = self._book
            texts = {"product": product, **dict(zip(book.dimensions, dimensions, strict=True))}
            dims = tuple(msgspec.json.encode([texts[name] for name in rollup.by]).decode() for rollup in book.rollups)
            zeros = len(book.currencies)
            uncharged = ZERO_LINE_RULE if rule >= -zeros else CREDIT_RULE
            name = uncharged if rule < 0 else book.rules[rule].id
            currency = book.currencies[rule % zeros] if rule < 0 else book.rules[rule].currency
            self.append(Tail(product, name, currency, book.version, dims))
        return code


_dictionary_of = lru_cache(maxsize=4)(_Tails)  # a worker has one book


def tails_of(
    events: Events, event: NDArray[np.int64], rule: NDArray[np.int64], book: Book
) -> tuple[Int32s, Dictionary[Tail]]:
    """Encode what m lines share: one number a distinct (rule, product, dimension values).

    event: int64[m], rows of events; rule: int64[m], index into Book.rules, below 0 as in `_Tails.code`.
    Returns int32[m] and the dictionary.
    """
    columns = [events.product, *(events.attributes[name] for name in book.dimensions)]
    zeros = 2 * len(book.currencies)
    codes: list[NDArray[Any]] = [rule + zeros, *(column.codes[event] + 1 for column in columns)]
    examples, combination = distinct(codes, [len(book.rules) + zeros, *(len(column.values) + 1 for column in columns)])
    if len(_dictionary_of(book)) > TAILS_MAX:
        _dictionary_of.cache_clear()
    tails = _dictionary_of(book)
    numbers = []
    texts = zip(*(column.take(event[examples]).rows() for column in columns), strict=True)
    for number, (product, *dimensions) in zip(rule[examples].tolist(), texts, strict=True):
        assert product is not None, "every event has a product"
        numbers.append(tails.code(number, product, tuple(dimensions)))
    return np.array(numbers, dtype=np.int32)[combination], tails


def concat_tails(
    columns: Sequence[Int32s], dictionaries: Sequence[Dictionary[Tail]]
) -> tuple[Int32s, Dictionary[Tail]]:
    """Join columns of tails, int32 codes into a dictionary each, as one column of one dictionary."""
    tails = dictionaries[0]
    if any(one is not tails for one in dictionaries):
        numbers: dict[Tail, int] = {}
        columns = [
            np.array([numbers.setdefault(tail, len(numbers)) for tail in known], dtype=np.int32)[column]
            for column, known in zip(columns, dictionaries, strict=True)
        ]
        tails = Dictionary(numbers)
    return np.concatenate(columns), tails
