"""Two workers on one account: counters on real servers, under contention, and what notices when they are not locked."""

import asyncio
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from random import Random

import pytest
from confluent_kafka import Producer

from billing.adapters import mysql
from billing.cursor import Claim
from billing.limits import Limits
from billing.ports import Applied, Refused
from billing.upsert import Packet, counters_packet
from generators import oracle
from tests.fleet import make_site
from tests.pipeline import COUNTING, LOG, payload, pipeline_in
from tests.rulebooks import HEAD
from tests.servers import query
from tests.stores import server_place

PARTITIONS = (0, 1)
EVENTS = 1_500  # of each partition
BATCH = 20  # small, so that each worker locks the account's counters many times
LIMITS = Limits(lock_wait_seconds=10)
DEADLOCKS = {
    "mariadb": "SELECT VARIABLE_VALUE FROM information_schema.global_status WHERE VARIABLE_NAME='Innodb_deadlocks'",
    "mysql": "SELECT `count` FROM information_schema.innodb_metrics WHERE name='lock_deadlocks'",
}


@pytest.fixture(params=["mariadb", "mysql"])
def servers(request, server_pool):
    """Give servers of each kind."""
    return lambda count: server_pool.databases(request.param, count)


@pytest.fixture
def place(request, servers):
    """Give an empty shard on each server."""
    return server_place(request.node.callspec.params["servers"], servers(1)[0])


@pytest.fixture(scope="session")
def counting(tmp_path_factory):
    """Give the path by a book whose prices count."""
    return pipeline_in(tmp_path_factory.mktemp("book"), charges=COUNTING)


@lru_cache
def log_of(partition):
    """Return a partition's events: all of one account, over two months, most of them of both cumulative rules."""
    rng = Random(partition)
    return [
        payload(
            f"{partition}-{number}",
            product=rng.choice(("sms", "sms", "call", "call", "plain")),
            quantity=rng.choice((1, 2, "0.5", "0.000000000001")),
            time=f"2026-0{rng.choice((1, 1, 2))}-{rng.choice((1, 2)):02}T00:00:00Z",
            attributes={"reseller": "zoe"} if rng.random() < 0.2 else {},
        )
        for number in range(EVENTS)
    ]


async def bill(place, pipeline, partition):
    """Apply a partition's batches one after the other, as one worker does; returns what was refused."""
    store = place.store(limits=LIMITS)
    refusals = []
    await store.claim(Claim(LOG, {partition: 0}, 1, 1))
    batch = pipeline.slice(log_of(partition), partition=partition)
    while batch is not None:
        head, batch = batch.split(BATCH)
        outcome = await store.apply(pipeline.fold(head))
        while isinstance(outcome, Refused):
            refusals.append(outcome)
            outcome = await store.apply(pipeline.fold(head))
        assert outcome == Applied()
    await store.close()
    return refusals


def hammer(place, pipeline, partitions=PARTITIONS):
    """Let a worker for each partition bill at the same time; returns refusals and new deadlocks."""

    async def play():
        before = int((await place.sql(DEADLOCKS[place.kind]))[0][0])
        refusals = await asyncio.gather(*(bill(place, pipeline, partition) for partition in partitions))
        return [*chain(*refusals)], int((await place.sql(DEADLOCKS[place.kind]))[0][0]) - before

    return asyncio.run(play())


def found_and_expected(place, folder, partitions=PARTITIONS):
    """Return balances and use by account (and rule) as the shard has them, and as the oracle says."""
    book = folder / "book.yaml"
    book.write_text(HEAD + COUNTING)
    expected = oracle.run([body for partition in partitions for body in log_of(partition)], book)
    rows = asyncio.run(place.rows())
    used = {}
    for _, account, rule, _, quantity, events, amount in rows["tiers"]:
        old = used.get((account, rule), (Decimal(0), 0, Decimal(0)))
        used[account, rule] = old[0] + quantity, old[1] + events, old[2] + amount
    wanted = {
        key: (total.quantity, total.lines, total.amount)
        for key, total in expected.rules.items()
        if key[1] in {"graduated", "volume", "share"}
    }
    balances = {account: amount for _, account, _, _, amount, _ in rows["balances"]}
    return (balances, used), (expected.balances, wanted)


def test_two_workers_on_one_account_charge_its_total_without_a_deadlock(place, counting, tmp_path):
    """An account would pay a tier twice, or never, when its events come over two partitions at the same time."""
    refusals, deadlocks = hammer(place, counting)
    assert (refusals, deadlocks) == ([], 0)
    found, expected = found_and_expected(place, tmp_path)
    assert found == expected


def test_two_worker_processes_on_two_partitions_charge_the_total_of_one_account(
    request, servers, kafka_server, tmp_path
):
    """Real workers, with batches as they come, would bill an account that two of them share by another book."""
    kind = request.node.callspec.params["servers"]
    book = tmp_path / "book.yaml"
    book.write_text(HEAD + COUNTING)
    site = make_site(
        tmp_path, kafka_server, servers(1), book, partitions=len(PARTITIONS), limits={"poll_events_max": 50}
    )
    producer = Producer({"bootstrap.servers": kafka_server.bootstrap})
    for number in range(EVENTS):
        for partition in PARTITIONS:
            producer.produce(site.topic, log_of(partition)[number], partition=partition)
    assert producer.flush(60) == 0
    before = asyncio.run(query(site.servers[0], DEADLOCKS[kind]))
    done = site.billing("run", "--processes", "2", "--until-end")
    assert done.code == 0, done
    assert asyncio.run(query(site.servers[0], DEADLOCKS[kind])) == before
    expected = oracle.run([body for partition in PARTITIONS for body in log_of(partition)], book)
    assert site.amounts() == expected.balances
    assert sum(shard["events"] for shard in site.audit()) == expected.accepted == len(PARTITIONS) * EVENTS


def _unlocked(keys, dialect):
    """Make the counters in a transaction of their own, then read them as any reader does."""
    _, begin, insert, select = counters_packet(keys, dialect).text.split(b";")
    read = select.removesuffix(b" FOR UPDATE")
    return Packet(b";".join((insert, begin, read)), ("counters", "begin", "counters read"))


def test_counters_that_are_not_locked_are_noticed(place, counting, tmp_path, monkeypatch):
    """Otherwise the test above would pass whatever the locks were."""
    monkeypatch.setattr(mysql, "counters_packet", _unlocked)
    three = (0, 1, 2)  # whenever one commits, two others wait for its locks
    refusals, deadlocks = hammer(place, counting, three)
    found, expected = found_and_expected(place, tmp_path, three)
    assert refusals or deadlocks or found != expected
