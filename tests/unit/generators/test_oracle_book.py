from decimal import Decimal
from pathlib import Path

import pytest

from generators.oracle_book import EXACT, Line
from generators.oracle_event import Event, RejectedError
from generators.oracle_files import load

HEAD = "book: b\nversion: 1\ncurrency: USD\ncharges:\n"
NEW_YEAR_US = 1_767_225_600_000_000


def event(quantity: str = "1", time_us: int = NEW_YEAR_US, product: str = "sms", **attributes: str) -> Event:
    return Event("e1", "a", product, time_us, Decimal(quantity), attributes)


def charge(folder: Path, rules: str, of: Event) -> list[Line]:
    book = folder / "book.yaml"
    book.write_text(HEAD + rules)
    return load(book).lines(of)


def line(folder: Path, rule: str, of: Event) -> tuple[str, str]:
    """Return the only line's billed quantity and amount, as the shortest plain texts."""
    (one,) = charge(folder, f"  - group: g\n    rules: [{{id: r, {rule}}}]\n", of)
    return f"{one.quantity.normalize(EXACT):f}", f"{one.amount.normalize(EXACT):f}"


def reason(folder: Path, rule: str, of: Event) -> str:
    with pytest.raises(RejectedError) as caught:
        line(folder, rule, of)
    return caught.value.reason


MINUTES = 'quantity: {round_up_to: 60, per: 60}, price: {per_unit: "0.014"}'


@pytest.mark.parametrize(
    ("rule", "of", "expected"),
    [
        ('price: {per_unit: "0.0079"}', event("3"), ("3", "0.0237")),
        (MINUTES, event("61"), ("2", "0.028")),
        (MINUTES, event("60"), ("1", "0.014")),
        (MINUTES, event("0"), ("0", "0")),
        (MINUTES, event("0.000000000001"), ("1", "0.014")),
        (
            'quantity: {round_up_to: 60, per: 60, minimum: 1}, price: {per_unit: "0.014"}',
            event("0"),
            ("1", "0.014"),
        ),
        ('quantity: {per: 60}, price: {per_unit: "0.014"}', event("100"), ("1.666666666667", "0.023333333333")),
        ('quantity: {per: 60, minimum: "0.5"}, price: {per_unit: "0.0085"}', event("7"), ("0.5", "0.00425")),
        ('quantity: {round_up_to: "0.25"}, price: {per_unit: 1}', event("0.3"), ("0.5", "0.5")),
        (
            'quantity: {of: tokens}, price: {per_unit: "0.000000546875"}',
            event(tokens="1001"),
            ("1001", "0.000547421875"),
        ),
        ("quantity: {of: tokens}, price: {per_unit: 1}", event(tokens="1.5e1"), ("15", "15")),
        ("quantity: {of: tokens}, price: {per_unit: 1}", event(tokens="-0"), ("0", "0")),
        ('price: {flat: "0.05"}', event("7"), ("7", "0.05")),
        ('price: {flat: "-0.05"}', event("7"), ("7", "-0.05")),
        ('price: {per_unit: "0.005"}, round: {places: 2}', event("1"), ("1", "0")),
        ('price: {per_unit: "0.005"}, round: {places: 2}', event("3"), ("3", "0.02")),
        ('price: {per_unit: "0.005"}, round: {places: 2, mode: half_up}', event("1"), ("1", "0.01")),
        ('price: {per_unit: "0.005"}, round: {places: 2, mode: half_up}', event("3"), ("3", "0.02")),
        ('price: {per_unit: "-0.005"}, round: {places: 2, mode: half_up}', event("1"), ("1", "-0.01")),
        ('price: {per_unit: "0.001"}, round: {places: 2, mode: up}', event("1"), ("1", "0.01")),
        ('price: {per_unit: "-0.001"}, round: {places: 2, mode: up}', event("1"), ("1", "-0.01")),
        ('price: {per_unit: "-0.009"}, round: {places: 2, mode: down}', event("1"), ("1", "0")),
        ('price: {per_unit: "0.009"}, round: {places: 0, mode: down}', event("200"), ("200", "1")),
        ('price: {per_unit: "0.0079"}, minimum: "0.01", maximum: 1', event("1"), ("1", "0.01")),
        ('price: {per_unit: "0.0079"}, minimum: "0.01", maximum: 1', event("1000"), ("1000", "1")),
        ('price: {per_unit: "0.000000000000000000000001"}', event("500000000000"), ("500000000000", "0")),
        (
            'price: {per_unit: "0.000000000000000000000001"}',
            event("1500000000000"),
            ("1500000000000", "0.000000000002"),
        ),
    ],
)
def test_worked_examples(tmp_path, rule, of, expected):
    """Else the sum that everything is compared with would itself be wrong (worked by hand)."""
    assert line(tmp_path, rule, of) == expected


