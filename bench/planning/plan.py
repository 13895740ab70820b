"""The planner: how many shards of which instance a load needs, by what one shard was measured to do.

Owns the search for the best plan. Must not know files, words or pictures.
"""

from collections.abc import Sequence
from functools import cached_property
from math import inf
from typing import Final

import attrs
import numpy as np

from bench.planning.accounts import Accounts
from bench.planning.law import Estimate
from bench.planning.placement import NO_ADVICE, Advice, Placement, advise, even_map, place
from bench.planning.prices import GIB, Cost, Instance, Prices, Storage, monthly
from bench.planning.sizing import Sizing
from bench.planning.target import DAYS_PER_MONTH, SECONDS_PER_DAY, PlanError, Target, doubling_months, needs
from sharding.shardmap import ShardMap

SHARDS_MAX: Final = 1_000
_EVERY_MAX: Final = 64  # up to here every number of shards is looked at, then steps of 3 %: finer than any error bar
_STEP: Final = 1.03
# What Aurora gives the buffer pool unless told otherwise: innodb_buffer_pool_size = {DBInstanceClassMemory*3/4}.
BUFFER_POOL_SHARE: Final = 0.75
COST_TOLERANCE: Final = 0.25  # fewer clusters to run are worth so much more money
OUTAGE_MINUTES: Final = 10.0  # of a writer, for which catching up is told: a failover that went badly
ADVICE_GAIN_MIN: Final = 0.05  # of the cost: exceptions in the map must be worth remembering


@attrs.frozen
class Count:
    """A number of shards and the ends of its 95 % range; None: more than SHARDS_MAX."""

    low: int | None
    mid: int
    high: int | None


@attrs.frozen
class Option:
    """One way to carry the load; figures of load are those of now, at its peak.

    advised: with pins and spreads; hottest_share: of all events; utilisation: of the hottest shard; latency_ms: p50
    and p99 there; catch_up_minutes: after its writer was away for ten; stored_bytes: in all, when retention is reached
    at the end of the plan's months; cost: of the last of them; doubling_months: from now on, inf without growth;
    doubling_by: what ends first, "load", "disk" or "memory".
    """

    headroom: float
    instance: str
    storage: str
    advised: bool
    shards: Count
    hottest_share: float
    hottest_events_per_second: float
    capacity_events_per_second: Estimate
    utilisation: Estimate
    latency_ms: tuple[float, float] | None
    catch_up_minutes: float
    stored_bytes: float
    stored_bytes_hottest: float
    cost: Cost
    doubling_months: Estimate
    doubling_by: str


