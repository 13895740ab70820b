"""The oracle's cumulative prices: what a use costs after the uses before it, in plain `decimal`.

Owns a second reading of the models with counters in rules/books/FORMAT.md. Must not share code with what it checks.
"""

from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any, Final

import attrs

EXACT: Final = Context(prec=200)
_ZERO: Final = Decimal(0)

Rounded = Callable[[Decimal], Decimal]


@attrs.frozen
class State:
    """A counter: what has been used, in how many events, and what has been charged for it."""

    quantity: Decimal = _ZERO
    events: int = 0
    amount: Decimal = _ZERO


@attrs.frozen(eq=False)
class Tariff:
    """A price with a counter.

    curve: C(quantity), None where the price looks at one event at a time; event: (state, use) -> its exact amount and
    whether the bounds of a line apply to it; cap: of a period; minimum, maximum: of a line; kind: of a curve, as in the
    book.
    """

    curve: Callable[[Decimal], Decimal] | None
    event: Callable[[State, Decimal], tuple[Decimal, bool]] | None
    rounded: Rounded
    minimum: Decimal | None
    maximum: Decimal | None
    cap: Decimal | None
    kind: str = ""

    def reduced(self, part: Rounded) -> "Tariff":
        """Return the price of which `part` gives what a discount leaves of an exact amount."""
        curve, event = self.curve, self.event

        def reduced_curve(quantity: Decimal) -> Decimal:
            assert curve is not None, "used in the place of a curve"
            return part(curve(quantity))

        def reduced_event(state: State, use: Decimal) -> tuple[Decimal, bool]:
            assert event is not None, "used in the place of a price of one event"
            amount, bounded = event(state, use)
            return part(amount), bounded

        return attrs.evolve(self, curve=curve and reduced_curve, event=event and reduced_event)

    def charge(self, state: State, use: Decimal) -> tuple[Decimal, State]:
        """Return what a use costs, and the counter after it."""
        quantity = EXACT.add(state.quantity, use)
        bounded = True
        if self.curve is not None:
            before, after = self.rounded(self.curve(state.quantity)), self.rounded(self.curve(quantity))
            if self.cap is not None and self.minimum is None and self.maximum is None:
                before, after = min(before, self.cap), min(after, self.cap)
            amount = EXACT.subtract(after, before)
        else:
            assert self.event is not None, "a price is a curve or looks at events"
            exact, bounded = self.event(state, use)
            amount = self.rounded(exact)
        if bounded and self.minimum is not None:
            amount = max(amount, self.minimum)
        if bounded and self.maximum is not None:
            amount = min(amount, self.maximum)
        own_cap = self.curve is None or self.minimum is not None or self.maximum is not None
        if own_cap and self.cap is not None and amount > 0:
            amount = min(amount, max(EXACT.subtract(self.cap, state.amount), _ZERO))
        return amount, State(quantity, state.events + 1, EXACT.add(state.amount, amount))


def curve_of(kind: str, source: dict[str, Any]) -> Callable[[Decimal], Decimal]:
    """Return C(quantity) of a valid price, exact."""
    match kind:
        case "graduated" | "graduated_percentage":
            tiers = _tiers(source["tiers"])
            return lambda quantity: _graduated(tiers, quantity)
        case "volume":
            tiers = _tiers(source["tiers"])
            return lambda quantity: _volume(tiers, quantity)
        case "allowance":
            free, unit = _decimal(source["free"]), _decimal(source["unit"])
            return lambda quantity: EXACT.multiply(max(EXACT.subtract(quantity, free), _ZERO), unit)
        case "package":
            return _package(source)
        case _:
            raise AssertionError(f"{kind} is no curve")


def _decimal(value: int | str) -> Decimal:
    return Decimal(str(value))


_Tier = tuple[Decimal, Decimal, Decimal, Decimal]  # above, up to, unit, flat


def _tiers(sources: list[dict[str, Any]]) -> list[_Tier]:
    tiers, above = [], _ZERO
    for source in sources:
        up_to = _decimal(source["up_to"]) if "up_to" in source else Decimal("Infinity")
        unit = _decimal(source.get("unit", source.get("rate", 0)))
        tiers.append((above, up_to, unit, _decimal(source.get("flat", 0))))
        above = up_to
    return tiers


def _graduated(tiers: list[_Tier], quantity: Decimal) -> Decimal:
    if quantity < 0:
        return EXACT.multiply(quantity, tiers[0][2])
    total = _ZERO
    for above, up_to, unit, flat in tiers:
        if quantity > above:
            inside = EXACT.subtract(min(quantity, up_to), above)
            total = EXACT.add(total, EXACT.add(EXACT.multiply(inside, unit), flat))
    return total


def _volume(tiers: list[_Tier], quantity: Decimal) -> Decimal:
    if quantity <= 0:
        return EXACT.multiply(quantity, tiers[0][2])
    unit, flat = next((unit, flat) for above, up_to, unit, flat in tiers if above < quantity <= up_to)
    return EXACT.add(EXACT.multiply(quantity, unit), flat)


def _package(source: dict[str, Any]) -> Callable[[Decimal], Decimal]:
    price, size, free = _decimal(source["price"]), _decimal(source["size"]), _decimal(source.get("free", 0))
    counts_begun = source.get("round", "up") == "up"

    def total(quantity: Decimal) -> Decimal:
        paid = max(EXACT.subtract(quantity, free), _ZERO)
        full = EXACT.divide_int(paid, size)
        begun = Decimal(int(counts_begun and EXACT.remainder(paid, size) > 0))
        return EXACT.multiply(EXACT.add(full, begun), price)

    return total


def free_percentage(source: dict[str, Any]) -> Callable[[State, Decimal], tuple[Decimal, bool]]:
    """Return what one event costs by a percentage of which the first events or amounts are free."""
    rate, fixed = _decimal(source["rate"]), _decimal(source.get("fixed", 0))
    events = source.get("free_events", float("inf"))
    amount = _decimal(source.get("free_amount", "Infinity"))

    def cost(state: State, use: Decimal) -> tuple[Decimal, bool]:
        paid = use
        if state.events < events and state.quantity < amount:
            left = EXACT.subtract(amount, state.quantity)
            if use <= left:
                return _ZERO, False
            paid = EXACT.subtract(use, left)
        return EXACT.add(EXACT.multiply(paid, rate), fixed), True

    return cost
