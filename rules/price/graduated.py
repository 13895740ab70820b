"""Graduated prices: each unit costs what the tier says that it falls into."""

from collections.abc import Iterable

import attrs

from rules.price.tiers import Segment, TieredPrice, flat_of, price_of


@attrs.frozen
class Graduated(TieredPrice):
    """`{graduated: {per: month, tiers: [{up_to: 1000000, unit: "0"}, {unit: "0.00001"}]}}`.

    C(q) = sum over tiers of max(0, min(q, up_to) - above) * unit + flat * (q > above).
    """

    def segments(self) -> Iterable[Segment]:
        """Begin each piece where the one before it ends, plus the tier's flat amount."""
        base = 0
        for tier in self.tiers:
            base += flat_of(tier.flat)
            yield Segment(tier.up_to, tier.above, base, tier.unit)
            if tier.up_to is not None:
                base += price_of(tier)
