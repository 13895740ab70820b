"""Flat prices: one amount an event, whatever its quantity."""

from fractions import Fraction

import attrs
import numpy as np

from rules.price.constant import ConstantPrice
from rules.price.model import Work
from rules.price.quantity import Scaled


@attrs.frozen
class Flat(ConstantPrice):
    """`{flat: "0.05"}`: the amount is the price."""

    def counted(self, _work: Work) -> Scaled:
        """Count one, once."""
        return Scaled(np.ones(1, dtype=np.int64), Fraction(1))
