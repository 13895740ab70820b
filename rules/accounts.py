"""Accounts: what a book's table knows of them, their currency and who pays for them.

Owns the values. Must not know files or events.
"""

from collections.abc import Mapping, Sequence

import attrs

from rules.columns import Int32s


@attrs.frozen(eq=False)
class Accounts:
    """A table of accounts; row i is `names[i]`, and `rows[name]` is its row.

    currency: int32[rows], index into currencies; payer: int32[rows], the row of the account at the top of the chain of
    parents, its own row where an account has no parent.
    """

    names: Sequence[str]
    rows: Mapping[str, int]
    currencies: tuple[str, ...]
    currency: Int32s
    payer: Int32s

    def currency_of(self, name: str) -> str | None:
        """Return an account's currency, or None if the table does not have the account."""
        row = self.rows.get(name)
        return None if row is None else self.currencies[int(self.currency[row])]

    def payer_of(self, name: str) -> str:
        """Return who pays for an account: the top of its chain of parents."""
        row = self.rows.get(name)
        return name if row is None else self.names[int(self.payer[row])]
