"""A lane by itself: what it buffers, when it sends, what it does after a refusal."""

import attrs
import pytest

from billing.batch import Span
from billing.lane import Lane, State
from billing.limits import Limits
from billing.ports import Reaction
from tests.pipeline import payload

LIMITS = attrs.evolve(
    Limits(),
    batch_events_max=8,
    buffer_events_max=20,
    flush_interval_ms=5,
    idle_advance_ms=1000,
    retry_backoff_min_ms=50,
    retry_backoff_max_ms=400,
)


@pytest.fixture
def piece(pipeline):
    """Give a maker of slices that have an event at every offset from start to stop."""

    def make(start, stop, partition=0):
        return pipeline.slice([payload(f"e{n}") for n in range(start, stop)], start, partition)

    return make


def lane_at(positions, **changes):
    """Return a lane whose shard stands at these positions."""
    lane = Lane(0, "s1", attrs.evolve(LIMITS, **changes))
    lane.stand(positions, 0)
    return lane


def spans(lane):
    """Return what waits, as start and stop of partition 0."""
    return [(piece.spans[0].start, piece.spans[0].stop) for piece in lane.pending]


# --- what is buffered ---


def test_only_the_next_record_is_taken(piece):
    """A record would be billed twice after a rewind, or one be skipped where a reader jumped."""
    lane = lane_at({0: 5})
    lane.take(piece(0, 5), 0)
    assert (spans(lane), lane.buffered) == ([], {0: 5})
    lane.take(piece(6, 9), 0)
    assert (spans(lane), lane.buffered) == ([], {0: 5})
    lane.take(piece(3, 7), 0)
    assert (spans(lane), lane.pending_events, lane.buffered) == ([(5, 7)], 2, {0: 7})
    lane.take(piece(3, 7), 0)
    lane.take(piece(5, 8), 0)
    assert (spans(lane), lane.pending_events) == ([(5, 7), (7, 8)], 3)
    lane.take(piece(0, 9, partition=1), 0)
    assert lane.buffered == {0: 8}


def test_stretches_without_events_are_joined(pipeline):
    """A shard without traffic would keep a slice for each read of the log, without end."""
    lane = lane_at({0: 0})
    for start in range(0, 50, 10):
        lane.take(pipeline.slice([], start, stop=start + 10), 0)
    assert spans(lane) == [(0, 50)]
    lane.take(pipeline.slice([payload()], 50), 0)
    lane.take(pipeline.slice([], 51, stop=60), 0)
    assert spans(lane) == [(0, 50), (50, 51), (51, 60)]


def test_a_lane_is_full_by_events_or_by_bytes(piece):
    """A worker's memory would grow with the backlog."""
    lane = lane_at({0: 0})
    lane.take(piece(0, 19), 0)
    assert not lane.full
    lane.take(piece(19, 20), 0)
    assert lane.full
    size = sum(len(payload(f"e{n}")) for n in range(4))
    lane = lane_at({0: 0}, buffer_bytes_max=size)
    lane.take(piece(0, 3), 0)
    assert not lane.full
    lane.take(piece(3, 4), 0)
    assert (lane.pending_bytes, lane.full) == (size, True)


def test_behind_means_that_a_reader_has_passed():
    """A lane would wait for ever for records that nobody will bring again."""
    lane = lane_at({0: 5, 1: 7})
    assert lane.behind({0: 5, 1: 6}) == set()
    assert lane.behind({0: 6, 1: 7, 2: 0}) == {0, 2}


# --- when it sends ---


def test_when_a_batch_is_due(pipeline, piece):
    """Latency would be that of a full batch, or each event be sent alone."""
    lane = lane_at({0: 0})
    assert not lane.due(10_000, hurry=True)
    lane.applied_at_ms = 90
    lane.take(piece(0, 1), 100)
    assert [lane.due(now, hurry=False) for now in (100, 104, 105)] == [False, False, True]
    assert lane.due(100, hurry=True)
    lane.take(piece(1, 8), 101)
    assert lane.due(101, hurry=False)
    lane = lane_at({0: 0})
    lane.take(pipeline.slice([], stop=5), 0)
    assert [lane.due(now, hurry=False) for now in (999, 1000)] == [False, True]


def test_a_batch_takes_what_fits_and_leaves_the_rest(piece):
    """Packets would grow past what a server takes."""
    lane = lane_at({0: 0})
    for start, stop in ((0, 3), (3, 6), (6, 20)):
        lane.take(piece(start, stop), 0)
    assert lane.next_batch(50).spans == {0: Span(0, 6)}
    assert (spans(lane), lane.pending_events, lane.pending_since_ms) == ([(6, 20)], 14, 50)
    lane.applied(60)
    assert lane.next_batch(60).spans == {0: Span(6, 14)}


def test_a_batch_that_is_at_most_half_full_is_filled_up(piece):
    """After a refusal many small pieces wait, and batches would stay as small as they are."""
    lane = lane_at({0: 0})
    lane.take(piece(0, 4), 0)
    lane.take(piece(4, 12), 0)
    assert lane.next_batch(50).spans == {0: Span(0, 8)}
    assert spans(lane) == [(8, 12)]


def test_applied_moves_positions(piece):
    """What was committed would be sent again."""
    lane = lane_at({0: 0})
    lane.take(piece(0, 5), 0)
    lane.next_batch(0)
    lane.poison = {(0, 3): "x", (0, 9): "y", (1, 0): "z"}
    lane.failures = 3
    lane.applied(70)
    assert (lane.positions, lane.inflight, lane.failures, lane.applied_at_ms) == ({0: 5}, None, 0, 70)
    assert lane.poison == {(0, 9): "y", (1, 0): "z"}
    assert lane.state is State.READY


