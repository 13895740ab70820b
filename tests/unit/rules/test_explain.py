"""Explanations: why each rule lost, and the steps of the arithmetic, for each kind of price."""
# ruff: noqa: E501  each sentence is asserted as a person sees it

from pathlib import Path
from typing import Any

import pytest

from rules.explain import ExplainedGroup, UnknownRuleError, explain
from rules.running import Held
from tests.rulebooks import book_of, rules_of, usage_of

RATES = "prefix,price\n+1,0.014\n+1900,\n+44,0.0158\n+447,0.035\n"
CARD = "model,product,price\nnova,sms,0.1\n"


def _group(folder: Path, rule: str, event: dict[str, Any], used: Held | None = None, **tables: str) -> ExplainedGroup:
    book = rules_of(folder, rule, **tables)
    (group,) = explain(book, usage_of(book, [event]), used or Held()).groups
    return group


def _steps(group: ExplainedGroup) -> list[tuple[str, str, str]]:
    assert group.line is not None
    return [(step.step, step.how, step.result) for step in group.line.steps]


@pytest.mark.parametrize(
    ("rule", "event", "reasons"),
    [
        ("when: {product: voice}", {}, ['product is "sms", not "voice"']),
        ("when: {product: [voice, mms], x: y}", {}, ['product is "sms", not one of "mms", "voice"', 'x is absent, not "y"']),
        ("when: {x: [a, b, c, d, e, f, g, h]}", {"x": "z"}, ['x is "z", not one of "a", "b", "c", "d", "e", "f" and 2 more']),
        ('when: {to: {prefix: ["+1", "+2"]}}', {"to": "+3"}, ['to is "+3", not a text that begins with one of "+1", "+2"']),
        ('when: {to: {prefix: "+1", not: {prefix: "+19"}}}', {"to": "+190"}, ['to is "+190", not anything but a text that begins with "+19"']),
        ("when: {n: {min: 2, max: 10}}", {"n": "10"}, ['n is "10", not a number from 2 and below 10']),
        ("when: {n: {max: 10}}", {"n": "x"}, ['n is "x", not a number below 10']),
        ("when: {n: {exists: true}}", {}, ["n is absent, not present"]),
        ("when: {n: {exists: false}}", {"n": ""}, ['n is "", not absent']),
        ('when: {quantity: [1, "2.50"]}', {"quantity": "3"}, ["quantity is 3, not one of 1, 2.50"]),
        ("from: 2026-02-01", {}, ["is in effect from 2026-02-01; the event is of 2026-01-01"]),
        ("until: 2025-12-31T12:00:00Z", {}, ["was in effect until 2025-12-31T12:00:00Z; the event is of 2026-01-01"]),
    ],
)  # fmt: skip
def test_every_reason_is_told(tmp_path: Path, rule: str, event: dict[str, Any], reasons: list[str]) -> None:
    """Who asks why a rule did not apply would mend one reason and find the next."""
    group = _group(tmp_path, f"{rule}, price: {{flat: 1}}", event)
    assert (group.winner, group.line) == (None, None)
    assert [(one.rule, one.applies, list(one.reasons)) for one in group.tried] == [("r0", False, reasons)]


@pytest.mark.parametrize(
    ("table", "event", "reason"),
    [
        ("file: rates.csv, longest_prefix: to, column: price", {"to": "+33"}, 'rates.csv has no row for "+33"'),
        ("file: rates.csv, longest_prefix: to, column: price", {"to": "+190055"}, 'rates.csv has an empty cell price in the row "+1900"'),
        ("file: rates.csv, longest_prefix: to, column: price", {}, "rates.csv is looked up by to, which is absent"),
        ("file: card.csv, key: [model, product], column: price", {"model": "x"}, 'card.csv has no row for "x", "sms"'),
    ],
)  # fmt: skip
def test_a_price_that_is_not_found(tmp_path: Path, table: str, event: dict[str, Any], reason: str) -> None:
    """A rule whose conditions all hold would lose for no visible reason."""
    group = _group(tmp_path, f"price: {{table: {{{table}}}}}", event, rates=RATES, card=CARD)
    assert [one.reasons for one in group.tried] == [(reason,)]


