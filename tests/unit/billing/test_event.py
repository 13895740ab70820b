"""Decoding: what an event may look like, what it becomes, and why it is refused."""

import json

import numpy as np
import pytest

from billing.event import Decoder, Reason
from billing.wire import is_identifier
from tests.pipeline import HOUR, payload
from tests.rulebooks import plain

NAMES = ("country", "n")


def decoded(*payloads, names=NAMES):
    """Decode payloads at offsets 10, 11, ... of partition 2."""
    partition = np.full(len(payloads), 2, dtype=np.int32)
    return Decoder(names).decode(partition, np.arange(10, 10 + len(payloads), dtype=np.int64), payloads)


def rows(events):
    """Return id, account, product, microseconds since 2026, quantity and attributes of each event."""
    columns = zip(*(events.attributes[name].rows() for name in NAMES), strict=True)
    return list(
        zip(
            events.id.to_pylist(),
            events.account.rows(),
            events.product.rows(),
            (events.time_us - HOUR * 1_000_000).tolist(),
            [plain(units, events.quantity.scale) for units in events.quantity.units.tolist()],
            columns,
            strict=True,
        )
    )


def refusal(body):
    """Return account, reason and detail of the only refusal."""
    events, (reject,) = decoded(body)
    assert (len(events), reject.partition, reject.offset, reject.payload) == (0, 2, 10, body)
    return reject.account, reject.reason, reject.detail


def cloud(**changes):
    """Write a CloudEvent in structured mode."""
    data = {"account": "acme", "product": "sms", **changes.pop("data", {})}
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/x",
        "type": "com.example.usage",
        "time": "2026-01-01T00:00:00Z",
    }
    return json.dumps({**event, "data": data, **changes}).encode()


# --- what is accepted ---


def test_nothing_decodes_to_nothing():
    """An idle moment would stop the worker."""
    events, rejects = decoded()
    assert (len(events), rejects, events.digest.tolist()) == (0, [], [])
    assert set(events.attributes) == set(NAMES)


def test_columns_follow_the_log():
    """An event would be billed with another one's account or time."""
    events, rejects = decoded(
        payload("a"),
        b"bad",
        payload("b", "zoe", "mms", time="2026-01-01T00:00:00.5+01:00", quantity="1.5", attributes={"country": "US"}),
        payload("c", quantity=3, attributes={"n": "1", "other": "x"}),
    )
    assert rows(events) == [
        ("a", "acme", "sms", 0, "1", (None, None)),
        ("b", "zoe", "mms", -3_599_500_000, "1.5", ("US", None)),
        ("c", "acme", "sms", 0, "3", (None, "1")),
    ]
    assert (events.partition.tolist(), events.offset.tolist()) == ([2, 2, 2], [10, 12, 13])
    assert [reject.offset for reject in rejects] == [11]
    assert events.payload.tolist()[0] == payload("a")


@pytest.mark.parametrize(
    "literal",
    [
        "0",
        "-0",
        "7",
        "1.50",
        "1e3",
        "1E+3",
        "-1.5e-7",
        "12345678901234567890",
        "0.10",
        "123456789012345678901234567890",
    ],
)
def test_numeric_attributes_keep_their_literal_text(literal):
    """Token counts would be rounded, and 1.50 become another rate than 1.5 in a price table."""
    body = payload().replace(b'"}', b'", "attributes": {"n": %b}}' % literal.encode())
    events, rejects = decoded(body, payload(attributes={"n": "text"}))
    assert rejects == []
    assert events.attributes["n"].rows() == [literal, "text"]


@pytest.mark.parametrize("text", ["", " ", "\0", '"', "'", "\\", "é", "💣", "\u2028", "null", "x" * 1024, "é" * 512])
def test_attribute_values_are_any_text(text):
    """Somebody's name would not be billable."""
    events, rejects = decoded(payload(attributes={"country": text}))
    assert (rejects, events.attributes["country"].rows()) == ([], [text])


@pytest.mark.parametrize("name", [" ", "\0", "é" * 32, "x" * 64, '"', "a.b", "country ", "a0", "def"])
def test_attribute_names_are_any_text(name):
    """A producer's own attribute would make its events unbillable."""
    bodies = payload(attributes={name: "x", "country": "US"}), payload(), payload(attributes={"country": 1, "": "x"})
    events, (reject,) = decoded(*bodies, names=(name, "country"))
    assert events.attributes[name].rows() == ["x", None]
    assert events.attributes["country"].rows() == ["US", None]
    assert reject.detail == "attributes has a name outside 1 to 64 bytes"


