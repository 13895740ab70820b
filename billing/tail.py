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
from rules.columns import MISSING, Coded, Dictionary, Int32s, Int64s, stacked
from rules.compiled import compiled
from rules.memo import Memo, noted, place_of

TAILS_MAX: Final = 65_536  # remembered a book, about 40 MB; few combinations occur, and those again and again
_MEMOS_MAX: Final = 8  # of as many readers of events, each of which has dictionaries of its own
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
        self._memos: dict[tuple[int, ...], tuple[Sequence[Dictionary[str]], Memo]] = {}

    def memo_of(self, columns: Sequence[Coded]) -> Memo:
        """Return what is remembered of tails by the codes that these dictionaries give to texts."""
        dictionaries = [column.values for column in columns]
        key = tuple(map(id, dictionaries))
        if key not in self._memos:
            if len(self._memos) == _MEMOS_MAX:
                self._memos.clear()
            self._memos[key] = dictionaries, Memo((len(columns) + 2) // 2)  # held, so that ids stay theirs
        return self._memos[key][1]

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
    events: Events, event: Int64s, rule: NDArray[np.integer[Any]], book: Book
) -> tuple[Int32s, Dictionary[Tail]]:
    """Encode what m lines share: one number a distinct (rule, product, dimension values).

    event: int64[m], rows of events; rule: integers[m], index into Book.rules, below 0 as in `_Tails.code`.
    Returns int32[m] and the dictionary.
    """
    if len(_dictionary_of(book)) > TAILS_MAX:
        _dictionary_of.cache_clear()
    tails = _dictionary_of(book)
    columns = [events.product, *(events.attributes[name] for name in book.dimensions)]
    memo = tails.memo_of(columns)
    codes = stacked([column.codes for column in columns], len(events))
    found, key = np.empty(len(event), dtype=np.int32), np.empty(memo.keys.shape[1], dtype=np.int64)
    line = 0
    while line < len(event):
        memo.make_room()
        line, asked = _find(line, rule, event, codes, key, memo.keys, memo.answers, memo.questions, found)
        for place, at in memo.questions[:asked].tolist():
            row = event[at]
            texts = [column.values[code] if (code := column.codes[row]) != MISSING else None for column in columns]
            memo.answer(place, tails.code(int(rule[at]), str(texts[0]), tuple(texts[1:])))
    return found, tails


@compiled
def _find(
    start: int,
    rule: NDArray[Any],
    event: Int64s,
    codes: Int32s,
    key: Int64s,
    keys: Int64s,
    answers: Int32s,
    questions: Int64s,
    found: Int32s,
) -> tuple[int, int]:
    """Write the tails of lines from `start` on; returns the first line without one, and the questions."""
    waiting, asked = len(event), 0
    for line in range(start, len(event)):
        key[:] = 0
        key[0] = np.int64(rule[line]) << 32
        for column in range(len(codes)):
            code = np.int64(codes[column, event[line]]) & 0xFFFFFFFF
            key[(column + 1) // 2] |= code << 32 if column % 2 else code
        place = place_of(keys, answers, key)
        found[line] = answers[place]
        if found[line] < 0:
            asked = noted(keys, answers, questions, asked, place, key, line)
            waiting = min(waiting, line)
    return waiting, asked


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
