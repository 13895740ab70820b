import json
from decimal import Decimal

import pytest

from generators.oracle_event import Event, RejectedError, parse, places_of

PLAIN = {"id": "e1", "account": "a", "product": "sms", "time": "2026-01-01T00:00:00Z"}
CLOUD = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/phones",
    "type": "com.example.usage",
    "time": "2026-01-01T00:00:00Z",
    "traceparent": "00-ab",
    "data": {"account": "a", "product": "sms", "quantity": "2.50", "attributes": {"country": "US", "tokens": 10}},
}
NEW_YEAR_US = 1_767_225_600_000_000


def plain(**changes: object) -> bytes:
    return json.dumps(PLAIN | changes).encode()


def cloud(**changes: object) -> bytes:
    return json.dumps(CLOUD | changes).encode()


def reason(body: bytes) -> str:
    with pytest.raises(RejectedError) as caught:
        parse(body)
    return caught.value.reason


def test_the_shortest_event_counts_one():
    """Else an event without a quantity would be free."""
    assert parse(plain()) == Event("e1", "a", "sms", NEW_YEAR_US, Decimal(1), {})


def test_the_cloudevents_form_says_the_same_as_the_plain_one():
    """Else a producer could not change the form without changing the bill."""
    expected = Event("e1", "a", "sms", NEW_YEAR_US, Decimal("2.5"), {"country": "US", "tokens": "10"})
    assert parse(cloud()) == expected
    assert parse(plain(quantity="2.50", attributes={"country": "US", "tokens": 10}, type="usage")) == expected


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2026-01-01T00:00:00.1Z", NEW_YEAR_US + 100_000),
        ("2026-01-01t00:00:00.123456z", NEW_YEAR_US + 123_456),
        ("2026-01-01T00:00:00.1234569Z", NEW_YEAR_US + 123_456),
        ("2026-01-01T01:30:00+01:30", NEW_YEAR_US),
        ("2025-12-31T19:00:00-05:00", NEW_YEAR_US),
        ("2000-01-01T00:00:00Z", 946_684_800_000_000),
        ("2099-12-31T23:59:59.999999Z", 4_102_444_799_999_999),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
    ],
)
def test_times_are_read_to_the_microsecond(text, time_us):
    """Else an event would fall on another day, and its repeat would not be seen."""
    assert parse(plain(time=text)).time_us == time_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+00:60",
        "0000-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "\uff12026-01-01T00:00:00Z",
    ],
)
def test_other_texts_are_no_times(text):
    assert reason(plain(time=text)) == "bad_field"


@pytest.mark.parametrize(
    "text", ["1900-06-15T00:00:00Z", "1999-12-31T23:59:59.999999Z", "2100-01-01T00:00:00Z", "2000-01-01T00:00:00+00:01"]
)
def test_times_outside_the_century_are_out_of_range(text):
    assert reason(plain(time=text)) == "time_out_of_range"


@pytest.mark.parametrize(
    ("literal", "quantity"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("1e3", "1000"),
        ('"1.50"', "1.5"),
        ("0.000000000001", "0.000000000001"),
        ('"1.0000000000000000000"', "1"),
        ("99999999999999999999999999.999999999999", "99999999999999999999999999.999999999999"),
        ('"007"', "7"),
        ("1E-12", "0.000000000001"),
    ],
)
def test_quantities_are_exact(literal, quantity):
    """Else a float would slip in between the event and its price."""
    body = plain(quantity="?").replace(b'"?"', literal.encode())
    assert parse(body).quantity == Decimal(quantity)


@pytest.mark.parametrize(
    "literal",
    [
        "-1",
        "1e26",
        "100000000000000000000000000",
        "0.0000000000001",
        '"NaN"',
        '""',
        '"1,5"',
        '" 1"',
        '"+1"',
        '".5"',
        "null",
        "true",
        "[1]",
        '"0x10"',
        '"1_000"',
        '"' + "1" * 129 + '"',
        '"٣"',
    ],
)
def test_impossible_quantities_are_bad_fields(literal):
    assert reason(plain(quantity="?").replace(b'"?"', literal.encode())) == "bad_field"


@pytest.mark.parametrize("field", ["id", "account", "product"])
@pytest.mark.parametrize(
    "value", ["", "x" * 65, "a b", "a'b", 'a"b', "a`b", "a\\b", "a\0b", "é", "\N{MONEY BAG}", "\x7f", 7, None, ["a"]]
)
def test_impossible_identifiers_are_bad_fields(field, value):
    """Else an id would look different in the log, the terminal and the table."""
    assert reason(plain(**{field: value})) == "bad_field"


