"""The oracle's calendar: when the period of a counter has started, one event at a time.

Owns a second reading of `per` in rules/books/FORMAT.md. Must not share code with what it checks.
"""

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
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
    zone = _zone(options.get("zone", "UTC"))
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


def name_of(source: Any, start: int) -> str:  # noqa: ANN401 - as above
    """Return by what name a period that starts then is closed: its year, month, day or hour on the zone's calendar."""
    unit, options = (source, {}) if isinstance(source, str) else next(iter(source.items()))
    local = datetime.fromtimestamp(start, UTC).astimezone(_zone(options.get("zone", "UTC")))
    text = local.isoformat()
    return {"year": text[:4], "month": text[:7], "day": text[:10], "hour": text[:13]}.get(unit, "")


def starts_named(source: Any, name: str) -> set[int]:  # noqa: ANN401 - as above
    """Return when periods of a name start, by asking for the period of many moments about it; none if events say it."""
    try:
        of, first = period_of(source), datetime.fromisoformat((name + "-01-01")[:10] + name[10:]).replace(tzinfo=UTC)
        days, step = {4: (400, 6), 7: (40, 6), 10: (4, 6), 13: (2, 0.25)}[len(name)]
        moments = [first + timedelta(hours=step * i - 48) for i in range(int((days + 2) * 24 / step))]
        found = {of(Event("", "", "", int(one.timestamp()) * 1_000_000, Decimal(1), {})) for one in moments}
    except RejectedError:
        return set()
    return {start for start in found if name_of(source, start) == name}


@lru_cache
def _zone(name: str) -> ZoneInfo:
    """Return a zone as the package has it, whatever this machine's own copy says: rules of zones change every year."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, name)


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
