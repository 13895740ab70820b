"""The plan of one run: everything that a seed decides before the clock starts.

Owns sizes, limits, the shard map, the log and how often each fault strikes. Each fault is drawn from a stream of random
numbers of its own, so that a plan without it is the same in everything else. Must not know the engine.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Final

import attrs
import msgspec

from billing.limits import Limits
from billing.moment import DAY_US
from generators.faults import CONFLICT, DUPLICATE, ORDINARY, Faults
from generators.workload import BLOCK_EVENTS, Workload
from rules.load import load
from rules.pricer import Pricer
from sharding.shardmap import ShardMap, Spread
from tests.simulation.faults import DRAWN, Fault, Kind
from tests.simulation.log import Log, Place
from tests.simulation.shares import Shares

LINEAR: Final = Path(__file__).parents[2] / "rules" / "books" / "telecom.yaml"
CUMULATIVE: Final = Path(__file__).with_name("cumulative.yaml")
FAULTY_MS: Final = (600, 2_500)  # how long things go wrong: long enough for several faults to overlap
EVENTS: Final = (40, 160)
_MODELS: Final = (("skewed", 40), ("skewed", 8), ("hot-shard", 1), ("uniform", 1))
_CALM: Final = 0.05  # share of the runs without strikes and chances
_DELAY_MAX: Final = 20  # how many later records may overtake one that is out of order

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
class Versions:
    """A release of the two files that workers read; both are compared when a cursor moves."""

    map: int
    book: int


@attrs.frozen
class Plan:
    """One run; `amounts`: strikes, chances and shares by fault; `injected`: how many of the log's faults are in it."""

    seed: int
    book: Path
    spreading: Spreading
    shardmap: ShardMap
    limits: Limits
    workers: int
    log: Log
    shares: Shares
    facts: dict[Place, Fact]
    voids: int  # how many there are, appended to the log
    cursed: frozenset[Identity]  # events that their shard refuses to store
    amounts: Mapping[Fault, float]
    injected: Mapping[Fault, int]
    faulty_until_ms: int

    def random(self, fault: Fault) -> Random:
        """Return the stream of random numbers that decides when and whom a fault strikes."""
        return Random(f"{self.seed} strikes {fault.name}")

    def map_of(self, versions: Versions) -> ShardMap:
        """Return the shard map as it is after some releases: everything stays where it is."""
        return attrs.evolve(self.shardmap, version=versions.map)

    @property
    def first(self) -> Versions:
        """Return what the first workers start with."""
        return Versions(self.shardmap.version, pricer(self.book).book.version)


@lru_cache(maxsize=2)
def pricer(book: Path) -> Pricer:
    """Return the pricer of a book."""
    return Pricer(load(book))


@lru_cache(maxsize=16)
def pricer_at(book: Path, version: int) -> Pricer:
    """Return the pricer of a later version of a book, which prices as the first one does."""
    return Pricer(attrs.evolve(load(book), version=version))


@lru_cache(maxsize=len(_MODELS))
def _pool(number: int) -> tuple[list[bytes], list[str]]:
    """Return a block of events and what each is: making it takes longer than a run."""
    model, accounts = _MODELS[number]
    faults = Faults(duplicates=0.12, late=0.05, malformed=0.12, duplicate_window=40)
    workload = Workload(model=model, seed=number, accounts=accounts, faults=faults, credits=0.06)
    return workload.payloads(0, BLOCK_EVENTS), workload.kinds(0, BLOCK_EVENTS)


def plan_of(seed: int, without: Collection[Fault] = (), events_max: int = EVENTS[1]) -> Plan:
    """Return the plan of a seed, always the same; less the faults and the events that a shorter run leaves out."""
    rng = Random(seed)
    amounts = _amounts(seed, without)
    spreading = rng.choice(list(Spreading))
    shardmap = _shardmap(rng)
    # Counters cannot be spread; the real telecom book has prices that tiers cannot stand in for.
    book = LINEAR if shardmap.spreads or rng.random() < 0.3 else CUMULATIVE
    limits, workers = _limits(rng), rng.randint(1, 3)
    faulty_until_ms = rng.randint(*FAULTY_MS)
    log, injected = _log(rng, seed, spreading, faulty_until_ms, amounts, events_max)
    voids = _append_voids(log, spreading, seed, faulty_until_ms, amounts) if book == LINEAR else 0
    shares = Shares(log.payloads(), shardmap)
    facts = facts_of(log, shares, pricer(book))
    billable = sorted({fact.identity for fact in facts.values() if fact.identity is not None and fact.parts == 1})
    poisonous = min(len(billable), int(amounts[Fault.POISON]))
    return Plan(
        seed=seed,
        book=book,
        spreading=spreading,
        shardmap=shardmap,
        limits=limits,
        workers=workers,
        log=log,
        shares=shares,
        facts=facts,
        voids=voids,
        cursed=frozenset(Random(f"{seed} poison").sample(billable, poisonous)),
        amounts=amounts,
        injected=injected | {Fault.VOID: voids},
        faulty_until_ms=faulty_until_ms,
    )


