"""What the events of a comparison must add up to."""

import numpy as np
import pytest

from bench.comparison.work import Aggregates, Pricing, of_stream, single_events, unlike
from bench.kernels import stages
from billing.batch import Span
from billing.ports import Records
from generators.population import Model
from generators.workload import Workload
from sharding.shardmap import ShardMap
from tests.command import ROOT

SHARDMAP = ShardMap.even(["a", "b"])


def records(events, partitions=4, model=Model.SKEWED):
    """Deal events out to partitions in turn."""
    bodies = Workload(model=model, seed=3).payloads(0, events)
    number = np.arange(events)
    spans = {partition: Span(0, len(range(partition, events, partitions))) for partition in range(partitions)}
    return Records((number % partitions).astype(np.int32), number // partitions, bodies, spans)


@pytest.fixture(scope="module")
def pricing():
    return Pricing(stages.pricer().book, SHARDMAP)


def rows_of(piece, pricing):
    return list(single_events(piece.charges, piece.slot, pricing.book))


@pytest.mark.parametrize("model", list(Model))
def test_rows_of_single_events_add_up_to_those_of_all(pricing, model):
    """Else the classic pattern would be compared by other work than the product's."""
    log = records(300, model=model)
    expected = pricing.expected([log], [dict.fromkeys(range(4), 75)] * 2)
    for piece, aggregates in zip(pricing.slices(log), expected, strict=True):
        events = rows_of(piece, pricing)
        assert sum(event.home for event in events) == piece.charges.home.sum()
        assert sum(len(event.records) for event in events) == len(piece.charges.part)
        assert {row[:5] for event in events for row in event.rollups} == aggregates.rollups.keys()
        assert {row[:3] for event in events for row in event.balances} == aggregates.balances.keys()
        for place, table in ((3, "balances"), (5, "rollups")):
            rows = [row for event in events for row in getattr(event, table)]
            held = getattr(aggregates, table).values()
            assert sum(row[place] for row in rows) == sum(sums[0] for sums in held)
            assert sum(row[-1] for row in rows) % 2**64 == sum(sums[-1] for sums in held) % 2**64


def test_events_above_a_shards_stop_are_not_expected_of_it(pricing):
    """Else a contender that was stopped in the middle could never be right, or one that lost events would be."""
    log = records(200)
    stops = [{0: 50, 1: 10, 2: 0, 3: 50}, {0: 0, 1: 0, 2: 1, 3: 0}]
    first, second = pricing.expected([log], stops)
    pieces = pricing.slices(log)
    for piece, until, aggregates in zip(pieces, stops, (first, second), strict=True):
        applied = [event for event in rows_of(piece, pricing) if event.offset < until[event.partition]]
        assert sum(sums[0] for sums in aggregates.balances.values()) == sum(
            row[3] for event in applied for row in event.balances
        )


def test_a_row_too_many_too_few_or_wrong_is_a_difference(pricing):
    """Else a contender that computes something else would pass."""
    (expected, _) = pricing.expected([records(50)], [dict.fromkeys(range(4), 50)] * 2)
    found = Aggregates(dict(expected.rollups), dict(expected.balances))
    assert expected.differences(found) == 0
    key, (events, amount, checksum) = next(iter(found.balances.items()))
    found.balances[key] = (events, amount + 1, checksum)
    found.rollups.pop(next(iter(found.rollups)))
    found.rollups[0, "nobody", "hourly", 0, "[]"] = (1, 1, 1, 1)
    assert expected.differences(found) == 3
    assert unlike({}, {}) == 0


def test_streams_share_the_partitions():
    """Else events would be sent twice or by nobody."""
    log = records(101)
    parts = [of_stream(log, stream, 3) for stream in range(3)]
    assert sorted(body for part in parts for body in part.payload) == sorted(log.payload)
    assert [sorted(part.spans) for part in parts] == [[0, 3], [1], [2]]
    assert {*parts[0].partition.tolist()} == {0, 3}


def test_a_book_that_counts_is_refused():
    """Else packets would be made ahead whose amounts only the database can know."""
    book = stages.pricer(ROOT / "bench" / "books" / "cumulative.yaml").book
    with pytest.raises(ValueError, match="has cumulative prices; compare by one without"):
        Pricing(book, SHARDMAP)
