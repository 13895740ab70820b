"""A rehearsal: the whole path from payloads to the text of packets, with nobody at either end.

Owns what stands for the log and for shards that are empty and agree at once. With it the path is measured, and a
worker has the machine code of every loop before it has anything to do. Must not know clocks or servers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from billing.batch import Span
from billing.cursor import Standing
from billing.effects import Apply, ClaimCursors, Effect
from billing.engine import MAIN, Engine
from billing.fold import Transaction
from billing.limits import Limits
from billing.ports import Applied, Records
from billing.tiers import used_of
from billing.upsert import Dialect, counters_packet, packet
from rules.load import load
from rules.pricer import Pricer
from sharding.shardmap import ShardMap

SHARDS: Final = 4
LOG: Final = "rehearsal"
LIMITS: Final = Limits()
_EVENTS: Final = 2_000  # more texts than tables have room for at first, so that these grow


def rehearse(payloads: Sequence[bytes], pricer: Pricer) -> int:
    """Run the engine over payloads; returns the bytes of SQL text."""
    engine = Engine(LOG, shardmap(), pricer, LIMITS)
    sent_bytes = _answered(engine, engine.own({0: 0}, 0))
    for records in reads(payloads):
        sent_bytes += _answered(engine, engine.records(MAIN, records, 0))
    sent_bytes += _answered(engine, engine.stop(0))
    assert engine.progress() == {0: len(payloads)}, "the path ends when every shard has everything"
    return sent_bytes


def rehearse_all() -> None:
    """Go through every compiled loop, by a book and events that are made for it."""
    rehearse([_event(number) for number in range(_EVENTS)], Pricer(load(Path(__file__).with_suffix(".yaml"))))


def _event(number: int) -> bytes:
    """Return an event of one of several accounts; the text of the last is unlike the others'."""
    product, country = ("call", "message")[number % 2], "US" if number % 3 == 0 else f"{number % 700:d}"
    called = f"+{number % 90:d}{number:0{200 if number == _EVENTS - 1 else 9}d}"
    attributes = f'"country":"{country}","to":"{called}","reseller":"reseller-{number % 7:d}"'
    return (
        f'{{"id":"{number:d}","account":"account-{number % 40:d}","product":"{product}","quantity":{number % 70:d},'
        f'"time":"2026-01-01T00:00:{number % 60:02d}Z","attributes":{{{attributes}}}}}'
    ).encode()


def shardmap() -> ShardMap:
    """Return the map of the shards."""
    return ShardMap.even([f"shard-{number}" for number in range(SHARDS)])


def reads(payloads: Sequence[bytes]) -> list[Records]:
    """Cut payloads into reads as large as the limits allow, all of one partition."""
    cut = []
    for start in range(0, len(payloads), LIMITS.poll_events_max):
        some = payloads[start : start + LIMITS.poll_events_max]
        stop = start + len(some)
        spans = {0: Span(start, stop)}
        cut.append(Records(np.zeros(len(some), dtype=np.int32), np.arange(start, stop, dtype=np.int64), some, spans))
    return cut


def settled(transaction: Transaction) -> Transaction:
    """Settle a transaction as for accounts that have used nothing."""
    if transaction.draft is None:
        return transaction
    nothing = [0] * len(transaction.draft.counted.keys)
    return transaction.settled(used_of(nothing, nothing, nothing))


def rendered(folded: Transaction, done: Transaction) -> int:
    """Render every packet of a transaction, from what it was before and after it was settled; returns their bytes."""
    size = len(packet(done, Dialect.MARIADB, LIMITS.quarantine_payload_bytes_max).text)
    if folded.draft is not None:
        size += len(counters_packet(folded.draft.counted.keys, Dialect.MARIADB).text)
    return size


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
            size += rendered(effect.transaction, settled(effect.transaction))
            waiting += engine.applied(effect.shard, Applied(), 0)
    return size
