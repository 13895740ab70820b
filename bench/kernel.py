"""Kernels: the pure path without servers, whole and in its stages.

Owns which calls make a stage and what they work on. Must not know clocks: `bench.measure` times them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import msgspec
import numpy as np

from billing.batch import Slice, Span, route_charges
from billing.cursor import Standing
from billing.effects import Apply, ClaimCursors, Effect
from billing.engine import MAIN, Engine
from billing.event import Decoder
from billing.fold import Transaction, fold
from billing.limits import Limits
from billing.ports import Applied, Records
from billing.pricing import charge
from billing.tiers import used_of
from billing.upsert import Dialect, counters_packet, packet
from generators.population import Model
from generators.workload import Workload
from rules import books_path
from rules.load import load
from rules.pricer import Pricer
from sharding.shardmap import ShardMap

SHARDS: Final = 4
EVENTS: Final = 100_000  # of one repeat: a quarter of a second or more, against a clock of microseconds
LOG: Final = "kernels"
_LIMITS: Final = Limits()


@attrs.frozen
class Stage:
    """One stage of the path: its name, and the call that does it for all events."""

    name: str
    work: Callable[[], object]


@attrs.frozen
class KernelTimes:
    """What one model costs: CPU seconds of each repeat, for all events at once.

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


def stages(bodies: Sequence[bytes], priced_by: Pricer) -> list[Stage]:
    """Return the stages of the path, each on what the one before it makes of the events.

    The cuts are those of a loaded worker: polls and batches of the size that the limits allow.
    """
    decoder = Decoder(priced_by.book.attributes, priced_by.book.payers)
    shardmap = _shardmap()
    polls = _polls(bodies)
    decoded = [decoder.decode(poll.partition, poll.offset, poll.payload) for poll in polls]
    charged = [charge(events, priced_by) for events, _ in decoded]
    routed = [
        route_charges(poll.spans, charges, (), shardmap) for poll, (charges, _) in zip(polls, charged, strict=True)
    ]
    batches = [batch for shard in range(SHARDS) for batch in _batches([slices[shard] for slices in routed])]
    book, version = priced_by.book, shardmap.version
    folded = [fold(batch, book, LOG, version, {}, {}) for batch in batches]
    settled = [_settled(transaction) for transaction in folded]
    return [
        Stage("decode", lambda: [decoder.decode(one.partition, one.offset, one.payload) for one in polls]),
        Stage("price", lambda: [charge(events, priced_by) for events, _ in decoded]),
        Stage(
            "route",
            lambda: [
                route_charges(poll.spans, charges, (), shardmap)
                for poll, (charges, _) in zip(polls, charged, strict=True)
            ],
        ),
        Stage("fold", lambda: [fold(batch, book, LOG, version, {}, {}) for batch in batches]),
        Stage("settle", lambda: [_settled(transaction) for transaction in folded]),
        Stage("render", lambda: [_bytes(*pair) for pair in zip(folded, settled, strict=True)]),
    ]


def yardstick(bodies: Sequence[bytes]) -> None:
    """Read all events as a library reads JSON: memory, branches and objects, as much as this machine makes of them."""
    for body in bodies:
        msgspec.json.decode(body)


def whole_path(bodies: Sequence[bytes], priced_by: Pricer) -> int:
    """Run the engine over all events, shards that agree at once at the other end; returns the bytes of SQL text."""
    engine = Engine(LOG, _shardmap(), priced_by, _LIMITS)
    sent_bytes = _answered(engine, engine.own({0: 0}, 0))
    for poll in _polls(bodies):
        sent_bytes += _answered(engine, engine.records(MAIN, poll, 0))
    sent_bytes += _answered(engine, engine.stop(0))
    assert engine.progress() == {0: len(bodies)}, "the path ends when every shard has everything"
    return sent_bytes


def _answered(engine: Engine, effects: Sequence[Effect]) -> int:
    """Execute effects as a worker would whose shards need no time; returns the bytes of the packets."""
    size = 0
    waiting = list(effects)
    while waiting:
        effect = waiting.pop(0)
        if isinstance(effect, ClaimCursors):
            claim = effect.claim
            standing = Standing(claim.starts, claim.map_version, claim.book_version)
            waiting += engine.claimed(effect.shard, standing, 0)
        elif isinstance(effect, Apply):
            size += _bytes(effect.transaction, _settled(effect.transaction))
            waiting += engine.applied(effect.shard, Applied(), 0)
    return size


def _shardmap() -> ShardMap:
    return ShardMap.even([f"shard-{number}" for number in range(SHARDS)])


def _polls(bodies: Sequence[bytes]) -> list[Records]:
    polls = []
    for start in range(0, len(bodies), _LIMITS.poll_events_max):
        body = bodies[start : start + _LIMITS.poll_events_max]
        stop = start + len(body)
        spans = {0: Span(start, stop)}
        polls.append(Records(np.zeros(len(body), dtype=np.int32), np.arange(start, stop, dtype=np.int64), body, spans))
    return polls


def _batches(pieces: Sequence[Slice]) -> list[Slice]:
    batches = []
    rest: Slice | None = Slice.concat(pieces)
    while rest is not None:
        batch, rest = rest.split(_LIMITS.batch_events_max)
        batches.append(batch)
    return batches


def _settled(transaction: Transaction) -> Transaction:
    """Settle a transaction as for accounts that have used nothing."""
    if transaction.draft is None:
        return transaction
    nothing = [0] * len(transaction.draft.counted.keys)
    return transaction.settled(used_of(nothing, nothing, nothing))


def _bytes(folded: Transaction, settled: Transaction) -> int:
    """Render every packet of a transaction; returns their bytes."""
    size = len(packet(settled, Dialect.MARIADB, _LIMITS.quarantine_payload_bytes_max).text)
    if folded.draft is not None:
        size += len(counters_packet(folded.draft.counted.keys, Dialect.MARIADB).text)
    return size
