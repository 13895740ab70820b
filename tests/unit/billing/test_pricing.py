"""Events become parts and lines: whose they are, how they are numbered, what is kept, what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import rules
from billing.charge import Charges
from billing.event import Reason
from rules.columns import PICO_PLACES
from sharding.shardmap import ShardMap
from tests.pipeline import Pipeline, payload
from tests.rulebooks import book_of, plain


def lines_of(charges):
    """Return account, key, line, rule, amount of each line."""
    accounts, keys = charges.account.rows(), charges.key.to_pylist()
    return [
        (accounts[part], keys[part], line, charges.tails[tail].rule, plain(units, PICO_PLACES))
        for part, line, tail, units in zip(
            charges.part.tolist(),
            charges.line.tolist(),
            charges.tail.tolist(),
            charges.amount.units.tolist(),
            strict=True,
        )
    ]


def reasons(batch):
    """Return offset, account, reason and detail of what was refused."""
    return [(one.offset, one.account, one.reason, one.detail) for one in batch.rejects]


def test_nothing_becomes_nothing(pipeline):
    """An idle moment would stop the worker."""
    batch = pipeline.slice([])
    assert (len(batch), lines_of(batch.charges), reasons(batch)) == (0, [], [])


def test_lines_are_numbered_within_a_part(pipeline):
    """Two lines of one event would have one key, and the second be refused as a repeat."""
    charges = pipeline.slice(
        [
            payload("a", quantity=10, attributes={"reseller": "acme"}),
            payload("b", quantity=20, attributes={"reseller": "zoe"}),
            payload("c", "zoe"),
        ]
    ).charges
    assert lines_of(charges) == [
        ("acme", "a", 0, "unit", "10"),
        ("acme", "a", 1, "share", "1"),
        ("acme", "b", 0, "unit", "20"),
        ("zoe", "acme b", 0, "share", "2"),
        ("zoe", "c", 0, "unit", "1"),
    ]
    assert charges.home.tolist() == [True, True, False, True]
    assert charges.offset.tolist() == [0, 1, 1, 2]
    assert charges.digest[1] == charges.digest[2]


def test_an_event_that_charges_others_only_has_a_zero_line(pipeline):
    """Its repeat would meet no record at home: a conflicting one would be billed."""
    charges = pipeline.slice([payload("a", product="resold", quantity=7, attributes={"reseller": "zoe"})]).charges
    assert lines_of(charges) == [("acme", "a", 0, "", "0"), ("zoe", "acme a", 0, "resold", "7")]
    tails = [charges.tails[tail] for tail in charges.tail.tolist()]
    assert [(tail.product, tail.currency, tail.book_version) for tail in tails] == [("resold", "USD", 1)] * 2


def test_a_void_has_a_part_even_if_nothing_prices_it(pipeline):
    """The charges of a product that was taken out of the book could not be taken back."""
    batch = pipeline.slice([payload("a", product="fax", type="void"), payload("b"), payload("c", product="fax")])
    assert lines_of(batch.charges) == [("acme", "a", 0, "", "0"), ("acme", "b", 0, "unit", "1")]
    assert batch.charges.void.tolist() == [True, False]
    assert [row[:3] for row in reasons(batch)] == [(2, "acme", Reason.NO_RULE)]


def test_a_void_that_nothing_prices_is_in_its_account_s_currency(tmp_path):
    """An account would show a balance of nothing in a currency that it does not have."""
    charges = """
accounts: {file: accounts.csv}
charges:
- {group: usage, rules: [{id: dollars, when: {product: sms}, price: {per_unit: 1}}]}
- {group: usage, currency: EUR, rules: [{id: euros, when: {product: sms}, price: {per_unit: 1}}]}
"""
    book = book_of(tmp_path, charges, accounts="account,currency\nberlin,EUR\nboston,USD\nkyoto,JPY\n")
    bodies = [payload("a", name, "fax", type="void") for name in ("berlin", "boston", "elsewhere", "kyoto")]
    found = Pipeline(book, ShardMap.even(["s1"])).slice([*bodies, payload("b", "berlin")]).charges
    currencies = [found.tails[tail].currency for tail in found.tail.tolist()]
    assert currencies == ["EUR", "USD", "USD", book.currencies[0], "EUR"]


@pytest.mark.parametrize("absent", [[0], [1], [2], [0, 2], [0, 1, 2], []])
def test_kept_attributes_stay_with_their_event(pipeline, absent):
    """A statement would show somebody else's number, or a worker stop at an event that has none."""
    numbers = [None if n in absent else f"+{n}" for n in range(3)]
    payloads = [
        payload(f"e{n}", attributes={"country": "US"} if to is None else {"to": to}) for n, to in enumerate(numbers)
    ]
    kept = pipeline.slice(payloads).charges.kept.to_pylist()
    assert kept == ["" if to is None else f'{{"to":"{to}"}}' for to in numbers]


