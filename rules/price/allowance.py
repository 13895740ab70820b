"""Allowances: so many units of a period are free, each further one has a price."""

from collections.abc import Iterable
from decimal import Decimal

import attrs

from rules.columns import PICO_PLACES
from rules.document import Node
from rules.load_period import read_per
from rules.number import BOOK_PLACES_MAX
from rules.price.graduated import Graduated
from rules.price.model import Source
from rules.price.tiers import NOTHING, Tier


@attrs.frozen
class Allowance(Graduated):
    """`{allowance: {per: month, free: 1000, unit: "0.01"}}`: C(q) = max(0, q - free) * unit, two graduated tiers."""

    @classmethod
    def read(cls, node: Node, source: Source) -> "Allowance | None":
        """Read the period, what is free in it, and the price of the rest."""
        entries = source.fields.mapping(node, ["per", "free", "unit"])
        if entries is None:
            return None
        per = read_per(entries["per"], source.fields)
        free = source.fields.decimal(entries["free"], PICO_PLACES, NOTHING)
        unit = source.fields.decimal(entries["unit"], BOOK_PLACES_MAX)
        if per is None or free is None or unit is None:
            return None
        return cls(per, None, tuple(_tiers(free, unit)))


def _tiers(free: Decimal, unit: Decimal) -> Iterable[Tier]:
    if free:
        yield Tier(NOTHING, free, NOTHING, NOTHING)
    yield Tier(free, None, unit, NOTHING)
