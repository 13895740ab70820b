"""Sizing: what a shard carries, by the traffic that it gets and the instance it runs on, and how long answers take.

Owns the step from measurements of a few traffic models on one machine to any traffic on any instance. Must not know
how many shards there are, nor money.
"""

from collections.abc import Callable
from typing import Final

import attrs
import numpy as np

from bench.planning.accounts import Floats, rows_of_model
from bench.planning.law import Estimate, best_writers, throughput
from bench.planning.measured import Capacity, Measurements
from bench.planning.prices import Instance, Prices, Scaling

_LN2: Final = float(np.log(2))  # the median of an exponential distribution, in means of it
_LN100: Final = float(np.log(100))  # its 99th percentile
MS: Final = 1000.0


@attrs.frozen(eq=False)
class Sizing:
    """What one shard does on the machine that was measured, by the rows that its traffic touches for each event.

    Between two models, time an event is linear in rows an event: a batch writes each row it touches once, so that a
    transaction costs so much an event and so much a row. Outside of what was measured the nearest model holds.
    rows: float64[m], rising; seconds: (low, mid, high) of m each, for an event, low being the 95 % interval's fast end;
    batch: events in a transaction; cores: that the database had for this; bytes_per_event: float64[m]; p50_seconds and
    p99_seconds: float64[m], of an idle shard.
    """

    rows: Floats
    seconds: tuple[Floats, Floats, Floats]
    batch: float
    cores: float
    bytes_per_event: Floats
    p50_seconds: Floats
    p99_seconds: Floats

    def events_per_second(self, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """Return what shards carry: the slow end of the 95 % interval, the middle, the fast end; float64[n] each."""
        fast, mid, slow = (1 / np.interp(rows, self.rows, seconds) for seconds in self.seconds)
        return slow, mid, fast

    def stored_bytes(self, rows: float) -> float:
        """Return how much the database's files grow by an event."""
        return float(np.interp(rows, self.rows, self.bytes_per_event))

    def latency_ms(self, rows: float, utilisation: float) -> tuple[float, float] | None:
        """Return p50 and p99 from append to visible, None when there is more to do than can be done.

        `T(u) = T(0) / (1 - u)`: the response time of an M/M/1 queue is distributed exponentially with this mean, so
        that every percentile grows alike. Source: Kleinrock, "Queueing Systems", volume 1 (1975), sections 3.2, 5.
        """
        if utilisation >= 1:
            return None
        p50, p99 = (float(np.interp(rows, self.rows, each)) for each in (self.p50_seconds, self.p99_seconds))
        return p50 / (1 - utilisation) * MS, p99 / (1 - utilisation) * MS


def sizing(measured: Measurements, prices: Prices) -> Sizing:
    """Return the sizing that measurements allow.

    Raises: MeasurementError, FitError when a law cannot be fitted; PricesError for an instance without a row.
    """
    known = sorted(measured.models, key=lambda each: rows_of_model(each.model, each.batch))
    capacity = [each.law().capacity() for each in known]
    idle = [_idle_seconds(each, carries) for each, carries in zip(known, capacity, strict=True)]
    cores = np.mean([each.best.database_cores for each in known])
    return Sizing(
        rows=np.array([rows_of_model(each.model, each.batch) for each in known]),
        seconds=(
            np.array([1 / each.high for each in capacity]),
            np.array([1 / each.mid for each in capacity]),
            np.array([1 / each.low for each in capacity]),
        ),
        batch=float(np.mean([each.batch for each in known])),
        cores=float(cores) if measured.instance is None else prices.instance(measured.instance).vcpus,
        bytes_per_event=np.array([each.bytes_per_event for each in known]),
        p50_seconds=np.array([p50 for p50, _ in idle]),
        p99_seconds=np.array([p99 for _, p99 in idle]),
    )


def _idle_seconds(capacity: Capacity, carries: Estimate) -> tuple[float, float]:
    """Return p50 and p99 of an idle shard: from measured latency if there is one, else from transactions.

    Without, the mean is the time of one writer's transaction when it never waits for work, `writers / transactions a
    second` (Little's law): of full batches, which an idle shard does not have, so rather too long.
    """
    if capacity.latency is not None:
        idle = max(0.0, 1 - capacity.latency.events_per_second / carries.mid)
        return capacity.latency.p50_ms / MS * idle, capacity.latency.p99_ms / MS * idle
    fewest = min(capacity.levels, key=lambda level: level.writers)
    transaction = fewest.writers / fewest.transactions_per_second
    return transaction * _LN2, transaction * _LN100


def factor_of(measured: Measurements, prices: Prices, cores: float) -> Callable[[Instance], float]:
    """Return how many times what was measured an instance carries: by vCPUs and their speed, by the table's law.

    cores: that the measured database had.
    """
    speed = 1.0 if measured.instance is None else prices.instance(measured.instance).speed
    base = relative(prices.vcpu_scaling, cores)
    return lambda instance: relative(prices.vcpu_scaling, instance.vcpus) / base * instance.speed / speed


def relative(scaling: Scaling, vcpus: float) -> float:
    """Return the capacity of so many vCPUs in that of one; past the law's peak more of them change nothing."""
    used = min(vcpus, best_writers(scaling.alpha, scaling.beta))
    # Below one vCPU the law bends upwards; a part of one is a part of its work.
    return used if used < 1 else float(throughput(used, scaling.alpha, scaling.beta, 1.0))
