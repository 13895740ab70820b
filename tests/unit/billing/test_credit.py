"""Credit events: what is accepted in both forms, what is refused and why, and that the oracle refuses it alike."""

import json
from decimal import Decimal

import pytest

from billing.credit import Credit, Kind
from billing.reads.explained import explained
from billing.upsert import Dialect, packet
from billing.wire import InvalidEventError, Reason, read_event
from generators import oracle
from generators.oracle_event import RejectedError, parse
from rules.running import Held
from tests.pipeline import COUNTING, HOUR, credit, payload, pipeline_in

GRANT = {"kind": "grant", "amount": "30", "currency": "USD"}
PAYMENT = {"kind": "payment", "amount": 2, "currency": "USD"}
FULL = GRANT | {"cost": "25.50", "priority": 0, "expires": "2026-02-01T01:00:00+01:00", "products": ["b", "a", "b"]}
TERMS = Credit(
    Kind.GRANT, "USD", Decimal(30), Decimal("25.5"), 0, (HOUR + 31 * 86_400) * 1_000_000, ("a", "b")
)  # fmt: skip


BOOK = """
charges:
- group: usage
  rules: [{id: sms, when: {product: {prefix: sms}}, price: {per_unit: 1}}]
rollups: [{name: hourly, every: hour, by: [product]}]
"""


def cloud(terms, **data):
    """Write a credit as a CloudEvent."""
    data = {"account": "acme", "type": "credit", "credit": terms} | data
    envelope = {"specversion": "1.0", "id": "c", "source": "/crm", "type": "t", "time": "2026-01-01T00:00:00Z"}
    return json.dumps(envelope | {"data": data}).encode()


@pytest.mark.parametrize("body", [credit("c", FULL), cloud(FULL), credit("c", FULL, attributes={})])
def test_terms_are_read_from_both_forms(body):
    """A promise to a customer would depend on how the producer writes events."""
    event = read_event(body)
    assert event.credit == TERMS
    assert (event.id, event.account, event.type, event.quantity) == ("c", "acme", "credit", 0)
    assert event.digest == read_event(credit("c", FULL)).digest
    assert event.digest == read_event(credit("c", FULL, type="void")).digest
    assert TERMS.text == (
        '{"kind":"grant","amount":"30","currency":"USD","cost":"25.5","priority":0,'
        '"expires":"2026-02-01T00:00:00Z","products":["a","b"]}'
    )


def test_what_is_left_out_is_the_same_as_the_default():
    """A producer that starts to write defaults would make conflicts of all its repeats."""
    spelt = GRANT | {"cost": 0, "priority": 50, "expires": None, "products": None}
    assert read_event(credit("c", spelt)).digest == read_event(credit("c", GRANT)).digest
    assert read_event(credit("c", PAYMENT)).credit == Credit(
        Kind.PAYMENT, "USD", Decimal(2), Decimal(2), 50, None, ()
    )  # fmt: skip