@pytest.mark.parametrize(
    ("rule", "event", "steps"),
    [
        ('price: {per_unit: "0.0079"}', {"quantity": "2.5"},
         [("quantity", "of the event", "2.5"), ("price", "for each unit", "0.0079"), ("exact", "2.5 x 0.0079", "0.01975")]),
        ('quantity: {of: tokens}, price: {flat: "0.05"}', {"tokens": "7"},
         [("quantity", 'the attribute "tokens"', "7"), ("price", "flat, whatever the quantity", "0.05"), ("exact", "1 x 0.05", "0.05")]),
        ('quantity: {round_up_to: 6, per: 60, minimum: "0.5"}, price: {per_unit: "0.0085"}', {"quantity": 13},
         [("quantity", "of the event", "13"), ("rounded up", "to a multiple of 6", "18"), ("divided", "by 60", "0.3"),
          ("at least", "0.5", "0.5"), ("price", "for each unit", "0.0085"), ("exact", "0.5 x 0.0085", "0.00425")]),
        ('quantity: {per: 3}, price: {per_unit: "0.1"}, round: {places: 2, mode: up}, minimum: "0.05", maximum: 1', {},
         [("quantity", "of the event", "1"), ("divided", "by 3", "1/3 (about 0.333333333333)"), ("price", "for each unit", "0.1"),
          ("exact", "1/3 (about 0.333333333333) x 0.1", "1/30 (about 0.033333333333)"), ("rounded", "up to 2 places", "0.04"),
          ("minimum", "0.05", "0.05"), ("maximum", "1", "0.05")]),
        ("quantity: {per: 60}, price: {table: {file: rates.csv, longest_prefix: to, column: price}}", {"to": "+447700900123", "quantity": 90},
         [("quantity", "of the event", "90"), ("divided", "by 60", "1.5"), ("price", 'rates.csv, column price, row "+447"', "0.035"),
          ("exact", "1.5 x 0.035", "0.0525")]),
        ("price: {table: {file: card.csv, key: [model, product], column: price}}", {"model": "nova"},
         [("quantity", "of the event", "1"), ("price", 'card.csv, column price, row "nova", "sms"', "0.1"), ("exact", "1 x 0.1", "0.1")]),
    ],
)  # fmt: skip
def test_the_arithmetic_of_linear_prices(
    tmp_path: Path, rule: str, event: dict[str, Any], steps: list[tuple[str, str, str]]
) -> None:
    """The numbers of a bill could not be followed."""
    assert _steps(_group(tmp_path, rule, event, rates=RATES, card=CARD)) == steps


def test_the_arithmetic_of_a_share(tmp_path: Path) -> None:
    """A share would not say of what."""
    book = book_of(tmp_path, """\
charges:
- {group: usage, rules: [{id: a, price: {flat: "0.07"}}]}
- {group: share, rules: [{id: b, when: {r: {exists: true}}, charge: {attribute: r}, price: {percentage: {of: usage, rate: "0.1"}}}]}
""")  # fmt: skip
    _, share = explain(book, usage_of(book, [{"r": "partner"}]), Held()).groups
    assert share.line is not None
    assert (share.line.account, share.line.amount) == ("partner", "0.007")
    assert _steps(share) == [
        ("quantity", "of the event", "1"),
        ("price", 'share of group "usage"', "0.1"),
        ("exact", "0.07 x 0.1", "0.007"),
    ]


def test_the_arithmetic_of_tiers(tmp_path: Path) -> None:
    """Nobody could tell which tier an event fell into, or what had been used before it."""
    rule = 'price: {graduated: {per: month, tiers: [{up_to: 10, unit: 1}, {unit: "0.5", flat: 3}]}}, round: {places: 1}'
    group = _group(tmp_path, rule, {"quantity": "4.5"}, Held(8 * 10**12, 3))
    assert group.line is not None
    assert group.line.held == Held(8 * 10**12, 3, 8 * 10**12)
    assert _steps(group) == [
        ("quantity", "of the event", "4.5"),
        ("period", "the month in UTC", "2026-01-01"),
        ("used before", "in 3 events", "8"),
        ("used after", "8 + 4.5", "12.5"),
        ("tier", "above 0 up to 10: 2 x 1", "2"),
        ("tier", "above 10: 2.5 x 0.5 + 3 once", "4.25"),
        ("price of all before", "of 8, rounded half even to 1 places", "8"),
        ("price of all after", "of 12.5, rounded half even to 1 places", "14.2"),
        ("amount", "14.2 - 8", "6.2"),
    ]


