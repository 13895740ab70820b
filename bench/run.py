"""The command `billing-bench run`.

Owns its options and their defaults. Must not know how anything is measured.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

from bench import measure
from bench.recorded import first
from bench.report import RunResult, as_json, run_text, versus_text
from bench.scenario import SECONDS_MAX, SHARDS_MAX, WORKERS_MAX, CoresEach, Database, LimitsGiven, Scenario
from bench.session import DEFAULT_FOLDER, servers, telling, use_limits
from billing.cli.setup import deployment
from billing.cli.shards import init
from billing.errors import SettingsError
from generators.population import EXPONENT_MAX, model_named


def run(
    *,
    model: Literal["uniform", "skewed", "hot-shard"] = "skewed",
    shards: Annotated[int, Parameter(validator=Number(gte=1, lte=SHARDS_MAX))] = 4,
    workers: Annotated[int, Parameter(validator=Number(gte=1, lte=WORKERS_MAX))] = 2,
    database: Database = "mariadb",
    seconds: Annotated[int, Parameter(validator=Number(gte=1, lte=SECONDS_MAX))] = 180,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    events: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    seed: int = 1,
    exponent: Annotated[float | None, Parameter(validator=Number(gte=0, lte=EXPONENT_MAX))] = None,
    database_cores: CoresEach = None,
    limits: LimitsGiven = None,
    book: Path | None = None,
    against: Path | None = None,
    events_file: Path | None = None,
    folder: Annotated[Path, Parameter(name="--dir")] = DEFAULT_FOLDER,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    json: Path | None = None,
    plots: Path | None = None,
) -> int:
    """Bill generated events through real Kafka into real databases, and print what that took; exit code 1: bad audit.

    Parameters
    ----------
    model
        How events spread over accounts.
    shards
        How many databases to start.
    workers
        How many worker processes bill.
    database
        Which server to start.
    seconds
        How long to measure: saturated, since the workers share the log; at a rate, since they keep up with it.
    rate
        Events a second to send while measuring, and measure latency; without it the log is filled before and the
        workers go as fast as they can.
    events
        How many events to fill the log with; the default lasts.
    seed
        Of the generated events.
    exponent
        Of the skewed model, whose own it is without: how much accounts differ.
    database_cores
        How many cores each database may keep busy, as on an instance of that size: root only, by control groups.
    limits
        Bounds of the engine, as [limits] of the settings has them: --limits.batch_events_max 1000, for example.
    book
        The rulebook to price by; the telecom book without it. bench/books has one with linear prices only and one that
        counts every event, alike in everything else.
    against
        Another rulebook, by which the same events are billed next, on servers made anew; the last line compares the
        two. Neither --config nor --plots goes with it.
    events_file
        Recorded events to send instead of a model's: a file of JSON texts, one a line, plain, .gz or .zst; --book must
        price them, and --events takes the first of them.
    folder
        Where to start the servers; they and their data are removed at the end, the logs of the workers stay.
    config
        Use the servers of this settings file instead; what is in them stays. shards, database, book then say nothing.
    json
        A file for every figure, unrounded.
    plots
        A folder for pictures: throughput over time and as tables grow, each shard's part of it, latencies.
    """
    if events_file is not None:
        first(events_file)  # what is wrong with it is said before servers start
    if config is not None:
        shards = len(deployment(config).settings.shards)
    if exponent is not None and (model != "skewed" or events_file is not None):
        raise SettingsError("--exponent: only skewed traffic has one; write --model skewed without --events-file")
    if database_cores is not None and config is not None:
        raise SettingsError(
            "--database-cores: servers that run already keep theirs; leave --config or --database-cores"
        )
    traffic = model_named(model), shards, workers, database, seconds, rate, events, seed, book, events_file
    scenario = Scenario(*traffic, exponent, database_cores, limits or {})
    use_limits(scenario.limits)
    if against is not None and (config is not None or plots is not None):
        raise SettingsError(
            "--against: measures each book on servers made anew and draws nothing; leave --config and --plots"
        )
    if config is not None:
        return _told(scenario, _measured(scenario, config), json, plots)
    both = [scenario] if against is None else [scenario, attrs.evolve(scenario, book=against)]
    results = []
    for one in both:
        with servers(folder, shards, database, scenario.partitions, one.book, one.database_cores) as started:
            results.append(_measured(one, started))
    if against is None:
        return _told(scenario, results[0], json, plots)
    sys.stdout.write(versus_text(results[0], results[1]) + "\n")
    if json is not None:
        json.write_bytes(as_json("versus", f"{scenario.command()} --against {against}", results))
    return 1 if any(one.audit_differences for one in results) else 0


def _measured(scenario: Scenario, config: Path) -> RunResult:
    init(config)
    with telling() as tell:
        return measure.run(scenario, config, tell)


def _told(scenario: Scenario, result: RunResult, json: Path | None, plots: Path | None) -> int:
    sys.stdout.write(run_text(result) + "\n")
    if json is not None:
        json.write_bytes(as_json("run", scenario.command(), result))
    if plots is not None:
        import_module("bench.plots").draw_run(result, plots)  # here: no other command needs matplotlib
    return 1 if result.audit_differences else 0
