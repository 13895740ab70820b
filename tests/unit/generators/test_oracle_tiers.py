import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from generators.oracle import run
from generators.oracle_book import Counters
from generators.oracle_event import Event, RejectedError
from generators.oracle_files import load

HEAD = "book: b\nversion: 1\ncurrency: USD\ncharges:\n"
NEW_YEAR_US = 1_767_225_600_000_000
MONTH_US = 31 * 86_400_000_000


def counters(folder: Path, rule: str) -> Counters:
    path = folder / "book.yaml"
    path.write_text(f"{HEAD}- group: g\n  rules: [{{id: r, {rule}}}]\n")
    return Counters(load(path))


def use(of: Counters, quantity: object, account: str = "a", time_us: int = NEW_YEAR_US) -> str:
    """Return what a use costs after all uses before it."""
    event = Event("e", account, "sms", time_us, Decimal(str(quantity)), {})
    (line,) = of.settle(of.book.lines(event))
    return f"{line.amount.normalize():f}"


@pytest.mark.parametrize(
    ("rule", "uses", "amounts"),
    [
        (
            'price: {graduated: {per: month, tiers: [{up_to: 10, unit: "0.5", flat: 3}, {unit: "0.25", flat: 1}]}}',
            [0, 10, 0.5, 4],
            ["0", "8", "1.125", "1"],
        ),
        (
            'price: {volume: {per: month, tiers: [{up_to: 10, unit: 1, flat: 2}, {unit: "0.5"}]}}',
            [0, 10, 2],
            ["0", "12", "-6"],
        ),
        ("price: {package: {per: month, price: 5, size: 10, free: 3}}", [3, 1, 9, 1], ["0", "5", "0", "5"]),
        ("price: {package: {per: month, price: 5, size: 10, round: down}}", [9, 1, 25], ["0", "5", "10"]),
        ('price: {allowance: {per: month, free: 3, unit: "0.5"}}', [2, 2, 1], ["0", "0.5", "0.5"]),
        (
            'price: {graduated_percentage: {per: month, tiers: [{up_to: 100, rate: "0.03"}, {rate: "0.02"}]}}',
            [50, 100],
            ["1.5", "2.5"],
        ),
        (
            'price: {percentage: {per: month, rate: "0.1", fixed: 1, free_events: 2, free_amount: 10}}',
            [4, 8, 1],
            ["0", "1.2", "1.1"],
        ),
        ("price: {per_unit: 4}, per_period: {per: month, maximum: 10}", [2, 1, 1], ["8", "2", "0"]),
        (
            "price: {allowance: {per: month, free: 1, unit: 1}}, minimum: 1, per_period: {maximum: 3}",
            [1, 2, 5],
            ["1", "2", "0"],
        ),
        ('price: {graduated: {per: month, tiers: [{unit: "0.4"}]}}, round: {places: 0}', [1, 1, 1], ["0", "1", "0"]),
    ],
)
def test_uses_cost_what_they_add(tmp_path: Path, rule: str, uses: list[object], amounts: list[str]) -> None:
    """The engine would be measured against a wrong expectation: worked by hand."""
    of = counters(tmp_path, rule)
    assert [use(of, quantity) for quantity in uses] == amounts


def test_accounts_and_periods_count_for_themselves(tmp_path: Path) -> None:
    """The oracle would expect one account to reach a tier by another's use."""
    of = counters(tmp_path, "price: {allowance: {per: month, free: 1, unit: 1}}")
    assert [use(of, 1), use(of, 1), use(of, 1, "b"), use(of, 1, time_us=NEW_YEAR_US + MONTH_US)] == ["0", "1", "0", "0"]


def test_what_does_not_fit_counts_nothing(tmp_path: Path) -> None:
    """The oracle would expect a counter that the database cannot hold."""
    of = counters(tmp_path, "price: {allowance: {per: ever, free: 1, unit: 0}}")
    use(of, 10**26 - 2)
    with pytest.raises(RejectedError) as caught:
        use(of, 2)
    assert caught.value.reason == "overflow"
    assert [state.events for state in of.states.values()] == [1]
    assert use(of, 1) == "0"


def test_a_log_is_settled_in_its_order_and_repeats_are_not_counted(tmp_path: Path) -> None:
    """The oracle would expect a repeated event to use up the allowance."""
    counters(tmp_path, "price: {allowance: {per: month, free: 3, unit: 1}}")

    def payload(id_: str, quantity: int) -> bytes:
        fields: dict[str, Any] = {"id": id_, "account": "a", "product": "sms", "time": "2026-01-01T00:00:00Z"}
        return json.dumps(fields | {"quantity": quantity}).encode()

    log = [payload("1", 2), payload("1", 2), payload("2", 2), payload("2", 3), payload("3", 1)]
    expected = run(log, tmp_path / "book.yaml")
    assert expected.balances == {"a": Decimal(2)}
    assert (expected.accepted, expected.duplicates, dict(expected.rejects)) == (3, 1, {3: "conflict"})
