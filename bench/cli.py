"""The command line: `billing-bench`.

Owns the options and their defaults. Must not know how anything is measured.
"""

import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number
from rich.progress import Progress

from bench import baseline, measure
from bench.kernel import EVENTS as KERNEL_EVENTS
from bench.reading import reads as reading
from bench.reading.realtime import check_realtime
from bench.reading.report import ReadsScenario, reads_text
from bench.recorded import first
from bench.report import RunResult, as_json, kernels_text, ratios_text, run_text, scale_text, versus_text
from bench.scale import PREFIXES_MAX, PREFIXES_MIN, RULES_MAX, RULES_MIN
from bench.scenario import PARTITIONS_EACH_WORKER, SHARDS_MAX, WORKERS_MAX, CoresEach, Database, LimitsGiven, Scenario
from bench.session import DEFAULT_FOLDER, err, servers, telling, use_limits
from bench.system import machine
from billing.cli.listing import add
from billing.cli.setup import deployment
from billing.cli.shards import init
from billing.errors import BillingError
from generators.errors import DeliveryError
from generators.population import EXPONENT_MAX, Model, model_named
from ops.local.errors import LocalServerError, StackSettingError
from rules.errors import BookError
from sharding.errors import ShardMapError

SECONDS_MAX: Final = 86_400

app = App(name="billing-bench", help="How fast the billing engine is, on this machine.")
for _path in ("comparison.cli:compare", "planning.cli:plan", "planning.cli:holdout"):  # what others need not import
    add(app, f"bench.{_path}")


@app.command
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
        _fail("--exponent: only skewed traffic has one; write --model skewed without --events-file", 2)
    if database_cores is not None and config is not None:
        _fail("--database-cores: servers that run already keep theirs; leave --config or --database-cores", 2)
    traffic = model_named(model), shards, workers, database, seconds, rate, events, seed, book, events_file
    scenario = Scenario(*traffic, exponent, database_cores, limits or {})
    use_limits(scenario.limits)
    if against is not None and (config is not None or plots is not None):
        _fail("--against: measures each book on servers made anew and draws nothing; leave --config and --plots", 2)
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


@app.command
def reads(
    *,
    shards: Annotated[int, Parameter(validator=Number(gte=1, lte=SHARDS_MAX))] = 4,
    workers: Annotated[int, Parameter(validator=Number(gte=1, lte=WORKERS_MAX))] = 2,
    database: Database = "mariadb",
    seconds: Annotated[int, Parameter(validator=Number(gte=1, lte=SECONDS_MAX))] = 60,
    events: Annotated[int, Parameter(validator=Number(gte=1))] = 1_000_000,
    records: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    ingest: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
    balance: Annotated[float, Parameter(validator=Number(gte=0))] = 2_000.0,
    batch: Annotated[float, Parameter(validator=Number(gte=0))] = 1.0,
    usage: Annotated[float, Parameter(validator=Number(gte=0))] = 5.0,
    page: Annotated[float, Parameter(validator=Number(gte=0))] = 5.0,
    seed: int = 1,
    limits: LimitsGiven = None,
    realtime: Annotated[bool, Parameter(negative=())] = False,
    folder: Annotated[Path, Parameter(name="--dir")] = DEFAULT_FOLDER,
    json: Path | None = None,
) -> int:
    """Ask the HTTP API, open loop, over servers of its own, and print latencies and what ingest loses; 1: errors.

    Parameters
    ----------
    shards
        How many databases to start.
    workers
        How many worker processes bill.
    database
        Which server to start.
    seconds
        How long to ask; ingest alone is measured for as long before.
    events
        How many events to bill first.
    records
        How many lines to add to the tables, of one account on each shard; pages are then of these, at any depth.
    ingest
        Events a second to send meanwhile; what workers cannot take is how they are measured saturated.
    balance
        Balances of single accounts to ask for, a second.
    batch
        Requests for 1,000 balances, a second.
    usage
        Requests for 31 days of usage by hour, a second.
    page
        Requests for 100 transactions, a second.
    seed
        Of events and questions.
    limits
        As those of run: --limits.flush_interval_ms 100, for example, for fewer and larger transactions meanwhile.
    realtime
        Let the API, the threads of databases that serve it, and the load go before everything else on a CPU: root only,
        with MariaDB.
    folder
        Where to start the servers; they and their data are removed at the end, logs stay.
    json
        A file for every figure, unrounded.
    """
    rates = {"balance": balance, "batch": batch, "usage": usage, "page": page}
    scenario = ReadsScenario(
        shards, workers, database, seconds, events, records, ingest, rates, seed, limits or {}, realtime
    )
    if realtime:
        check_realtime(database)
    use_limits(scenario.limits)
    with servers(folder, shards, database, PARTITIONS_EACH_WORKER * max(workers, 2)) as config, telling() as tell:
        init(config)
        result = reading.run(scenario, config, tell)
    sys.stdout.write(reads_text(result) + "\n")
    if json is not None:
        json.write_bytes(as_json("reads", scenario.command(), result))
    return 1 if any(one.errors or not one.latency_ms for one in result.kinds) else 0