@pytest.mark.parametrize("field", ["id", "account", "product"])
def test_every_other_visible_character_may_stand_in_an_identifier(field):
    value = "!#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_{|}~"
    assert getattr(parse(plain(**{field: value[:64]})), field) == value[:64]


@pytest.mark.parametrize(
    "attributes",
    [
        [],
        None,
        "x",
        {"a": None},
        {"a": True},
        {"a": {}},
        {"": "x"},
        {"n" * 65: "x"},
        {"é" * 33: "x"},
        {"a": "x" * 1_025},
        {"a": "é" * 513},
        {str(number): "x" for number in range(65)},
    ],
)
def test_impossible_attributes_are_bad_fields(attributes):
    assert reason(plain(attributes=attributes)) == "bad_field"


def test_attributes_at_their_bounds_are_kept_and_numbers_keep_their_text():
    """Else a price that depends on an attribute's text would depend on the JSON writer."""
    attributes = {f"{number:064}": "é" * 512 for number in range(63)}
    body = plain(attributes=attributes | {"n": "?"}).replace(b'"?"', b"1.50")
    with pytest.raises(RejectedError, match="bytes"):
        parse(body)  # 63 attributes of 1 KiB pass 64 KiB
    few = {f"{number:064}": "é" * 512 for number in range(4)}
    assert parse(plain(attributes=few | {"n": "?"}).replace(b'"?"', b"1.50")).attributes == few | {"n": "1.50"}
    assert len(parse(plain(attributes={str(number): "" for number in range(64)})).attributes) == 64


@pytest.mark.parametrize("field", ["id", "account", "product", "time"])
def test_required_fields_are_required(field):
    assert reason(json.dumps({name: value for name, value in PLAIN.items() if name != field}).encode()) == "bad_field"


@pytest.mark.parametrize(
    ("value", "expected"), [("credit", "bad_credit"), ("hold", "unknown_type"), ("", "unknown_type"), (1, "bad_field")]
)
def test_only_usage_is_billed(value, expected):
    """Else a credit would be billed as usage."""
    assert reason(plain(type=value)) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x9f\x00",
        b"[]",
        b"17",
        b"null",
        b'"text"',
        b"{",
        plain()[:-1],
        plain() + b"}",
        b"\xef\xbb\xbf" + plain(),
        plain().replace(b'"a"', b'"\xc3("'),
        plain().replace(b'"a"', b'"\\ud800"'),
        plain()[:-1] + b',"quantity":NaN}',
        plain()[:-1] + b',"quantity":-Infinity}',
        b"[" * 60_000 + b"]" * 5_000,
        plain().decode().encode("utf-16"),
    ],
)
def test_what_is_no_json_object_is_undecodable(body):
    """Else garbage would stop the log instead of going to quarantine."""
    assert reason(body) == "undecodable"


def test_events_over_64_kib_are_too_large_whatever_they_say():
    assert reason(b"x" * 65_537) == "too_large"
    assert parse(plain() + b" " * (65_536 - len(plain()))).id == "e1"


def test_a_misspelt_field_is_refused():
    """Else a misspelt quantity would be billed as 1."""
    assert reason(plain(quantitiy=5)) == "bad_field"


@pytest.mark.parametrize(
    "changes",
    [
        {"specversion": "0.3"},
        {"specversion": 1},
        {"source": None},
        {"type": 5},
        {"time": None},
        {"id": 5},
        {"data": None},
        {"data": {"account": "a"}},
        {"data": CLOUD["data"] | {"id": "other"}},
        {"data": CLOUD["data"] | {"time": "2026-01-01T00:00:00Z"}},
    ],
)
def test_broken_envelopes_are_bad_fields(changes):
    assert reason(cloud(**changes)) == "bad_field"


def test_the_type_of_a_cloud_event_stands_in_its_data():
    assert reason(cloud(data=CLOUD["data"] | {"type": "hold"})) == "unknown_type"


@pytest.mark.parametrize(("text", "places"), [("1.50", 1), ("1E+3", 0), ("0.000", 0), ("0.1" + "0" * 300 + "1", 302)])
def test_places_do_not_count_trailing_zeros(text, places):
    assert places_of(Decimal(text)) == places


@pytest.mark.parametrize(
    "text",
    [
        plain().replace(b'"product"', b'"account": "b", "product"'),
        plain(attributes={"to": "1"}).replace(b'"to"', b'"to": "2", "to"'),
        cloud().replace(b'"specversion"', b'"id": "e1", "specversion"'),
        cloud(trace={"a": 1}).replace(b'{"a"', b'{"a": 1, "a"'),
    ],
)
def test_a_field_that_is_named_twice_says_nothing(text):
    """Else the oracle would agree with whichever of two values was billed, and no difference would ever show."""
    assert reason(text) == "bad_field"
