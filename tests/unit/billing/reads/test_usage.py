"""Usage made coarser, and its gaps filled."""

from decimal import Decimal

import pytest

from billing.reads.balance import UsageRow
from billing.reads.usage import aligned, buckets, filled, fitting, regrouped, total_of
from rules.book import Every, Rollup
from tests.rulebooks import book_of

JANUARY = 1_767_225_600  # 2026-01-01
HOURLY = Rollup("hourly", Every.HOUR, ("product", "country"))
ROLLUPS = """
dimensions: [country]
charges:
- group: g
  rules: [{id: r, when: {product: sms}, price: {per_unit: 1}}]
rollups:
- {name: hourly, every: hour, by: [product, country]}
- {name: daily, every: day, by: [product]}
- {name: monthly, every: month}
"""


def row(hours, dims, events=1):
    return UsageRow(JANUARY + hours * 3_600, dims, events, Decimal(events), Decimal("0.000000000001"))


def test_longer_buckets_and_fewer_dimensions_add_up():
    """A chart by day would show less than the one by hour."""
    rows = [row(0, '["sms","US"]'), row(5, '["sms",null]', 2), row(23, '["voice","US"]', 4), row(24, '["sms","US"]', 8)]
    assert [(one.bucket, one.dims, one.events) for one in regrouped(rows, HOURLY, Every.DAY, ("product",))] == [
        (JANUARY, ("sms",), 3), (JANUARY, ("voice",), 4), (JANUARY + 86_400, ("sms",), 8),
    ]  # fmt: skip
    (month,) = regrouped(rows, HOURLY, Every.MONTH, ())
    assert (month.events, month.amount) == (15, Decimal("0.000000000004"))
    assert total_of(regrouped(rows, HOURLY, Every.HOUR, ("country",))).events == 15


def test_rows_of_several_shards_add_up():
    """Usage of a spread account would be shown in pieces, or mixed up."""
    rows = [row(1, '["sms","US"]'), row(0, '["sms","US"]'), row(0, '["sms","US"]', 2)]
    found = regrouped(rows, HOURLY, Every.HOUR, HOURLY.by)
    assert [(one.bucket, one.events, one.amount) for one in found] == [
        (JANUARY, 3, Decimal("0.000000000002")), (JANUARY + 3_600, 1, Decimal("0.000000000001")),
    ]  # fmt: skip


def test_rows_of_an_older_book_still_count():
    """Usage from before a rollup was changed would vanish from the total."""
    assert (
        total_of(regrouped([row(0, '["sms"]'), row(1, '["sms","US"]')], HOURLY, Every.HOUR, ("country",))).events == 2
    )


def test_the_smallest_rollup_that_has_the_answer_is_read(tmp_path):
    """A month would be added up from hours, or answered by a rollup that lacks the dimension."""
    book = book_of(tmp_path, ROLLUPS)
    cases = {
        (Every.MONTH, ()): "monthly", (Every.DAY, ()): "daily", (Every.DAY, ("product",)): "daily",
        (Every.MONTH, ("country",)): "hourly", (Every.HOUR, ()): "hourly",
    }  # fmt: skip
    assert {case: fitting(book, *case).name for case in cases} == cases
    assert fitting(book, Every.HOUR, ("carrier",)) is None


@pytest.mark.parametrize(
    ("every", "count", "last"),
    [(Every.HOUR, 31 * 24 + 1, JANUARY + 31 * 86_400), (Every.DAY, 32, JANUARY + 31 * 86_400),
     (Every.MONTH, 2, JANUARY + 31 * 86_400)],
)  # fmt: skip
def test_buckets_are_those_that_begin_within(every, count, last):
    """The last hour, day or month would be missing from a chart, or one too many be there."""
    found = buckets(every, range(JANUARY, JANUARY + 31 * 86_400 + 1))
    assert (len(found), found[0], found[-1]) == (count, JANUARY, last)


def test_gaps_are_rows_of_zeros_for_each_combination():
    """A chart would join the dots over a day without use."""
    rows = regrouped([row(0, '["sms","US"]'), row(2, '["voice","US"]')], HOURLY, Every.HOUR, ("product",))
    span = aligned(range(JANUARY + 60, JANUARY + 3 * 3_600), Every.HOUR)
    found = filled(rows, Every.HOUR, span)
    assert [(one.bucket, one.dims[0], one.events) for one in found] == [
        (JANUARY + hour * 3_600, product, events)
        for hour, uses in enumerate(((1, 0), (0, 0), (0, 1)))
        for product, events in zip(("sms", "voice"), uses, strict=True)
    ]
    assert [one.events for one in filled([], Every.DAY, range(JANUARY, JANUARY + 2 * 86_400))] == [0, 0]