def test_as_many_attributes_as_are_allowed():
    """An event at the bound would be refused, or one above it be billed."""
    many = {f"k{n}": "v" for n in range(64)}
    events, rejects = decoded(payload(attributes=many), payload("b", attributes={"country": "US"}))
    assert (len(events), rejects) == (2, [])
    assert refusal(payload(attributes={**many, "one": "more"})) == (
        "acme", Reason.BAD_FIELD, "attributes has 65 entries; 64 are allowed",
    )  # fmt: skip


def test_names_without_end_do_not_stop_anything():
    """A producer that puts ids into attribute names would slow down or stop everybody's billing."""
    bodies = [payload(f"e{n}", attributes={f"name{n}": "x", "country": "US"}) for n in range(400)]
    events, rejects = decoded(*bodies, payload("long", attributes={"x" * 65: "x"}))
    assert (len(events), [reject.offset for reject in rejects]) == (400, [410])
    assert set(events.attributes["country"].rows()) == {"US"}


def test_cloudevents_are_the_same_events():
    """A producer that changes its library would be billed twice for one event."""
    body = cloud(data={"quantity": "1.5", "attributes": {"country": "US", "n": 1.50}}, extension="ignored")
    events, rejects = decoded(body, payload("e1", quantity=1.5, attributes={"n": 1.5, "country": "US"}))
    assert rejects == []
    assert rows(events)[0] == ("e1", "acme", "sms", 0, "1.5", ("US", "1.5"))
    assert events.digest[0] == events.digest[1]


@pytest.mark.parametrize(
    "same",
    [
        payload(quantity="1"),
        payload(quantity=1),
        payload(quantity="1.000"),
        payload(quantity="10e-1"),
        payload(time="2026-01-01T01:00:00+01:00"),
        payload(time="2026-01-01t00:00:00.000000z"),
        payload(attributes={}),
        payload(type="usage"),
        b" " + payload().replace(b",", b" ,\n"),
        cloud(),
    ],
)
def test_the_same_event_in_other_words_has_the_same_digest(same):
    """A retry through another library would be reported as a conflict."""
    events, rejects = decoded(payload(), same)
    assert rejects == []
    assert events.digest[0] == events.digest[1]


def test_order_of_attributes_does_not_matter():
    """A retry would be a conflict because a map was written in another order."""
    events, _ = decoded(
        payload(attributes={"a": "1", "b": "2", "é": "3"}),
        payload(attributes={"é": "3", "b": "2", "a": "1"}),
        payload(),
    )
    assert events.digest[0] == events.digest[1] != events.digest[2]


def test_another_body_has_another_digest():
    """A conflicting event would be dropped as a repeat, in silence."""
    others = [
        payload(),
        payload("e2"),
        payload(account="acm", product="esms"),
        payload(product="mms"),
        payload(time="2026-01-01T00:00:00.000001Z"),
        payload(quantity="1.000000000001"),
        payload(quantity=0),
        payload(attributes={"country": ""}),
        payload(attributes={"country": "US"}),
        payload(attributes={"US": "country"}),
        payload(attributes={"n": "1.0"}),
        payload(attributes={"n": "1"}),
    ]
    events, rejects = decoded(*others)
    assert rejects == []
    assert len(set(events.digest.tolist())) == len(others)


# --- what is refused ---


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "not JSON: "),
        (b"{", "not JSON: "),
        (b"\xff\xfe", "not JSON: "),
        (b"nonsense", "not JSON: "),
        (payload()[:-5], "not JSON: "),
        (payload() + b"x", "not JSON: "),
        (b"[" * 60_000, "not a JSON object"),
        (b'{"a":' * 10_000, "not JSON: "),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"7", "not a JSON object"),
    ],
)  # fmt: skip
def test_what_is_no_object_is_undecodable(body, detail):
    """Garbage in a topic would stop the worker."""
    account, reason, found = refusal(body)
    assert (account, reason) == (None, Reason.UNDECODABLE)
    assert found.startswith(detail)


