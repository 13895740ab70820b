"""Periods: how long a counter counts before it starts again, and when the period that an event is in has started.

Owns calendars, time zones and anchors, and the names of periods (`2026-01`). The zones' data comes from the package
`tzdata`, never from the machine, so that all workers agree. Must not know prices or counters.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

import attrs
import numpy as np
from numpy.typing import NDArray

from rules.columns import MISSING, Coded, Int64s

SECOND_US: Final = 1_000_000
HOUR: Final = 3_600
DAY: Final = 86_400
QUARTER: Final = 900  # every offset in use since 1972 is a multiple of it, and so (checked each time) is every change
PERIODS_KEPT: Final = 1 << 16  # quarters of an hour remembered: almost two years of them
DENSE_MAX: Final = 1 << 17  # up to so many possible quarters in a batch, marking them beats sorting them

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS: Final = 12
_DAYS_MAX: Final = 31
_LEAP_YEAR: Final = 2000
_YEARS: Final = range(2000, 2100)  # of events

Bools = NDArray[np.bool_]


class Unit(StrEnum):
    """The length of a period."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    EVER = "ever"


_LONGEST: Final = {Unit.HOUR: 2 * HOUR, Unit.DAY: 2 * DAY, Unit.MONTH: 32 * DAY, Unit.YEAR: 367 * DAY}  # and more
_NAMES: Final = {Unit.HOUR: "%Y-%m-%dT%H", Unit.DAY: "%Y-%m-%d", Unit.MONTH: "%Y-%m", Unit.YEAR: "%Y"}


@attrs.frozen
class Per:
    """A kind of period: its length, the time zone of its calendar, and the day on which it starts.

    month, day: the start of a year, the day of a month; a day that a month does not have is its last one. attribute:
    the event's attribute that gives the start instead (`31` of a month, `02-29` of a year), or None.
    """

    unit: Unit
    zone: str = "UTC"
    month: int = 1
    day: int = 1
    attribute: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Attributes that the period reads."""
        return () if self.attribute is None else (self.attribute,)

    def anchored(self, text: str) -> "Per | None":
        """Return the same with the start that a text gives, or None if it gives none."""
        start = day_of_year(text) if self.unit is Unit.YEAR else day_of_month(text)
        return start and attrs.evolve(self, month=start[0], day=start[1], attribute=None)


def day_of_month(text: str) -> tuple[int, int] | None:
    """Read `1` to `31` as (1, day), or return None."""
    if len(text) > 2 or not (text.isascii() and text.isdigit()) or text.startswith("0"):  # noqa: PLR2004 - two digits
        return None
    return (1, int(text)) if int(text) <= _DAYS_MAX else None


def day_of_year(text: str) -> tuple[int, int] | None:
    """Read a day of the year such as `04-01` as (month, day), or return None."""
    if len(text) != len("04-01") or not text.isascii() or not (text[:2] + text[3:]).isdigit() or text[2] != "-":
        return None
    try:
        day = date(_LEAP_YEAR, int(text[:2]), int(text[3:]))
    except ValueError:
        return None
    return day.month, day.day


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """Return the names of the time zones that there are."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="ascii").split())


@lru_cache
def zone_of(name: str) -> ZoneInfo:
    """Return a zone of `zones()`."""
    with files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@lru_cache(maxsize=PERIODS_KEPT)
