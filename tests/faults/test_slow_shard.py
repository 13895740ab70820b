"""One of four shards stops answering under steady load: the other three go on, and it catches up when it is back.

FAULT_SECONDS sets how long it is away; from LONG_SECONDS on the limits are the defaults and the load is a high one.
"""

import os
import threading
import time

import attrs
import pytest

from generators import oracle
from generators.faults import Faults
from generators.workload import Workload
from rules import books_path
from tests.fleet import fleet_of, make_site, wait_until

SECONDS = int(os.environ.get("FAULT_SECONDS", "8"))
LONG_SECONDS = 30
IS_LONG = SECONDS >= LONG_SECONDS
RATE = 10_000.0 if IS_LONG else 3_000.0  # events/s; in a long outage the lost shard's share is many times its buffer
SMALL_BUFFERS = {"batch_events_max": 500, "poll_events_max": 500, "buffer_events_max": 1_000}
BOOK = books_path() / "telecom.yaml"
WORKLOAD = Workload(model="skewed", seed=4, accounts=5_000, faults=Faults(duplicates=0.02))
OTHERS = ("shard-0", "shard-1", "shard-2")
STOPPED = 3
SETTLE_SECONDS = 2  # after a change, so that a phase shows how things go on and not the moment of the change


@attrs.frozen
class Moment:
    """Where the other three stand: events settled, seconds spent in transactions and their number."""

    at_seconds: float
    events: int
    apply_seconds: float
    transactions: float


@pytest.mark.timeout(0)  # as long as FAULT_SECONDS takes; every wait has its own bound
def test_a_stopped_shard_delays_only_its_own_accounts(tmp_path, mariadb_servers, kafka_server, publish):
    """Else the loss of one database would stop the billing of every customer."""
    events = round(3 * SECONDS * RATE)
    limits = {} if IS_LONG else SMALL_BUFFERS
    site = make_site(tmp_path, kafka_server, mariadb_servers(4), BOOK, limits=limits)
    with fleet_of(site, "first", "second") as fleet:
        producing = threading.Thread(target=site.produce, args=(WORKLOAD.blocks(events), RATE))
        producing.start()
        phases = {"before": phase(site, fleet)}
        catchups = count_catchups(fleet)
        site.servers[STOPPED].pause()
        phases["during"] = phase(site, fleet)
        ends = site.log_ends()
        wait_until(  # the shard is still away: nothing but its own accounts may wait for it
            lambda: all(has_applied(site, shard, ends) for shard in OTHERS), "the other three have the whole log"
        )
        site.servers[STOPPED].resume()
        phases["after"] = phase(site, fleet)
        producing.join()
        site.wait_until_applied(fleet)
        assert count_catchups(fleet) > catchups  # else its buffer never filled up, and nothing was tested
        assert fleet.stop() == {"first": 0, "second": 0}

    audit = site.audit()
    expected = oracle.run((payload for block in WORKLOAD.blocks(events) for payload in block), BOOK)
    assert sum(shard["events"] for shard in audit) == expected.accepted
    assert sum(shard["duplicates"] for shard in audit) == expected.duplicates
    assert site.amounts() == expected.balances
    told = ", ".join(f"{name} {rate:,.0f} events/s in {apply_ms:.1f} ms" for name, (rate, apply_ms) in phases.items())
    publish(
        f"a shard of four stopped for {SECONDS} s at {RATE:,.0f} events/s; the other three and their mean transaction: "
        f"{told}; {expected.accepted:,} billed once"
    )


def phase(site, fleet):
    """Let the load go on for a while; returns events/s settled by the other three and milliseconds a transaction."""
    time.sleep(SETTLE_SECONDS)
    first = moment(site, fleet)
    time.sleep(SECONDS - SETTLE_SECONDS)
    fleet.require_alive()
    last = moment(site, fleet)
    rate = (last.events - first.events) / (last.at_seconds - first.at_seconds)
    return rate, 1000 * (last.apply_seconds - first.apply_seconds) / max(last.transactions - first.transactions, 1)


def count_catchups(fleet):
    return sum(len(worker.said("catch-up started")) for worker in fleet.workers.values())


def moment(site, fleet):
    of_workers = [worker.apply_seconds() for worker in fleet.workers.values()]
    sums = [each[shard] for each in of_workers for shard in OTHERS if shard in each]
    events = sum(row.accepted + row.duplicates for shard in OTHERS for row in site.cursors_of(shard))
    return Moment(time.monotonic(), events, sum(one[0] for one in sums), sum(one[1] for one in sums))


def has_applied(site, shard, ends):
    positions = {row.partition: row.next_offset for row in site.cursors_of(shard)}
    return all(positions.get(partition, 0) >= end for partition, end in ends.items())
