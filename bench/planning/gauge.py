"""Gauging: takes the measurements that a plan needs, on servers that it starts, and learns accounts from a sample.

A shell: starts servers and reads files. Must not know what is planned.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import attrs

from bench import measure
from bench.errors import MeasureError
from bench.measure import Tell
from bench.planning.accounts import DistributionError
from bench.planning.law import LEVELS_MIN
from bench.planning.measured import Capacity, MeasurementError, Run, latency, level
from bench.report import many
from bench.scenario import Database, Scenario
from billing.adapters.files import PARTITION, FileSource
from billing.errors import SourceError
from billing.event import Decoder
from billing.limits import Limits
from generators.population import Model

LATENCY_SHARE: Final = 0.5  # of what was carried: the load at which latency is promised


@attrs.frozen
class Gauge:
    """What is measured: each model with each number of writers, on one shard.

    seconds: of each run; with_latency: then send half of the best rate, and probe; events: in the log ahead of
    each run, None for a number that lasts; database_cores: that the database may keep busy, None for all. Raises:
    MeasurementError when no law can come of it.
    """

    models: Sequence[Model]
    writers: Sequence[int]
    seconds: int
    database: Database
    with_latency: bool
    events: int | None = None
    database_cores: float | None = None

    def scenario(self, model: Model, writers: int, rate: float | None = None) -> Scenario:
        """Return one run."""
        events = self.events if rate is None else None
        return Scenario(
            model, 1, writers, self.database, self.seconds, rate, events, database_cores=self.database_cores
        )

    def __attrs_post_init__(self) -> None:
        if len(set(self.writers)) < LEVELS_MIN:
            raise MeasurementError(
                f"--writers {' '.join(map(str, self.writers))}: a law needs {LEVELS_MIN} numbers; write 1 2 4"
            )


def gauge(what: Gauge, servers: Callable[[Scenario], AbstractContextManager[Path]], tell: Tell) -> Iterator[Capacity]:
    """Saturate one shard by each model with each number of writers, in turn, and yield what it did, model by model.

    servers: starts one shard for a scenario, gives its settings file, and stops it; the saturated runs of a model share
    theirs, on which tables grow from one run to the next. Raises: MeasureError, MeasurementError.
    """
    return (_of_model(what, model, servers, tell) for model in what.models)


def _of_model(
    what: Gauge, model: Model, servers: Callable[[Scenario], AbstractContextManager[Path]], tell: Tell
) -> Capacity:
    def run(scenario: Scenario, config: Path, name: str) -> Run:
        try:
            return Run.of(measure.run(scenario, config, lambda did, done, of: tell(f"{name}, {did}", done, of)))
        except MeasureError as error:
            raise MeasureError(f"{name}: {error}") from error

    levels = []
    with servers(what.scenario(model, max(what.writers))) as config:
        for writers in what.writers:
            name = f"{model}, {many(writers, 'writer')}"
            levels.append(level(name, run(what.scenario(model, writers), config, name)))
    capacity = Capacity(model, tuple(levels))
    _ = capacity.bytes_per_event  # raises where no file grew, before the next model takes its time
    if not what.with_latency:
        return capacity
    best = capacity.best
    paced = what.scenario(model, best.writers, float(round(best.mean * LATENCY_SHARE)))
    # On new servers: probes would wait behind what the saturated runs have left in the log.
    with servers(paced) as config:
        name = f"{model}, latency"
        return Capacity(model, capacity.levels, latency(name, run(paced, config, name)))


def accounts_in(path: Path) -> Counter[str]:
    """Count the events of each account in a file, one JSON text a line, plain, .gz or .zst; bad events count nothing.

    Raises: DistributionError when it cannot be read.
    """
    try:
        return asyncio.run(_accounts_in(path))
    except SourceError as error:
        raise DistributionError(str(error)) from error


async def _accounts_in(path: Path) -> Counter[str]:
    source = FileSource(path, follow=False)
    await source.open()
    reader = source.reader()
    await reader.seek({PARTITION: 0})
    decoder, counts = Decoder(()), Counter[str]()
    while (records := await reader.read(Limits().poll_events_max, 0)).spans:
        events, _ = decoder.decode(records.partition, records.offset, records.payload)
        counts.update(name for name in events.account.rows() if name is not None)
    await reader.close()
    return counts