PERCENTAGE = """
  - group: usage
    rules: [{id: use, when: {product: sms}, price: {per_unit: "0.0079"}}]
  - group: reseller
    rules:
      - {id: share, charge: {attribute: reseller}, price: {percentage: {of: usage, rate: "0.10"}}}
      - {id: fallback, charge: {attribute: reseller}, price: {flat: 1}}
"""


def test_a_percentage_is_of_the_other_groups_amount_and_another_account_pays(tmp_path):
    """Else a reseller would pay a share of something else."""
    assert charge(tmp_path, PERCENTAGE, event("3", reseller="r1")) == [
        Line("usage", "use", "a", Decimal(3), Decimal("0.0237")),
        Line("reseller", "share", "r1", Decimal(3), Decimal("0.00237")),
    ]


def test_a_percentage_without_its_group_is_passed_over(tmp_path):
    """Else an event without usage would be rejected for its reseller."""
    (one,) = charge(tmp_path, PERCENTAGE, event(product="mms", reseller="r1"))
    assert (one.rule, one.account, one.amount) == ("fallback", "r1", Decimal(1))


@pytest.mark.parametrize("attributes", [{}, {"reseller": ""}, {"reseller": "a b"}, {"reseller": "x" * 65}])
def test_an_account_that_cannot_pay_is_bad(tmp_path, attributes):
    rule = "charge: {attribute: reseller}, price: {flat: 1}"
    assert reason(tmp_path, rule, event(**attributes)) == "bad_account"


RATES = "prefix,name,per_minute\n+1,us,0.01\n+1900,premium,\n+44,gb,0.02\n+447,gb mobile,0.05\n"


@pytest.mark.parametrize(
    ("to", "amount"), [("+12125550100", "0.01"), ("+442071234567", "0.02"), ("+447700900000", "0.05"), ("+44", "0.02")]
)
def test_the_longest_prefix_prices(tmp_path, to, amount):
    """Else a call to a mobile would cost what a call to a landline costs."""
    (tmp_path / "voice.csv").write_text(RATES)
    rule = "price: {table: {file: voice.csv, longest_prefix: to, column: per_minute}}"
    assert line(tmp_path, rule, event(to=to)) == ("1", amount)


@pytest.mark.parametrize("attributes", [{"to": "+19005550100"}, {"to": "+33"}, {"to": ""}, {}])
def test_no_row_or_an_empty_cell_is_no_price(tmp_path, attributes):
    """Else a number that is not sold would be billed at a shorter prefix."""
    (tmp_path / "voice.csv").write_text(RATES)
    rule = "price: {table: {file: voice.csv, longest_prefix: to, column: per_minute}}"
    assert reason(tmp_path, rule, event(**attributes)) == "no_rule"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"model": "m1"}, "0.25"),
        ({"model": "m, 2"}, "0.5"),
        ({"model": "m3"}, "no_rule"),
        ({"model": "M1"}, "no_rule"),
        ({}, "no_rule"),
    ],
)
def test_exact_keys_price(tmp_path, attributes, expected):
    (tmp_path / "m.csv").write_text('model,product,price\nm1,sms,0.25\n"m, 2",sms,0.5\nm1,mms,9\nm3,sms,\nNone,sms,7\n')
    rule = "price: {table: {file: m.csv, key: [product, model], column: price}}"
    if expected == "no_rule":
        assert reason(tmp_path, rule, event(**attributes)) == expected
    else:
        assert line(tmp_path, rule, event(**attributes)) == ("1", expected)


@pytest.mark.parametrize(
    ("when", "of", "holds"),
    [
        ("product: sms", event(), True),
        ("product: mms", event(), False),
        ("account: a", event(), True),
        ("account: {prefix: b}", event(), False),
        ("status: 200", event(status="200"), True),
        ("status: 200", event(status="200.0"), False),
        ("country: [US, PR]", event(country="PR"), True),
        ("country: [US, PR]", event(country="us"), False),
        ("country: [US, PR]", event(), False),
        ('to: {prefix: "+1"}', event(to="+1212"), True),
        ('to: {prefix: ["+1", "+44"]}', event(to="+4420"), True),
        ('to: {prefix: "+1"}', event(), False),
        ('to: {prefix: "+1", not: {prefix: "+1900"}}', event(to="+1212"), True),
        ('to: {prefix: "+1", not: {prefix: "+1900"}}', event(to="+1900"), False),
        ("size: {min: 10}", event(size="10"), True),
        ('size: {max: "20.5"}', event(size="20.5"), False),
        ('size: {min: 10, max: "20.5"}', event(size="20.49"), True),
        ("size: {min: 10}", event(size="1e1"), True),
        ("size: {min: 10}", event(size="ten"), False),
        ("size: {min: 0}", event(size="100000000000000000000000000"), False),
        ("size: {min: 0}", event(size="99999999999999999999999999.999999999999"), True),
        ("size: {min: 0}", event(size="0." + "0" * 24 + "1"), False),
        ("size: {min: 0}", event(size="1e99999999999999999999"), False),
        ("size: {not: {min: 10}}", event(size="ten"), True),
        ("size: {not: {min: 10, max: 20}}", event(size="25"), True),
        ("size: {not: {min: 10, max: 20}}", event(size="15"), False),
        ("reseller: {exists: true}", event(reseller=""), True),
        ("reseller: {exists: true}", event(), False),
        ("reseller: {exists: false}", event(), True),
        ("country: {not: US}", event(), True),
        ("country: {not: [US, CA]}", event(country="CA"), False),
        ("country: {not: {not: US}}", event(country="US"), True),
        ("quantity: 2", event("2.0"), True),
        ('quantity: [1, "2.5"]', event("2.50"), True),
        ("quantity: {min: 1, max: 3}", event("3"), False),
        ("quantity: {not: {max: 3}}", event("3"), True),
    ],
)
def test_conditions(tmp_path, when, of, holds):
    """Else a rule would win where it does not apply."""
    rule = f"when: {{{when}}}, price: {{flat: 1}}"
    if holds:
        assert line(tmp_path, rule, of)[1] == "1"
    else:
        assert reason(tmp_path, rule, of) == "no_rule"


