"""The plan of one run: everything that a seed decides before the clock starts.

Owns sizes, limits, the shard map, the log and how often each fault strikes. Must not know the engine.
"""

from enum import Enum
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Final

import attrs
import msgspec
import numpy as np

from billing.batch import route_charges
from billing.charge import charge
from billing.event import Decoder
from billing.limits import Limits
from billing.moment import DAY_US
from generators.faults import CONFLICT, Faults
from generators.workload import BLOCK_EVENTS, Workload
from rules.load import load
from rules.pricer import Pricer
from sharding.shardmap import ShardMap, Spread
from tests.simulation.log import Log, Place

LINEAR: Final = Path(__file__).parents[2] / "rules" / "books" / "telecom.yaml"
CUMULATIVE: Final = Path(__file__).with_name("cumulative.yaml")
LOG_NAME: Final = "simulated"
FAULTY_MS: Final = (600, 2_500)  # how long things go wrong: long enough for several faults to overlap
EVENTS: Final = (40, 160)
_MODELS: Final = (("skewed", 40), ("skewed", 8), ("hot-shard", 1), ("uniform", 1))

Identity = tuple[str, int, str]  # account, UTC day, event id


class Spreading(Enum):
    """How records are spread over partitions."""

    BY_ACCOUNT = "by account"  # as producers do: which copy of an event is the first is the same for everybody
    ANYWHERE = "anywhere"  # copies of an event, all alike, in any partition
    ANYWHERE_WITH_CONFLICTS = "anywhere with conflicts"  # which body is billed depends on which comes first


@attrs.frozen
class Fact:
    """What is true of a record whatever happens: the shard that accounts for it and, if billable, what would be billed.

    parts: how many accounts it charges.
    """

    home: int
    identity: Identity | None = None
    digest: int = 0
    parts: int = 0


@attrs.frozen
class Rates:
    """How often what goes wrong: chances a call (0 to 1), and strikes of each kind in a run."""

    refused: float
    reply_lost: float
    late: float
    crashes: int
    pauses: int
    stops: int
    rebalances: int
    failovers: int
    outages: int
    slownesses: int
    small_packets: int


@attrs.frozen
class Plan:
    """One run."""

    seed: int
    book: Path
    spreading: Spreading
    shardmap: ShardMap
    limits: Limits
    workers: int
    log: Log
    facts: dict[Place, Fact]
    voids: int  # how many there are, appended to the log
    cursed: frozenset[Identity]  # events that their shard refuses to store
    rates: Rates
    faulty_until_ms: int


@lru_cache(maxsize=2)
def pricer(book: Path) -> Pricer:
    """Return the pricer of a book."""
    return Pricer(load(book))


@lru_cache(maxsize=len(_MODELS))
def _pool(number: int) -> tuple[list[bytes], list[str]]:
    """Return a block of events and what each is: making it takes longer than a run."""
    model, accounts = _MODELS[number]
    faults = Faults(duplicates=0.12, late=0.05, out_of_order=0.1, malformed=0.12, duplicate_window=40)
    workload = Workload(model=model, seed=number, accounts=accounts, faults=faults, credits=0.06)
    return workload.payloads(0, BLOCK_EVENTS), workload.kinds(0, BLOCK_EVENTS)


def plan_of(seed: int) -> Plan:
    """Return the plan of a seed, always the same."""
    rng = Random(seed)
    spreading = rng.choice(list(Spreading))
    shardmap = _shardmap(rng)
    faulty_until_ms = rng.randint(*FAULTY_MS)
    log = _log(rng, spreading, faulty_until_ms)
    # Counters cannot be spread; the real telecom book has prices that tiers cannot stand in for.
    book = LINEAR if shardmap.spreads or rng.random() < 0.3 else CUMULATIVE
    voids = _append_voids(log, spreading, Random(f"voids {seed}"), faulty_until_ms) if book == LINEAR else 0
    facts = facts_of(log, shardmap, pricer(book))
    billable = sorted({fact.identity for fact in facts.values() if fact.identity is not None and fact.parts == 1})
    cursed = rng.sample(billable, min(len(billable), rng.choice((0, 0, 0, 1, 3))))
    return Plan(
        seed=seed,
        book=book,
        spreading=spreading,
        shardmap=shardmap,
        limits=_limits(rng),
        workers=rng.randint(1, 3),
        log=log,
        facts=facts,
        voids=voids,
        cursed=frozenset(cursed),
        rates=_rates(rng),
        faulty_until_ms=faulty_until_ms,
    )


