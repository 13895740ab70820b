"""Payers: the accounts that lines are charged to.

Owns which texts can be accounts, and one dictionary for the accounts of events and those that are charged for them.
"""

import re
from typing import Final

import numpy as np

from rules.columns import MISSING, Coded, Dictionary, Int32s
from rules.directory import Directory
from rules.lookup import Lookup
from rules.measure import Bools
from rules.quote import quoted

# 1..64 of visible ASCII except ' " ` and backslash: safe in SQL text, in logs and in addresses.
ACCOUNT_WANTED: Final = "an account is 1 to 64 visible ASCII characters without quotes or backslash"
_ACCOUNT: Final = re.compile(r"[!#-&(-\[\]-_a-~]{1,64}", re.ASCII)


def is_account(text: str) -> bool:
    """Tell whether a text can be an account."""
    return _ACCOUNT.fullmatch(text) is not None


class Payers:
    """The accounts of one batch: those of its events, then those that attributes or parents name."""

    def __init__(self, account: Coded) -> None:
        self._account = account
        self._values: Dictionary[str] | None = None  # made only when another account than an event's is charged
        self._codes: dict[str, int] = {}

    def named_by(self, column: Coded) -> tuple[Int32s, Bools | None]:
        """Return the account that an attribute names in each row: int32 codes, and where it names none (or None)."""
        used, places = np.unique(column.codes, return_inverse=True)
        shared = column.values is self._account.values
        codes = [
            MISSING if not _names_account(column, code) else code if shared else self._code(column.values[code])
            for code in used.tolist()
        ]
        named = np.array(codes, dtype=np.int32)[places]
        bad = named == MISSING
        return named, bad if bad.any() else None

    def above(self, codes: Int32s, directory: Directory) -> Int32s:
        """Return who pays for each account: the top of its chain of parents, itself where it has none."""
        rows = self._rows_by_code(directory.lookup)
        payers = directory.payers(rows[codes])
        moved = payers != MISSING
        if not moved.any():
            return codes
        used, which = np.unique(payers[moved], return_inverse=True)
        code_of_row = directory.inverse(rows)[used]
        for i in np.flatnonzero(code_of_row == MISSING).tolist():
            code_of_row[i] = self._added(directory.name(int(used[i])))
        result = codes.copy()
        result[moved] = code_of_row[which]
        return result

    def rows(self, codes: Int32s, lookup: Lookup | None) -> Int32s:
        """Return the row of each account in a table, int32[n], MISSING where it has none."""
        return np.full(len(codes), MISSING, dtype=np.int32) if lookup is None else self._rows_by_code(lookup)[codes]

    def _rows_by_code(self, lookup: Lookup | None) -> Int32s:
        if lookup is None:
            return np.full(len(self._account.values if self._values is None else self._values), MISSING, dtype=np.int32)
        known: Int32s = self._account.values.derived(lookup.rows)
        return known if self._values is None else np.concatenate([known, lookup.rows(self._values[len(known) :])])

    def _code(self, account: str) -> int:
        if not self._codes:
            values = self._account.values if self._values is None else self._values
            self._codes = dict(zip(values, range(len(values)), strict=True))
        code = self._codes.get(account)
        return self._added(account) if code is None else code

    def _added(self, account: str) -> int:
        """Return the code of an account that the dictionary does not have yet."""
        if self._values is None:
            self._values = Dictionary(self._account.values)
        code = len(self._values)
        self._values.append(account)
        if self._codes:
            self._codes[account] = code
        return code

    def coded(self, codes: Int32s) -> Coded:
        """Return a column of accounts, from codes of events, of `named_by` and of `above`."""
        return Coded(codes, self._account.values if self._values is None else self._values)


def other_currency(column: Coded, row: int) -> str:
    """Say why an attribute names an account that cannot be charged."""
    return f"the account {quoted(column.values[column.codes[row]])} has another currency than the event's"


def _names_account(column: Coded, code: int) -> bool:
    return code != MISSING and is_account(column.values[code])


def detail(name: str, column: Coded, row: int) -> str:
    """Say why an attribute names no account."""
    code = int(column.codes[row])
    shown = "absent" if code == MISSING else quoted(column.values[code])
    return f"the attribute {quoted(name)} is {shown}; {ACCOUNT_WANTED}"