@pytest.mark.parametrize(
    "body",
    [
        payload().replace(b'"e1"', b'"\xff"'),
        payload(attributes={"n": "?"}).replace(b"?", b"\xff"),
        payload(quantity="?").replace(b"?", b"\xff"),
        payload(quantity="1").replace(b'"1"', b'"\xff1"'),
        payload(time="?").replace(b"?", b"\xc3"),
        cloud(data={"quantity": "?"}).replace(b"?", b"\xff"),
        payload(attributes={"n": "?"}).replace(b"?", b"\\ud800"),
    ],
)
def test_bytes_that_are_no_text_are_refused(body):
    """One event in a wrong encoding would stop the worker for good."""
    events, (reject,) = decoded(payload("good"), body, payload("fine"))
    assert events.id.to_pylist() == ["good", "fine"]
    assert (reject.offset, reject.payload) == (11, body)
    assert reject.reason in {Reason.UNDECODABLE, Reason.BAD_FIELD}


IDENTIFIER_DETAIL = "has a character outside visible ASCII without quotes and backslash"


@pytest.mark.parametrize("field", ["id", "account", "product"])
@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("", "has 0 characters; write 1 to 64"),
        ("x" * 65, "has 65 characters; write 1 to 64"),
        (" ", IDENTIFIER_DETAIL),
        ("a b", IDENTIFIER_DETAIL),
        ("a\n", IDENTIFIER_DETAIL),
        ("\x7f", IDENTIFIER_DETAIL),
        ("'", IDENTIFIER_DETAIL),
        ('"', IDENTIFIER_DETAIL),
        ("`", IDENTIFIER_DETAIL),
        ("\\", IDENTIFIER_DETAIL),
        ("é", IDENTIFIER_DETAIL),
        ("💣", IDENTIFIER_DETAIL),
        ("\0", IDENTIFIER_DETAIL),
    ],
)  # fmt: skip
def test_identifiers_have_bounds(field, value, detail):
    """An id would look different in a log, a terminal and a database, or break out of a statement."""
    account = None if field == "account" else "acme"
    assert refusal(payload(**{field: value})) == (account, Reason.BAD_FIELD, f"{field} {detail}")
    assert not is_identifier(value)


