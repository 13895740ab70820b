"""Moments: RFC 3339 text to microseconds since 1970-01-01 UTC, and the buckets of time that they fall into.

Owns the one notion of time: an event's own, never the wall clock's.
"""

import re
from datetime import UTC, datetime
from typing import Final

import numpy as np

from billing.eights import Bytes
from rules.columns import Int64s
from rules.compiled import compiled, item, step

SECOND_US: Final = 1_000_000
HOUR_SECONDS: Final = 3_600
HOUR_US: Final = HOUR_SECONDS * SECOND_US
DAY_US: Final = 24 * HOUR_US
TIME_US_MIN: Final = 946_684_800 * SECOND_US  # 2000-01-01
TIME_US_MAX: Final = 4_102_444_800 * SECOND_US  # 2100-01-01, excluded

# RFC 3339 section 5.6; digits past the sixth are cut off, since identity and buckets need no finer time.
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?(?:[Zz]|([+-])(\d\d):([0-5]\d))", re.ASCII
)
UNREADABLE: Final = -(2**63)
_MONTH_DAYS: Final = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)


def parse_moment(text: str) -> int | None:
    """Parse an RFC 3339 date-time with an offset to microseconds since 1970-01-01 UTC, or return None.

    Source of the format: RFC 3339 section 5.6.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    date, clock, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=UTC)
    except ValueError:
        return None
    offset_seconds = 0
    if sign is not None:
        if int(hours) > 23:
            return None
        offset_seconds = (int(hours) * 60 + int(minutes)) * 60 * (1 if sign == "+" else -1)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds - offset_seconds) * SECOND_US + int((fraction or "0").ljust(6, "0"))


@compiled
def read_moment(data: Bytes, start: int, stop: int) -> int:  # noqa: C901, PLR0911 - as many as things can be wrong
    """Read the usual form of a moment, 2026-01-31T23:59:59[.fraction](Z|+00:00), out of `data[start:stop]`.

    Returns what `parse_moment` does, or UNREADABLE for any other text.
    """
    if stop - start < 20:
        return UNREADABLE
    if not (
        item(data, start + 4) == item(data, start + 7) == 45  # "-"
        and item(data, start + 10) == 84  # "T"
        and item(data, start + 13) == item(data, start + 16) == 58  # ":"
    ):
        return UNREADABLE
    century, year = _two_digits(data, start), _two_digits(data, start + 2)
    month, day = _two_digits(data, start + 5), _two_digits(data, start + 8)
    hour, minute, second = _two_digits(data, start + 11), _two_digits(data, start + 14), _two_digits(data, start + 17)
    year += century * 100
    if min(century, year, month, day, hour, minute, second) < 0 or not (1 <= month <= 12 and day >= 1 and year >= 1):
        return UNREADABLE
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _MONTH_DAYS[month] - (1 if month == 2 and not leap else 0) or hour > 23 or minute > 59 or second > 59:
        return UNREADABLE
    at, fraction = start + 19, 0
    if item(data, at) == 46:  # "."
        at += 1
        first = at
        unit = 100_000
        while at < stop and 48 <= item(data, at) <= 57:
            fraction += (item(data, at) - 48) * unit
            unit //= 10
            at += 1
        if at == first:
            return UNREADABLE
    east = 0
    if stop - at == 6 and item(data, at + 3) == 58 and (item(data, at) == 43 or item(data, at) == 45):  # "+" or "-"
        hours, minutes = _two_digits(data, at + 1), _two_digits(data, at + 4)
        if not (0 <= hours <= 23 and 0 <= minutes <= 59):
            return UNREADABLE
        east = (hours * 60 + minutes) * (60 if item(data, at) == 43 else -60)
    elif stop - at != 1 or item(data, at) != 90:  # "Z"
        return UNREADABLE
    seconds = ((_days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - east
    return seconds * SECOND_US + fraction


@step
def _two_digits(data: Bytes, at: int) -> int:
    tens, ones = int(item(data, at)) - 48, int(item(data, at + 1)) - 48
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -10_000


@step
def _days_since_1970(year: int, month: int, day: int) -> int:
    """Days from the proleptic Gregorian date; years counted from March so that a leap day comes last."""
    shifted = year - (1 if month <= 2 else 0)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year - 719_468


def day_text(day: int) -> str:
    """Render a UTC day number (days since 1970-01-01) as YYYY-MM-DD."""
    return str(np.datetime64(day, "D"))


def day_number(text: str) -> int:
    """Return the UTC day number of YYYY-MM-DD."""
    return int(np.datetime64(text, "D").astype(np.int64))


def bucket_seconds(time_us: Int64s, every: str) -> Int64s:
    """Return the start of the UTC hour, day or month that holds each moment, in seconds since 1970-01-01."""
    if every == "month":
        return time_us.view("datetime64[us]").astype("datetime64[M]").astype("datetime64[s]").astype(np.int64)
    width_us = {"hour": HOUR_US, "day": DAY_US}[every]
    return time_us // width_us * (width_us // SECOND_US)
