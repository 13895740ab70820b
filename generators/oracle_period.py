"""The oracle's calendar: when the period of a counter has started, one event at a time.

Owns a second reading of `per` in rules/books/FORMAT.md. Must not share code with what it checks.
"""

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from re import ASCII, fullmatch
from typing import Any
from zoneinfo import ZoneInfo

from generators.oracle_event import Event, RejectedError

PeriodOf = Callable[[Event], int]  # the start of the period that the event is in, seconds since 1970-01-01 UTC


def period_of(source: Any) -> PeriodOf:  # noqa: ANN401 - whatever YAML holds
    """Return how a valid `per` dates events; the function raises RejectedError("bad_period")."""
    if isinstance(source, str):
        source = {source: {}}
    ((unit, options),) = source.items()
    if unit == "ever":
        return lambda _: 0
    zone = ZoneInfo(options.get("zone", "UTC"))
    anchor = options.get("anchor", "01-01" if unit == "year" else 1)

    def start(event: Event) -> int:
        text = event.attributes.get(anchor["attribute"], "") if isinstance(anchor, dict) else str(anchor)
        local = datetime.fromtimestamp(event.time_us // 1_000_000, UTC).astimezone(zone)
        if unit == "hour":
            offset = local.utcoffset() or timedelta()
            moment = local.replace(tzinfo=None, fold=0, minute=0, second=0) - offset
            return int(moment.replace(tzinfo=UTC).timestamp())
        first = local.date()
        if unit == "month":
            first = max(day for day in _months(first, text) if day <= first)
        elif unit == "year":
            first = max(day for day in _years(first, text) if day <= first)
        return int(datetime.combine(first, time.min, zone).timestamp())

    return start


def _months(about: date, text: str) -> list[date]:
    if fullmatch("[1-9]|[12][0-9]|3[01]", text) is None:
        raise RejectedError("bad_period", f"{text} is no day of a month")
    before = about.replace(day=1) - timedelta(days=1)
    return [_clamped(one.year, one.month, int(text)) for one in (about, before)]


def _years(about: date, text: str) -> list[date]:
    found = fullmatch("([0-9][0-9])-([0-9][0-9])", text, flags=ASCII)
    month, day = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= month <= 12 or not 1 <= day <= monthrange(2000, month)[1]:  # noqa: PLR2004 - months
        raise RejectedError("bad_period", f"{text} is no day of a year")
    return [_clamped(about.year - back, month, day) for back in (0, 1)]


def _clamped(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, monthrange(year, month)[1]))
