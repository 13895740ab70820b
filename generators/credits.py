"""Credits of generated traffic: payments, and grants of all kinds.

Owns the terms that are drawn. Must not know which events they replace, or what they pay.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

DRAWS: Final = 5  # uniform columns: whether there is a credit, its kind, amount, order of drawing, scope and expiry
_PAYMENTS: Final = 0.3
_CENTS_MAX: Final = 5_000
_FREE: Final = 0.5
_SCOPED: Final = 0.4
_EXPIRING: Final = 0.5
_PRIORITIES: Final = 3
_DAYS_MAX: Final = 40


def credit_for(body: bytes, draws: Sequence[float]) -> bytes:
    """Return a credit in the place of an event: its id, account and time, with terms by draws in [0, 1).

    A scope is the event's own product, which some rule must charge.
    """
    event = msgspec.json.decode(body)
    kind, size, order, extent = draws
    amount = f"{1 + int(size * _CENTS_MAX)}e-2"
    terms: dict[str, Any] = {"kind": "payment", "amount": amount, "currency": "USD"}
    if kind >= _PAYMENTS:
        terms |= {"kind": "grant", "priority": int(order * _PRIORITIES)}
        if order % (1 / _PRIORITIES) * _PRIORITIES >= _FREE:
            terms["cost"] = amount
        if extent < _SCOPED:
            terms["products"] = [event["product"]]
        if extent % _EXPIRING < _EXPIRING / 2:
            days = 1 + int(extent * _DAYS_MAX)
            terms["expires"] = (datetime.fromisoformat(event["time"]) + timedelta(days=days)).isoformat()
    kept = {name: event[name] for name in ("id", "account", "time")}
    return msgspec.json.encode({**kept, "type": "credit", "attributes": event.get("attributes", {}), "credit": terms})
