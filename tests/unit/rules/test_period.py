"""Periods: when they begin, on calendars, in time zones and on anchors; worked by hand."""
# ruff: noqa: E501  each message is asserted as the one line that a person sees

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from rules.columns import Coded, Counter
from rules.errors import BookError
from rules.period import Per, Unit, ends_possible, period_end, period_start, starts, starts_named, unit_named, zones
from rules.pricer import Pricer
from tests.agreement import by_engine, by_oracle, charged
from tests.rulebooks import book_of, reasons, rules_of, usage_of

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def _us(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp()) * 1_000_000


def _begin(per: Per, moment: str) -> str:
    second = period_start(per, _us(moment) // 1_000_000)
    found, bad = starts(per, np.array([_us(moment), _us(moment) + 999_999], dtype=np.int64), None)
    assert (found.tolist(), bad) == ([second, second], None)
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%MZ")


@pytest.mark.parametrize(
    ("per", "moment", "start"),
    [
        (Per(Unit.EVER), "2026-07-09T12:34:56Z", "1970-01-01T00:00Z"),
        (Per(Unit.HOUR), "2026-07-09T12:34:56Z", "2026-07-09T12:00Z"),
        (Per(Unit.DAY), "2026-07-09T12:34:56Z", "2026-07-09T00:00Z"),
        (Per(Unit.MONTH), "2026-07-31T23:59:59Z", "2026-07-01T00:00Z"),
        (Per(Unit.MONTH), "2026-08-01T00:00:00Z", "2026-08-01T00:00Z"),
        (Per(Unit.YEAR), "2026-12-31T23:59:59Z", "2026-01-01T00:00Z"),
        (Per(Unit.MONTH, day=15), "2026-07-14T23:59:59Z", "2026-06-15T00:00Z"),
        (Per(Unit.MONTH, day=15), "2026-01-01T00:00:00Z", "2025-12-15T00:00Z"),
        # 31 is the last day of the months that do not have it, in leap years too.
        (Per(Unit.MONTH, day=31), "2026-02-27T23:59:59Z", "2026-01-31T00:00Z"),
        (Per(Unit.MONTH, day=31), "2026-02-28T00:00:00Z", "2026-02-28T00:00Z"),
        (Per(Unit.MONTH, day=31), "2026-03-30T23:59:59Z", "2026-02-28T00:00Z"),
        (Per(Unit.MONTH, day=31), "2026-03-31T00:00:00Z", "2026-03-31T00:00Z"),
        (Per(Unit.MONTH, day=30), "2028-02-29T00:00:00Z", "2028-02-29T00:00Z"),
        (Per(Unit.YEAR, month=4), "2026-03-31T23:59:59Z", "2025-04-01T00:00Z"),
        (Per(Unit.YEAR, month=2, day=29), "2026-02-28T00:00:00Z", "2026-02-28T00:00Z"),
        (Per(Unit.YEAR, month=2, day=29), "2028-02-28T23:00:00Z", "2027-02-28T00:00Z"),
        # Winter and summer in Berlin: one and two hours before UTC.
        (Per(Unit.DAY, BERLIN), "2026-01-09T22:59:59Z", "2026-01-08T23:00Z"),
        (Per(Unit.DAY, BERLIN), "2026-07-09T22:00:00Z", "2026-07-09T22:00Z"),
        (Per(Unit.MONTH, BERLIN), "2026-04-01T00:00:00Z", "2026-03-31T22:00Z"),
        # The days on which clocks change have 23 and 25 hours.
        (Per(Unit.DAY, BERLIN), "2026-03-29T21:59:59Z", "2026-03-28T23:00Z"),
        (Per(Unit.DAY, BERLIN), "2026-10-25T22:59:59Z", "2026-10-24T22:00Z"),
        # Two o'clock comes twice, and is two periods.
        (Per(Unit.HOUR, BERLIN), "2026-10-25T00:59:59Z", "2026-10-25T00:00Z"),
        (Per(Unit.HOUR, BERLIN), "2026-10-25T01:00:00Z", "2026-10-25T01:00Z"),
        # Kathmandu is 5:45 before UTC; Lord Howe's clocks change by half an hour, at 15:00 UTC.
        (Per(Unit.HOUR, "Asia/Kathmandu"), "2026-07-09T12:14:59Z", "2026-07-09T11:15Z"),
        (Per(Unit.HOUR, LORD_HOWE), "2026-04-04T14:59:59Z", "2026-04-04T14:00Z"),
        (Per(Unit.HOUR, LORD_HOWE), "2026-04-04T15:00:00Z", "2026-04-04T14:30Z"),
        (Per(Unit.HOUR, LORD_HOWE), "2026-04-04T15:30:00Z", "2026-04-04T15:30Z"),
        # Midnight is skipped in Cairo: 24 April 2026 begins at one o'clock, which is 22:00 UTC.
        (Per(Unit.DAY, "Africa/Cairo"), "2026-04-24T09:00:00Z", "2026-04-23T22:00Z"),
        # Havana puts one o'clock back to midnight, which comes twice: the day begins with the first.
        (Per(Unit.DAY, "America/Havana"), "2026-11-01T05:30:00Z", "2026-11-01T04:00Z"),
        # Samoa had no 30 December 2011: the month that would begin on it begins with the 31st.
        (Per(Unit.MONTH, "Pacific/Apia", day=30), "2011-12-31T00:00:00Z", "2011-12-30T10:00Z"),
        (Per(Unit.MONTH, "Pacific/Apia", day=30), "2011-12-30T09:59:59Z", "2011-11-30T10:00Z"),
    ],
)
def test_periods_begin(per: Per, moment: str, start: str) -> None:
    """An event would count in the wrong month, and the customer would pay for another one's tiers."""
    assert _begin(per, moment) == start


def test_all_moments_of_a_year_at_once_are_what_they_are_alone() -> None:
    """A period would depend on what else is in the batch; Monrovia's clocks changed by 44 minutes 30 seconds in 1972."""
    generator = np.random.default_rng(7)
    for zone, first in (
        (BERLIN, "2026-01-01T00:00Z"),
        (LORD_HOWE, "2026-01-01T00:00Z"),
        ("Africa/Monrovia", "1971-12-01T00:00Z"),
    ):
        seconds = _us(first) // 1_000_000 + generator.integers(0, 366 * 86_400, 3_000)
        seconds = np.concatenate([seconds, 63_593_070 + np.arange(-900, 900, 30)])
        for unit in (Unit.HOUR, Unit.DAY, Unit.MONTH):
            per = Per(unit, zone)
            for some in (seconds, seconds[:1], seconds[:0]):
                found, _ = starts(per, some * 1_000_000 + 5, None)
                assert found.tolist() == [period_start(per, second) for second in some.tolist()]


def test_an_attribute_gives_the_anchor_of_each_event() -> None:
    """Every account would be billed on the first account's day."""
    time_us = np.full(5, _us("2026-07-09T00:00:00Z"), dtype=np.int64)
    anchors = Coded.of(["9", "10", None, "32", "31"])
    found, bad = starts(Per(Unit.MONTH, attribute="day"), time_us, anchors)
    assert bad is not None
    assert bad.tolist() == [False, False, True, True, False]
    begins = [datetime.fromtimestamp(second, UTC).strftime("%m-%d") for second in found[~bad].tolist()]
    assert begins == ["07-09", "06-10", "06-30"]


@pytest.mark.parametrize("text", ["", "0", "01", "32", "100", "-1", "1.0", "\u0663", "1\n"])
def test_what_is_no_day_of_a_month(text: str) -> None:
    """A misread day would put the account into another period."""
    assert Per(Unit.MONTH).anchored(text) is None


@pytest.mark.parametrize(
    "text", ["", "4-1", "02-30", "13-01", "00-01", "04-00", "04/01", "2026-04-01", "\u0660\u0664-\u0660\u0661"]
)
def test_what_is_no_day_of_a_year(text: str) -> None:
    """A misread day would put the account into another period."""
    assert Per(Unit.YEAR).anchored(text) is None


def test_zones_come_from_the_package() -> None:
    """Two machines with other zone files would count in other periods."""
    assert {"UTC", BERLIN, LORD_HOWE} < zones()


def test_events_without_their_day_are_rejected(tmp_path: Path) -> None:
    """They would count in a period of their own, where everything is still free."""
    rule = "price: {allowance: {per: {month: {anchor: {attribute: day}}}, free: 1, unit: 1}}"
    events = [{"day": "31"}, {}, {"day": "0"}, {"day": "1"}, {"day": "31"}]
    assert charged(tmp_path, rule, *events) == ["0", "bad_period", "bad_period", "0", "1"]
    assert reasons(rules_of(tmp_path, rule), *events) == [
        (1, "bad_period", 'the attribute "day" is absent; a day of the month is 1 to 31'),
        (2, "bad_period", 'the attribute "day" is "0"; a day of the month is 1 to 31'),
    ]
    rule = rule.replace("month", "year")
    assert reasons(rules_of(tmp_path, rule), {"day": "1"}) == [
        (0, "bad_period", 'the attribute "day" is "1"; a day of the year is written as "04-01"')
    ]


@pytest.mark.parametrize(
    ("per", "problem"),
    [
        ("week", 'per: unknown word "week"; known: hour, day, month, year, ever'),
        ("[month]", "per: must be a mapping with the keys hour, day, month, year"),
        ("{month: {}}", "per.month: is empty; write one of zone, anchor"),
        ("{month: {}, day: {}}", "per: must be a word, or have exactly one of hour, day, month, year"),
        ("{ever: {zone: UTC}}", 'per.ever: unknown key "ever"; known: hour, day, month, year'),
        (
            "{month: {zone: Europe/Berlim}}",
            'per.month.zone: "Europe/Berlim" is not a time zone; did you mean "Europe/Berlin"?',
        ),
        (
            "{month: {zone: ../../etc/passwd}}",
            'per.month.zone: "../../etc/passwd" is not a time zone; write an IANA name such as "Europe/Berlin"',
        ),
        (
            "{month: {anchor: 32}}",
            'per.month.anchor: "32" is not an anchor; write a day of the month, 1 to 31, or {attribute: NAME}',
        ),
        (
            "{year: {anchor: 1}}",
            'per.year.anchor: "1" is not an anchor; write a day of the year such as "04-01", or {attribute: NAME}',
        ),
        (
            "{month: {anchor: {attribute: account}}}",
            'per.month.anchor.attribute: "account" is a field of every event; name an attribute',
        ),
        ("{day: {anchor: 1}}", 'per.day.anchor: unknown key "anchor"; known: zone'),
    ],
)
def test_bad_periods_are_told(tmp_path: Path, per: str, problem: str) -> None:
    """A price list would count in periods that nobody meant."""
    with pytest.raises(BookError) as error:
        rules_of(tmp_path, f"price: {{allowance: {{per: {per}, free: 1, unit: 1}}}}")
    where = f"{tmp_path}/book.yaml:7: charges[0].rules[0].price.allowance"
    assert str(error.value).splitlines()[0] == f"{where}.{problem}"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            "price: {flat: 1}, per_period: {per: month}",
            "per_period: has neither minimum nor maximum; write one of them",
        ),
        (
            "price: {flat: 1}, per_period: {maximum: 1}",
            'per_period: the key "per" is missing; add it, such as per: month',
        ),
        (
            "price: {flat: 1}, per_period: {per: day, maximum: -1}",
            'per_period.maximum: "-1" is too small; write 0 or more',
        ),
        (
            "price: {flat: 1}, per_period: {per: day, minimum: 2, maximum: 1}",
            "per_period.maximum: is below the minimum; write a larger one",
        ),
        (
            'price: {flat: 1}, round: {places: 2}, per_period: {per: day, maximum: "0.005"}',
            'per_period.maximum: "0.005" has more than 2 decimal places; round it to 2',
        ),
        (
            "price: {allowance: {per: day, free: 1, unit: 1}}, per_period: {per: month, maximum: 1}",
            "per_period.per: the price has its own period; leave this one out",
        ),
        (
            "price: {flat: 1}, per_period: {per: ever, minimum: 1}",
            'per_period: "r0" counts for ever, so that no period ends in which a minimum is due; name a period',
        ),
    ],
)
def test_bad_bounds_of_a_period_are_told(tmp_path: Path, rule: str, problem: str) -> None:
    """A cap would be ignored, or taken of another period than the prices."""
    with pytest.raises(BookError) as error:
        rules_of(tmp_path, rule)
    assert str(error.value) == f"{tmp_path}/book.yaml:7: charges[0].rules[0].{problem}"


