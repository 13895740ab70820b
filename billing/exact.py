"""Exact decimals: sums that never round, and amounts as integers of 1e-12.

Owns the context of all arithmetic on `Decimal`. Must not know columns, texts or tables.
"""

from decimal import Context, Decimal
from typing import Final

from rules.columns import PICO_PLACES

EXACT: Final = Context(prec=80)  # the default of 28 digits would round what DECIMAL(38,12) holds


def pico_of(number: Decimal) -> int:
    """Return a number of at most 12 places as an integer of 1e-12."""
    return int(EXACT.scaleb(number, PICO_PLACES))


def of_pico(pico: int) -> Decimal:
    """Return an integer of 1e-12 as a number."""
    return Decimal(pico).scaleb(-PICO_PLACES, EXACT)
