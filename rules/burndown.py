"""Burn-down: which grants pay for which charges, and what of them is left.

Owns the order in which grants are drawn. A pure function of grants and of what was charged in each hour: in whatever
order both became known, the answer is the same. Must not know events, accounts or currencies: all are one account's,
in one currency.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

HOUR_US: Final = 3_600_000_000
_NEVER_US: Final = 2**63
_ANYTHING: Final = 2**31  # products of a grant for anything: wider than any list

Order = tuple[int, int, int, bool, int, str]


@attrs.frozen
class Grant:
    """What may pay: amount_pico in 1e-12 currency units, for charges of these products (empty: of any).

    id, time_us: of its event (microseconds since 1970-01-01 UTC); priority: the lowest first; expires_us: None is
    never; is_free: the customer paid nothing for it.
    """

    id: str
    time_us: int
    amount_pico: int
    products: frozenset[str] = frozenset()
    priority: int = 0
    expires_us: int | None = None
    is_free: bool = True

    @property
    def from_hour(self) -> int:
        """The first hour whose charges it pays, since 1970-01-01 UTC: the one that it is given in."""
        return self.time_us // HOUR_US

    @property
    def until_hour(self) -> int | None:
        """The first hour whose charges it pays no more: the one in which it expires is still paid to its end."""
        return None if self.expires_us is None else -(-self.expires_us // HOUR_US)

    @property
    def order(self) -> Order:
        """What decides which grant is drawn first: narrowest scope, priority, expiry, free ones, time, id."""
        expires_us = _NEVER_US if self.expires_us is None else self.expires_us
        return len(self.products) or _ANYTHING, self.priority, expires_us, not self.is_free, self.time_us, self.id


@attrs.frozen
class Charged:
    """What was charged for a product, in 1e-12 currency units, between the start of an hour and the next edge."""

    hour: int
    product: str
    amount_pico: int


def edges(grants: Iterable[Grant]) -> tuple[int, ...]:
    """Return the hours in which a grant begins or ends: between two of them, charges of a product are one sum."""
    return tuple(sorted({hour for one in grants for hour in (one.from_hour, one.until_hour) if hour is not None}))


def drawn(charges: Iterable[Charged], grants: Sequence[Grant]) -> list[int]:
    """Return what each grant has paid, in 1e-12.

    Spans between edges are settled one after the other, in each the products in order of their names. What is negative
    (a refund, a price that fell with the quantity) first lowers what was charged for its product, the latest first,
    then what is charged later: grants pay what remains. Takes time in proportion to products and edges, times the
    number of different scopes.
    """
    by_span: dict[int, list[tuple[str, int]]] = {}
    for product, amounts in sorted(_by_product(charges, edges(grants)).items()):
        for edge, amount in _netted(amounts).items():
            by_span.setdefault(edge, []).append((product, amount))
    purse = _Purse(grants)
    for edge in edges(grants):
        purse.begin(edge)
        for product, amount in by_span.get(edge, ()):
            purse.pay(product, amount)
    return [one.amount_pico - left for one, left in zip(grants, purse.left, strict=True)]


def _by_product(charges: Iterable[Charged], of: Sequence[int]) -> dict[str, dict[int, int]]:
    """Add up charges of each product by the last edge before them; -1 where there is none."""
    sums: dict[str, dict[int, int]] = {}
    place, before = 0, -1
    for one in sorted(charges, key=lambda charged: charged.hour):
        while place < len(of) and of[place] <= one.hour:
            before, place = of[place], place + 1
        amounts = sums.setdefault(one.product, {})
        amounts[before] = amounts.get(before, 0) + one.amount_pico
    return sums


def _netted(amounts: Mapping[int, int]) -> dict[int, int]:
    """Set negative sums against earlier ones, the latest first, and what is left against later ones."""
    kept: list[list[int]] = []
    over = 0
    for edge, amount in sorted(amounts.items()):
        over += amount
        while over < 0 and kept:
            lowered = min(kept[-1][1], -over)
            kept[-1][1] -= lowered
            over += lowered
            if not kept[-1][1]:
                kept.pop()
        if over > 0:
            kept.append([edge, over])
            over = 0
    return dict(map(tuple, kept))  # type: ignore[arg-type]  # pairs


class _Purse:
    """The grants of an account: each scope has a heap of those that have begun."""

    def __init__(self, grants: Sequence[Grant]) -> None:
        self.left = [one.amount_pico for one in grants]
        self._grants = grants
        self._coming = sorted(range(len(grants)), key=lambda place: grants[place].from_hour, reverse=True)
        self._heaps: dict[frozenset[str], list[tuple[Order, int]]] = {one.products: [] for one in grants}
        self._for_product: dict[str, list[list[tuple[Order, int]]]] = {}
        self._edge = 0

    def begin(self, edge: int) -> None:
        """Let the grants in that begin at an edge."""
        self._edge = edge
        while self._coming and self._grants[self._coming[-1]].from_hour <= edge:
            place = self._coming.pop()
            heapq.heappush(self._heaps[self._grants[place].products], (self._grants[place].order, place))

    def pay(self, product: str, amount_pico: int) -> None:
        """Draw from one grant after the other until all is paid or none is left."""
        if product not in self._for_product:
            self._for_product[product] = [heap for scope, heap in self._heaps.items() if not scope or product in scope]
        while amount_pico:
            heads = [heap[0] for heap in self._for_product[product] if self._cleared(heap)]
            if not heads:
                return
            _, place = min(heads)
            paid = min(amount_pico, self.left[place])
            self.left[place] -= paid
            amount_pico -= paid

    def _cleared(self, heap: list[tuple[Order, int]]) -> bool:
        """Drop what is used up or over from the head of a heap; tell whether there is one."""
        while heap:
            until = self._grants[heap[0][1]].until_hour
            if self.left[heap[0][1]] and (until is None or self._edge < until):
                return True
            heapq.heappop(heap)
        return False