@pytest.mark.parametrize(
    ("dates", "offset_us", "holds"),
    [
        ("from: 2026-01-01", 0, True),
        ("from: 2026-01-01", -1, False),
        ("until: 2026-01-01", -1, True),
        ("until: 2026-01-01", 0, False),
        ("from: 2026-01-01T01:00:00+01:00", 0, True),
        ("from: 2026-01-01T01:00:00+01:00", -1, False),
        ('from: "2026-01-01T00:00:00.000001Z"', 0, False),
        ('from: "2026-01-01T00:00:00.000001Z"', 1, True),
    ],
)
def test_dates_are_half_open_by_the_events_own_time(tmp_path, dates, offset_us, holds):
    """Else the first event of a year would be billed at last year's price."""
    rule, of = f"{dates}, price: {{flat: 1}}", event(time_us=NEW_YEAR_US + offset_us)
    if holds:
        assert line(tmp_path, rule, of)[1] == "1"
    else:
        assert reason(tmp_path, rule, of) == "no_rule"


def test_the_first_rule_that_wins_ends_its_group_and_every_group_is_tried(tmp_path):
    """Else an event would be billed twice, or a fee left out."""
    rules = """
  - group: one
    rules: [{id: r1, when: {product: mms}, price: {flat: 1}}, {id: r2, price: {flat: 2}}, {id: r3, price: {flat: 3}}]
  - group: two
    rules: [{id: r4, when: {product: mms}, price: {flat: 4}}]
  - group: three
    rules: [{id: r5, price: {flat: 5}}]
"""
    assert [(one.group, one.rule) for one in charge(tmp_path, rules, event())] == [("one", "r2"), ("three", "r5")]


@pytest.mark.parametrize("tokens", ["", "many", "-1", "1e26", "0.0000000000001", "+1", ".5", "1.", "1_000", " 1", "٣"])
def test_a_measured_attribute_that_is_no_quantity_is_bad(tmp_path, tokens):
    assert reason(tmp_path, "quantity: {of: tokens}, price: {flat: 1}", event(tokens=tokens)) == "bad_quantity"


def test_an_absent_measured_attribute_is_bad(tmp_path):
    assert reason(tmp_path, "quantity: {of: tokens}, price: {per_unit: 1}", event()) == "bad_quantity"


@pytest.mark.parametrize(
    ("rule", "of"),
    [
        ("price: {per_unit: 10}", event("99999999999999999999999999")),
        ('quantity: {per: "0.1"}, price: {per_unit: 0}', event("10000000000000000000000000")),
        ('quantity: {round_up_to: 3}, price: {per_unit: "0.1"}', event("99999999999999999999999999.5")),
        ('price: {per_unit: "1.000000000001"}', event("99999999999999999999999999.999999999999")),
        ("price: {per_unit: -10}", event("99999999999999999999999999")),
    ],
)
def test_what_does_not_fit_overflows(tmp_path, rule, of):
    """Else a row would be refused by the database instead of the event by the rules."""
    assert reason(tmp_path, rule, of) == "overflow"


def test_the_largest_amount_is_exact(tmp_path):
    largest = "99999999999999999999999999.999999999999"
    assert line(tmp_path, "price: {per_unit: 1}", event(largest)) == (largest, largest)


def test_another_currency_comes_before_every_other_reason(tmp_path):
    """Else euros would be billed as dollars."""
    assert reason(tmp_path, "when: {product: mms}, price: {flat: 1}", event(currency="EUR")) == "wrong_currency"
    assert line(tmp_path, "price: {flat: 1}", event(currency="USD"))[1] == "1"
    assert reason(tmp_path, "price: {flat: 1}", event(currency="")) == "wrong_currency"
