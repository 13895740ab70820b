"""Volume prices: the tier that the whole quantity reaches prices all of it."""

from collections.abc import Iterable

import attrs

from rules.price.tiers import NOTHING, Segment, TieredPrice, flat_of


@attrs.frozen
class Volume(TieredPrice):
    """`{volume: {per: month, tiers: [{up_to: 1000, unit: "0.02"}, {unit: "0.01"}]}}`.

    C(q) = q * unit + flat of the tier with above < q <= up_to. A use that crosses into a cheaper tier reprices the
    period, so that what it costs may be negative.
    """

    def segments(self) -> Iterable[Segment]:
        """Draw each piece from the origin."""
        return (Segment(tier.up_to, NOTHING, flat_of(tier.flat), tier.unit) for tier in self.tiers)
