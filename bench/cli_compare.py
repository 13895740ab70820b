"""The command `billing-bench compare`.

Owns its options and their defaults. Must not know how anything is measured.
"""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from bench import plots
from bench.compare import compare as compared
from bench.compare import comparison_of, servers_told
from bench.contenders import Contender
from bench.report import as_json
from bench.report_compare import CompareResult, ModelResult, compare_text, model_text, rest_text
from bench.scenario import SHARDS_MAX, WORKERS_MAX, Database, Scenario
from bench.session import DEFAULT_FOLDER, servers, telling
from bench.system import machine
from billing.cli.shards import init
from generators.population import model_named

_SEVERAL: Final = Parameter(consume_multiple=True, negative_iterable=())  # one or more values after the option
_Who = Literal["classic", "one-packet", "limit", "redis", "billing"]


def compare(
    *,
    model: Annotated[tuple[Literal["uniform", "skewed", "hot-shard"], ...], _SEVERAL] = (
        "uniform",
        "skewed",
        "hot-shard",
    ),
    contenders: Annotated[tuple[_Who, ...], _SEVERAL] = ("classic", "one-packet", "limit", "redis", "billing"),
    shards: Annotated[int, Parameter(validator=Number(gte=1, lte=SHARDS_MAX))] = 4,
    workers: Annotated[int, Parameter(validator=Number(gte=1, lte=WORKERS_MAX))] = 2,
    database: Database = "mariadb",
    seconds: Annotated[int, Parameter(validator=Number(gte=1, lte=600))] = 20,
    events: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    seed: int = 1,
    folder: Annotated[Path, Parameter(name="--dir")] = DEFAULT_FOLDER,
    out: Path | None = None,
) -> int:
    """Compare the product with what else could keep its sums, by the same events on the same servers; 1: sums differ.

    Parameters
    ----------
    model
        How events spread over accounts; each model has servers of its own.
    contenders
        Who takes part: the classic pattern, the same in one packet an event, ready-made packets (the limit), Redis
        counters, and the product.
    shards
        How many databases to start.
    workers
        How many processes work; each has a connection to every shard.
    database
        Which server to start.
    seconds
        How long each works, at most.
    events
        How many events the log holds; the default lasts. The first two take as much of them as they can do in the time.
    seed
        Of the generated events.
    folder
        Where to start the servers; they and their data are removed at the end.
    out
        A folder for compare.json with every figure, compare.txt and compare.png.
    """
    result = CompareResult(machine(), (), shlex.join(["billing-bench", *sys.argv[1:]]))
    asked = [Contender(each) for each in contenders]
    for name in model:
        scenario = Scenario(model_named(name), shards, workers, database, seconds, None, events, seed)
        with servers(folder, shards, database, scenario.partitions) as config, telling() as tell:
            init(config)
            where = machine(servers_told(config, asked))
            found = compared(scenario, config, asked, tell)
        done = ModelResult(comparison_of(scenario, scenario.events_in_log), tuple(found))
        result = CompareResult(where, (*result.models, done), result.command)
        sys.stdout.write(model_text(done) + "\n")
        sys.stdout.flush()
        if out is not None:
            _write(result, out)  # after each model: minutes of work are not lost when the next one fails
    sys.stdout.write(rest_text(result) + "\n")
    return 1 if result.differences else 0


def _write(result: CompareResult, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare.json").write_bytes(as_json("compare", result.command, result))
    (out / "compare.txt").write_text(compare_text(result) + "\n", encoding="utf-8")
    plots.draw_comparison(result, out)
