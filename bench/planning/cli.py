"""The command `billing-bench plan`.

Owns its options and their defaults, and which values make a report. Must not know formulas.
"""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from bench.planning import measured
from bench.planning.accounts import Accounts, learned, synthetic
from bench.planning.gauge import Gauge, accounts_in, gauge
from bench.planning.holdout import held_out, holdout_text
from bench.planning.measured import Measurements
from bench.planning.page import page
from bench.planning.plan import Count, Option, Planner, recommended
from bench.planning.prices import DEFAULT_TABLE, Prices
from bench.planning.prices import read as read_prices
from bench.planning.report import Curve, Effect, PlanResult, Present, exceptions_of, plan_text
from bench.planning.sizing import factor_of, sizing
from bench.planning.target import SECONDS_PER_DAY, PlanError, Target
from bench.report import as_json
from bench.scenario import WORKERS_MAX, CoresEach, Database, Scenario
from bench.session import DEFAULT_FOLDER, servers, telling
from bench.system import machine
from billing.cli.shards import init
from generators.population import model_named
from sharding.mapfile import load as load_map
from sharding.shardmap import ShardMap

HEADROOMS: Final = (2.5, 8.0)
_SEVERAL: Final = Parameter(consume_multiple=True, negative_iterable=())  # one or more values after the option


_Writers = Annotated[int, Parameter(validator=Number(gte=1, lte=WORKERS_MAX))]


@Parameter(name="*")
@attrs.frozen
class Measuring:
    """How --measure measures.

    Parameters
    ----------
    models
        Traffic models to measure.
    writers
        Numbers of worker processes, three or more.
    seconds
        How long each run lasts; every ten seconds give a sample, those of a shorter one are thirds of it.
    database
        Which server to start.
    latency
        Also measure latency, at half of the best rate.
    events
        How many events the log holds ahead of each run; the default lasts.
    measured_on
        The instance of the table of prices that the database has to itself, if it is one.
    database_cores
        How many cores the database may keep busy: root only, by control groups.
    """

    models: Annotated[tuple[Literal["uniform", "skewed", "hot-shard"], ...], _SEVERAL] = (
        "uniform",
        "skewed",
        "hot-shard",
    )
    writers: Annotated[tuple[_Writers, ...], _SEVERAL] = (
        1,
        2,
        3,
        4,
    )
    seconds: Annotated[int, Parameter(validator=Number(gte=3))] = 60
    database: Database = "mariadb"
    latency: bool = False
    events: Annotated[int | None, Parameter(validator=Number(gte=1))] = None
    measured_on: str | None = None
    database_cores: CoresEach = None


@Parameter(name="*")
@attrs.frozen
class Load:
    """What must be carried.

    Parameters
    ----------
    per_day
        Events a day on average.
    peak
        Events a second at the peak; the average without it.
    headroom
        How many times its part of the peak each shard must carry; the first is the plan, others are shown beside it.
    growth
        Of events in a year; 0.4 is 40 %.
    months
        For how long the plan must hold.
    retention_days
        How long records stay.
    readers
        Instances beside the writer of each cluster.
    lose_one
        Whether the others must carry the peak when a cluster is lost.
    days_in_memory
        Of how many days the records must fit in memory, since writes go all over the present day.
    """

    per_day: float
    peak: float | None = None
    headroom: Annotated[tuple[float, ...], _SEVERAL] = HEADROOMS
    growth: float = 0.0
    months: float = 12
    retention_days: float = 90
    readers: int = 1
    lose_one: bool = True
    days_in_memory: float = 1

    def targets(self) -> tuple[Target, ...]:
        """Return a target for each headroom. Raises: PlanError."""
        average = self.per_day / SECONDS_PER_DAY
        peak = average if self.peak is None else self.peak
        rest = self.growth, self.months, self.retention_days, self.readers, self.lose_one, self.days_in_memory
        return tuple(Target(average, peak, headroom, *rest) for headroom in self.headroom)


@Parameter(name="*")
@attrs.frozen
class Spreading:
    """How events divide over accounts.

    Parameters
    ----------
    accounts
        How many representative accounts.
    exponent
        Of their Zipf distribution; 0 is uniform.
    hot_share
        Of all events, that the first account has; as the exponent says without it.
    sample
        A file of events, one JSON text a line, to learn accounts and shares from instead.
    map
        The shard map in force, to be told how it does.
    spread
        Whether accounts may be spread over several slots; those with cumulative prices may not.
    """

    accounts: int = 100_000
    exponent: float = 1.1
    hot_share: float | None = None
    sample: Path | None = None
    map: Path | None = None
    spread: bool = True

    def distribution(self) -> Accounts:
        """Return the accounts. Raises: DistributionError."""
        if self.sample is not None:
            return learned(accounts_in(self.sample))
        return synthetic(self.accounts, self.exponent, self.hot_share)


