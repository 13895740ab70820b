"""The command `billing-bench reads`.

Owns its options and their defaults. Must not know how anything is measured.
"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from bench.reading import reads as reading
from bench.reading.realtime import check_realtime
from bench.reading.report import ReadsScenario, reads_text
from bench.report import as_json
from bench.scenario import SECONDS_MAX, SHARDS_MAX, WORKERS_MAX, Database, LimitsGiven, partitions_for
from bench.session import DEFAULT_FOLDER, servers, telling, use_limits
from billing.cli.shards import init


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
    with servers(folder, shards, database, partitions_for(workers)) as config, telling() as tell:
        init(config)
        result = reading.run(scenario, config, tell)
    sys.stdout.write(reads_text(result) + "\n")
    if json is not None:
        json.write_bytes(as_json("reads", scenario.command(), result))
    return 1 if any(one.errors or not one.latency_ms for one in result.kinds) else 0