@pytest.mark.parametrize("name", ["amount", "cost", "priority", "expires", "products", "kind"])
def test_any_other_term_is_another_body(name):
    """A second credit with other terms under the id of the first would be dropped as its repeat."""
    other = {"amount": 31, "cost": 1, "priority": 1, "expires": "2027-01-01T00:00:00Z", "products": ["a"]}
    terms = PAYMENT | {"amount": 30} if name == "kind" else FULL | {name: other[name]}
    assert read_event(credit("c", terms)).digest != read_event(credit("c", FULL)).digest


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        (credit("c", GRANT | {"amount": 0}), Reason.BAD_CREDIT, "credit.amount is zero"),
        (credit("c", GRANT | {"amount": -1}), Reason.BAD_CREDIT, "credit.amount is negative"),
        (credit("c", GRANT | {"amount": "1e-13"}), Reason.BAD_CREDIT, "credit.amount has more than 12 decimal places"),
        (credit("c", GRANT | {"amount": "1e26"}), Reason.BAD_CREDIT, "credit.amount has more than 26 integer digits"),
        (credit("c", GRANT | {"amount": None}), Reason.BAD_CREDIT, "credit.amount is not a decimal number"),
        (credit("c", GRANT | {"amount": [1]}), Reason.BAD_CREDIT, "credit.amount is not a decimal number"),
        (credit("c", GRANT | {"cost": -1}), Reason.BAD_CREDIT, "credit.cost is negative"),
        (credit("c", GRANT | {"kind": "gift"}), Reason.BAD_CREDIT, "credit.kind is not one of payment, grant"),
        (credit("c", GRANT | {"priority": 256}), Reason.BAD_CREDIT, "credit.priority is not an integer from 0 to 255"),
        (credit("c", GRANT | {"priority": -1}), Reason.BAD_CREDIT, "credit.priority is not an integer from 0 to 255"),
        (credit("c", GRANT | {"expires": "2026-01-01T00:00:00Z"}), Reason.BAD_CREDIT, "credit.expires is not between"),
        (credit("c", GRANT | {"expires": "2100-01-01T00:00:00Z"}), Reason.BAD_CREDIT, "credit.expires is not between"),
        (credit("c", GRANT | {"expires": "soon"}), Reason.BAD_CREDIT, "credit.expires is not an RFC 3339 date-time"),
        (credit("c", GRANT | {"products": []}), Reason.BAD_CREDIT, "credit.products has not 1 to 32 entries"),
        (credit("c", GRANT | {"products": ["a"] * 33}), Reason.BAD_CREDIT, "credit.products has not 1 to 32 entries"),
        (credit("c", GRANT | {"products": ["a b"]}), Reason.BAD_CREDIT, "credit.products has an entry that cannot"),
        *(
            (credit("c", PAYMENT | {name: FULL[name]}), Reason.BAD_CREDIT, f"credit.{name} is of grants")
            for name in ("cost", "priority", "expires", "products")
        ),
        (payload(type="credit"), Reason.BAD_CREDIT, "type credit needs the field credit"),
        (credit("c", GRANT, type="usage"), Reason.BAD_CREDIT, "credit is for events of type credit, and voids"),
        (credit("c", GRANT, type="hold"), Reason.UNKNOWN_TYPE, "type is not one of credit, usage, void"),
        (credit("c", GRANT | {"priority": 1.5}), Reason.BAD_FIELD, "Expected `int | null`, got `float`"),
        (credit("c", GRANT | {"products": "a"}), Reason.BAD_FIELD, "Expected `array | null`, got `str`"),
        (
            credit("c", GRANT | {"scope": "a"}),
            Reason.BAD_FIELD,
            "Object contains unknown field `scope` - at `$.credit`",
        ),
        (credit("c", {"kind": "grant", "amount": 1}), Reason.BAD_FIELD, "missing required field `currency`"),
        (credit("c", []), Reason.BAD_FIELD, "Expected `object`, got `array` - at `$.credit`"),
        (credit("c", GRANT, product="sms"), Reason.BAD_FIELD, "Object contains unknown field `product`"),
        (credit("c", GRANT, quantity=1), Reason.BAD_FIELD, "Object contains unknown field `quantity`"),
        (cloud(GRANT, product="sms"), Reason.BAD_FIELD, "Object contains unknown field `product` - at `$.data`"),
        (credit("c", GRANT, account="a b"), Reason.BAD_FIELD, "account has a character outside"),
        (credit("c", GRANT, time="1999-01-01T00:00:00Z"), Reason.TIME_OUT_OF_RANGE, "time is outside"),
    ],
    ids=lambda value: ascii(value)[-60:],
)
def test_refusals_say_what_is_wrong(body, reason, words):
    """A credit would be given on other terms than were meant, or nobody know what to correct."""
    with pytest.raises(InvalidEventError) as refused:
        read_event(body)
    assert refused.value.reason is reason
    assert words in refused.value.detail
    with pytest.raises(RejectedError) as by_oracle:
        parse(body)
    assert by_oracle.value.reason == reason


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (GRANT | {"currency": "EUR"}, Reason.WRONG_CURRENCY),
        (GRANT | {"products": ["sms", "fax"]}, Reason.UNKNOWN_SCOPE),
        (GRANT | {"products": ["sms", "sms-eu"]}, None),
        (PAYMENT | {"currency": "usd"}, Reason.WRONG_CURRENCY),
    ],
)
def test_what_the_book_refuses(tmp_path, terms, reason):
    """A misspelt product would make a grant that never pays, and nobody notice."""
    pipeline = pipeline_in(tmp_path, charges=BOOK)
    log = [credit("c", terms), credit("v", terms, type="void")]
    found = pipeline.transaction(log)
    assert [one.reason for one in found.quarantine] == ([] if reason is None else [reason])
    assert len(found.credits) == (reason is None)
    assert list(oracle.run(log, tmp_path / "book.yaml").rejects.values()) == [one.reason for one in found.quarantine]


def test_a_book_without_an_hourly_rollup_by_product_refuses_grants(tmp_path):
    """A grant would be accepted and then never pay anything."""
    found = pipeline_in(tmp_path, charges=COUNTING).transaction([credit("g", GRANT), credit("p", PAYMENT)])
    assert [(one.offset, one.reason) for one in found.quarantine] == [(0, Reason.BAD_CREDIT)]
    assert [one.event for one in found.credits] == ["p"]


def test_no_rule_prices_a_credit(tmp_path):
    """A payment with a reseller's name on it would charge the reseller a share."""
    found = pipeline_in(tmp_path).transaction([credit("c", PAYMENT, attributes={"reseller": "zoe"})])
    ((_, account, *_, tail, quantity, amount, kept),) = found.records.tuples()
    assert (account, found.records.tails[tail].rule, float(quantity), float(amount)) == ("acme", "+", 0, 0)
    assert kept == '{"kind":"payment","amount":"2","currency":"USD"}'


def test_the_packet_writes_credits_after_their_records(tmp_path):
    """A repeat would be noticed only after the credit had been given, or a hostile text be run as SQL."""
    found = pipeline_in(tmp_path).transaction([credit("c", PAYMENT), credit("g", FULL | {"products": ["sms"]})])
    sent = packet(found, Dialect.MARIADB, 1_000)
    assert sent.statements.index("credits") == sent.statements.index("records") + 1
    (text,) = [one for one in sent.text.decode().split(";") if one.startswith("INSERT INTO credits")]
    assert text.endswith("ON DUPLICATE KEY UPDATE digest=credits.digest")
    assert text.count("NULL") == 1
    assert "credits" not in packet(pipeline_in(tmp_path).transaction([payload()]), Dialect.MYSQL, 1_000).statements


def test_a_credit_is_explained_by_its_row(tmp_path):
    """Who asks what a credit event did would be told that no rule charges it."""
    told = explained(credit("c", PAYMENT), pipeline_in(tmp_path).book, Held())
    assert (told.refused, told.groups) == (None, ())
    (row,) = told.rows.credits
    assert (row["kind"], row["amount"], row["currency"], row["expires"]) == ("payment", "2", "USD", "")
    assert explained(credit("c", GRANT | {"currency": "EUR"}), pipeline_in(tmp_path).book, Held()).refused == (
        "wrong_currency"
    )  # fmt: skip
