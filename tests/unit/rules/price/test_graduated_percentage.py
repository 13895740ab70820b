"""Graduated percentages: worked by hand, and by the oracle."""

from pathlib import Path

import pytest

from rules.errors import BookError
from tests.agreement import by_engine, by_oracle, charged, quantities
from tests.rulebooks import book_of, rules_of

TIERS = '[{up_to: 1000, rate: "0.03"}, {rate: "0.02", flat: 1}]'
CHARGES = f"""
charges:
- group: usage
  rules: [{{id: sms, when: {{product: sms}}, price: {{per_unit: "-0.5"}}}}, {{id: mms, price: {{per_unit: "2.5"}}}}]
- group: share
  rules:
  - id: share
    charge: {{attribute: reseller}}
    price: {{graduated_percentage: {{per: month, of: usage, tiers: {TIERS}}}}}
"""


@pytest.mark.parametrize(
    ("uses", "amounts"),
    [
        (["400", "800.1", "49.95"], ["12", "23", "1"]),  # C = 12; 35.002; 36.001
        (["1000"], ["30"]),
        (["1000.01"], ["31"]),  # 30 + 1 + 0.0002
        (["0"], ["0"]),
    ],
)
def test_parts_of_an_amount_cost_their_tiers_share(tmp_path: Path, uses: list[str], amounts: list[str]) -> None:
    """The share of the last tier would be taken of everything."""
    price = f"price: {{graduated_percentage: {{per: month, tiers: {TIERS}}}}}, round: {{places: 2}}"
    assert charged(tmp_path, price, *quantities(*uses)) == amounts


def test_amounts_of_another_group_are_counted_for_who_pays(tmp_path: Path) -> None:
    """A reseller's share would be counted by its customers, each of whom begins at the first tier."""
    book = book_of(tmp_path, CHARGES)
    events = [
        {"product": "mms", "account": "a", "quantity": 300, "reseller": "r"},  # 750: 22.5
        {"product": "mms", "account": "b", "quantity": 200, "reseller": "r"},  # 1250: 30 + 1 + 5
        {"product": "sms", "account": "b", "quantity": 500, "reseller": "r"},  # back to 1000: 30
        {"product": "sms", "account": "c", "quantity": 2, "reseller": "s"},  # -1, at the first tier's share
    ]
    found = by_engine(book, *events)
    assert found == by_oracle(tmp_path / "book.yaml", *events)
    assert found == [
        {"mms": "750", "share": "22.5"},
        {"mms": "500", "share": "13.5"},
        {"sms": "-250", "share": "-6"},
        {"sms": "-1", "share": "-0.03"},
    ]


def test_a_group_whose_amounts_are_not_known_is_refused(tmp_path: Path) -> None:
    """A share would be taken of amounts that are 0 until they are settled."""
    told = (
        '"usage" has prices that depend on a period, so that its amounts are not known yet; '
        "name a group without them, or repeat the percentage as prices of its own"
    )
    for usage in (
        "price: {package: {per: month, size: 1, price: 1}}",
        "price: {flat: 1}, per_period: {per: day, maximum: 1}",
    ):
        charges = CHARGES.replace('id: mms, price: {per_unit: "2.5"}', f"id: mms, {usage}")
        with pytest.raises(BookError) as error:
            book_of(tmp_path, charges)
        where = f"{tmp_path}/book.yaml:12: charges[1].rules[0].price.graduated_percentage.of"
        assert str(error.value) == f"{where}: {told}"


@pytest.mark.parametrize(
    ("price", "problem"),
    [
        ("{per: month, tiers: [{unit: 1}]}", 'tiers[0].unit: unknown key "unit"; known: above, up_to, rate, flat'),
        ("{per: month, tiers: [{}]}", "tiers[0]: is empty; write one of above, up_to, rate, flat"),
        (
            "{per: month, of: share, tiers: [{rate: 1}]}",
            'of: "share" is not an earlier group; earlier groups: none, this is the first',
        ),
    ],
)
def test_bad_prices_are_told(tmp_path: Path, price: str, problem: str) -> None:
    """A price list that means nothing would be used."""
    with pytest.raises(BookError) as error:
        rules_of(tmp_path, f"price: {{graduated_percentage: {price}}}")
    where = f"{tmp_path}/book.yaml:7: charges[0].rules[0].price.graduated_percentage"
    assert str(error.value).splitlines()[0] == f"{where}.{problem}"