TIERS = 'tiers: [{up_to: 10, unit: 1}, {unit: "0.5", flat: 3}]'
CALL = 'connect: "0.05", rate: "0.06", unit: 60, increments: 30/6, then: [{after: 60, rate: "0.03", increments: 60}]'


@pytest.mark.parametrize(
    ("rule", "event", "used", "steps"),
    [
        (f"price: {{call: {{{CALL}}}}}", {"quantity": 70}, 0,
         [("connect", "once", "0.05"), ("increments", "above 0: 1 of 30 at 0.03", "0.03"),
          ("increments", "above 30: 5 of 6 at 0.006", "0.03"), ("increments", "above 60: 1 of 60 at 0.03", "0.03"),
          ("exact", "the sum", "0.14")]),
        ("price: {call: {table: {file: rates.csv, longest_prefix: to, rate: price}, unit: 60}}", {"quantity": 90, "to": "+4412"}, 0,
         [("rate", 'rates.csv, column price, row "+44"', "0.0158"), ("increments", "above 0: 1 of 1 at 79/300000 (about 0.000263333333)", "79/300000 (about 0.000263333333)"),
          ("increments", "above 1: 89 of 1 at 79/300000 (about 0.000263333333)", "7031/300000 (about 0.023436666667)"), ("exact", "the sum", "0.0237")]),
        ('price: {percentage: {rate: "0.029", fixed: "0.3"}}', {"quantity": 50}, 0,
         [("price", "share of the quantity", "0.029"), ("fee", "for each event", "0.3"), ("exact", "50 x 0.029 + 0.3", "1.75")]),
        (f"price: {{volume: {{per: ever, {TIERS}}}}}", {"quantity": 4}, 8,
         [("period", "one for ever", "ever"), ("used before", "in 2 events", "8"), ("used after", "8 + 4", "12"),
          ("tier before", "above 0 up to 10: 8 x 1", "8"), ("tier after", "above 10: 12 x 0.5 + 3 once", "9"),
          ("price of all before", "of 8", "8"), ("price of all after", "of 12", "9"), ("amount", "9 - 8", "1")]),
        ("price: {package: {per: {month: {anchor: 15}}, price: 5, size: 10, free: 1}}", {"quantity": 4}, 8,
         [("period", "the month in UTC, from day 15", "2025-12-15"), ("used before", "in 2 events", "8"), ("used after", "8 + 4", "12"),
          ("packages", "of 10 after 1 free, begun, at 5: 1 before", "2"),
          ("price of all before", "of 8", "5"), ("price of all after", "of 12", "10"), ("amount", "10 - 5", "5")]),
        ('price: {percentage: {per: month, rate: "0.02", fixed: "0.1", free_events: 2, free_amount: 100}}', {"quantity": 50}, 8,
         [("period", "the month in UTC", "2026-01-01"), ("used before", "in 2 events", "8"), ("used after", "8 + 50", "58"),
          ("free", "what ends first", "2 events or 100"), ("price", "of what is not free", "0.02 + 0.1"),
          ("amount", "for this event after those before it", "1.1")]),
    ],
)  # fmt: skip
def test_the_arithmetic_of_other_models(
    tmp_path: Path, rule: str, event: dict[str, Any], used: int, steps: list[tuple[str, str, str]]
) -> None:
    """A call, a package or a free event could not be followed."""
    told = _steps(_group(tmp_path, rule, event, Held(used * 10**12, 2), rates=RATES))
    assert told[1:] == steps


