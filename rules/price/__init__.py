"""Price models, one a module, and the arithmetic of quantities and rounding that they share."""

from collections.abc import Callable, Mapping
from typing import Final

from rules.document import Node
from rules.price.allowance import Allowance
from rules.price.call import Call
from rules.price.cumulative import CumulativePrice
from rules.price.flat import Flat
from rules.price.graduated import Graduated
from rules.price.graduated_percentage import GraduatedPercentage
from rules.price.model import Price, Source
from rules.price.package import Package
from rules.price.per_unit import PerUnit
from rules.price.percentage import Percentage
from rules.price.table import TablePrice
from rules.price.volume import Volume

MODELS: Final[Mapping[str, Callable[[Node, Source], Price | CumulativePrice | None]]] = {
    "flat": Flat.read,
    "per_unit": PerUnit.read,
    "percentage": Percentage.read,
    "table": TablePrice.read,
    "call": Call.read,
    "graduated": Graduated.read,
    "volume": Volume.read,
    "package": Package.read,
    "allowance": Allowance.read,
    "graduated_percentage": GraduatedPercentage.read,
}
"""The keys of a rule's `price`, and how each model reads its value."""