def plan(
    *files: Path,
    load: Load,
    spreading: Spreading | None = None,
    measure: Path | None = None,
    measuring: Measuring | None = None,
    prices: Path = DEFAULT_TABLE,
    instance: str | None = None,
    folder: Annotated[Path, Parameter(name="--dir")] = DEFAULT_FOLDER,
    json: Path | None = None,
    html: Path | None = None,
) -> None:
    """Say how many shards of which instance a load needs, and what that costs, by what one shard was measured to do.

    Parameters
    ----------
    files
        One file that --measure wrote, or several that run --json wrote, each of one shard.
    measure
        Take the measurements now, on servers that it starts, and write them to this file.
    prices
        A table of prices; Aurora MySQL list prices without it.
    instance
        Plan with this instance only.
    folder
        Where --measure starts the servers.
    json
        A file for every figure, unrounded.
    html
        A file for the report as one page, for people who decide.
    """
    priced = read_prices(prices)
    if instance is not None:
        priced = msgspec.structs.replace(priced, instances=(priced.instance(instance),))
    load.targets()  # what is wrong with them is said before anything is measured
    found = measured.read(files) if measure is None else _taken(measure, files, folder, measuring or Measuring())
    result = result_of(found, load, spreading or Spreading(), priced, datetime.now(UTC).date(), command())
    sys.stdout.write(plan_text(result) + "\n")
    if json is not None:
        json.write_bytes(as_json("plan", result.command, result))
    if html is not None:
        html.write_text(page(result), encoding="utf-8")


def _taken(path: Path, files: Sequence[Path], folder: Path, how: Measuring) -> Measurements:
    """Take measurements and write them to a file. Raises: PlanError, and what starting servers and measuring raise."""
    if files:
        raise PlanError(f"{files[0]}: with --measure nothing is read; name files or write --measure, not both")

    @contextmanager
    def started(scenario: Scenario) -> Iterator[Path]:
        cores = scenario.database_cores
        with servers(folder, scenario.shards, scenario.database, scenario.partitions, database_cores=cores) as config:
            init(config)
            yield config

    models = [model_named(each) for each in how.models]
    what = Gauge(models, how.writers, how.seconds, how.database, how.latency, how.events, how.database_cores)
    taken, found = None, []
    with telling() as tell:
        for capacity in gauge(what, started, tell):
            found.append(capacity)
            taken = Measurements(measured.KIND, command(), machine(), tuple(found), how.measured_on)
            # After each model: an hour's work is not lost when the next one cannot be measured.
            path.write_bytes(msgspec.json.format(msgspec.json.encode(taken), indent=2) + b"\n")
    if taken is None:
        raise PlanError("--models names none; write uniform, skewed or hot-shard")
    return taken


def holdout(
    measurements: Path,
    *runs: Path,
    within: Annotated[float, Parameter(validator=Number(gt=0))] = 0.15,
    prices: Path = DEFAULT_TABLE,
) -> int:
    """Compare what a plan says of configurations that it has not seen with runs of them; exit code 1: it is off.

    Parameters
    ----------
    measurements
        The file that --measure wrote.
    runs
        Files that run --json wrote, saturated: of other skew, of more shards, each shard with as many cores.
    within
        By what part a run may differ from the plan.
    prices
        A table of prices, for the instance that was measured.
    """
    one = sizing(measured.read([measurements]), read_prices(prices))
    found = [held_out(one, measured.read_run(path).result, str(path)) for path in runs]
    sys.stdout.write(holdout_text(found) + "\n")
    return 1 if any(abs(each.off) > within for each in found) else 0


def result_of(found: Measurements, load: Load, how: Spreading, table: Prices, today: date, command: str) -> PlanResult:
    """Return the plan. Raises: PlanError and what the inputs raise."""
    targets = load.targets()
    shardmap = load_map(how.map) if how.map is not None else None
    one = sizing(found, table)
    factor = factor_of(found, table, one.cores)
    factors = {each.name: factor(each) for each in table.instances}
    planner = Planner(how.distribution(), one, factors, table, how.spread)
    every = [planner.options(target) for target in targets]
    chosen = tuple(recommended(options) for options in every)
    advice = planner.placed(chosen[0].shards.mid, advised=True)[0]
    shares = dict(zip(planner.accounts.names, planner.accounts.shares.tolist(), strict=True)) if advice else {}
    return PlanResult(
        targets=targets,
        accounts=planner.accounts.told,
        machine=found.machine,
        measured_on=found.instance,
        batch_events=one.batch,
        curves=tuple(Curve.of(each, each.law()) for each in found.models),
        prices=table.name,
        currency=table.currency,
        chosen=chosen,
        options=tuple(every[0]),
        exceptions=exceptions_of(shares, advice.pins, advice.spreads),
        effect=_effect(planner, targets[0], chosen[0], every[0]) if advice else None,
        present=_present(planner, targets[0], shardmap, factors[chosen[0].instance]) if shardmap else None,
        today=today,
        command=command,
    )


def _effect(planner: Planner, target: Target, chosen: Option, options: Sequence[Option]) -> Effect:
    factor = planner.factors[chosen.instance]
    before, after = (planner.placed(chosen.shards.mid, advised=advised)[1] for advised in (False, True))

    def needed(*, advised: bool) -> Count | None:
        of_instance = (each for each in options if each.instance == chosen.instance and each.advised is advised)
        return next((each.shards for each in of_instance), None)

    return Effect(
        before=tuple(sorted(before.share.tolist(), reverse=True)),
        after=tuple(sorted(after.share.tolist(), reverse=True)),
        utilisation_before=planner.utilisation(target, before, factor)[0],
        utilisation_after=planner.utilisation(target, after, factor)[0],
        shards_before=needed(advised=False),
        shards_after=needed(advised=True),
    )


def _present(planner: Planner, target: Target, shardmap: ShardMap, factor: float) -> Present:
    placement = planner.place(shardmap)
    used, _, hot = planner.utilisation(target, placement, factor)
    return Present(len(shardmap.shards), shardmap.shards[hot], float(placement.share[hot]), used)


def command() -> str:
    """Return the command that is running, as it can be typed again."""
    return shlex.join(["billing-bench", *sys.argv[1:]])
