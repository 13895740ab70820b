"""Volume prices: worked by hand, and by the oracle."""

from pathlib import Path

import pytest

from tests.agreement import charged, quantities

TIERS = '[{up_to: 100, unit: "0.10", flat: 1}, {up_to: 1000, unit: "0.05"}, {unit: 0}]'
PRICE = f"price: {{volume: {{per: month, tiers: {TIERS}}}}}"


@pytest.mark.parametrize(
    ("uses", "amounts"),
    [
        (["0"], ["0"]),
        (["100"], ["11"]),
        (["100.000000000001"], ["5"]),  # 5.00000000000005: half even at 12 places
        (["60", "40", "20"], ["7", "4", "-5"]),  # 7; 11; 6
        (["1000", "0.5"], ["50", "-50"]),  # a free last tier gives everything back
        (["0.5", "0.25"], ["1.05", "0.025"]),
        ([10**20, 1], ["0", "0"]),
    ],
)
def test_the_tier_of_the_whole_quantity_prices_all_of_it(tmp_path: Path, uses: list[str], amounts: list[str]) -> None:
    """Who reaches the cheap tier would go on paying the dear price for the first units."""
    assert charged(tmp_path, PRICE, *quantities(*uses)) == amounts


def test_repricing_can_be_kept_from_giving_back(tmp_path: Path) -> None:
    """A contract without refunds would refund: 10, then 6 - 10, then 7 - 6, then 10 at most."""
    price = (
        'price: {volume: {per: month, tiers: [{up_to: 100, unit: "0.10"}, {unit: "0.05"}]}}, minimum: 0, maximum: 10'
    )
    assert charged(tmp_path, price, *quantities(100, 20, 20, 900)) == ["10", "0", "1", "10"]


def test_a_cap_bounds_the_total_before_it_is_repriced(tmp_path: Path) -> None:
    """A refund would be taken of money that the cap never let us charge: totals 10, then min(9, 10), then 6."""
    price = (
        'price: {volume: {per: month, tiers: [{up_to: 100, unit: "0.10"}, {unit: "0.05"}]}}, per_period: {maximum: 9}'
    )
    assert charged(tmp_path, price, *quantities(80, 20, 20)) == ["8", "1", "-3"]


def test_amounts_beyond_int64_stay_exact(tmp_path: Path) -> None:
    """The price of very much would wrap around."""
    price = 'price: {volume: {per: ever, tiers: [{up_to: 10, unit: 1}, {unit: "0.123456789012345678901234"}]}}'
    assert charged(tmp_path, price, *quantities(10**24, "0.000000000001")) == ["123456789012345678901234", "0"]
    price = "price: {volume: {per: ever, tiers: [{up_to: 1000000000, unit: 9000000000}, {unit: -9000000000}]}}"
    assert charged(tmp_path, price, *quantities(10**9, 1)) == ["9000000000000000000", "-18000000009000000000"]