def test_bounds_of_a_period_are_data_of_the_rule(tmp_path: Path) -> None:
    """What an account has committed to could not be settled when the period closes."""
    (rule,) = rules_of(tmp_path, "price: {flat: 1}, per_period: {per: {day: {zone: Europe/Berlin}}, minimum: 3}").rules
    assert (rule.per, rule.period_minimum_pico, rule.period_maximum_pico) == (Per(Unit.DAY, BERLIN), 3 * 10**12, None)


def test_linear_prices_are_capped_in_their_own_periods(tmp_path: Path) -> None:
    """A cap by day would be taken of the month, and one that is anchored to the account's day would find no day."""
    charges = """
charges:
- group: usage
  rules:
  - {id: daily, when: {product: d}, price: {flat: 3}, per_period: {per: day, maximum: 5}}
  - {id: monthly, when: {product: m}, price: {flat: 3}, per_period: {per: month, maximum: 5}}
  - {id: own, price: {flat: 3}, per_period: {per: {month: {anchor: {attribute: day}}}, maximum: 5}}
"""
    book = book_of(tmp_path, charges)
    assert "day" in book.attributes
    events = [
        {"product": product, "day": "5", "time_us": _us(f"2026-01-{day:02}T00:00:00Z")}
        for day in (3, 4, 5)
        for product in ("d", "d", "m", "x")
    ]
    found = by_engine(book, *events)
    assert found == by_oracle(tmp_path / "book.yaml", *events)
    assert found == [
        *({"daily": "3"}, {"daily": "2"}, {"monthly": "3"}, {"own": "3"}),
        *({"daily": "3"}, {"daily": "2"}, {"monthly": "2"}, {"own": "2"}),
        *({"daily": "3"}, {"daily": "2"}, {"monthly": "0"}, {"own": "3"}),
    ]
    priced = Pricer(book).price(usage_of(book, events)).lines  # all of them at once
    assert Counter(0, _us("2026-01-04T00:00:00Z") // 1_000_000) in priced.counters
    assert Counter(1, _us("2026-01-01T00:00:00Z") // 1_000_000) in priced.counters
    assert len(priced.counters) == 6


@pytest.mark.parametrize(
    ("per", "start", "end"),
    [
        (Per(Unit.MONTH, BERLIN), "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        (Per(Unit.MONTH, day=31), "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"),
        (Per(Unit.MONTH, day=31), "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        (Per(Unit.YEAR, month=2, day=29), "2027-02-28T00:00:00Z", "2028-02-29T00:00:00Z"),
        (Per(Unit.DAY, BERLIN), "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        (Per(Unit.HOUR, BERLIN), "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"),
    ],
)
def test_periods_end_where_the_next_one_starts(per: Per, start: str, end: str) -> None:
    """A minimum would be charged while its period still runs, or be booked in the next one."""
    found = period_end(per, _us(start) // 1_000_000)
    assert found == _us(end) // 1_000_000
    assert [period_start(per, found - 1), period_start(per, found)] == [_us(start) // 1_000_000, found]


def test_periods_have_the_name_of_what_they_start_in() -> None:
    """Who closes January would close the month that another zone or another billing day calls so."""
    hours = Per(Unit.HOUR, BERLIN)
    repeated = [_us(f"2026-10-25T0{hour}:00:00Z") // 1_000_000 for hour in (0, 1)]
    assert list(starts_named(hours, "2026-10-25T02")) == repeated  # a clock that is put back shows it twice
    assert list(starts_named(hours, "2026-03-29T02")) == []  # and one that is put forward not at all
    assert list(starts_named(Per(Unit.MONTH, BERLIN), "2026-01")) == [_us("2025-12-31T23:00:00Z") // 1_000_000]
    assert list(starts_named(Per(Unit.MONTH, day=31), "2026-02")) == [_us("2026-02-28T00:00:00Z") // 1_000_000]
    assert list(starts_named(Per(Unit.YEAR, month=4), "2026")) == [_us("2026-04-01T00:00:00Z") // 1_000_000]
    assert [*map(unit_named, ("2026", "2026-01", "2026-01-31", "2026-01-31T23", "1999", "2026-02-30"))] == [
        Unit.YEAR, Unit.MONTH, Unit.DAY, Unit.HOUR, None, None,
    ]  # fmt: skip


def test_a_period_whose_day_an_event_named_ends_at_the_latest_possible_day() -> None:
    """28 February may be the day of an account with 28 as of one with 31: the latter has three days more."""
    own, start = Per(Unit.MONTH, attribute="day"), _us("2026-02-28T00:00:00Z") // 1_000_000
    assert ends_possible(own, start) == (start + 28 * 86_400, start + 31 * 86_400)
    assert ends_possible(own, start - 86_400) == (start + 27 * 86_400,) * 2
