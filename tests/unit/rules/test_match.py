"""Which rule wins: conditions, dates, groups, and the memos behind them."""

from pathlib import Path

import numpy as np
import pytest

import rules.block
import rules.classes
import rules.match
from rules.classes import distinct
from rules.columns import Coded
from rules.pricer import Pricer
from tests.rulebooks import TIME_US, book_of, lines_of, price, rules_of, usage_of

DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("x: US", ["US"], [None, "", "us", "USA", "DE"]),
        ('x: ""', [""], [None, "US"]),
        ("x: 200", ["200"], [None, "200.0", "0200"]),
        ("x: [US, PR]", ["US", "PR"], [None, "", "DE"]),
        ('x: {prefix: "+1"}', ["+1", "+12"], [None, "", "+", "1"]),
        ('x: {prefix: ["+1", "+44"]}', ["+1", "+447"], [None, "+4", "+2"]),
        ("x: {min: 10, max: 20}", ["10", "19.999999999999", "1e1", "010"], [None, "", "9.9", "20", "-15", "x", "NaN"]),
        ('x: {min: "-0.5"}', ["-0.5", "0", "1e20"], [None, "-0.51", "+1", "1e26"]),
        ("x: {max: 0}", ["-1", "-0.000001"], [None, "0", "-0", "x"]),
        ("x: {exists: true}", ["", "y"], [None]),
        ("x: {exists: false}", [None], ["", "y"]),
        ("x: {not: US}", [None, "", "DE"], ["US"]),
        ("x: {not: [US, PR]}", [None, "DE"], ["US", "PR"]),
        ("x: {not: {min: 5}}", [None, "x", "4"], ["5"]),
        ("x: {not: {not: US}}", ["US"], [None, "DE"]),
        ('x: {prefix: "+1", not: {prefix: "+1900"}}', ["+1", "+190"], [None, "+1900", "+2"]),
        ("x: {exists: true, not: US}", ["", "DE"], [None, "US"]),
        ("x: {min: 5, not: [7, 8]}", ["5", "7.0"], ["7", "8", "4", None]),
    ],
)
def test_conditions_on_attributes(
    tmp_path: Path, condition: str, holds: list[str | None], fails: list[str | None]
) -> None:
    """Events would be charged by a rule that was not written for them."""
    book = rules_of(tmp_path, f"when: {{{condition}}}, price: {{flat: 1}}", "price: {flat: 2}")
    lines = price(book, *({"x": text} for text in (*holds, *fails)))
    assert [line[1] for line in lines] == ["r0"] * len(holds) + ["r1"] * len(fails)


@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ("3", ["3", "3.0"], ["2.999999999999", "3.000000000001", "0"]),
        ('["0.5", 2]', ["0.5", "2"], ["0.51", "1"]),
        ('{min: 1, max: "2.5"}', ["1", "2.499999999999"], ["0.999999999999", "2.5", "1000"]),
        ("{min: 10000000000}", ["10000000000", "99999999999999999999999999"], ["9999999999.999999999999", "0"]),
        ('{max: "0.0000000000000000000001"}', ["0"], ["0.000000000001", "1"]),
        ("{not: {min: 5}}", ["4", "0"], ["5", "6"]),
    ],
)
def test_conditions_on_the_quantity_compare_numbers(
    tmp_path: Path, condition: str, holds: list[str], fails: list[str]
) -> None:
    """A price for large quantities would start one too early or too late, or depend on how a number is written."""
    book = rules_of(tmp_path, f"when: {{quantity: {condition}}}, price: {{flat: 1}}", "price: {flat: 2}")
    expected = ["r0"] * len(holds) + ["r1"] * len(fails)
    assert [line[1] for line in price(book, *({"quantity": number} for number in (*holds, *fails)))] == expected
    # One at a time: columns of another scale and width.
    assert [price(book, {"quantity": number})[0][1] for number in (*holds, *fails)] == expected


def test_conditions_on_product_and_account(tmp_path: Path) -> None:
    """An agreement with one customer would apply to all of them."""
    book = rules_of(
        tmp_path,
        "when: {account: {prefix: big-}, product: [sms, mms]}, price: {flat: 1}",
        "when: {product: {not: sms}}, price: {flat: 2}",
        "when: {account: acme}, price: {flat: 3}",
        "price: {flat: 4}",
    )
    events = [
        {"account": "big-1"},
        {"account": "big-1", "product": "voice"},
        {"account": "acme"},
        {"account": "b"},
    ]
    assert [line[1] for line in price(book, *events)] == ["r0", "r1", "r2", "r3"]


def test_effective_dates_are_half_open(tmp_path: Path) -> None:
    """A price change at midnight would be charged a microsecond early, late, twice or not at all."""
    book = rules_of(
        tmp_path,
        "until: 2026-01-01, price: {flat: 1}",
        'from: 2026-01-01, until: "2026-01-02T01:00:00+01:00", price: {flat: 2}',
        "from: 2026-01-02T00:00:00.000001Z, price: {flat: 3}",
        "price: {flat: 4}",
    )
    times = [TIME_US - 1, TIME_US, TIME_US + DAY_US - 1, TIME_US + DAY_US, TIME_US + DAY_US + 1, -(10**15)]
    assert [line[1] for line in price(book, *({"time_us": time} for time in times))] == [
        "r0",
        "r1",
        "r1",
        "r3",
        "r2",
        "r0",
    ]


