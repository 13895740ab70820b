"""Amounts as integers of 1e-12 and back."""

from decimal import Decimal

import pytest

from billing.exact import of_pico, pico_of

WIDEST = "99999999999999999999999999.999999999999"  # DECIMAL(38,12)


@pytest.mark.parametrize("text", ["0", "0.000000000001", "-12.5", WIDEST, f"-{WIDEST}"])
def test_no_digit_is_lost(text: str) -> None:
    """A period's minimum would be settled by a rounded amount: decimals keep 28 digits unless told otherwise."""
    pico = pico_of(Decimal(text))
    assert pico == int(f"{Decimal(text):.12f}".replace(".", ""))
    assert of_pico(pico) == Decimal(text)
