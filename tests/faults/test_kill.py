"""SIGKILL of workers and of database servers while events come in: nothing is lost, nothing is billed twice.

FAULT_EVENTS sets how many events there are; from LONG_EVENTS on the campaign has all its kills.
"""

import os
import time
from itertools import pairwise

import pytest

from generators import oracle
from generators.faults import Faults
from generators.workload import Workload
from rules import books_path
from tests.fleet import fleet_of, make_site, wait_until

EVENTS = int(os.environ.get("FAULT_EVENTS", "60000"))
LONG_EVENTS = 500_000
SHARDS = 4
VICTIM_SHARD = 2  # progress is measured on shard 0
BOOK = books_path() / "telecom.yaml"
FAULTS = Faults(duplicates=0.05, malformed=0.01, late=0.01, out_of_order=0.2)
WORKLOAD = Workload(model="skewed", seed=2026, accounts=10_000, faults=FAULTS)
SESSION_MS = 6_000  # the least that a broker allows: how long a killed worker's partitions wait for another
WORKER, DATABASE = "worker", "database"
SHORT_PLAN = (WORKER, DATABASE, WORKER)
LONG_PLAN = (WORKER, DATABASE, WORKER, WORKER, DATABASE, WORKER, WORKER)


@pytest.mark.timeout(0)  # as long as FAULT_EVENTS takes; every wait has its own bound
def test_killed_workers_and_databases_lose_nothing_and_bill_nothing_twice(
    tmp_path, mariadb_servers, kafka_server, publish
):
    """Else every crash of a machine would cost customers money, or us."""
    plan = LONG_PLAN if EVENTS >= LONG_EVENTS else SHORT_PLAN
    options = {"session.timeout.ms": SESSION_MS}
    site = make_site(tmp_path, kafka_server, mariadb_servers(SHARDS), BOOK, options=options)
    cuts = [EVENTS * number // (len(plan) + 1) for number in range(len(plan) + 2)]
    pieces = list(pairwise(cuts))  # one before each fault, so that there is work whenever something dies
    started = time.monotonic()
    with fleet_of(site, "steady", "victim") as fleet:
        for target, (start, stop) in zip(plan, pieces, strict=False):
            fleet.wait_until_shared()
            owned = fleet.workers["victim"].partitions()
            before = site.applied("shard-0", owned)
            site.produce([WORKLOAD.payloads(start, stop)])
            few = (stop - start) // 24  # of what the victim has to do: most of it is still to come
            wait_until(
                lambda: site.applied("shard-0", owned) >= before + few,  # noqa: B023 - called at once
                "the victim applies events",
            )
            if target == WORKER:
                fleet.workers["victim"].kill()
                fleet.start("victim")
            else:
                kill_database(site, fleet)
        fleet.wait_until_shared()
        site.produce([WORKLOAD.payloads(*pieces[-1])])
        site.wait_until_applied(fleet)
        assert fleet.stop() == {"steady": 0, "victim": 0}
    seconds = time.monotonic() - started

    audit = site.audit()
    expected = oracle.run((payload for block in WORKLOAD.blocks(EVENTS) for payload in block), BOOK)
    assert expected.events == EVENTS
    assert sum(shard["events"] for shard in audit) == expected.accepted
    assert sum(shard["lines"] for shard in audit) == expected.lines
    assert sum(shard["duplicates"] for shard in audit) == expected.duplicates
    assert site.quarantined() == expected.quarantined
    assert site.amounts() == expected.balances
    assert {account: balance.events for account, balance in site.balances().items()} == {
        account: total.events for account, total in expected.accounts.items()
    }
    publish(
        f"kills: {plan.count(WORKER)} of a worker, {plan.count(DATABASE)} of a database, in {EVENTS:,} events over "
        f"{seconds:.0f} s: {expected.accepted:,} billed once ({expected.lines:,} lines, {len(expected.balances):,} "
        f"balances, {sum(expected.balances.values())} USD), {expected.duplicates:,} repeats dropped, "
        f"{sum(expected.quarantined.values()):,} in quarantine; 0 lost, 0 billed twice"
    )


def kill_database(site, fleet):
    """Kill one server, and start it again once a worker has missed it."""
    before = refusals(fleet)
    site.servers[VICTIM_SHARD].kill()
    wait_until(lambda: refusals(fleet) > before, "a worker misses the database")
    site.servers[VICTIM_SHARD].start()


def refusals(fleet):
    """Return how often the workers that live now have complained of the shard whose server is killed."""
    said = [line for worker in fleet.workers.values() for line in worker.said("shard refused")]
    return sum(line["shard"] == f"shard-{VICTIM_SHARD}" for line in said)
