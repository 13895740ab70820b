"""Packages: worked by hand, and by the oracle."""

from pathlib import Path

import pytest

from rules.errors import BookError
from tests.agreement import charged, quantities
from tests.rulebooks import rules_of


@pytest.mark.parametrize(
    ("options", "uses", "amounts"),
    [
        ("price: 5, size: 100", ["0", "1", "99", "0.000000000001", "299"], ["0", "5", "0", "5", "10"]),
        ("price: 5, size: 100, round: up", ["250"], ["15"]),
        ("price: 5, size: 100, round: down", ["99", "1", "150"], ["0", "5", "5"]),
        ("price: 5, size: 100, free: 50", ["50", "0.5", "99.5", "201"], ["0", "5", "0", "15"]),
        ("price: 5, size: 100, free: 50, round: down", ["149.5", "0.5"], ["0", "5"]),
        ('price: "0.333", size: "2.5"', ["2.5", "2.5", "2.6"], ["0.333", "0.333", "0.666"]),
        ("price: -1, size: 10", ["11"], ["-2"]),
        ("price: 1, size: 3", [10**25], ["3333333333333333333333334"]),
        ('price: "0.0000000000005", size: 1', ["1", "1", "1"], ["0", "0.000000000001", "0.000000000001"]),
    ],
)
def test_each_package_begun_costs_its_price(
    tmp_path: Path, options: str, uses: list[object], amounts: list[str]
) -> None:
    """Part of a package would be billed as a part, or a package twice."""
    assert charged(tmp_path, f"price: {{package: {{per: month, {options}}}}}", *quantities(*uses)) == amounts


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("price: 5", 'package: the key "size" is missing; add it'),
        ("price: 5, size: 0", "package.size: is 0, so that no package holds anything; write a number above 0"),
        ("price: 5, size: 10, free: -1", 'package.free: "-1" is too small; write 0 or more'),
        ("price: 5, size: 10, round: half", 'package.round: unknown word "half"; known: up, down'),
        ("price: 0.5, size: 10", 'package.price: 0.5 is a float to YAML and may lose digits; write "0.5"'),
    ],
)
def test_bad_packages_are_told(tmp_path: Path, options: str, problem: str) -> None:
    """A price list that means nothing would be used."""
    with pytest.raises(BookError) as error:
        rules_of(tmp_path, f"price: {{package: {{per: month, {options}}}}}")
    assert str(error.value) == f"{tmp_path}/book.yaml:7: charges[0].rules[0].price.{problem}"