# --- refusals ---


@pytest.mark.parametrize(
    ("reaction", "waits_ms"),
    [
        (Reaction.RETRY, [50, 100, 200, 400, 400]),
        (Reaction.RECONNECT, [50, 100, 200, 400, 400]),
        (Reaction.RESOLVE_WRITER, [50, 100, 200, 400, 400]),
        (Reaction.PAUSE, [400, 400, 400]),
        (Reaction.FENCED, [0, 100, 200]),
        (Reaction.DUPLICATES, [50, 100]),
    ],
)
def test_waits_grow_with_failures(piece, reaction, waits_ms):
    """A shard in trouble would be hammered, or a quick recovery waited for too long."""
    lane = lane_at({0: 0})
    lane.take(piece(0, 4), 0)
    for expected in waits_ms:
        lane.state = State.READY
        lane.next_batch(0)
        lane.refused(reaction, "words", 1000)
        assert (lane.state, lane.retry_at_ms - 1000, lane.trouble) == (State.WAITING, expected, "words")
        lane.stand({0: 0}, 1000)
    assert lane.poison == {}


@pytest.mark.parametrize("reaction", [Reaction.SPLIT, Reaction.BISECT])
def test_halving_does_not_wait(piece, reaction):
    """One bad event would hold up its shard for half a minute until it stands alone."""
    lane = lane_at({0: 0})
    lane.take(piece(0, 8), 0)
    sizes = []
    for _ in range(4):
        sizes.append(len(lane.next_batch(0)))
        lane.refused(reaction, "1264", 1000)
        assert lane.retry_at_ms == 1000
        lane.stand({0: 0}, 1000)
    assert sizes == [8, 4, 2, 1]
    assert lane.poison == {(0, 0): "1264"}
    lane.next_batch(0)
    lane.refused(reaction, "1264", 1000)
    assert lane.retry_at_ms > 1000


def test_a_batch_grows_again_after_success(piece):
    """One bad event would make a shard slow for good."""
    lane = lane_at({0: 0}, batch_events_max=64, buffer_events_max=1000)
    lane.take(piece(0, 100), 0)
    for reaction in (Reaction.BISECT, Reaction.BISECT):
        lane.next_batch(0)
        lane.refused(reaction, "", 0)
        lane.stand({0: 0}, 0)
    sizes = []
    for _ in range(3):
        sizes.append(len(lane.next_batch(0)))
        lane.applied(0)
    assert sizes == [16, 32, 52]
    lane.take(piece(100, 164), 0)
    lane.next_batch(0)
    lane.refused(Reaction.SPLIT, "", 0)
    assert (lane.batch_events, lane.ceiling) == (32, 32)


# --- standing anew ---


@pytest.mark.parametrize(
    ("position", "waiting", "buffered"),
    [
        (0, [(0, 4), (4, 8)], 8),  # rolled back: send the same again
        (4, [(4, 8)], 8),  # it had been committed after all
        (6, [(6, 8)], 8),  # another worker wrote a part of it
        (8, [], 8),
        (9, [], 9),  # another worker is ahead
    ],
)
def test_what_follows_the_cursor_is_kept(piece, position, waiting, buffered):
    """A batch whose answer was lost would be billed twice, or never."""
    lane = lane_at({0: 0})
    lane.take(piece(0, 4), 0)
    lane.next_batch(0)
    lane.take(piece(4, 8), 0)
    lane.refused(Reaction.RECONNECT, "", 0)
    lane.stand({0: position}, 7)
    assert (spans(lane), lane.buffered) == (waiting, {0: buffered})
    assert (lane.positions, lane.inflight, lane.state) == ({0: position}, None, State.READY)
    assert lane.pending_events == sum(stop - start for start, stop in waiting)


def test_a_cursor_that_went_back_drops_the_buffer(piece):
    """After a failover the last seconds of events would be skipped."""
    lane = lane_at({0: 10})
    lane.take(piece(10, 14), 0)
    lane.stand({0: 6}, 0)
    assert (spans(lane), lane.buffered) == ([], {0: 6})


def test_each_partition_stands_for_itself(pipeline, piece):
    """One partition that went back would throw away, or let through, the records of the others."""
    lane = lane_at({0: 0, 1: 10})
    lane.take(piece(0, 3), 0)
    lane.take(pipeline.slice([payload("x"), payload("y")], 10, 1), 0)
    lane.stand({0: 1, 1: 4}, 0)
    assert [dict(one.spans) for one in lane.pending] == [{0: Span(1, 3)}]
    assert lane.buffered == {0: 3, 1: 4}


def test_detaching_forgets_what_waits_but_not_what_is_on_its_way(piece):
    """The batch in flight would be read and sent a second time."""
    lane = lane_at({0: 0})
    lane.take(piece(0, 12), 0)
    lane.next_batch(0)
    lane.detach()
    assert (spans(lane), lane.buffered, lane.positions, lane.pending_events) == ([], {0: 8}, {0: 0}, 0)


def test_forgetting_while_busy_asks_again_afterwards(piece):
    """An answer about partitions that are gone would be taken for one about those that came."""
    lane = lane_at({0: 0})
    lane.take(piece(0, 4), 0)
    lane.next_batch(0)
    lane.state = State.APPLYING
    lane.forget()
    assert (lane.reclaim, lane.claimed, lane.busy, lane.buffered) == (True, False, True, {})
    lane = lane_at({0: 0})
    lane.forget()
    assert (lane.reclaim, lane.state) == (False, State.WAITING)
