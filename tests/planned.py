"""A measured shard whose figures can be worked out by hand, and a table of prices for it."""

from typing import Any

from bench.planning.measured import Capacity, Latency, Level, Measurements
from bench.planning.prices import Instance, Prices, Scaling, Storage
from bench.report import Machine
from generators.population import Model

GIB = 2**30
MACHINE = Machine("Test CPU", 2, 24 * 1024, "6.1.0", "3.11.7", ("MariaDB 10.11",))


def level(writers: int, rate: float, **more: Any) -> Level:
    """Return a level of transactions of 1,000 events and 500 bytes an event, on one core."""
    figures: dict[str, Any] = {"transactions_per_second": rate / 1_000, "database_cores": 1.0, "bytes_per_event": 500.0}
    return Level(writers, (rate, rate), **{**figures, **more})


def capacity(model: Model = Model.UNIFORM, one: float = 10_000.0, latency: Latency | None = None) -> Capacity:
    """Return a model of which one writer does `one` events/s, two and more writers the same: all is contention."""
    return Capacity(model, tuple(level(writers, one) for writers in (1, 2, 3)), latency)


def measurements(*models: Capacity, instance: str | None = None) -> Measurements:
    """Return measurements of the models, or of uniform traffic at 10,000 events/s."""
    return Measurements("capacity", "billing-bench plan --measure here", MACHINE, models or (capacity(),), instance)


def prices(*instances: Instance) -> Prices:
    """Return a table whose vCPUs scale without loss: "one" has 1 vCPU for 1 an hour, "four" 4 for 5."""
    sizes = instances or (Instance("one", 1, 64, 1.0), Instance("four", 4, 256, 5.0))
    storage = Storage("plain", 0.1, 0.2, 4096, 1.0, 65_536)
    return Prices("test", "USD", 730, Scaling(0.0, 0.0), sizes, (storage,))
