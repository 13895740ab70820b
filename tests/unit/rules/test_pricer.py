"""Pricing a batch: rejects, payers, order, and results that depend on nothing else."""

from pathlib import Path

import pytest

from rules.columns import Decimals
from rules.pricer import Pricer
from tests.rulebooks import book_of, lines_of, price, reasons, rules_of, usage_of

WANTED = "an account is 1 to 64 visible ASCII characters without quotes or backslash"


def test_an_empty_batch_has_no_lines(tmp_path: Path) -> None:
    """An idle moment would stop the worker."""
    book = rules_of(tmp_path, "quantity: {of: n}, charge: {attribute: r}, price: {flat: 1}")
    priced = Pricer(book).price(usage_of(book, []))
    assert (len(priced.lines), list(priced.rejects)) == (0, [])


def test_an_event_that_no_rule_charges_is_rejected(tmp_path: Path) -> None:
    """An event would be neither billed nor quarantined."""
    book = rules_of(tmp_path, "when: {product: sms}, price: {flat: 1}")
    assert reasons(book, {"product": "fax"}, {}) == [(0, "no_rule", 'no rule charges the product "fax"')]


def test_another_currency_is_rejected(tmp_path: Path) -> None:
    """A thousand yen would be billed as a thousand dollars."""
    book = rules_of(tmp_path, "price: {flat: 1}")
    assert book.attributes == {"currency"}
    assert reasons(book, {"currency": "USD"}, {"currency": "JPY"}, {}, {"currency": "usd"}) == [
        (1, "wrong_currency", 'the event is in "JPY", the book in "USD"'),
        (3, "wrong_currency", 'the event is in "usd", the book in "USD"'),
    ]


@pytest.mark.parametrize("name", ["", "a b", "a'b", 'a"b', "a`b", "a\\b", "é", "a" * 65, "a\n", "\x7f"])
def test_an_attribute_that_is_no_account_is_rejected(tmp_path: Path, name: str) -> None:
    """Money would be booked on an account that cannot exist, or that breaks a statement."""
    book = rules_of(tmp_path, "charge: {attribute: reseller}, price: {flat: 1}")
    found = reasons(book, {"reseller": "ok"}, {"reseller": name})
    assert [(event, reason) for event, reason, _ in found] == [(1, "bad_account")]
    assert found[0][2].endswith(f"; {WANTED}")
    assert found[0][2].isprintable()


def test_an_absent_payer_is_rejected(tmp_path: Path) -> None:
    """The event's own account would pay what somebody else owes."""
    book = rules_of(tmp_path, "charge: {attribute: reseller}, price: {flat: 1}")
    assert reasons(book, {}) == [(0, "bad_account", f'the attribute "reseller" is absent; {WANTED}')]


def test_payers_that_are_also_accounts_share_a_code(tmp_path: Path) -> None:
    """An account would appear twice in a batch, and one row of its balance would be written over the other."""
    book = rules_of(tmp_path, "charge: {attribute: reseller}, price: {flat: 1}")
    names = ["!#$%&()*+,-./:;<=>?@[]^_{|}~", "a", "b", "a", "a" * 64]
    events = [{"account": account, "reseller": name} for account, name in zip("abcde", names, strict=True)]
    priced = Pricer(book).price(usage_of(book, events))
    assert [str(account) for account in priced.lines.account.rows()] == names
    assert len(set(priced.lines.account.values)) == len(priced.lines.account.values)


def test_one_failing_group_rejects_the_whole_event(tmp_path: Path) -> None:
    """Half of an event would be billed, and the other half again after the quarantine was retried."""
    book = book_of(
        tmp_path,
        """
charges:
- {group: usage, rules: [{id: a, price: {flat: 1}}]}
- {group: tokens, rules: [{id: b, when: {n: {exists: true}}, quantity: {of: n}, price: {flat: 2}}]}
- {group: share, rules: [{id: c, when: {r: {exists: true}}, charge: {attribute: r}, price: {flat: 3}}]}
""",
    )
    events = [{"n": "x", "r": "no account"}, {"n": "1", "r": "no account"}, {"n": "1", "r": "ok"}, {}]
    priced = Pricer(book).price(usage_of(book, events))
    assert [(reject.event, reject.reason) for reject in priced.rejects] == [(0, "bad_quantity"), (1, "bad_account")]
    assert lines_of(book, priced) == [
        (2, "a", "acme", "1", "1"),
        (2, "b", "acme", "1", "2"),
        (2, "c", "ok", "1", "3"),
        (3, "a", "acme", "1", "1"),
    ]


def test_a_wrong_currency_is_told_before_anything_else(tmp_path: Path) -> None:
    """An event would be rejected twice, or for a reason that depends on the batch."""
    book = rules_of(tmp_path, "when: {product: sms}, quantity: {of: n}, price: {flat: 1}")
    events = [{"currency": "EUR"}, {"currency": "EUR", "product": "fax"}]
    assert [reason for _, reason, _ in reasons(book, *events)] == ["wrong_currency", "wrong_currency"]


def test_columns_have_the_promised_types(tmp_path: Path) -> None:
    """The next step would read other columns than it was promised."""
    book = rules_of(tmp_path, 'price: {per_unit: "0.5"}')
    lines = Pricer(book).price(usage_of(book, [{}, {"quantity": "1.25"}])).lines
    assert [column.dtype.name for column in (lines.event, lines.rule, lines.account.codes)] == ["int32"] * 3
    assert (lines.amount.scale, lines.amount.units.dtype.name, lines.quantity.scale) == (12, "int64", 2)


def test_prices_of_mixed_units_share_one_scale(tmp_path: Path) -> None:
    """Minutes and messages in one batch would be a hundred times too many or too few."""
    book = rules_of(
        tmp_path,
        "when: {product: voice}, quantity: {per: 60}, price: {flat: 1}",
        "when: {product: data}, quantity: {per: 8}, price: {flat: 1}",
        "price: {flat: 1}",
    )
    events = [{"product": "voice", "quantity": 10}, {"product": "data", "quantity": 1}, {"quantity": 99999999999}]
    assert [line[3] for line in price(book, *events)] == ["0.166666666667", "0.125", "99999999999"]


def test_decimals_widen_where_int64_ends() -> None:
    """A rescaled number would wrap around."""
    wide = Decimals.of_integers([2**62, -1]).rescaled(12)
    assert wide.units.tolist() == [2**62 * 10**12, -(10**12)]
    assert Decimals.of_integers([0, 0]).times(10**30).units.tolist() == [0, 0]
    assert Decimals.of_integers([]).rescaled(24).units.tolist() == []