@attrs.frozen(eq=False)
class Planner:
    """Searches plans; placements are made once for each number of shards. factors: of each instance, by name."""

    accounts: Accounts
    sizing: Sizing
    factors: dict[str, float]
    prices: Prices
    may_spread: bool = True
    _kept: dict[tuple[int, bool], tuple[Advice, Placement]] = attrs.field(factory=dict, init=False)

    @cached_property
    def counts(self) -> list[int]:
        """Return the numbers of shards that are looked at."""
        counts = [*range(1, _EVERY_MAX + 1)]
        while counts[-1] < SHARDS_MAX:
            counts.append(min(SHARDS_MAX, int(counts[-1] * _STEP) + 1))
        return counts

    def placed(self, shards: int, *, advised: bool) -> tuple[Advice, Placement]:
        """Return advice for an even map of so many shards (none unless asked) and what each shard then gets."""
        key = shards, advised
        if key not in self._kept:
            advice = advise(self.accounts, shards, may_spread=self.may_spread) if advised else NO_ADVICE
            self._kept[key] = advice, place(self.accounts, even_map(shards, advice), self.sizing.batch)
        return self._kept[key]

    def place(self, shardmap: ShardMap) -> Placement:
        """Return what each shard of a given map gets."""
        return place(self.accounts, shardmap, self.sizing.batch)

    def options(self, target: Target) -> list[Option]:
        """Return the best option of each instance that there is: those without advice first, then by cost.

        Raises: PlanError, which says what would make the plan possible, when there is none.
        """
        found = [
            option
            for advised in (False, True)
            for instance in self.prices.instances
            for option in self._of_instance(target, instance, advised=advised)
        ]
        if not found:
            raise PlanError(self._why_impossible(target))
        return sorted(found, key=lambda option: (option.advised, option.cost.total))

    def _of_instance(self, target: Target, instance: Instance, *, advised: bool) -> list[Option]:
        """Return the cheapest option on an instance, by storage; none when SHARDS_MAX of them are too few."""
        options = []
        for storage in self.prices.storages:
            low, mid, high = self._shards(target, instance, storage, advised=advised)
            if mid is not None and (not advised or self.placed(mid, advised=True)[0]):
                options.append(self._option(target, instance, storage, Count(low, mid, high), advised=advised))
        return sorted(options, key=lambda option: option.cost.total)[:1]

    def _shards(
        self, target: Target, instance: Instance, storage: Storage, *, advised: bool
    ) -> tuple[int | None, int | None, int | None]:
        """Return the fewest shards that carry the load by the fast end of the interval, the middle, the slow end."""
        fewest: list[int | None] = [None, None, None]
        factor = self.factors[instance.name]
        for shards in self.counts:
            if shards == 1 and target.loses_one:
                continue  # nothing would be left
            if shards * factor * self._fastest < target.headroom * target.peak_per_second * target.grown:
                continue
            _, placement = self.placed(shards, advised=advised)
            room = min(self._rooms(target, placement, instance, storage).values())
            needed = self.needed(target, placement)
            for end, need in enumerate(reversed(needed)):
                if fewest[end] is None and need <= factor and room >= 1:
                    fewest[end] = shards
            if None not in fewest:
                break
        return fewest[0], fewest[1], fewest[2]

    @cached_property
    def _fastest(self) -> float:
        return float(1 / min(seconds.min() for seconds in self.sizing.seconds))

    def needed(self, target: Target, placement: Placement) -> tuple[float, float, float]:
        """Return how many times the measured machine the worst shard must be: (slow end, middle, fast end)."""
        slow, mid, fast = (
            float(np.max(needs(target, placement) / carries))
            for carries in self.sizing.events_per_second(placement.rows)
        )
        return slow, mid, fast

    def _rooms(self, target: Target, placement: Placement, instance: Instance, storage: Storage) -> dict[str, float]:
        """Return how many times its bytes at the end of the plan the fullest cluster has room for: by what ends."""
        fullest = self._stored_bytes(target, placement) * float(placement.share.max())
        hot = fullest * target.days_in_memory / target.retention_days
        memory = instance.memory_gib * GIB * BUFFER_POOL_SHARE
        return {"disk": storage.gib_max * GIB / fullest, "memory": memory / hot if hot else inf}

    def _stored_bytes(self, target: Target, placement: Placement) -> float:
        rows = float(np.dot(placement.share, placement.rows))
        events = target.average_per_second * SECONDS_PER_DAY * target.retention_days * target.grown
        return events * self.sizing.stored_bytes(rows)

    def _option(self, target: Target, instance: Instance, storage: Storage, shards: Count, *, advised: bool) -> Option:
        _, placement = self.placed(shards.mid, advised=advised)
        factor = self.factors[instance.name]
        used, capacity, hot = self.utilisation(target, placement, factor)
        stored = self._stored_bytes(target, placement)
        written = stored / target.retention_days * DAYS_PER_MONTH
        servers = shards.mid * (1 + target.readers)
        spare = [factor / need for need in self.needed(target, placement)]
        months, by = doubling_months(target, spare, self._rooms(target, placement, instance, storage))
        return Option(
            headroom=target.headroom,
            instance=instance.name,
            storage=storage.name,
            advised=advised,
            shards=shards,
            hottest_share=float(placement.share[hot]),
            hottest_events_per_second=float(placement.share[hot]) * target.peak_per_second,
            capacity_events_per_second=capacity,
            utilisation=used,
            latency_ms=self.sizing.latency_ms(float(placement.rows[hot]), used.mid),
            catch_up_minutes=OUTAGE_MINUTES * used.mid / (1 - used.mid) if used.mid < 1 else inf,
            stored_bytes=stored,
            stored_bytes_hottest=stored * float(placement.share.max()),
            cost=monthly(self.prices, instance, storage, servers, stored, written),
            doubling_months=months,
            doubling_by=by,
        )

    def utilisation(self, target: Target, placement: Placement, factor: float) -> tuple[Estimate, Estimate, int]:
        """Return the utilisation of the busiest shard at the peak of now, what it carries, and its index."""
        load = placement.share * target.peak_per_second
        slow, mid, fast = (carries * factor for carries in self.sizing.events_per_second(placement.rows))
        hot = int(np.argmax(load / mid))
        used = Estimate(*(float(load[hot] / carries[hot]) for carries in (fast, mid, slow)))
        return used, Estimate(float(slow[hot]), float(mid[hot]), float(fast[hot])), hot

    def _why_impossible(self, target: Target) -> str:
        """Say what stands in the way, and what would make the plan possible."""
        name, factor = max(self.factors.items(), key=lambda each: each[1])
        placed = [
            self.placed(shards, advised=True)[1] for shards in (*self.counts[:: len(self.counts) // 8], SHARDS_MAX)
        ]
        best = min(placed, key=lambda placement: self.needed(target, placement)[1])
        times = self.needed(target, best)[1] / factor
        hot = best.hottest
        possible = [f"a peak of {target.peak_per_second / times:,.0f} events/s or less", "larger instances in --prices"]
        if target.headroom / times >= 1:
            possible.insert(0, f"a headroom of {np.floor(target.headroom / times * 10) / 10:.1f}")
        reason = f"{SHARDS_MAX} shards are too few"
        if times <= 1:
            return (
                f"no plan: {SHARDS_MAX} clusters carry the load, but the fullest has no room for its records; possible "
                "with a shorter --retention-days, a smaller --days-in-memory, or larger instances in --prices"
            )
        if best.biggest[hot] > best.share[hot] / 2:
            account = self.accounts.names[0]
            reason = f"the account {account} alone has {self.accounts.shares[0]:.1%} of the events"
            if not self.may_spread:
                possible.insert(0, f"{account} spread over several slots (leave --no-spread out)")
        return (
            f"no plan: the busiest shard would have to be {times:.1f} times {name}, since {reason}; "
            f"possible with {', or '.join(possible)}"
        )


def recommended(options: Sequence[Option]) -> Option:
    """Return the option to take: of those little dearer than the cheapest, the one with the fewest shards.

    One with exceptions in the map is taken only when it costs clearly less than every one without.
    """
    plain, advised = ([each for each in options if each.advised is kind] for kind in (False, True))
    without, with_exceptions = _fewest(plain), _fewest(advised)
    if without is None or with_exceptions is None:
        return next(each for each in (without, with_exceptions) if each is not None)
    worth = with_exceptions.cost.total < min(each.cost.total for each in plain) * (1 - ADVICE_GAIN_MIN)
    return with_exceptions if worth else without


def _fewest(options: Sequence[Option]) -> Option | None:
    if not options:
        return None
    cheapest = min(each.cost.total for each in options)
    near = [each for each in options if each.cost.total <= cheapest * (1 + COST_TOLERANCE)]
    return min(near, key=lambda each: (each.shards.mid, each.cost.total))
