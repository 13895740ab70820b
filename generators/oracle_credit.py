"""The oracle's reading of credits: their terms, and what grants and payments pay, in plain `decimal`.

Owns a second, independent statement of both. Must not share code with what it checks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, Final

import attrs

_EXACT: Final = Context(prec=200)
_HOUR_US: Final = 3_600_000_000
_END_US: Final = 4_102_444_800_000_000  # 2100-01-01T00:00:00Z
_ZERO: Final = Decimal(0)
_OPTIONAL: Final = ("cost", "priority", "expires", "products")
_KNOWN: Final = frozenset({"kind", "amount", "currency", *_OPTIONAL})
_PRIORITIES: Final = range(256)
_USUAL_PRIORITY: Final = 50
_PRODUCTS_MAX: Final = 32


class TermsError(ValueError):
    """Terms that no credit may have."""


@attrs.frozen
class Terms:
    """What a credit says; products: sorted, empty for any; expires_us: None is never."""

    kind: str
    amount: Decimal
    currency: str
    cost: Decimal
    priority: int
    expires_us: int | None
    products: tuple[str, ...]


@attrs.frozen
class Credit:
    """A credit of an account: id and time of its event, and its terms."""

    id: str
    time_us: int
    terms: Terms


@attrs.frozen
class Standing:
    """An account's sums, in currency units; left: what each credit can still pay or never will, by (time, id)."""

    charged: Decimal
    credited: Decimal
    granted: Decimal
    drawn: Decimal
    expired: Decimal
    remaining: Decimal
    due: Decimal
    left: Mapping[tuple[int, str], Decimal]


def is_form(raw: object) -> bool:
    """Tell whether the field `credit` has the parts that it needs, each of the right type."""
    if not isinstance(raw, dict) or not _KNOWN.issuperset(raw) or not {"kind", "amount", "currency"} <= raw.keys():
        return False
    given = {name: value for name, value in raw.items() if value is not None or name in {"kind", "currency"}}
    products, priority = given.get("products", []), getattr(given.get("priority"), "text", "0")
    return (
        all(isinstance(given.get(name, ""), str) for name in ("kind", "currency", "expires"))
        and isinstance(products, list)
        and all(isinstance(one, str) for one in products)
        and (given.get("priority") is None or hasattr(given["priority"], "text"))
        and not set(priority) & set(".eE")
    )


def read_terms(
    raw: Mapping[str, Any],
    time_us: int,
    number: Callable[[object], Decimal],
    moment: Callable[[str], int],
    is_product: Callable[[str], bool],
) -> Terms:
    """Return the terms of a form. Raises TermsError, or what `number` and `moment` raise."""
    given = {name: value for name, value in raw.items() if value is not None}
    kind, amount = given["kind"], number(raw["amount"])
    products = given.get("products")
    if kind not in {"payment", "grant"} or amount <= 0 or (products is not None and not all(map(is_product, products))):
        raise TermsError("kind, amount or products")
    if kind == "payment":
        if any(name in given for name in _OPTIONAL):
            raise TermsError("terms of a grant")
        return Terms(kind, amount, given["currency"], amount, _USUAL_PRIORITY, None, ())
    priority = int(given["priority"].text) if "priority" in given else _USUAL_PRIORITY
    cost = number(given["cost"]) if "cost" in given else _ZERO
    expires_us = moment(given["expires"]) if "expires" in given else None
    if priority not in _PRIORITIES or (products is not None and not 1 <= len(products) <= _PRODUCTS_MAX):
        raise TermsError("priority or products")
    if expires_us is not None and not time_us < expires_us < _END_US:
        raise TermsError("expires")
    return Terms(kind, amount, given["currency"], cost, priority, expires_us, tuple(sorted(set(products or ()))))