def facts_of(log: Log, shardmap: ShardMap, pricer: Pricer) -> dict[Place, Fact]:
    """Decode, price and route the whole log at once: what one record comes to never depends on the others."""
    payloads = log.payloads()
    partition = np.array([place[0] for place in payloads], dtype=np.int32)
    offset = np.array([place[1] for place in payloads], dtype=np.int64)
    routing = sorted(shardmap.spread_attributes())
    names = sorted({*pricer.book.attributes, *routing})
    events, undecodable = Decoder(names).decode(partition, offset, list(payloads.values()))
    charges, unpriced = charge(events, pricer, routing)
    facts: dict[Place, Fact] = {}
    parts: dict[Place, int] = {}
    for shard, piece in enumerate(route_charges({}, charges, [*undecodable, *unpriced], shardmap)):
        facts |= {(reject.partition, reject.offset): Fact(shard) for reject in piece.rejects}
        these = piece.charges
        for row in range(len(these)):
            place = int(these.partition[row]), int(these.offset[row])
            parts[place] = parts.get(place, 0) + 1
            if these.home[row]:
                account = these.account.values[these.account.codes[row]]
                identity = account, int(these.time_us[row] // DAY_US), these.key[row].as_py()
                facts[place] = Fact(shard, identity, int(these.digest[row]))
    return {place: attrs.evolve(facts[place], parts=parts.get(place, 0)) for place in payloads}


def _log(rng: Random, spreading: Spreading, faulty_until_ms: int) -> Log:
    bodies, kinds = _pool(rng.randrange(len(_MODELS)))
    count = rng.randint(*EVENTS)
    start = rng.randrange(BLOCK_EVENTS - count)
    rows = range(start, start + count)
    if spreading is Spreading.ANYWHERE:
        rows = [row for row in rows if kinds[row] != CONFLICT]  # type: ignore[assignment]
    if spreading is Spreading.ANYWHERE_WITH_CONFLICTS:  # a reseller's shard may have met the other body first
        rows = [row for row in rows if b'"reseller"' not in bodies[row]]  # type: ignore[assignment]
    chosen = [bodies[row] for row in rows]
    for _ in range(rng.choice((0, 0, 1, 3))):  # a producer that sends a whole batch again
        at, length = rng.randrange(len(chosen)), rng.randint(2, 20)
        chosen[at + length : at + length] = chosen[at : at + length]
    log = Log(rng.randint(1, 4), first_offset=rng.choice((0, 0, 17)))
    partitions = sorted(log.starts)
    gaps = rng.choice(((0,), (0, 0, 0, 1), (0, 1, 5)))
    last_ms = rng.choice((0, faulty_until_ms // 2, faulty_until_ms))  # from all at once to a log that never rests
    homes: dict[bytes, int] = {}
    for number, body in enumerate(chosen):
        partition = rng.choice(partitions)
        if spreading is Spreading.BY_ACCOUNT:
            partition = homes.setdefault(_account(body), partition)
        log.append(partition, body, rng.choice(gaps), readable_ms=last_ms * number // len(chosen))
    return log


def _append_voids(log: Log, spreading: Spreading, rng: Random, faulty_until_ms: int) -> int:
    """Void some events, the same ones twice at times; where partitions are not by account, many before they are read.

    Under tiers it would be a matter of order what an event was charged, and so what its void takes back.
    """
    places = rng.choices(log.order, k=rng.choice((0, 1, 4, 20)))
    payloads, count = log.payloads(), 0
    for place in places:
        try:
            event = msgspec.json.decode(payloads[place], type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        body = msgspec.json.encode(event | {"type": msgspec.Raw(b'"void"')})
        partition = place[0] if spreading is Spreading.BY_ACCOUNT else rng.choice(sorted(log.starts))
        log.append(partition, body, 0, readable_ms=rng.choice((0, faulty_until_ms)))
        count += 1
    return count


def _account(body: bytes) -> bytes:
    try:
        return str(msgspec.json.decode(body)["account"]).encode()
    except (msgspec.MsgspecError, TypeError, KeyError, UnicodeDecodeError):
        return body


def _shardmap(rng: Random) -> ShardMap:
    even = ShardMap.even([f"shard-{number}" for number in range(rng.randint(1, 4))], version=3)
    pins = {"acct-000002": rng.choice(even.shards)} if rng.random() < 0.5 else {}
    by = rng.choice(("event", ("country",)))
    spreads = {"acct-000000": Spread(by, rng.randint(2, 5))} if rng.random() < 0.4 else {}
    return ShardMap(even.version, even.shards, even.ranges, pins, spreads)


def _limits(rng: Random) -> Limits:
    batch = rng.choice((1, 2, 2, 5, 12, 40))  # small ones mostly: then a short log fills every buffer
    poll = rng.choice((1, 1, 2, 4, 15, 50))
    return Limits(
        batch_events_max=batch,
        poll_events_max=poll,
        buffer_events_max=max(batch, poll) * rng.choice((1, 1, 2, 4)),
        flush_interval_ms=rng.choice((0, 5, 30)),
        idle_advance_ms=rng.choice((10, 50, 200)),
        detach_after_ms=rng.choice((10, 40, 200)),
        retry_backoff_min_ms=rng.choice((1, 5, 20)),
        retry_backoff_max_ms=rng.choice((20, 100, 300)),
        catchup_readers_max=rng.choice((1, 2, 4)),
    )


def _rates(rng: Random) -> Rates:
    if rng.random() < 0.05:
        return Rates(0, 0, 0, *[0] * 8)  # what fails here fails without any fault
    refused, reply_lost, late = (rng.choice((0.0, 0.02, 0.1)) for _ in range(3))
    return Rates(refused, reply_lost, late, *(rng.choice((0, 0, 1, 2)) for _ in range(8)))