@pytest.mark.parametrize("value", ["!", "~", "x" * 64, "!#$%&()*+,-./:;<=>?@[]^_{|}~"])
def test_every_other_visible_character_is_allowed(value):
    """A customer's id would be refused although it is harmless."""
    events, rejects = decoded(payload(value, value, value))
    assert (len(events), rejects) == (1, [])
    assert is_identifier(value)


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        (payload(type="hold"), Reason.UNKNOWN_TYPE, "type is not one of credit, usage, void"),
        (payload(type=""), Reason.UNKNOWN_TYPE, "type is not one of credit, usage, void"),
        (payload(type="x", attributes={"n" * 65: ""}), Reason.UNKNOWN_TYPE, "type is not one of credit, usage, void"),
        (payload(time="2026-01-01"), Reason.BAD_FIELD, "time is not an RFC 3339 date-time with an offset"),
        (payload(time="2026-01-01T00:00:00"), Reason.BAD_FIELD, "time is not an RFC 3339 date-time with an offset"),
        (payload(time="2026-02-29T00:00:00Z"), Reason.BAD_FIELD, "time is not an RFC 3339 date-time with an offset"),
        (payload(time="1999-12-31T23:59:59Z"), Reason.TIME_OUT_OF_RANGE, "time is outside the years 2000 to 2099"),
        (payload(time="2100-01-01T00:00:00Z"), Reason.TIME_OUT_OF_RANGE, "time is outside the years 2000 to 2099"),
        (payload(time="1900-01-01T00:00:00Z"), Reason.TIME_OUT_OF_RANGE, "time is outside the years 2000 to 2099"),
        (payload(quantity=-1), Reason.BAD_FIELD, "quantity is negative"),
        (payload(quantity="-0.1"), Reason.BAD_FIELD, "quantity is negative"),
        (payload(quantity="NaN"), Reason.BAD_FIELD, "quantity is not a decimal number"),
        (payload(quantity=""), Reason.BAD_FIELD, "quantity is not a decimal number"),
        (payload(quantity=None), Reason.BAD_FIELD, "quantity is not a decimal number"),
        (payload(quantity=True), Reason.BAD_FIELD, "quantity is not a decimal number"),
        (payload(quantity=[1]), Reason.BAD_FIELD, "quantity is not a decimal number"),
        (payload(quantity={}), Reason.BAD_FIELD, "quantity is not a decimal number"),
        (payload(quantity="1e26"), Reason.BAD_FIELD, "quantity has more than 26 integer digits"),
        (payload(quantity="1e-13"), Reason.BAD_FIELD, "quantity has more than 12 decimal places"),
        (payload(attributes={"": "x"}), Reason.BAD_FIELD, "attributes has a name outside 1 to 64 bytes"),
        (payload(attributes={"é" * 33: "x"}), Reason.BAD_FIELD, "attributes has a name outside 1 to 64 bytes"),
        (payload(attributes={"a": "x" * 1025}), Reason.BAD_FIELD, "attributes.a is longer than 1024 bytes"),
        (payload(attributes={"a": "é" * 513}), Reason.BAD_FIELD, "attributes.a is longer than 1024 bytes"),
        (payload(attributes={"a": 10**1024}), Reason.BAD_FIELD, "attributes.a is longer than 1024 bytes"),
        *(
            (payload(attributes={"a": value}), Reason.BAD_FIELD, "attributes is not a flat map of strings and numbers")
            for value in (None, True, [], {}, {"b": "c"})
        ),
        (payload(qantity=5), Reason.BAD_FIELD, "Object contains unknown field `qantity`"),
        (payload(attributes=[]), Reason.BAD_FIELD, "Expected `object`, got `array` - at `$.attributes`"),
        (payload(time=7), Reason.BAD_FIELD, "Expected `str`, got `int` - at `$.time`"),
        (cloud(specversion="0.3"), Reason.BAD_FIELD, "specversion is not 1.0"),
        (cloud(data={"type": "hold"}), Reason.UNKNOWN_TYPE, "type is not one of credit, usage, void"),
        (cloud(data={"id": "x"}), Reason.BAD_FIELD, "Object contains unknown field `id` - at `$.data`"),
    ],
    ids=lambda value: ascii(value)[:60],
)  # fmt: skip
def test_refusals_say_what_is_wrong(body, reason, detail):
    """An event would be billed wrongly, or nobody know what to correct."""
    assert refusal(body) == ("acme", reason, detail)


@pytest.mark.parametrize("field", ["id", "account", "product", "time"])
def test_missing_fields_are_named(field):
    """A half event would be billed to nobody."""
    event = json.loads(payload())
    del event[field]
    account = None if field == "account" else "acme"
    assert refusal(json.dumps(event).encode()) == (
        account, Reason.BAD_FIELD, f"Object missing required field `{field}`",
    )  # fmt: skip


def test_sizes_have_a_bound():
    """A message of 10 MB would take the memory and the packet of thousands of events."""
    body = payload()
    padded = body + b" " * (65_536 - len(body))
    events, rejects = decoded(padded)
    assert (len(events), rejects) == (1, [])
    account, reason, detail = refusal(padded + b" ")
    assert (reason, detail) == (Reason.TOO_LARGE, "65537 bytes; 65536 are allowed")
    assert account in {None, "acme"}
    assert refusal(b"x" * 10_000_000) == (None, Reason.TOO_LARGE, "10000000 bytes; 65536 are allowed")


def test_rejects_come_in_log_order():
    """Quarantine would be written in another order than other writers lock it."""
    _, rejects = decoded(payload(quantity=-1), b"x", payload(id=""), b"y", payload(time="never"))
    assert [reject.offset for reject in rejects] == [10, 11, 12, 13, 14]


def test_a_void_has_the_digest_of_its_event():
    """A void would be a conflict with the event that it voids, or take back an event that is another one."""
    bodies = [payload(), payload(type="void"), payload(type="void", quantity=9), cloud(data={"type": "void"}), b"bad"]
    events, rejects = decoded(*bodies)
    assert events.void.tolist() == [False, True, True, True]
    assert events.digest[0] == events.digest[1] != events.digest[2]
    assert len(rejects) == 1
    kept = events.take(~events.void)
    assert (len(kept), kept.id.to_pylist(), kept.payload.tolist()) == (1, events.id.to_pylist()[:1], bodies[:1])
