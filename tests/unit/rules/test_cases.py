"""Golden cases: every difference between what a case expects and what the book makes is told, with both values."""
# ruff: noqa: E501  each message is asserted as the one line that a person sees

from pathlib import Path

import pytest

from rules.cases import failures
from rules.errors import BookError
from rules.load import load
from rules.read_cases import beside, read_cases

BOOK = """\
book: shop
version: 1
currency: USD
charges:
  - group: usage
    rules:
      - {id: sms, when: {product: sms}, quantity: {per: 3}, price: {per_unit: "0.03"}}
      - {id: call, when: {product: call}, quantity: {of: seconds}, price: {per_unit: "0.01"}}
  - group: share
    rules:
      - {id: share, when: {reseller: {exists: true}}, charge: {attribute: reseller}, price: {percentage: {of: usage, rate: "0.1"}}}
"""


def _failures(folder: Path, cases: str) -> list[str]:
    """Return the failures of cases written under `cases:`, with the folder left out."""
    (folder / "shop.yaml").write_text(BOOK)
    (folder / "shop.cases.yaml").write_text(f"cases:\n{cases}")
    read = read_cases(beside(folder / "shop.yaml"))
    return [str(failure).replace(f"{folder}/", "") for failure in failures(load(read.book), read)]


def _problems(folder: Path, text: str) -> list[str]:
    path = folder / "shop.cases.yaml"
    path.write_text(text)
    with pytest.raises(BookError) as caught:
        read_cases(path)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_what_is_as_expected_is_silent(tmp_path: Path) -> None:
    """A right book would be called wrong: other quantities, repeats, other payers, refusals, totals."""
    assert (
        _failures(
            tmp_path,
            """\
- case: one
  source: https://example.com/prices
  events:
  - {product: sms, charges: [{rule: sms, quantity: "0.333333333333", amount: "0.01"}]}
  - {product: sms, quantity: "4.5", charges: [{rule: sms, amount: "0.045"}]}
  - {product: sms, repeat: 1000, quantity: 2, charges: [{rule: sms, quantity: "666.666666667", amount: 20}]}
  - product: call
    account: caller
    attributes: {seconds: 10, reseller: partner}
    charges: [{rule: call, quantity: 10, amount: "0.1"}, {rule: share, account: partner, amount: "0.01"}]
  - {product: call, refused: bad_quantity}
  - {product: fax, refused: no_rule}
  total: "20.165"
""",
        )
        == []
    )


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        ('{product: sms, charges: [{rule: sms, amount: "0.01"}, {rule: sms, account: b, amount: 0}]}',
         "events[0]: rule sms for account b: expected amount 0, got no charge"),
        ('{product: sms, attributes: {reseller: b}, charges: [{rule: sms, amount: "0.01"}]}',
         "events[0]: rule share for account b: expected no charge, got quantity 1, amount 0.001"),
        ('{product: sms, charges: [{rule: sms, amount: "0.02"}]}',
         "events[0]: amount of rule sms for account acme: expected 0.02, got 0.01"),
        ('{product: sms, charges: [{rule: sms, quantity: 1, amount: "0.01"}]}',
         "events[0]: quantity of rule sms for account acme: expected 1, got 0.333333333333"),
        ("{product: sms, refused: no_rule}",
         "events[0]: refused: expected no_rule, got sms for acme: quantity 0.333333333333, amount 0.01"),
        ("{product: fax, refused: bad_quantity}",
         'events[0]: refused: expected bad_quantity, got no_rule (no rule charges the product "fax")'),
        ("{product: fax, charges: [{rule: fax, amount: 1}]}",
         'events[0]: charges: expected fax for acme: amount 1, got refused: no_rule (no rule charges the product "fax")'),
    ],
)  # fmt: skip
def test_every_difference_shows_expected_and_got(tmp_path: Path, event: str, failure: str) -> None:
    """A price would be wrong while its case passes, or nobody could tell what is wrong."""
    assert _failures(tmp_path, f"- {{case: one, events: [{event}]}}") == [f'shop.cases.yaml:2: "one": {failure}']


def test_a_total_is_compared(tmp_path: Path) -> None:
    """A page that gives only the sum of a month could not be a case."""
    cases = '- {case: sum, events: [{product: sms, repeat: 3}, {product: fax}], total: "0.04"}'
    assert _failures(tmp_path, cases) == [
        'shop.cases.yaml:2: "sum": events[1]: charges: expected no refusal, got refused: no_rule (no rule charges the product "fax")',
        'shop.cases.yaml:2: "sum": total: amount: expected 0.04, got 0.03',
    ]


