"""Unit prices: an amount for each unit of the billed quantity."""

import attrs

from rules.price.constant import ConstantPrice
from rules.price.model import Work
from rules.price.quantity import Scaled


@attrs.frozen
class PerUnit(ConstantPrice):
    """`{per_unit: "0.0079"}`: the amount is price times billed quantity."""

    def counted(self, work: Work) -> Scaled:
        """Count the billed quantity."""
        return work.billed
