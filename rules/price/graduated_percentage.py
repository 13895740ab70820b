"""Graduated percentages: each part of an amount costs the share that the tier says that it falls into."""

import attrs

from rules.document import Node
from rules.load_period import read_per
from rules.price.graduated import Graduated
from rules.price.model import Source
from rules.price.percentage import earlier_group
from rules.price.tiers import read_tiers


@attrs.frozen
class GraduatedPercentage(Graduated):
    """`{graduated_percentage: {per: month, of: usage, tiers: [{up_to: 1000, rate: "0.03"}, {rate: "0.02"}]}}`.

    The formula is that of graduated prices; what is counted is the amount that the group `of` charged, or without `of`
    the billed quantity, which is then an amount of money.
    """

    @classmethod
    def read(cls, node: Node, source: Source) -> "GraduatedPercentage | None":
        """Read the period, the base and the tiers."""
        entries = source.fields.mapping(node, ["per", "tiers"], ["of"])
        if entries is None:
            return None
        per = read_per(entries["per"], source.fields)
        tiers = read_tiers(entries["tiers"], source.fields, "rate")
        of = earlier_group(entries["of"], source) if "of" in entries else None
        if per is None or tiers is None or ("of" in entries and of is None):
            return None
        return cls(per, of, tiers)