def test_sums_of_large_amounts_are_exact(tmp_path: Path) -> None:
    """A case of more digits than a default decimal holds would pass or fail by a rounding of its own."""
    event = '{product: sms, quantity: "99999999999999999999999999", repeat: 90, charges: [{rule: sms, amount: "%s"}]}'
    assert _failures(tmp_path, f"- {{case: big, events: [{event % '89999999999999999999999999.1'}]}}") == []
    assert (
        len(_failures(tmp_path, f"- {{case: big, events: [{event % '89999999999999999999999999.100000000001'}]}}")) == 1
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cases: []", "shop.cases.yaml:1: cases: has no case; add one"),
        ("cases: [{case: a, events: []}]", "shop.cases.yaml:1: cases[0].events: has no event; add one"),
        ("cases: [{case: a, events: [{product: sms}]}]",
         "shop.cases.yaml:1: cases[0].events[0]: expects nothing; write its charges, refused, or a total of the case"),
        ("cases: [{case: a, events: [{product: sms, charges: []}]}]",
         "shop.cases.yaml:1: cases[0].events[0].charges: lists no charge; write {rule: .., amount: ..}, or refused: no_rule"),
        ("cases: [{case: a, events: [{product: sms, refused: nope}]}]",
         'shop.cases.yaml:1: cases[0].events[0].refused: "nope" is not a reason; write one of no_rule, wrong_currency, bad_quantity, bad_account, bad_period, overflow'),
        ("cases: [{case: a, events: [{product: sms, refused: no_rule, charges: [{rule: a, amount: 1}]}]}]",
         "shop.cases.yaml:1: cases[0].events[0]: must have either charges or refused; keep one of them"),
        ("cases: [{case: a, events: [{product: sms, account: a b, refused: no_rule}]}]",
         'shop.cases.yaml:1: cases[0].events[0].account: "a b" is not an account; write 1 to 64 visible ASCII characters'),
        ("cases: [{case: a, events: [{product: sms, charges: [{rule: a, amount: 1.5}]}]}]",
         'shop.cases.yaml:1: cases[0].events[0].charges[0].amount: 1.5 is a float to YAML and may lose digits; write "1.5"'),
        ("cases: [{case: a, events: [{product: sms, charges: [{rule: a, amount: 1}, {rule: a, amount: 1}]}]}]",
         'shop.cases.yaml:1: cases[0].events[0].charges[1]: the rule "a" is listed twice; add its amounts up'),
        ("cases: [{case: a, events: [{product: sms, quantity: -1, refused: no_rule}]}]",
         'shop.cases.yaml:1: cases[0].events[0].quantity: "-1" is too small; write 0 or more'),
        ("cases: [{case: a, events: [{product: sms, attributes: {product: x}, refused: no_rule}]}]",
         "shop.cases.yaml:1: cases[0].events[0].attributes.product: is a field of every event; write it beside attributes"),
        ("cases: [{case: a, events: [{product: sms, attributes: [x], refused: no_rule}]}]",
         "shop.cases.yaml:1: cases[0].events[0].attributes: must be a mapping of attribute to text, such as {country: US}"),
        ("cases: [{case: a, events: [{product: f, refused: no_rule}]}, {case: a, events: [{product: f, refused: no_rule}]}]",
         'shop.cases.yaml:1: cases[1].case: the case "a" exists already; rename one'),
    ],
)  # fmt: skip
def test_what_is_no_case_is_told(tmp_path: Path, text: str, problem: str) -> None:
    """A misspelt expectation would never be compared."""
    assert _problems(tmp_path, text) == [problem]


def test_a_file_without_a_book_names_it(tmp_path: Path) -> None:
    """Cases of one book could not be kept in two files."""
    (tmp_path / "shop.yaml").write_text(BOOK)
    path = tmp_path / "more.cases.yaml"
    path.write_text("book: shop.yaml\ncases: [{case: a, events: [{product: fax, refused: no_rule}]}]")
    read = read_cases(path)
    assert read.book == tmp_path / "shop.yaml"
    assert list(failures(load(read.book), read)) == []


def test_each_case_begins_with_nothing_used(tmp_path: Path) -> None:
    """A cumulative price would cost what the cases before it had used up, or not add up inside a case."""
    book = tmp_path / "shop.yaml"
    tiers = 'tiers: [{up_to: 10, unit: 1}, {unit: "0.5"}]'
    rule = f"{{id: api, when: {{product: api}}, price: {{graduated: {{per: month, {tiers}}}}}}}"
    book.write_text(f"book: shop\nversion: 1\ncurrency: USD\ncharges:\n- group: usage\n  rules: [{rule}]\n")
    case = """\
- case: %s
  events:
  - {product: api, quantity: 8, charges: [{rule: api, amount: 8}]}
  - {product: api, quantity: 8, account: other, charges: [{rule: api, amount: 8}]}
  - {product: api, quantity: 1, repeat: 4, charges: [{rule: api, quantity: 4, amount: 3}]}  # 2 x 1 + 2 x 0.5
  - {product: api, quantity: 8, time: 2026-02-01, charges: [{rule: api, amount: 8}]}
  total: 27
"""
    (tmp_path / "shop.cases.yaml").write_text("cases:\n" + case % "one" + case % "two")
    read = read_cases(beside(book))
    assert list(map(str, failures(load(book), read))) == []