def test_the_first_rule_wins_and_every_group_is_tried(tmp_path: Path) -> None:
    """An event would be charged twice in a group, or a fee would be forgotten."""
    book = book_of(
        tmp_path,
        """
charges:
- group: usage
  rules:
  - {id: a1, when: {c: US}, price: {flat: 1}}
  - {id: a2, when: {c: [US, DE]}, price: {flat: 2}}
- group: fee
  rules:
  - {id: b1, when: {c: [FR, DE]}, price: {flat: 3}}
- group: tax
  rules:
  - {id: c1, when: {c: {exists: true}}, price: {flat: 4}}
""",
    )
    lines = price(book, {"c": "US"}, {"c": "DE"}, {"c": "FR"})
    assert [line[:2] for line in lines] == [
        (0, "a1"), (0, "c1"),
        (1, "a2"), (1, "b1"), (1, "c1"),
        (2, "b1"), (2, "c1"),
    ]  # fmt: skip


def test_a_big_group_keeps_its_order(tmp_path: Path) -> None:
    """The index over a book's rules would let a later rule overtake an earlier one."""
    book = rules_of(
        tmp_path,
        *(f"when: {{product: p{i % 50}, c: c{i % 7}}}, price: {{flat: {i}}}" for i in range(300)),
        "when: {c: c3}, price: {flat: 1000}",
        "price: {flat: 2000}",
    )
    events = [{"product": f"p{i}", "c": f"c{j}"} for i in range(51) for j in range(8)]

    def expected(product: str, c: str) -> str:
        first = (i for i in range(300) if (f"p{i % 50}", f"c{i % 7}") == (product, c))
        return f"r{next(first, 300 if c == 'c3' else 301)}"

    assert [line[1] for line in price(book, *events)] == [expected(event["product"], event["c"]) for event in events]


def test_small_memos_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some hours, when memos are full and cleared, events would be charged by other rules than before."""
    book = rules_of(
        tmp_path,
        'when: {to: {prefix: "+1"}, n: {min: 5}}, price: {table: {file: t.csv, longest_prefix: to, column: p}}',
        "when: {n: {max: 3}}, price: {flat: 7}",
        "when: {c: [a, b]}, price: {table: {file: t.csv, key: [c, q], column: p}}",
        "price: {flat: 9}",
        t="prefix,c,q,p\n+1,a,x,0.1\n+12,a,y,0.2\n+13,b,x,\n",
    )
    events = [
        {"to": f"+1{i % 5}{i}", "n": str(i % 8), "c": "abc"[i % 3], "q": "xyz"[i % 7 % 3], "product": f"p{i % 4}"}
        for i in range(200)
    ]
    batches = [usage_of(book, events[i : i + 20]) for i in range(0, 200, 20)]
    expected = [lines_of(book, Pricer(book).price(batch)) for batch in batches]
    monkeypatch.setattr(rules.classes, "MEMO_VALUES_MAX", 3)
    for merged_max in (0, rules.block.MERGED_MAX):
        monkeypatch.setattr(rules.block, "MERGED_MAX", merged_max)
        monkeypatch.setattr(rules.match, "COMBINATIONS_MAX", 3)
        pricer = Pricer(book)
        for _ in range(2):
            assert [lines_of(book, pricer.price(batch)) for batch in batches] == expected


@pytest.mark.parametrize("sizes", [[3, 2], [3, 1, 1000], [2**31, 2**31, 2**31, 2**31], [2**62, 7]])
def test_distinct_combinations(sizes: list[int]) -> None:
    """Two different events would be taken for the same and charged alike."""
    random = np.random.default_rng(1)
    codes = [random.integers(0, min(size, 3), 500) * max(size // 3, 1) for size in sizes]
    examples, combination = distinct(codes, sizes)
    rows = list(zip(*(code.tolist() for code in codes), strict=True))
    assert [rows[example] for example in examples[combination].tolist()] == rows
    assert len(examples) == len(set(rows))


def test_distinct_of_nothing() -> None:
    """An empty batch would stop the worker."""
    examples, combination = distinct([np.zeros(0, dtype=np.int64)], [5])
    assert (len(examples), len(combination)) == (0, 0)


def test_values_that_no_row_uses_do_no_harm(tmp_path: Path) -> None:
    """A batch split in two, whose halves share a dictionary, would be charged otherwise."""
    book = rules_of(tmp_path, "when: {x: a}, quantity: {of: n}, price: {flat: 1}", "price: {flat: 2}")
    usage = usage_of(book, [{"x": "a", "n": "1"}, {"x": "b", "n": "rubbish"}, {"n": None}])
    rows = np.array([0])
    half = type(usage)(
        usage.account.take(rows),
        usage.product.take(rows),
        usage.time_us[rows],
        usage.quantity.take(rows),
        {name: column.take(rows) for name, column in usage.attributes.items()},
    )
    assert lines_of(book, Pricer(book).price(half)) == [(0, "r0", "acme", "1", "1")]
    assert isinstance(half.account, Coded)
