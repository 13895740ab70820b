"""Slices can be cut, trimmed and joined at any offset without losing or repeating an event."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from billing.batch import Slice, Span
from tests.examples import examples
from tests.pipeline import payload, pipeline_in

with TemporaryDirectory() as folder:
    PIPELINE = pipeline_in(Path(folder))

# What stands at each offset: nothing (a gap), a reject, an event, or an event that charges two accounts.
_partition = st.lists(st.sampled_from("-xeef"), max_size=12)
_logs = st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 100), _partition), min_size=1, max_size=3)


def _slice(logs: dict[int, tuple[int, list[str]]]) -> Slice:
    places, payloads = [], []
    for partition, (start, kinds) in sorted(logs.items()):
        for offset, kind in enumerate(kinds, start):
            if kind == "-":
                continue
            places.append((partition, offset))
            name = f"e{partition}-{offset}"
            attributes = {"reseller": "zoe"} if kind == "f" else {}
            payloads.append(b"bad" if kind == "x" else payload(name, quantity=offset, attributes=attributes))
    spans = {partition: Span(start, start + max(len(kinds), 1)) for partition, (start, kinds) in logs.items()}
    return PIPELINE.slices_at(spans, places, payloads)[0]


def _parts(piece: Slice) -> list[tuple[object, ...]]:
    """Return every part and reject with its place, account and amount, sorted."""
    charges = piece.charges
    sums = [0] * len(charges)
    for part, units in zip(charges.part.tolist(), charges.amount.units.tolist(), strict=True):
        sums[part] += int(units)
    columns = (charges.partition.tolist(), charges.offset.tolist(), charges.account.rows(), charges.key.to_pylist())
    found: list[tuple[object, ...]] = list(zip(*columns, piece.slot.tolist(), sums, strict=True))
    found += [(one.partition, one.offset, "", one.reason, 0, 0) for one in piece.rejects]
    return sorted(found, key=repr)


@examples(150)
@given(_logs, st.integers(0, 12))
def test_cut_and_joined_is_as_before(logs: dict[int, tuple[int, list[str]]], events_max: int) -> None:
    """An event at the cut between two batches would be billed twice or never."""
    whole = _slice(logs)
    pieces, rest = [], whole
    while True:
        head, tail = rest.split(events_max)
        assert head.spans
        assert len(head.places()) <= max(events_max, 1)
        pieces.append(head)
        if tail is None:
            break
        rest = tail
    joined = Slice.concat(pieces)
    assert dict(joined.spans) == dict(whole.spans)
    assert _parts(joined) == _parts(whole)
    for piece in pieces:
        for partition, offset in piece.places():
            assert piece.spans[partition].start <= offset < piece.spans[partition].stop


@examples(150)
@given(_logs, st.dictionaries(st.integers(0, 3), st.integers(0, 115), max_size=4))
def test_trimming_keeps_exactly_what_lies_behind(
    logs: dict[int, tuple[int, list[str]]], starts: dict[int, int]
) -> None:
    """A cursor in the middle of a read would lose what follows, or repeat what it has passed."""
    whole = _slice(logs)
    trimmed = whole.since(starts)
    usable = {
        partition: starts[partition]
        for partition, span in whole.spans.items()
        if partition in starts and span.start <= starts[partition] < span.stop
    }
    if trimmed is None:
        assert usable == {}
        return
    assert {partition: (span.start, span.stop) for partition, span in trimmed.spans.items()} == {
        partition: (start, whole.spans[partition].stop) for partition, start in usable.items()
    }
    expected = [row for row in _parts(whole) if row[0] in usable and int(str(row[1])) >= usable[int(str(row[0]))]]
    assert _parts(trimmed) == expected
    assert trimmed.payload_bytes == sum(map(len, trimmed.charges.payload.to_pylist())) + sum(
        len(r.payload) for r in trimmed.rejects
    )
