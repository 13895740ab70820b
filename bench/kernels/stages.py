"""Kernels: the pure path without servers, whole and in its stages.

Owns which calls make a stage and what they work on. Must not know clocks: `timing` has them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import msgspec

from billing.batch import Slice, route_charges
from billing.event import Decoder
from billing.fold import fold
from billing.pricing import charge
from billing.rehearsal import LIMITS, LOG, SHARDS, reads, rendered, settled, shardmap
from generators.population import Model
from generators.workload import Workload
from rules import books_path
from rules.load import load
from rules.pricer import Pricer

EVENTS: Final = 100_000  # of one repeat: a quarter of a second or more, against a clock of microseconds


@attrs.frozen
class Stage:
    """One stage of the path: its name, and the call that does it for all events."""

    name: str
    work: Callable[[], object]


@attrs.frozen
class KernelTimes:
    """What one model costs: CPU seconds of each repeat, for all events at once; one of everything in each repeat.

    stages: by stage, in the order of the path; whole: the engine from payloads to the text of every packet;
    yardstick: work that the engine has no part in, which tells one machine's second from another's.
    """

    model: str
    events: int
    stages: dict[str, tuple[float, ...]]
    whole: tuple[float, ...]
    yardstick: tuple[float, ...]


def payloads(model: Model, events: int) -> list[bytes]:
    """Return the events of a model."""
    return Workload(model=model, seed=1).payloads(0, events)


@attrs.frozen
class ScaleTimes:
    """What a big book costs beside a small one, for the same events: CPU seconds of the whole path.

    pairs: (small, big) of each repeat, measured one right after the other; load_seconds: to read the big book.
    """

    model: str
    events: int
    rules: int
    prefixes: int
    load_seconds: float
    pairs: tuple[tuple[float, float], ...]


def pricer(book: Path | None = None) -> Pricer:
    """Return the pricer of a book, or of the telecom book."""
    return Pricer(load(books_path() / "telecom.yaml" if book is None else book))


def stages_of(bodies: Sequence[bytes], priced_by: Pricer) -> list[Stage]:
    """Return the stages of the path, each on what the one before it makes of the events.

    The cuts are those of a loaded worker: polls and batches of the size that the limits allow.
    """
    decoder = Decoder(priced_by.book.attributes, priced_by.book.payers)
    map_of_shards = shardmap()
    polls = reads(bodies)
    decoded = [decoder.decode(poll.partition, poll.offset, poll.payload) for poll in polls]
    charged = [charge(events, priced_by) for events, _ in decoded]
    routed = [
        route_charges(poll.spans, charges, (), map_of_shards) for poll, (charges, _) in zip(polls, charged, strict=True)
    ]
    batches = [batch for shard in range(SHARDS) for batch in _batches([slices[shard] for slices in routed])]
    book, version = priced_by.book, map_of_shards.version
    folded = [fold(batch, book, LOG, version, {}, {}) for batch in batches]
    done = [settled(transaction) for transaction in folded]
    return [
        Stage("decode", lambda: [decoder.decode(one.partition, one.offset, one.payload) for one in polls]),
        Stage("price", lambda: [charge(events, priced_by) for events, _ in decoded]),
        Stage(
            "route",
            lambda: [
                route_charges(poll.spans, charges, (), map_of_shards)
                for poll, (charges, _) in zip(polls, charged, strict=True)
            ],
        ),
        Stage("fold", lambda: [fold(batch, book, LOG, version, {}, {}) for batch in batches]),
        Stage("settle", lambda: [settled(transaction) for transaction in folded]),
        Stage("render", lambda: [rendered(*pair) for pair in zip(folded, done, strict=True)]),
    ]


def yardstick(bodies: Sequence[bytes]) -> None:
    """Read all events as a library reads JSON: memory, branches and objects, as much as this machine makes of them."""
    for body in bodies:
        msgspec.json.decode(body)


def _batches(pieces: Sequence[Slice]) -> list[Slice]:
    batches = []
    rest: Slice | None = Slice.concat(pieces)
    while rest is not None:
        batch, rest = rest.split(LIMITS.batch_events_max)
        batches.append(batch)
    return batches