def test_a_maximum_of_a_period_is_told(tmp_path: Path) -> None:
    """A bill would end at a number that nothing explains."""
    group = _group(
        tmp_path,
        'price: {per_unit: "0.5"}, per_period: {per: month, maximum: 10}',
        {"quantity": 5},
        Held(9 * 10**12, 3),
    )
    assert _steps(group)[-3:] == [
        ("used after", "9 + 2.5", "11.5"),
        ("at most", "in a period", "10"),
        ("amount", "for this event after those before it", "1"),
    ]


def test_one_rule_can_be_asked(tmp_path: Path) -> None:
    """A rule behind the winner would never be explained."""
    book = rules_of(tmp_path, "price: {flat: 1}", "when: {x: y}, price: {flat: 2}", "price: {flat: 3}")
    usage = usage_of(book, [{}])
    (whole,) = explain(book, usage, Held()).groups
    assert ([one.rule for one in whole.tried], whole.winner, whole.not_tried) == (["r0"], "r0", 2)
    (asked,) = explain(book, usage, Held(), "r1").groups
    assert [(one.rule, one.reasons) for one in asked.tried] == [("r1", ('x is absent, not "y"',))]
    (applies,) = explain(book, usage, Held(), "r2").groups
    assert (applies.tried[0].applies, applies.winner) == (True, "r0")
    with pytest.raises(UnknownRuleError, match='"r9" is not a rule of book test'):
        explain(book, usage, Held(), "r9")


def test_a_refused_event_has_its_reason_and_the_winners(tmp_path: Path) -> None:
    """Who mends a quarantined event would not see which rule wanted what."""
    book = rules_of(tmp_path, "quantity: {of: seconds}, price: {flat: 1}")
    told = explain(book, usage_of(book, [{}]), Held())
    assert told.refused is not None
    assert told.refused.reason == "bad_quantity"
    assert [(group.winner, group.line) for group in told.groups] == [("r0", None)]


CONTRACTS = """\
accounts: {file: accounts.csv}
contracts: {file: contracts.csv}
tiers:
  wholesale: [{up_to: 10, unit: "0.8"}, {unit: "0.4"}]
charges:
- group: usage
  rules:
  - {id: sms, when: {product: sms}, price: {per_unit: "0.01"}}
  - {id: api, when: {product: api}, price: {graduated: {per: month, tiers: [{unit: 1}]}}}
- group: usage
  currency: EUR
  rules: [{id: sms-eur, when: {product: sms}, price: {per_unit: "0.009"}}]
"""
LISTS = {
    "accounts": "account,currency\nbob,EUR\n",
    "contracts": "account,rule,group,from,until,price,discount,tiers\nacme,sms,,,,0.008,10,\nacme,api,,,,,,wholesale\n",
}


def test_a_contract_is_told(tmp_path: Path) -> None:
    """Who has a contract would be told the price of everybody else."""
    book = book_of(tmp_path, CONTRACTS, **LISTS)
    (sms,) = explain(book, usage_of(book, [{"quantity": 100}]), Held()).groups
    assert _steps(sms)[1:] == [
        ("price", "for each unit", "0.01"),
        ("exact", "100 x 0.01", "1"),
        ("contract", "contracts.csv:2, in place of the book's price", "0.0072"),
        ("exact", "100 x 0.0072", "0.72"),
    ]
    (api,) = explain(book, usage_of(book, [{"product": "api", "quantity": 12}]), Held()).groups
    assert api.line is not None
    assert api.line.amount == "8.8"
    assert ("contract", "contracts.csv:3, for the whole period: its own tiers", "acme") in _steps(api)
    assert ("tier", "above 10: 2 x 0.4", "0.8") in _steps(api)


def test_rules_in_another_currency_are_told(tmp_path: Path) -> None:
    """A rule that looks right would lose without a reason."""
    book = book_of(tmp_path, CONTRACTS, **LISTS)
    (group,) = explain(book, usage_of(book, [{"account": "bob"}]), Held()).groups
    assert group.winner == "sms-eur"
    assert group.tried[0].reasons == ("is in USD; the account is in EUR",)
