"""One event explained as the path takes it: the rows are those that a shard would write, and sums add up."""

import json
from pathlib import Path

import attrs
import pytest

from billing.reads.explained import UndecodableError, explained
from rules import books_path
from rules.load import load
from rules.running import Held
from tests.rulebooks import book_of, rules_of

CALL = {
    "id": "e1",
    "account": "acme",
    "product": "voice",
    "time": "2026-03-01T10:20:30Z",
    "quantity": "61",
    "attributes": {"direction": "outbound", "to": "+447700900123", "country": "GB", "reseller": "partner"},
}


def _body(**changed: object) -> bytes:
    return json.dumps({**CALL, **changed}).encode()


def test_rows_of_every_account_that_is_charged() -> None:
    """The explanation would show other rows than the tables have."""
    told = explained(_body(), load(books_path() / "telecom.yaml"), Held())
    assert (told.book, told.event, told.account, told.refused) == ("telecom", "e1", "acme", None)
    shown = [(row["account"], row["event"], row["line"], row["rule"], row["amount"]) for row in told.rows.records]
    assert sorted(map(str, shown)) == sorted(
        map(str, [("acme", "e1", 0, "voice-outbound", "0.07"), ("partner", "acme e1", 0, "reseller-share", "0.007")])
    )
    assert {(row["account"], row["amount"]) for row in told.rows.balances} == {("acme", "0.07"), ("partner", "0.007")}
    hourly = [row for row in told.rows.rollups if row["rollup"] == "hourly" and row["account"] == "acme"]
    assert [(row["bucket"], row["dims"], row["amount"]) for row in hourly] == [
        ("2026-03-01T10:00:00Z", '["voice"]', "0.07")
    ]
    assert told.rows.tiers == ()


def test_a_cumulative_price_goes_on_from_what_was_used(tmp_path: Path) -> None:
    """The row of the counter would not be what the arithmetic leads to."""
    book = rules_of(tmp_path, 'price: {graduated: {per: month, tiers: [{up_to: 100, unit: 1}, {unit: "0.5"}]}}')
    told = explained(_body(), book, Held(90 * 10**12, 4))
    (record,), (tier,) = told.rows.records, told.rows.tiers
    assert record["amount"] == "35.5"  # 10 x 1 + 51 x 0.5
    assert {key: tier[key] for key in ("account", "rule", "period", "quantity", "events", "amount")} == {
        "account": "acme", "rule": "r0", "period": "2026-03-01T00:00:00Z",
        "quantity": "151", "events": 5, "amount": "125.5",
    }  # fmt: skip


def test_a_void_is_explained_as_its_event_and_what_takes_it_back() -> None:
    """Who asks why a charge was taken back would see the rows of a void that met no event."""
    book = load(books_path() / "telecom.yaml")
    void, event = explained(_body(type="void"), book, Held()), explained(_body(), book, Held())
    assert attrs.evolve(void, taken_back=None) == event
    assert event.taken_back is None
    assert void.taken_back is not None
    shown = {(row["account"], row["event"], row["line"], row["amount"]) for row in void.taken_back.records}
    assert shown == {("acme", "e1", -1, "-0.07"), ("partner", "acme e1", -1, "-0.007")}
    refused = explained(_body(type="void", product="fax"), book, Held())
    assert (refused.refused, refused.taken_back) == ("no_rule", None)


CONTRACTED = """
contracts: {file: contracts.csv}
tiers:
  gold: [{up_to: 100, unit: "0.8"}, {unit: "0.4"}]
charges:
- group: usage
  rules:
  - id: api
    price: {graduated: {per: month, tiers: [{up_to: 100, unit: 1}, {unit: "0.5"}]}}
    per_period: {minimum: 50}
"""


@pytest.mark.parametrize(
    ("row", "words", "amount", "least"),
    [
        ("acme,12.5,gold,20", "contracts.csv:2, for the whole period: its own tiers, 12.5 percent less", "24.85", "20"),
        ("acme,,gold,", "contracts.csv:2, for the whole period: its own tiers", "28.4", "50"),
        ("acme,50,,", "contracts.csv:2, for the whole period: 50 percent less", "17.75", "50"),
        ("acme,,,20", None, "35.5", "20"),
        ("zoe,50,,", None, "35.5", "50"),
    ],
)
def test_a_voided_tiered_event_under_a_contract(
    tmp_path: Path, row: str, words: str | None, amount: str, least: str
) -> None:
    """Support could not tell which contract made a charge, from which tiers it came, or what its void gave back."""
    contracts = "account,rule,discount,tiers,minimum\n" + row.replace(",", ",api,", 1)
    book = book_of(tmp_path, CONTRACTED, contracts=contracts)
    told = explained(_body(type="void"), book, Held(90 * 10**12, 4))
    line = told.groups[0].line
    assert line is not None
    assert line.amount == amount
    steps = {step.step: step for step in line.steps}
    assert (steps["contract"].how if "contract" in steps else None) == words
    assert steps["at least"].result == least
    assert ("contracts.csv:2" in steps["at least"].how) == (least == "20")
    assert [step.how.partition(":")[0] for step in line.steps if step.step == "tier"] == [
        "above 0 up to 100", "above 100",
    ]  # fmt: skip
    assert told.taken_back is not None
    (tier,), (record,) = told.taken_back.tiers, told.taken_back.records
    assert (tier["quantity"], tier["events"]) == ("90", 4)
    assert (record["line"], record["amount"]) == (-1, f"-{amount}")


def test_a_refused_event_writes_nothing() -> None:
    """Somebody would look for the charge of an event that lies in quarantine."""
    told = explained(_body(product="fax"), load(books_path() / "telecom.yaml"), Held())
    assert (told.refused, told.detail) == ("no_rule", 'no rule charges the product "fax"')
    assert (told.rows.records, told.rows.balances) == ((), ())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "undecodable: not JSON"),
        (_body(time="yesterday"), "bad_field: time is not an RFC 3339 date-time"),
        (_body(id=""), "bad_field: id has 0 characters"),
    ],
)
def test_what_is_no_event_says_so(body: bytes, words: str) -> None:
    """A misspelt event would look like one that no rule matches."""
    with pytest.raises(UndecodableError, match=words):
        explained(body, load(books_path() / "telecom.yaml"), Held())