@app.command
def kernels(
    *,
    events: Annotated[int, Parameter(validator=Number(gte=1_000, lte=1_000_000))] = KERNEL_EVENTS,
    repeats: Annotated[int, Parameter(validator=Number(gte=1, lte=100))] = 7,
    book: Path | None = None,
    rules: Annotated[int | None, Parameter(validator=Number(gte=RULES_MIN, lte=RULES_MAX))] = None,
    prefixes: Annotated[int, Parameter(validator=Number(gte=PREFIXES_MIN, lte=PREFIXES_MAX))] = 100_000,
    against: Path | None = None,
    json: Path | None = None,
) -> None:
    """Time the pure path without servers, one process on one core: nanoseconds an event by stage, and events a second.

    With --rules: what a book of so many rules costs beside one of ten. With --against: the ratio to a baseline.

    Parameters
    ----------
    events
        How many events a repeat has.
    repeats
        How often each stage runs; the best and the median are shown.
    book
        The rulebook to price by; the telecom book without it.
    rules
        Compare a book of so many rules with one of ten, for the same events.
    prefixes
        How many prefixes the deck of that book has.
    against
        What was measured before, a file of --json, maybe of another machine: the ratio of each stage's time to the one
        there is shown, both in units of what a library takes to read the same events.
    json
        A file for every figure, unrounded.
    """
    if against is not None and rules is not None:
        _fail("--against: a baseline has no books by number of rules; leave --rules", 2)
    then = None if against is None else baseline.read(against)
    if rules is not None:
        _compare_books(events, repeats, rules, prefixes, json)
        return
    with Progress(console=err, disable=not err.is_terminal, transient=True) as progress:
        models = progress.track(list(Model), description="kernels")
        times = [measure.kernel_times(model, events, repeats, book) for model in models]
    command = f"billing-bench kernels --events {events} --repeats {repeats}" + (f" --book {book}" if book else "")
    if then is None:
        sys.stdout.write(kernels_text(times, machine(), command) + "\n")
    else:
        sys.stdout.write(ratios_text(times, baseline.ratios(times, then), machine(), then.machine) + "\n")
    if json is not None:
        json.write_bytes(as_json(baseline.KIND, command, {"machine": machine(), "times": times}))


def _compare_books(events: int, repeats: int, rules: int, prefixes: int, json: Path | None) -> None:
    with Progress(console=err, disable=not err.is_terminal, transient=True) as progress:
        models = progress.track(list(Model), description="books")
        times = [measure.scale_times(model, events, repeats, rules, prefixes) for model in models]
    command = f"billing-bench kernels --events {events} --repeats {repeats} --rules {rules} --prefixes {prefixes}"
    sys.stdout.write(scale_text(times, machine(), command) + "\n")
    if json is not None:
        json.write_bytes(as_json("books", command, {"machine": machine(), "times": times}))


def main() -> None:
    """Run one command; exit with 0 (done), 1 (a check failed) or 2 (wrong usage or configuration)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: servers and workers end with the command
    try:
        result = app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(str(error).strip().splitlines()[0], 2)
    except BillingError as error:
        _fail(str(error), error.exit_code)
    except (BookError, ShardMapError, StackSettingError) as error:
        _fail(str(error), 2)
    except (LocalServerError, DeliveryError) as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(result if isinstance(result, int) else 0)


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


def _fail(sentence: str, code: int) -> None:
    sys.stderr.write(f"billing-bench: {sentence}\n")
    sys.exit(code)
