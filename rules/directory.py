"""The directory: what a book knows of the accounts of a batch, by their rows in its table of accounts.

Owns the default of accounts that the table does not have. Must not know rules.
"""

from collections.abc import Sequence
from itertools import repeat

import numpy as np

from rules.book import Book
from rules.columns import MISSING, Int32s
from rules.lookup import Lookup


class Directory:
    """What a book knows of accounts, for columns of rows; MISSING is the row of an account that it does not list."""

    def __init__(self, book: Book) -> None:
        self._accounts = book.accounts
        self.lookup = None if book.accounts is None else Lookup(book.accounts.rows)
        self.contracts = None if book.contracts is None else Lookup(book.contracts.accounts)
        self._index = index = {currency: i for i, currency in enumerate(book.currencies)}
        default = np.full(1, index.get(book.currency, MISSING), dtype=np.int32)
        if book.accounts is None:
            self._currency = default
        else:
            known = np.array([index.get(one, MISSING) for one in book.accounts.currencies], dtype=np.int32)
            self._currency = np.concatenate([known[book.accounts.currency], default])  # the last is what -1 finds

    def currency(self, rows: Int32s) -> Int32s:
        """Return each account's currency, int32[n], index into the book's; MISSING where the book has no such price."""
        return self._currency[rows]

    def currency_of(self, account: str) -> int:
        """Return one account's currency, as `currency` does."""
        row = MISSING if self.lookup is None else self.lookup.row(account)
        return int(self._currency[row])

    def stated(self, texts: Sequence[str]) -> Int32s:
        """Return the currency of each text, one beyond the book's where it has no such price."""
        return np.fromiter(map(self._index.get, texts, repeat(len(self._index))), np.int32, len(texts))

    def payers(self, rows: Int32s) -> Int32s:
        """Return the row of who pays for each account, MISSING where it pays itself."""
        if self._accounts is None or not len(self._accounts.payer):
            return np.full(len(rows), MISSING, dtype=np.int32)
        payer = self._accounts.payer[rows]
        return np.where((rows == MISSING) | (payer == rows), MISSING, payer).astype(np.int32)

    def inverse(self, rows: Int32s) -> Int32s:
        """Return the code of each row, MISSING where no code has it; rows: int32[codes], the row of each code."""
        assert self._accounts is not None, "only a table has rows"
        codes = np.full(len(self._accounts.names), MISSING, dtype=np.int32)
        (known,) = np.nonzero(rows != MISSING)
        codes[rows[known]] = known
        return codes

    def name(self, row: int) -> str:
        """Return the account of a row."""
        assert self._accounts is not None, "only a table has rows"
        return self._accounts.names[row]
