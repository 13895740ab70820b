"""Reading accounts: the CSV file beside a book that tells currency and parent of accounts.

Owns its columns, the climb along parents and its bounds, and the words in which what is wrong is told.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from rules.accounts import Accounts
from rules.columns import MISSING, Int32s
from rules.document import Node
from rules.fields import CURRENCY_WANTED, Fields, is_currency
from rules.payer import ACCOUNT_WANTED, is_account
from rules.quote import quoted
from rules.read_list import List, read_list
from rules.read_table import Tables

DEPTH_MAX: Final = 16  # parents above an account: more than any company has, and it bounds the climb
SHOWN_MAX: Final = 8  # accounts of a cycle that a message names

_OPTIONAL: Final = ("currency", "parent")


def read_accounts(node: Node, fields: Fields, tables: Tables, currency: str) -> Accounts | None:
    """Read `accounts: {file: accounts.csv}`; an empty cell is the book's currency, or no parent."""
    read = read_list(node, fields, tables, ["account"], _OPTIONAL)
    if read is None:
        return None
    found = len(fields.problems.found)
    names = read.column("account")
    rows = _rows(read, names)
    currencies, codes = _currencies(read, currency)
    parents = _parents(read, rows)
    if len(fields.problems.found) > found:
        return None
    payer = _climbed(read, names, parents)
    if len(fields.problems.found) > found:
        return None
    for row in np.flatnonzero(codes[payer] != codes).tolist():
        own, other = currencies[codes[row]], currencies[codes[payer[row]]]
        read.wrong(
            row,
            "currency",
            f"{quoted(names[row])} is in {own}, but {quoted(names[payer[row]])}, which pays for it, is in {other}; "
            "nothing is converted, so write one currency for both",
        )
    return Accounts(names, rows, currencies, codes, payer)


def _rows(read: List, names: Sequence[str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        first = rows.setdefault(name, row)
        if first != row:
            read.wrong(row, "account", f"{quoted(name)} is in line {read.line(first)} already; keep one of them")
        elif not is_account(name):
            read.wrong(row, "account", f"{quoted(name)} is not an account; {ACCOUNT_WANTED}")
    return rows


def _currencies(read: List, currency: str) -> tuple[tuple[str, ...], Int32s]:
    """Return the distinct currencies, the book's own first, and the index of each row's."""
    index = {currency: 0}
    codes = []
    for row, text in enumerate(read.column("currency")):
        code = index.get(text or currency)
        if code is None:
            code = index[text] = len(index)
            if not is_currency(text):
                read.wrong(row, "currency", f"{quoted(text)} is not a currency; {CURRENCY_WANTED}")
        codes.append(code)
    return tuple(index), np.array(codes, dtype=np.int32)


def _parents(read: List, rows: dict[str, int]) -> Int32s:
    """Return the row of each row's parent, its own where it has none."""
    parents = []
    for row, text in enumerate(read.column("parent")):
        parent = rows.get(text, MISSING) if text else row
        if parent == MISSING:
            read.wrong(row, "parent", f"{quoted(text)} is no account of this file; add its row, or mend the name")
        elif text and parent == row:
            read.wrong(row, "parent", f"{quoted(text)} is its own parent; leave the cell empty")
        parents.append(parent)
    return np.array(parents, dtype=np.int32)


def _climbed(read: List, names: Sequence[str], parents: Int32s) -> Int32s:
    """Return the row at the top of each row's chain of parents; notes those that have no end or are too long."""
    top = np.arange(len(parents), dtype=np.int32)
    for _ in range(DEPTH_MAX):
        top = parents[top]
    ends: dict[int, bool] = {}  # rows that have been walked over, and whether their chain has an end
    for start in np.flatnonzero(parents[top] != top).tolist():
        path: dict[int, None] = {}
        row = start
        while row not in ends and row not in path and parents[row] != row:
            path[row] = None
            row = int(parents[row])
        if row in path:
            cycle = [*path][[*path].index(row) :]
            read.wrong(row, "parent", f"goes round in a circle: {_cycle(names, cycle)}; empty one of these cells")
        sound = row not in path and ends.get(row, True)
        ends.update(dict.fromkeys(path, sound))
        if sound:
            read.wrong(start, "parent", f"has more than {DEPTH_MAX} parents above it; name a nearer one")
    return top


def _cycle(names: Sequence[str], rows: Sequence[int]) -> str:
    shown = [quoted(names[row]) for row in rows[:SHOWN_MAX]]
    more = [f"{len(rows) - SHOWN_MAX} more"] if len(rows) > SHOWN_MAX else []
    return " -> ".join([*shown, *more, shown[0]])