@pytest.mark.parametrize("text", ["", '"', "\\", "\0", "\n", "a,b", "é", "💣", "\u2028", "x" * 1024])
def test_kept_is_json_whatever_the_text(pipeline, text):
    """A statement could not be read for one customer's odd attribute."""
    (kept,) = pipeline.slice([payload(attributes={"to": text})]).charges.kept.to_pylist()
    assert json.loads(kept) == {"to": text}


def test_what_is_too_wide_to_keep_is_refused(pipeline):
    """The database would refuse the whole batch."""
    batch = pipeline.slice([payload("a", attributes={"to": "\x01" * 1000}), payload("b")])
    assert reasons(batch) == [(0, "acme", Reason.BAD_FIELD, "kept attributes need more than 4096 bytes")]
    assert lines_of(batch.charges) == [("acme", "b", 0, "unit", "1")]


@pytest.mark.parametrize("value", ["x" * 65, "é" * 33])
def test_a_dimension_too_wide_is_refused(pipeline, value):
    """A key of a rollup would be wider than its column."""
    batch = pipeline.slice(
        [payload("a", attributes={"country": value}), payload("b", attributes={"country": "é" * 32})]
    )
    detail = "attributes.country is a dimension and longer than 64 bytes"
    assert reasons(batch) == [(0, "acme", Reason.BAD_FIELD, detail)]
    assert lines_of(batch.charges) == [("acme", "b", 0, "unit", "1")]


def test_rejects_of_pricing_name_event_and_payload(pipeline):
    """Nobody could find out which event was not billed, or why."""
    bad = [
        payload("a", product="fax"),
        payload("b", attributes={"currency": "EUR"}),
        payload("c", product="resold", attributes={"reseller": "a b"}),
    ]
    batch = pipeline.slice([payload("ok"), *bad], 40)
    assert [(one.offset, one.account, one.reason) for one in batch.rejects] == [
        (41, "acme", Reason.NO_RULE),
        (42, "acme", Reason.WRONG_CURRENCY),
        (43, "acme", Reason.BAD_ACCOUNT),
    ]
    assert [one.payload for one in batch.rejects] == bad


def test_rollup_dimensions_follow_the_event(pipeline):
    """Usage by country would be counted for another country."""
    payloads = [payload("a", attributes={"country": "US"}), payload("b"), payload("c", attributes={"country": ""})]
    charges = pipeline.slice(payloads).charges
    assert [charges.tails[tail].rollup_dims for tail in charges.tail.tolist()] == [
        ("[]", '["sms","US"]'),
        ("[]", '["sms",null]'),
        ("[]", '["sms",""]'),
    ]


def test_taking_and_joining_keep_parts_and_lines_together(pipeline):
    """A line would be charged to another event's account after a batch was cut."""
    payloads = [payload(f"e{n}", f"a{n % 3}", quantity=n, attributes={"reseller": f"a{n % 2}"}) for n in range(9)]
    whole = pipeline.slice(payloads).charges
    mask = np.array([n % 3 != 1 for n in range(len(whole))])
    parts = [whole.take(mask), whole.take(~mask)]
    assert sorted(lines_of(parts[0]) + lines_of(parts[1])) == sorted(lines_of(whole))
    joined = Charges.concat(parts)
    assert lines_of(joined) == lines_of(parts[0]) + lines_of(parts[1])
    assert joined.payload.tolist() == parts[0].payload.tolist() + parts[1].payload.tolist()
    assert sorted(set(joined.part.tolist())) == list(range(len(whole)))


def test_every_reason_of_the_format_can_be_quarantined():
    """An event that pricing refuses would stop the worker instead of going to quarantine."""
    text = (Path(rules.__file__).parent / "books" / "FORMAT.md").read_text(encoding="utf-8")
    table = text.partition("| Reason | When |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert len(named) == 6
    assert set(named) <= {reason.value for reason in Reason}
