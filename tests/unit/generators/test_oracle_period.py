from datetime import UTC, datetime
from decimal import Decimal

import pytest

from generators.oracle_event import Event, RejectedError
from generators.oracle_period import period_of


def start(per: object, moment: str, **attributes: str) -> str:
    time_us = int(datetime.fromisoformat(moment).timestamp()) * 1_000_000 + 999_999
    second = period_of(per)(Event("e", "a", "sms", time_us, Decimal(1), attributes))
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%MZ")


@pytest.mark.parametrize(
    ("per", "moment", "expected"),
    [
        ("ever", "2026-07-09T12:34:56Z", "1970-01-01T00:00Z"),
        ("hour", "2026-07-09T12:34:56Z", "2026-07-09T12:00Z"),
        ("day", "2026-07-09T12:34:56Z", "2026-07-09T00:00Z"),
        ("month", "2026-07-31T23:59:59Z", "2026-07-01T00:00Z"),
        ("year", "2026-12-31T23:59:59Z", "2026-01-01T00:00Z"),
        ({"month": {"anchor": 15}}, "2026-01-14T23:59:59Z", "2025-12-15T00:00Z"),
        ({"month": {"anchor": 31}}, "2026-02-28T00:00:00Z", "2026-02-28T00:00Z"),
        ({"month": {"anchor": 31}}, "2026-03-30T23:59:59Z", "2026-02-28T00:00Z"),
        ({"year": {"anchor": "02-29"}}, "2028-02-28T23:00:00Z", "2027-02-28T00:00Z"),
        ({"day": {"zone": "Europe/Berlin"}}, "2026-07-09T22:00:00Z", "2026-07-09T22:00Z"),
        ({"month": {"zone": "Europe/Berlin"}}, "2026-03-31T21:59:59Z", "2026-02-28T23:00Z"),
        ({"hour": {"zone": "Europe/Berlin"}}, "2026-10-25T00:59:59Z", "2026-10-25T00:00Z"),
        ({"hour": {"zone": "Europe/Berlin"}}, "2026-10-25T01:00:00Z", "2026-10-25T01:00Z"),
        ({"hour": {"zone": "Asia/Kathmandu"}}, "2026-07-09T12:14:59Z", "2026-07-09T11:15Z"),
    ],
)
def test_periods_begin(per: object, moment: str, expected: str) -> None:
    """The oracle would expect another month's tiers than the format says."""
    assert start(per, moment) == expected


def test_an_attribute_gives_the_anchor() -> None:
    """The oracle would expect every account to be billed on one day."""
    per = {"month": {"anchor": {"attribute": "day"}}}
    assert start(per, "2026-07-09T00:00:00Z", day="10") == "2026-06-10T00:00Z"
    for bad in ({}, {"day": "0"}, {"day": "01"}, {"day": "x"}):
        with pytest.raises(RejectedError) as caught:
            start(per, "2026-07-09T00:00:00Z", **bad)
        assert caught.value.reason == "bad_period"
    with pytest.raises(RejectedError):
        start({"year": {"anchor": {"attribute": "day"}}}, "2026-07-09T00:00:00Z", day="02-30")