def period_start(per: Per, second: int) -> int:
    """Return when the period that a second is in has started; both in seconds since 1970-01-01 UTC, 0 for `ever`.

    Days, months and years start with the first moment of their first date on the zone's calendar, and the date decides.
    An hour starts at the full hour of the zone's clock, at the offset that holds at the second: the hour that a clock
    put back repeats is two periods.
    """
    assert per.attribute is None, "the attribute has been read"
    if per.unit is Unit.EVER:
        return 0
    zone = zone_of(per.zone)
    local = datetime.fromtimestamp(second, zone)
    if per.unit is Unit.HOUR:
        offset = local.utcoffset()
        assert offset is not None, "a zone has an offset at any time"
        return second - (second + offset // timedelta(seconds=1)) % HOUR
    day = local.date()
    if per.unit is Unit.MONTH:
        start = _date(day.year, day.month, per.day)
        if day < start:
            start = _date(day.year, day.month - 1, per.day)
    elif per.unit is Unit.YEAR:
        start = _date(day.year, per.month, per.day)
        if day < start:
            start = _date(day.year - 1, per.month, per.day)
    else:
        start = day
    return (datetime(start.year, start.month, start.day, tzinfo=zone) - _EPOCH) // timedelta(seconds=1)


@lru_cache(maxsize=PERIODS_KEPT)
def period_end(per: Per, start: int) -> int:
    """Return when the period that a start names has ended: the first second after it; both since 1970-01-01 UTC."""
    assert per.unit is not Unit.EVER, "it never ends"
    later = range(start, start + 2 * _LONGEST[per.unit])
    return later[bisect_right(later, start, key=lambda second: period_start(per, second))]


def ends_possible(per: Per, start: int) -> tuple[int, int]:
    """Return the first and the last moment at which a period with this start can have ended, as `period_end` does.

    They differ where events name the anchor, and one that a month does not have starts on the same day as its last.
    """
    if per.attribute is None:
        return (period_end(per, start),) * 2
    day = datetime.fromtimestamp(start, zone_of(per.zone)).date()
    form = "{0.month:02}-{0.day:02}" if per.unit is Unit.YEAR else "{0.day}"
    last = "02-29" if per.unit is Unit.YEAR else str(_DAYS_MAX)
    anchored = [per.anchored(form.format(day)), per.anchored(last)]
    ends = [period_end(one, start) for one in anchored if one is not None and period_start(one, start) == start]
    return min(ends), max(ends)


def name_of(per: Per, start: int) -> str:
    """Return the name of a period: `2026`, `2026-01`, `2026-01-15` or `2026-01-15T10`, where its zone is as it starts.

    A period with an anchor has the name of the month or year that it starts in.
    """
    return datetime.fromtimestamp(start, zone_of(per.zone)).strftime(_NAMES[per.unit])


def unit_named(name: str) -> Unit | None:
    """Return the unit of which a text can name a period, None if it names none that events can be in."""
    for unit, form in _NAMES.items():
        try:
            moment = datetime.strptime(name, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if moment.strftime(form) == name and moment.year in _YEARS:
            return unit
    return None


def starts_named(per: Per, name: str) -> Iterator[int]:
    """Yield the starts of the periods with a name: one, or two where a clock that is put back repeats an hour."""
    assert per.attribute is None, "the attribute has been read"
    begin = int(datetime.strptime(name, _NAMES[per.unit]).replace(tzinfo=UTC).timestamp())
    start, stop = period_start(per, begin - DAY), begin + _LONGEST[per.unit] + DAY
    while start < stop:
        if name_of(per, start) == name:
            yield start
        start = period_start(per, period_end(per, start))


def _date(year: int, month: int, day: int) -> date:
    """Return a date; month 0 is the December before, and a day past the month's end is its last one."""
    if month == 0:
        year, month = year - 1, _MONTHS
    after = date(year + month // _MONTHS, month % _MONTHS + 1, 1)
    return min(date(year, month, 1) + timedelta(days=day - 1), after - timedelta(days=1))


def starts(per: Per, time_us: Int64s, anchors: Coded | None) -> tuple[Int64s, Bools | None]:
    """Return the start of each event's period, int64[n] of seconds, and where there is none (bool[n] or None).

    anchors: the column of `per.attribute`.
    """
    seconds = time_us // SECOND_US
    if anchors is None:
        return _starts(per, seconds), None
    found = np.zeros(len(seconds), dtype=np.int64)
    bad = np.ones(len(seconds), dtype=bool)
    for code in np.unique(anchors.codes).tolist():
        anchored = None if code == MISSING else per.anchored(anchors.values[code])
        if anchored is not None:
            rows = anchors.codes == code
            found[rows] = _starts(anchored, seconds[rows])
            bad[rows] = False
    return found, bad if bad.any() else None


def _starts(per: Per, seconds: Int64s) -> Int64s:
    if per.unit is Unit.EVER or not len(seconds):
        return np.zeros(len(seconds), dtype=np.int64)
    if per.zone == "UTC" and per.unit in {Unit.HOUR, Unit.DAY}:
        return seconds - seconds % (HOUR if per.unit is Unit.HOUR else DAY)
    quarters = seconds // QUARTER
    first = int(quarters.min())
    span = int(quarters.max()) - first + 1
    if span <= max(len(seconds), DENSE_MAX):
        seen = np.zeros(span, dtype=bool)
        seen[quarters - first] = True
        distinct = np.flatnonzero(seen)
        place = np.cumsum(seen) - 1
        place = place[quarters - first]
        distinct += first
    else:
        distinct, place = np.unique(quarters, return_inverse=True)
    begins = [period_start(per, quarter * QUARTER) for quarter in distinct.tolist()]
    found = np.array(begins, dtype=np.int64)[place]
    # A zone that changes in the middle of a quarter is asked second by second.
    split = [i for i, q in enumerate(distinct.tolist()) if period_start(per, q * QUARTER + QUARTER - 1) != begins[i]]
    for row in np.flatnonzero(np.isin(place, split)).tolist() if split else ():
        found[row] = period_start(per, int(seconds[row]))
    return found
