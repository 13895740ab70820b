"""Scenarios: what a run of the benchmark does to the system, as values.

Owns the defaults of a run. Must not know how it is measured.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

from generators.population import Model
from generators.workload import Workload

Database = Literal["mariadb", "mysql"]
LimitsGiven = Annotated[dict[str, int] | None, Parameter(name="--limits", negative=())]
CoresEach = Annotated[float | None, Parameter(validator=Number(gte=0.05))]  # less takes minutes to start

SHARDS_MAX: Final = 16
WORKERS_MAX: Final = 16
SECONDS_MAX: Final = 86_400
_PARTITIONS_EACH_WORKER: Final = 4  # even shares with a worker more or less; each costs producer and broker requests
# What is put into the log ahead for each second of a saturated run: more than the system does today, so that it never
# waits; the report says so when that was too little.
PREFILL_PER_SECOND: Final = {Model.SKEWED: 180_000, Model.UNIFORM: 80_000, Model.HOT_SHARD: 260_000}


@attrs.frozen
class Scenario:
    """One run: traffic, size of the system, and how long.

    rate_per_second: the open-loop load, None for saturation (as fast as the workers can, from a log that was filled
    before); events: how many to put into the log ahead of a saturated run, None for a number that lasts; book: what
    they are priced by, None for the telecom book; events_file: recorded events to send instead of a model's;
    exponent: of skewed traffic, None for that of generated workloads; database_cores: that each database may keep busy,
    None for all; limits: bounds of the engine that are other ones than usual, by name.
    """

    model: Model
    shards: int
    workers: int
    database: Database
    seconds: int
    rate_per_second: float | None = None
    events: int | None = None
    seed: int = 1
    book: Path | None = None
    events_file: Path | None = None
    exponent: float | None = None
    database_cores: float | None = None
    limits: Mapping[str, int] = attrs.field(factory=dict)

    @property
    def traffic(self) -> str:
        """What is sent, in words."""
        return str(self.model) if self.events_file is None else f"events of {self.events_file}"

    @property
    def workload(self) -> Workload:
        """The traffic, without faults: the figures are those of sound events."""
        if self.exponent is None:
            return Workload(model=self.model, seed=self.seed)
        return Workload(model=self.model, seed=self.seed, exponent=self.exponent)

    @property
    def keyed(self) -> bool:
        """Whether an account's events share a partition; a hot account alone would then have one worker of all."""
        return self.model is not Model.HOT_SHARD

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return partitions_for(self.workers)

    @property
    def events_in_log(self) -> int:
        """How many events the run puts into the log, before or while it measures."""
        if self.rate_per_second is not None:
            return round(self.rate_per_second * self.seconds)
        return self.events if self.events is not None else PREFILL_PER_SECOND[self.model] * self.seconds

    def command(self) -> str:
        """Return the command that runs this again."""
        load = f" --rate {self.rate_per_second:g}" if self.rate_per_second is not None else ""
        ahead = f" --events {self.events}" if self.events is not None else ""
        book = f" --book {self.book}" if self.book is not None else ""
        file = f" --events-file {self.events_file}" if self.events_file is not None else ""
        skew = f" --exponent {self.exponent:g}" if self.exponent is not None else ""
        cores = f" --database-cores {self.database_cores:g}" if self.database_cores is not None else ""
        options = f"{load}{ahead} --seed {self.seed}{skew}{cores}{book}{file}{limits_options(self.limits)}"
        return (
            f"billing-bench run --model {self.model} --shards {self.shards} --workers {self.workers} "
            f"--database {self.database} --seconds {self.seconds}{options}"
        )


def partitions_for(workers: int) -> int:
    """Return how many partitions a topic has that so many workers share."""
    return _PARTITIONS_EACH_WORKER * workers


def limits_options(limits: Mapping[str, int]) -> str:
    """Return the options of a command that set these limits."""
    return "".join(f" --limits.{name} {value}" for name, value in limits.items())
