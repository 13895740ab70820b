"""Vitals: what a worker says of itself once a second: whether it is alive and ready, how far it is and of what.

Owns when a worker counts as alive or ready, and the gauges that follow from where it stands. Must not know HTTP, clocks
or event loops: the time is an argument, in seconds of a clock that never goes back.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from prometheus_client import Gauge

from billing import metrics
from billing.cursor import Bounds
from billing.engine import Engine
from billing.lag import Behind, LogWatch, furthest, together
from billing.lane import Lane
from billing.ports import Ownership

LIVE_SECONDS: Final = 30.0  # the longest pause that is none: files of 100,000 contracts take seconds to read again


class ShardVitals(msgspec.Struct, frozen=True):
    """One shard; state: `following` the main reader, `catching up`, `detached` (it refuses) or `asked` (no answer yet).

    lag_*: when the log was last looked at; None where the shard has not said where it stands.
    """

    name: str
    state: str
    lag_events: int | None
    lag_seconds: float | None


class Health(msgspec.Struct, frozen=True):
    """What a worker said last. partitions: those that it owns, None while nobody has told; not_ready: why, if so."""

    beat_seconds: float
    halted: bool = False
    partitions: tuple[int, ...] | None = None
    shards: tuple[ShardVitals, ...] = ()
    not_ready: str = "the worker is starting"

    def not_live(self, now_seconds: float) -> str:
        """Return why the process should be restarted, nothing while it should not."""
        if self.halted:
            return "the worker has halted"
        silent = now_seconds - self.beat_seconds
        return f"the event loop has not turned for {silent:.0f} s" if silent > LIVE_SECONDS else ""


class Vitals:
    """What is known of one worker; read by other threads, which get a whole `Health` at a time."""

    def __init__(self, now_seconds: float) -> None:
        self.health = Health(now_seconds)
        self._log = LogWatch()
        self._behind: Mapping[str, Behind | None] = {}
        self._told: dict[Gauge, set[str]] = {}

    def beat(self, now_seconds: float) -> None:
        """Take that the event loop turns, and that there is nothing else to tell yet."""
        self.health = Health(now_seconds)

    def halt(self) -> None:
        """Take that the worker has given up."""
        self.health = msgspec.structs.replace(self.health, halted=True, not_ready="the worker has halted")

    def tell(self, engine: Engine, ownership: Ownership | None, now_seconds: float) -> None:
        """Take where the engine stands. Its lanes' times are of the same clock."""
        known = ownership is not None and (ownership.partitions or ownership.epoch > 0)
        partitions = tuple(sorted(ownership.partitions)) if ownership is not None and known else None
        detached = set(engine.detached()) if partitions else set()
        self.health = Health(
            now_seconds,
            partitions=partitions,
            shards=tuple(_shard(lane, self._behind.get(lane.name), lane.name in detached) for lane in engine.lanes),
            not_ready=_not_ready(engine, partitions),
        )
        metrics.PARTITIONS.set(len(partitions or ()))
        self._set(metrics.DETACHED, {lane.name: float(lane.name in detached) for lane in engine.lanes})
        confirmed = {lane.name: lane.confirmed_at_ms / 1000 for lane in engine.lanes if lane.positions}
        self._set(metrics.CURSOR_AGE, {name: now_seconds - then for name, then in confirmed.items()})

    def look(self, bounds: Mapping[int, Bounds] | None, engine: Engine, now_seconds: float) -> None:
        """Take where the owned partitions begin and end, None while the log does not say, and tell lag and margin."""
        metrics.LOG_UP.set(bounds is not None)
        if bounds is None:
            return
        self._log.look(bounds, now_seconds)
        by_shard: dict[str, list[Behind]] = {lane.name: [] for lane in engine.lanes}
        by_partition: dict[str, list[Behind]] = {str(partition): [] for partition in bounds}
        lowest: dict[int, int] = {}
        for lane in engine.lanes:
            for partition in bounds.keys() & lane.positions.keys():
                position = lane.positions[partition]
                behind = self._log.behind(partition, position, now_seconds)
                by_shard[lane.name].append(behind)
                by_partition[str(partition)].append(behind)
                lowest[partition] = min(position, lowest.get(partition, position))
        self._behind = {name: together(found) for name, found in by_shard.items()}
        self._set_lag(metrics.SHARD_LAG_EVENTS, metrics.SHARD_LAG_SECONDS, self._behind)
        of_partitions = {label: furthest(found) for label, found in by_partition.items()}
        self._set_lag(metrics.PARTITION_LAG_EVENTS, metrics.PARTITION_LAG_SECONDS, of_partitions)
        margins = {str(partition): self._log.margin(partition, position) for partition, position in lowest.items()}
        self._set(metrics.MARGIN_EVENTS, {label: one.events for label, one in margins.items()})
        self._set(metrics.MARGIN_RATIO, {label: one.ratio for label, one in margins.items()})

    def _set_lag(self, events: Gauge, seconds: Gauge, found: Mapping[str, Behind | None]) -> None:
        known = {label: one for label, one in found.items() if one is not None}
        self._set(events, {label: one.events for label, one in known.items()})
        self._set(seconds, {label: one.seconds for label, one in known.items()})

    def _set(self, gauge: Gauge, values: Mapping[str, float]) -> None:
        """Set a gauge for these labels and no others: what moved to another worker is told there."""
        for label in self._told.get(gauge, set()) - values.keys():
            gauge.remove(label)
        for label, value in values.items():
            gauge.labels(label).set(value)
        self._told[gauge] = set(values)


def _shard(lane: Lane, behind: Behind | None, is_detached: bool) -> ShardVitals:  # noqa: FBT001 - told by the engine
    if not is_detached:
        state = "following"
    elif lane.claimed:
        state = "catching up"
    else:
        state = "detached" if lane.trouble else "asked"
    events, seconds = (None, None) if behind is None else (behind.events, round(behind.seconds, 3))
    return ShardVitals(lane.name, state, events, seconds)


def _not_ready(engine: Engine, partitions: tuple[int, ...] | None) -> str:
    if partitions is None:
        return "nobody has told which partitions are this worker's"
    if not partitions:
        return ""  # others have them all, and this worker stands by
    if not engine.positioned:
        return "not every shard has said where it stands, or that it cannot"
    return "" if any(lane.claimed for lane in engine.lanes) else "no shard takes anything"
