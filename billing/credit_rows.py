"""Rows of `credits`: the credits that a transaction writes, and those that it takes back.

Owns their columns and order. Must not know SQL text or connections.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Self

import attrs
import msgspec
import numpy as np
from numpy.typing import NDArray

from billing.charge import Charges
from billing.credit import Credit
from billing.moment import DAY_US, day_text
from billing.tail import CREDIT_RULE


@attrs.frozen
class CreditRow:
    """One row: the key of its record, then the terms; day: YYYY-MM-DD; products: JSON array, "" is any product.

    line: 0, or -1 of a void, whose amount (currency units) is negative.
    """

    slot: int
    account: str
    day: str
    event: str
    line: int
    time_us: int
    digest: int
    kind: str
    currency: str
    amount: Decimal
    cost: Decimal
    priority: int
    expires_us: int | None
    products: str

    @property
    def key(self) -> tuple[int, str, str, str, int]:
        """Return the primary key."""
        return self.slot, self.account, self.day, self.event, self.line

    @classmethod
    def of(cls, key: tuple[int, str, str, str, int], time_us: int, digest: int, terms: Credit) -> Self:
        """Return the row of a credit, or of a void of one."""
        amount = terms.amount if key[-1] >= 0 else terms.amount.copy_negate()
        products = msgspec.json.encode(terms.products).decode() if terms.products else ""
        return cls(
            *key, time_us, digest, terms.kind, terms.currency, amount, terms.cost, terms.priority, terms.expires_us,
            products,
        )  # fmt: skip


def credit_rows(charges: Charges, slot: NDArray[np.uint16]) -> Sequence[CreditRow]:
    """Return the rows of the credits among some charges, sorted by primary key; slot: uint16[n], one a part.

    A void that came first has no such line: it took nothing back, and its credit will be a repeat.
    """
    rows = []
    for part, terms in charges.credits.items():
        start, stop = np.searchsorted(charges.part, [part, part + 1]).tolist()
        account = charges.account.values[charges.account.codes[part]]
        time_us, digest = int(charges.time_us[part]), int(charges.digest[part])
        for line in range(start, stop):
            if charges.tails[charges.tail[line]].rule == CREDIT_RULE:
                event, number = charges.key[part].as_py(), int(charges.line[line])
                key = int(slot[part]), account, day_text(time_us // DAY_US), event, number
                rows.append(CreditRow.of(key, time_us, digest, terms))
    return sorted(rows, key=lambda row: row.key)
