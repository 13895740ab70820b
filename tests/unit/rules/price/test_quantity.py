"""Billed quantities: worked by hand."""

from pathlib import Path

import pytest

from tests.rulebooks import price, reasons, rules_of

MINUTES = "quantity: {round_up_to: 60, per: 60}, "


@pytest.mark.parametrize(
    ("rule", "quantity", "shown", "amount"),
    [
        ("quantity: {round_up_to: 60, per: 60}", "0", "0", "0"),
        ("quantity: {round_up_to: 60, per: 60}", "0.000000000001", "1", "0.014"),
        ("quantity: {round_up_to: 60, per: 60}", "60", "1", "0.014"),
        ("quantity: {round_up_to: 60, per: 60}", "61", "2", "0.028"),
        ("quantity: {round_up_to: 60, per: 60, minimum: 1}", "0", "1", "0.014"),
        ("quantity: {round_up_to: 60}", "61", "120", "1.68"),
        ("quantity: {per: 60}", "100", "1.666666666667", "0.023333333333"),
        ("quantity: {per: 1024}", "512", "0.5", "0.007"),
        ("quantity: {per: 3, minimum: 1}", "1", "1", "0.014"),
        ("quantity: {per: 3, minimum: 1}", "4", "1.333333333333", "0.018666666667"),
        ('quantity: {round_up_to: 6, per: 60, minimum: "0.5"}', "7", "0.5", "0.007"),
        ('quantity: {round_up_to: 6, per: 60, minimum: "0.5"}', "31", "0.6", "0.0084"),
        ('quantity: {round_up_to: "0.25"}', "1.1", "1.25", "0.0175"),
        ('quantity: {minimum: "0.000000000001"}', "0", "0.000000000001", "0"),
        ("quantity: {round_up_to: 60, per: 60}", "60000000000000000000000001", "1000000000000000000000001", None),
    ],
)
def test_quantity_is_rounded_up_divided_and_bounded(
    tmp_path: Path, rule: str, quantity: str, shown: str, amount: str | None
) -> None:
    """A call of 61 seconds would be billed as one minute, or an unanswered one below its minimum."""
    book = rules_of(tmp_path, f'{rule}, price: {{per_unit: "0.014"}}')
    assert price(book, {"quantity": quantity}) == [(0, "r0", "acme", shown, amount or "14000000000000000000000.014")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1001", "1001"),
        ("007", "7"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("25E-1", "2.5"),
        ("-0", "0"),
        ("0e99", "0"),
        ("0.000000000001", "0.000000000001"),
        ("0.1000000000000000", "0.1"),
        ("99999999999999999999999999.999999999999", "99999999999999999999999999.999999999999"),
        ("0" * 500 + "1", "1"),
    ],
)
def test_an_attribute_can_be_counted(tmp_path: Path, text: str, shown: str) -> None:
    """Tokens would be counted wrong, or rejected because of how a producer writes numbers."""
    book = rules_of(tmp_path, "quantity: {of: tokens}, price: {flat: 1}")
    assert price(book, {"tokens": text, "quantity": 5}) == [(0, "r0", "acme", shown, "1")]
    # The same beside plain digits and beside rubbish: other paths, same answer.
    assert price(book, {"tokens": "12"}, {"tokens": text})[1] == (1, "r0", "acme", shown, "1")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "-1", "-0.5", "+1", ".5", "1.", "1_000", " 1", "1 ", "1,5", "NaN", "Infinity", "٣", "1e26", "0x10",
        "100000000000000000000000000", "0.0000000000001", "1e-13", "1e999999999999999999999999",
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_rejected(tmp_path: Path, text: str) -> None:
    """A NaN, a negative or a half-read number would become money."""
    book = rules_of(tmp_path, "quantity: {of: tokens}, price: {flat: 1}")
    detail = "a quantity is 0 or more, below 10^26, with at most 12 decimal places"
    assert reasons(book, {"tokens": "5"}, {"tokens": text}) == [
        (1, "bad_quantity", f'the attribute "tokens" is "{text}"; {detail}'),
    ]


def test_an_absent_attribute_is_no_quantity(tmp_path: Path) -> None:
    """A call that does not say how many tokens it used would be free."""
    book = rules_of(tmp_path, "quantity: {of: tokens}, price: {flat: 1}")
    assert reasons(book, {}) == [
        (
            0,
            "bad_quantity",
            'the attribute "tokens" is absent; a quantity is 0 or more, below 10^26, with at most 12 decimal places',
        ),
    ]


@pytest.mark.parametrize("quantity", ["-1", "0.0000000000001", "100000000000000000000000000"])
def test_the_events_own_quantity_is_checked_too(tmp_path: Path, quantity: str) -> None:
    """A negative quantity would be paid out."""
    book = rules_of(tmp_path, "price: {flat: 1}")
    detail = "a quantity is 0 or more, below 10^26, with at most 12 decimal places"
    assert reasons(book, {"quantity": "0.5"}, {"quantity": quantity}) == [
        (1, "bad_quantity", f"the quantity is {quantity}; {detail}"),
    ]


def test_an_uncounted_bad_quantity_does_no_harm(tmp_path: Path) -> None:
    """An event whose rule counts an attribute would be refused for a field that nobody bills."""
    book = rules_of(tmp_path, 'quantity: {of: tokens}, price: {per_unit: "0.5"}')
    assert price(book, {"quantity": "-1", "tokens": "3"}) == [(0, "r0", "acme", "3", "1.5")]


def test_a_billed_quantity_of_26_digits_overflows(tmp_path: Path) -> None:
    """A quantity that the column cannot hold would stop the shard's transaction."""
    book = rules_of(tmp_path, 'quantity: {per: "0.001"}, price: {flat: 1}')
    events = [{"quantity": "99999999999999999999999"}, {"quantity": "100000000000000000000000"}]
    detail = "the quantity or the amount has more than 26 digits before the point"
    assert reasons(book, *events) == [(1, "overflow", detail)]