def standing(charges: Iterable[tuple[int, str, Decimal]], credits: Sequence[Credit], at_us: int) -> Standing:  # noqa: A002 - the noun
    """Return what credits have paid of what was charged.

    charges: start of the hour (microseconds since 1970-01-01 UTC), product, amount; at_us: now.
    """
    charges = list(charges)
    grants = [one for one in credits if one.terms.kind == "grant"]
    left = {(one.time_us, one.id): one.terms.amount for one in credits}
    marks = sorted({mark for one in grants for mark in _hours(one) if mark is not None})
    spans = [(low, high) for low, high in zip([0, *marks], [*marks, 2**62], strict=True)]
    products = sorted({product for _, product, _ in charges})
    net = {product: _lowered([_within(charges, product, span) for span in spans]) for product in products}
    for place, (low, _) in enumerate(spans):
        for product in products:
            open_amount = net[product][place]
            for one in sorted(grants, key=_turn):
                first, end = _hours(one)
                if first <= low and (end is None or low < end) and product in (one.terms.products or [product]):
                    paid = min(open_amount, left[one.time_us, one.id])
                    left[one.time_us, one.id] = _EXACT.subtract(left[one.time_us, one.id], paid)
                    open_amount = _EXACT.subtract(open_amount, paid)
    charged = _total(amount for _, _, amount in charges)
    due = _EXACT.subtract(charged, _total(_EXACT.subtract(g.terms.amount, left[g.time_us, g.id]) for g in grants))
    for one in sorted(credits, key=lambda credit: (credit.time_us, credit.id)):
        if one.terms.kind == "payment":
            paid = max(min(due, one.terms.amount), _ZERO)
            left[one.time_us, one.id] = _EXACT.subtract(one.terms.amount, paid)
            due = _EXACT.subtract(due, paid)
    over = {(one.time_us, one.id) for one in grants if (_hours(one)[1] or 2**62) <= at_us}
    credited = _total(one.terms.amount for one in credits)
    return Standing(
        charged=charged,
        credited=credited,
        granted=_total(one.terms.amount for one in grants),
        drawn=_EXACT.subtract(credited, _total(left.values())),
        expired=_total(amount for key, amount in left.items() if key in over),
        remaining=_total(amount for key, amount in left.items() if key not in over),
        due=due,
        left=left,
    )


def _hours(one: Credit) -> tuple[int, int | None]:
    """Return when a grant begins and ends: whole hours, the first and the last one in full."""
    first, expires_us = one.time_us - one.time_us % _HOUR_US, one.terms.expires_us
    if expires_us is None:
        return first, None
    return first, expires_us + (_HOUR_US - expires_us % _HOUR_US) % _HOUR_US


def _turn(one: Credit) -> tuple[float, int, float, bool, int, str]:
    terms = one.terms
    width = len(terms.products) if terms.products else float("inf")
    expires_us = float("inf") if terms.expires_us is None else terms.expires_us
    return width, terms.priority, expires_us, terms.cost != 0, one.time_us, one.id


def _within(charges: Iterable[tuple[int, str, Decimal]], product: str, span: tuple[int, int]) -> Decimal:
    return _total(amount for hour, one, amount in charges if one == product and span[0] <= hour < span[1])


def _lowered(amounts: list[Decimal]) -> list[Decimal]:
    """Let what is below zero lower what came before it, the latest first, then what comes after."""
    for place in range(len(amounts)):
        for earlier in reversed(range(place)):
            moved = max(min(amounts[earlier], _EXACT.minus(amounts[place])), _ZERO)
            amounts[earlier] = _EXACT.subtract(amounts[earlier], moved)
            amounts[place] = _EXACT.add(amounts[place], moved)
        if amounts[place] < 0 and place + 1 < len(amounts):
            amounts[place + 1] = _EXACT.add(amounts[place + 1], amounts[place])
        amounts[place] = max(amounts[place], _ZERO)
    return amounts


def _total(amounts: Iterable[Decimal]) -> Decimal:
    total = _ZERO
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total
