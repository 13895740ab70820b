"""Rounding once, and the bounds of an amount: worked by hand."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rules.price.rounding import Mode, Rounding, rounded_product
from tests.rulebooks import amounts, reasons, rules_of

# 0.005 a unit to two places: 0.005, 0.01, 0.015, 0.0075 and their negatives.
UP_DOWN = {
    "half_even": ["0", "0.01", "0.02", "0.01", "0.04"],
    "half_up": ["0.01", "0.01", "0.02", "0.01", "0.04"],
    "up": ["0.01", "0.01", "0.02", "0.01", "0.04"],
    "down": ["0", "0.01", "0.01", "0", "0.03"],
}


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("mode", [*Mode])
def test_modes(tmp_path: Path, mode: Mode, sign: str) -> None:
    """A price list that promises a rounding would be billed by another one."""
    book = rules_of(tmp_path, f'round: {{places: 2, mode: {mode}}}, price: {{per_unit: "{sign}0.005"}}')
    events = [{"quantity": quantity} for quantity in ("1", "2", "3", "1.5", "7.9")]
    expected = [f"{sign}{amount}" if amount != "0" else "0" for amount in UP_DOWN[mode]]
    assert amounts(book, *events) == expected


@pytest.mark.parametrize("mode", [*Mode])
def test_int64_and_python_integers_round_alike(mode: Mode) -> None:
    """Large bills would follow another arithmetic than small ones."""
    left = np.arange(-40, 41, dtype=np.int64)
    one = np.ones(1, dtype=np.int64)
    for ratio in (Fraction(1, 8), Fraction(3, 7), Fraction(5), Fraction(1, 2)):
        rounding = Rounding(0, mode)
        fast = rounded_product(left, one, ratio, rounding)
        exact = rounded_product(left.astype(object) * 10**30, one, ratio / 10**30, rounding)
        assert fast.dtype == np.int64
        assert fast.tolist() == exact.tolist()


def test_the_edges_of_int64_do_not_wrap() -> None:
    """An amount just beyond 9.2 million dollars would turn negative."""
    edge = 2**63 - 1
    left = np.array([edge, -edge - 1, 0, 1, 3], dtype=np.int64)
    right = np.array([edge, 1, edge, edge, -3], dtype=np.int64)
    result = rounded_product(left, right, Fraction(1), Rounding(0))
    exact = [int(a) * int(b) * 10**12 for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert result.tolist() == exact
    assert rounded_product(left, right, Fraction(1, 10**40), Rounding(12, Mode.DOWN)).tolist() == [
        8507059173, 0, 0, 0, 0,
    ]  # fmt: skip


def test_minimum_and_maximum(tmp_path: Path) -> None:
    """The agreed least and most that an event may cost would not hold."""
    book = rules_of(
        tmp_path,
        'when: {product: a}, price: {per_unit: "0.0079"}, minimum: "0.01", maximum: 1',
        'when: {product: b}, price: {per_unit: "0.0079"}, minimum: "0.02", maximum: 2',
        'when: {product: c}, price: {per_unit: "0.0079"}, maximum: "0.5"',
        'when: {product: d}, price: {per_unit: "-0.0079"}, minimum: "-0.5"',
    )
    events = [{"product": product, "quantity": quantity} for product in "abcd" for quantity in (1, 2, 1000)]
    assert amounts(book, *events) == [
        "0.01", "0.0158", "1",
        "0.02", "0.02", "2",
        "0.0079", "0.0158", "0.5",
        "-0.0079", "-0.0158", "-0.5",
    ]  # fmt: skip


def test_amounts_of_26_digits_overflow(tmp_path: Path) -> None:
    """An amount that DECIMAL(38,12) cannot hold would stop the shard's transaction."""
    book = rules_of(tmp_path, 'when: {product: a}, price: {per_unit: "10"}', 'price: {per_unit: "10"}, maximum: 5')
    events = [
        {"product": "a", "quantity": "9999999999999999999999999.9"},
        {"product": "a", "quantity": "10000000000000000000000000"},
        {"product": "b", "quantity": "10000000000000000000000000"},
    ]
    detail = "the quantity or the amount has more than 26 digits before the point"
    assert reasons(book, *events) == [(1, "overflow", detail)]