def _amounts(seed: int, without: Collection[Fault]) -> dict[Fault, float]:
    calm = Random(f"{seed} calm").random() < _CALM
    amounts: dict[Fault, float] = {}
    for fault in DRAWN:
        amount = Random(f"{seed} amount {fault.name}").choice(fault.odds.choices)
        of_log = fault.odds.kind is Kind.SHARE or fault in {Fault.RESENT, Fault.VOID, Fault.POISON}
        amounts[fault] = 0 if fault in without or (calm and not of_log) else amount
    return amounts


def facts_of(log: Log, shares: Shares, pricer: Pricer) -> dict[Place, Fact]:
    """Return what is true of each record: what one of them comes to never depends on the others."""
    facts: dict[Place, Fact] = {}
    parts: dict[Place, int] = {}
    for shard, share in enumerate(shares.by(pricer)):
        facts |= {(reject.partition, reject.offset): Fact(shard) for reject in share.whole.rejects}
        these = share.whole.charges
        for row in range(len(these)):
            place = int(these.partition[row]), int(these.offset[row])
            parts[place] = parts.get(place, 0) + 1
            if these.home[row]:
                account = these.account.values[these.account.codes[row]]
                identity = account, int(these.time_us[row] // DAY_US), these.key[row].as_py()
                facts[place] = Fact(shard, identity, int(these.digest[row]))
    return {place: attrs.evolve(facts[place], parts=parts.get(place, 0)) for place in log.order}


def _log(
    rng: Random,
    seed: int,
    spreading: Spreading,
    faulty_until_ms: int,
    amounts: Mapping[Fault, float],
    events_max: int,
) -> tuple[Log, dict[Fault, int]]:
    bodies, kinds = _pool(rng.randrange(len(_MODELS)))
    count = rng.randint(*EVENTS)
    start = rng.randrange(BLOCK_EVENTS - count)
    left_out = {kind for kind in {*kinds} if not amounts[_fault_of_kind(kind)]} - {ORDINARY}
    if spreading is Spreading.ANYWHERE:
        left_out.add(CONFLICT)
    rows = [row for row in range(start, start + count) if kinds[row] not in left_out]
    if spreading is Spreading.ANYWHERE_WITH_CONFLICTS:  # a reseller's shard may have met the other body first
        rows = [row for row in rows if b'"reseller"' not in bodies[row]]
    rows = rows[:events_max]
    injected = dict.fromkeys(Fault, 0)
    for row in rows:
        if kinds[row] != ORDINARY:
            injected[_fault_of_kind(kinds[row])] += 1
    chosen = [bodies[row] for row in rows]
    resent = Random(f"{seed} resent")
    for _ in range(int(amounts[Fault.RESENT])):
        at, length = resent.randrange(len(chosen)), resent.randint(2, 20)
        chosen[at + length : at + length] = chosen[at : at + length]
        injected[Fault.RESENT] += 1
    injected[Fault.OUT_OF_ORDER] = _disorder(chosen, amounts[Fault.OUT_OF_ORDER], Random(f"{seed} disorder"))
    partitions = rng.randint(1, 4)
    appears_ms = dict.fromkeys(range(partitions), 0)
    if amounts[Fault.PARTITION_ADDED]:
        appears_ms[partitions] = Random(f"{seed} added").randint(1, faulty_until_ms - 1)
    log = Log(appears_ms, first_offset=rng.choice((0, 0, 17)))
    last_ms = rng.choice((0, faulty_until_ms // 2, faulty_until_ms))  # from all at once to a log that never rests
    homes: dict[bytes, int] = {}
    placing, gaps = Random(f"{seed} placing"), Random(f"{seed} gaps")
    for number, body in enumerate(chosen):
        partition = placing.choice(sorted(log.starts))
        if spreading is Spreading.BY_ACCOUNT:
            partition = homes.setdefault(_account(body), partition)
        gap = gaps.choice((1, 1, 5)) if gaps.random() < amounts[Fault.GAP] else 0
        injected[Fault.GAP] += gap > 0
        log.append(partition, body, gap, readable_ms=last_ms * number // len(chosen))
    return log, injected


def _fault_of_kind(kind: str) -> Fault:
    """Return the fault of an event of the generators that is not as it should be."""
    return {DUPLICATE: Fault.DUPLICATE, CONFLICT: Fault.CONFLICT}.get(kind, Fault.MALFORMED)


def _disorder(bodies: list[bytes], share: float, rng: Random) -> int:
    """Let some records fall behind later ones; returns how many."""
    delayed = [at for at in range(len(bodies) - 1) if rng.random() < share]
    for at in reversed(delayed):
        bodies.insert(min(at + rng.randint(1, _DELAY_MAX), len(bodies) - 1), bodies.pop(at))
    return len(delayed)


def _append_voids(
    log: Log, spreading: Spreading, seed: int, faulty_until_ms: int, amounts: Mapping[Fault, float]
) -> int:
    """Void some events, the same ones twice at times; where partitions are not by account, many before they are read.

    Under tiers it would be a matter of order what an event was charged, and so what its void takes back.
    """
    rng = Random(f"{seed} voids")
    places = rng.choices(log.order, k=int(amounts[Fault.VOID]))
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
