"""Settling: counters of many accounts and rules at once, and what does not fit."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from rules.book import Book
from rules.columns import Counter, Decimals
from rules.cumulative import Settled, Used, settle
from rules.pricer import Pricer
from tests.rulebooks import rules_of, usage_of

PRICES = (
    'price: {graduated: {per: month, tiers: [{up_to: 10, unit: "0.5"}, {unit: "0.25"}]}}',
    "price: {package: {per: month, size: 3, price: 2}}",
    'price: {percentage: {per: month, rate: "0.1", fixed: 1, free_events: 2}}',
    'price: {graduated: {per: month, tiers: [{up_to: 5, unit: "0.1"}, {unit: 0}]}}',
    "price: {per_unit: 3}, per_period: {per: month, maximum: 20}",
)
E12 = 10**12


def _book(folder: Path) -> Book:
    return rules_of(folder, *(f"when: {{product: p{i}}}, {price}" for i, price in enumerate(PRICES)))


def _used(*states: tuple[object, int, object]) -> Used:
    """Return counters of (quantity, events, amount), as the store keeps them."""
    quantities = [int(Decimal(str(quantity)) * E12) for quantity, _, _ in states]
    amounts = [int(Decimal(str(amount)) * E12) for _, _, amount in states]
    events = np.array([events for _, events, _ in states], dtype=np.int64)
    return Used(Decimals.of_integers(quantities, 12), events, Decimals.of_integers(amounts, 12))


def _settle(book: Book, rules: list[int], before: Used, uses: list[tuple[int, int]], scale: int = 0) -> Settled:
    counter = np.array([counter for counter, _ in uses], dtype=np.int32)
    return settle(
        book, np.array(rules, dtype=np.int32), before, counter, Decimals.of_integers([use for _, use in uses], scale)
    )


def _states(used: Used) -> list[tuple[Decimal, int, Decimal]]:
    def plain(column: Decimals) -> list[Decimal]:
        return [Decimal(int(unit)).scaleb(-column.scale) for unit in column.units]

    return list(zip(plain(used.quantity), used.events.tolist(), plain(used.amount), strict=True))


def _amounts(settled: Settled) -> list[Decimal]:
    assert settled.amount.scale == 12
    return [Decimal(int(unit)).scaleb(-12) for unit in settled.amount.units]


def test_rules_of_every_kind_are_settled_together_in_their_places(tmp_path: Path) -> None:
    """A line would get the amount of another rule or account."""
    before = _used((8, 1, 4), (0, 0, 0), (50, 1, 0), (4, 9, "0.4"), (18, 6, 18), (100, 2, "27.5"))
    uses = [(4, 3), (0, 4), (2, 10), (1, 4), (3, 2), (2, 10), (5, 2), (0, 1), (1, 2), (4, 9), (1, 1)]
    settled = _settle(_book(tmp_path), [0, 1, 2, 3, 4, 0], before, uses)
    assert settled.overflow is None
    expected = ["2", "1.5", "0", "4", "0.1", "2", "0.5", "0.25", "0", "0", "2"]
    assert _amounts(settled) == [Decimal(text) for text in expected]
    assert _states(settled.used) == [
        (13, 3, Decimal("5.75")),
        (7, 3, 6),
        (70, 3, 2),
        (6, 10, Decimal("0.5")),
        (30, 8, 20),
        (102, 3, 28),
    ]


def test_counters_without_uses_stay(tmp_path: Path) -> None:
    """A row that was only read would be changed."""
    settled = _settle(_book(tmp_path), [0, 3], _used((8, 1, 4), (1, 1, 1)), [(1, 1)])
    assert _states(settled.used) == [(8, 1, 4), (2, 2, Decimal("1.1"))]
    nothing = _settle(_book(tmp_path), [0, 1], _used((8, 1, 4), (1, 1, 1)), [])
    assert (_amounts(nothing), _states(nothing.used)) == ([], [(8, 1, 4), (1, 1, 1)])
    none = _settle(_book(tmp_path), [], Used.nothing(0), [])
    assert (len(none.amount), len(none.used)) == (0, 0)


def test_a_cap_below_what_was_charged_gives_nothing_back(tmp_path: Path) -> None:
    """A new version of the book with a lower cap would refund what an older one has charged."""
    bounded = rules_of(tmp_path, f"{PRICES[2]}, minimum: 0, per_period: {{maximum: 5}}")
    settled = _settle(bounded, [0, 0], _used((100, 3, 7), (100, 3, 4)), [(0, 10), (1, 10), (1, 10)])
    assert _amounts(settled) == [0, 1, 0]


@pytest.mark.parametrize(
    ("rule", "held", "uses", "overflow", "amounts"),
    [
        # The second would take the counter to 10^26; the third still fits.
        (0, 10**26 - 5, [4, 1, 0], [False, True, False], ["1", "0", "0"]),
        (3, 10**26 - 5, [5, 4, 1], [True, False, True], ["0", "0", "0"]),
        (1, 10**26 - 5, [10**25, 1], [True, False], ["0", "0"]),
    ],
)
def test_what_does_not_fit_is_not_counted(
    tmp_path: Path, rule: int, held: int, uses: list[int], overflow: list[bool], amounts: list[str]
) -> None:
    """The database would refuse the counter's row, and with it everybody else's charges of the batch."""
    pairs = [(0, use) for use in uses] + [(1, 1)]
    settled = _settle(_book(tmp_path), [rule, 0], _used((held, 7, 0), (0, 0, 0)), pairs)
    assert settled.overflow is not None
    assert settled.overflow.tolist() == [*overflow, False]
    assert _amounts(settled) == [*map(Decimal, amounts), Decimal("0.5")]
    counted = [use for use, over in zip(uses, overflow, strict=True) if not over]
    quantity, events, _ = _states(settled.used)[0]
    assert (quantity, events) == (held + sum(counted), 7 + len(counted))


def test_an_amount_that_does_not_fit_is_not_charged(tmp_path: Path) -> None:
    """An amount of 27 digits would stop the shard."""
    book = rules_of(
        tmp_path, "price: {graduated: {per: month, tiers: [{up_to: 1, unit: 1}, {flat: 99999999999999999999999999}]}}"
    )
    before = _used((0, 0, 0), (1, 1, 1))
    settled = _settle(book, [0, 0], before, [(0, 1), (1, 1), (1, 1), (0, 1)])
    assert settled.overflow is not None
    assert settled.overflow.tolist() == [False, True, True, True]
    assert _states(settled.used) == [(1, 1, 1), (1, 1, 1)]


def test_lines_name_their_counters(tmp_path: Path) -> None:
    """Two rules, or two months, would count together."""
    book = rules_of(
        tmp_path,
        f"when: {{product: a}}, {PRICES[0]}",
        "when: {product: b}, price: {flat: 1}",
        f"when: {{product: c}}, {PRICES[4]}, minimum: 10",
    )
    february_us = 1_769_904_000_000_000
    events = [
        {"product": "c", "quantity": "0.5"},
        {"product": "a", "quantity": "1.25"},
        {"product": "b"},
        {"product": "a", "time_us": february_us},
        {"product": "a"},
    ]
    lines = Pricer(book).price(usage_of(book, events)).lines
    january, february = 1_767_225_600, 1_769_904_000
    assert [None if code < 0 else lines.counters[code] for code in lines.counter.tolist()] == [
        Counter(2, january),
        Counter(0, january),
        None,
        Counter(0, february),
        Counter(0, january),
    ]
    assert len(set(lines.counters)) == len(lines.counters) == 3
    assert [Decimal(int(unit)).scaleb(-lines.use.scale) for unit in lines.use.units] == [
        10,  # of a linear price the amount is counted
        Decimal("1.25"),
        0,
        1,
        1,
    ]
    assert [unit // E12 for unit in lines.amount.units.tolist()] == [0, 0, 1, 0, 0]
