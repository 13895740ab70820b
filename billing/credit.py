"""Credits: what a payment or a grant says, as an event carries it and as it is kept.

Owns the terms of a credit, their bounds and their canonical text. Must not know events, books or tables.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Self

import attrs
import msgspec
from numpy.typing import NDArray

from billing.exact import EXACT
from billing.moment import TIME_US_MAX, parse_moment
from billing.quantity import parse_quantity
from rules.describe import time_text

CREDIT: Final = "credit"  # the type of such an event, and what stands for its product
PRIORITY_MAX: Final = 255  # 0 is drawn first; an 8-bit number, as vendors have it
PRIORITY_DEFAULT: Final = 50
PRODUCTS_MAX: Final = 32  # of a scope: with 64 bytes each its text fits beside the other terms into records.kept


class Kind(StrEnum):
    """Where a credit comes from."""

    PAYMENT = "payment"  # money that the customer paid: never expires, pays whatever is due
    GRANT = "grant"  # pays charges of its scope in its hours, before any payment does


_NULL: Final = msgspec.Raw(b"null")


class TermsError(ValueError):
    """Terms that no credit may have; says which."""


class CreditForm(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON form; what a payment may not have is null where it is absent. Amounts are literal text."""

    kind: str
    amount: msgspec.Raw
    currency: str
    cost: msgspec.Raw = _NULL
    priority: int | None = None
    expires: str | None = None
    products: list[str] | None = None


@attrs.frozen
class Credit:
    """The terms of one credit.

    amount, cost: currency units, amount > 0; cost: what the customer paid for it; priority: 0 is drawn first;
    expires_us: microseconds since 1970-01-01 UTC, None is never; products: sorted, what it may pay for, () is anything.
    """

    kind: Kind
    currency: str
    amount: Decimal
    cost: Decimal
    priority: int
    expires_us: int | None
    products: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the terms as JSON, the same for the same terms however they were written; in `records.kept`."""
        terms: dict[str, Any] = {"kind": self.kind, "amount": _written(self.amount), "currency": self.currency}
        if self.kind == Kind.GRANT:  # not `is`: a table has the text
            terms |= {"cost": _written(self.cost), "priority": self.priority}
        if self.expires_us is not None:
            terms["expires"] = time_text(self.expires_us)
        if self.products:
            terms["products"] = self.products
        return msgspec.json.encode(terms).decode()

    @classmethod
    def read(cls, form: CreditForm, time_us: int) -> Self:
        """Read the terms of a credit of that time (microseconds since 1970-01-01 UTC). Raises TermsError."""
        _require(form.kind in set(Kind), f"kind is not one of {', '.join(Kind)}")
        kind, amount = Kind(form.kind), _number("amount", form.amount)
        _require(amount > 0, "amount is zero")
        if kind is Kind.PAYMENT:
            for name in ("cost", "priority", "expires", "products"):
                is_absent = getattr(form, name) in (None, _NULL)
                _require(is_absent, f"{name} is of grants; a payment pays anything and never expires")
            return cls(kind, form.currency, amount, amount, PRIORITY_DEFAULT, None, ())
        cost = Decimal(0) if form.cost == _NULL else _number("cost", form.cost)
        priority = PRIORITY_DEFAULT if form.priority is None else form.priority
        _require(0 <= priority <= PRIORITY_MAX, f"priority is not an integer from 0 to {PRIORITY_MAX}")
        expires_us = None if form.expires is None else _moment(form.expires)
        _require(expires_us is None or time_us < expires_us < TIME_US_MAX, "expires is not between time and year 2100")
        products = form.products
        _require(products is None or 0 < len(products) <= PRODUCTS_MAX, f"products has not 1 to {PRODUCTS_MAX} entries")
        return cls(kind, form.currency, amount, cost, priority, expires_us, tuple(sorted(set(products or ()))))


def _written(amount: Decimal) -> str:
    """Write an amount without trailing zeros, as whatever came back from a table too."""
    return f"{EXACT.normalize(amount):f}"


def _require(fact: bool, otherwise: str) -> None:  # noqa: FBT001 - what is required, not how to do it
    if not fact:
        raise TermsError(f"credit.{otherwise}")


def _number(name: str, literal: msgspec.Raw) -> Decimal:
    number = parse_quantity(bytes(literal))
    if isinstance(number, str):
        raise TermsError(f"credit.{name} {number}")
    return number


def _moment(text: str) -> int:
    time_us = parse_moment(text)
    if time_us is None:
        raise TermsError("credit.expires is not an RFC 3339 date-time with an offset")
    return time_us


Credits = Mapping[int, Credit]  # by row of a column of events or parts; most rows have none
NO_CREDITS: Final[Credits] = {}


def taken(credits: Credits, rows: NDArray[Any]) -> Credits:  # noqa: A002 - the noun
    """Return the credits of selected rows (ascending, distinct), by their new numbers."""
    if not credits:
        return NO_CREDITS
    return {new: credits[old] for new, old in enumerate(rows.tolist()) if old in credits}
