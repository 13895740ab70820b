"""Moments: RFC 3339 text to microseconds, checked against the standard library."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.moment import UNREADABLE, bucket_seconds, day_number, day_text, parse_moment, read_moment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(text):
    """Return microseconds by the standard library."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


GOOD = [
    "1970-01-01T00:00:00Z",
    "2024-02-29T23:59:59Z",
    "2000-02-29T00:00:00Z",
    "2023-12-31T23:59:59.999999Z",
    "2026-01-01T00:00:00.1Z",
    "2026-01-01T00:00:00.12Z",
    "2026-01-01T00:00:00.123456Z",
    "2026-01-01T00:00:00+00:00",
    "2026-01-01T00:00:00-00:00",
    "2026-01-01T00:00:00+23:59",
    "2026-01-01T00:00:00-23:59",
    "2026-06-15T12:30:45.5+05:30",
    "2099-12-31T23:59:59-12:00",
    "1999-12-31T23:30:00-01:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
]
BAD = [
    "",
    "Z",
    "2026-01-01",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00Z",
    "2026-01-01 00:00:00Z",
    "2026-1-1T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:60:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00,5Z",
    "2026-01-01T00:00:00+0100",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00+00:60",
    "2026-01-01T00:00:00ZZ",
    " 2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00Z\n",
    "0000-01-01T00:00:00Z",
    "+2026-01-01T00:00:00Z",
    "\uff12026-01-01T00:00:00Z",
    "2026-01-01T00:00:00é",
    "2026-01-01T00:00:0" + "0" * 100,
]


def read(text):
    """Read the usual form of a moment out of the midst of other bytes."""
    data = text.encode()
    return read_moment(np.frombuffer(b"12" + data + b"34", dtype=np.uint8), 2, 2 + len(data))


@pytest.mark.parametrize("text", GOOD)
def test_good_times_agree_with_the_standard_library(text):
    """An event would be billed in another hour, day or month."""
    assert parse_moment(text) == read(text) == us(text)


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_bad_times_are_refused(text):
    """A time that nobody can read would become some other time."""
    assert (parse_moment(text), read(text)) == (None, UNREADABLE)


def test_every_day_of_four_centuries():
    """One leap day that is missed would shift every later event by a day."""
    days = [EPOCH + timedelta(days=n) for n in range(-100, 48_000, 13)]
    expected = [(day - EPOCH) // timedelta(microseconds=1) for day in days]
    texts = [day.strftime("%Y-%m-%dT%H:%M:%SZ") for day in days]
    assert [read(text) for text in texts] == [parse_moment(text) for text in texts] == expected


def test_other_spellings():
    """A producer's library would have its events refused, or identities differ by digits past the sixth."""
    texts = ["2026-01-01t00:00:00z", "2026-01-01T00:00:00.1234567Z", "2026-01-01T00:00:00.123456999+00:00"]
    since = [parse_moment(text) - us("2026-01-01T00:00:00Z") for text in texts]
    assert since == [0, 123_456, 123_456]
    assert [read(text) for text in texts[1:]] == [parse_moment(text) for text in texts[1:]]


@settings(deadline=None)  # the first call compiles
@given(
    st.text(alphabet="0123456789-:.TZ+tz é", max_size=40) | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
)
def test_a_moment_is_read_as_it_is_parsed_or_not_at_all(text):
    """The time of an event would depend on which of two readers met it."""
    assert read(text) in {parse_moment(text), UNREADABLE}


def test_days_and_buckets():
    """Usage would be shown in the wrong hour, day or month."""
    times = np.array([us("2024-02-29T23:59:59.999999Z"), us("2024-03-01T00:00:00Z"), us("1999-12-31T01:30:00Z")])
    for every, starts in (
        ("hour", ["2024-02-29T23:00:00Z", "2024-03-01T00:00:00Z", "1999-12-31T01:00:00Z"]),
        ("day", ["2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z", "1999-12-31T00:00:00Z"]),
        ("month", ["2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", "1999-12-01T00:00:00Z"]),
    ):
        assert bucket_seconds(times, every).tolist() == [us(start) // 1_000_000 for start in starts]
    assert [day_text(day_number(text)) for text in ("1970-01-01", "2024-02-29")] == ["1970-01-01", "2024-02-29"]
    assert day_number("1970-01-02") == 1
