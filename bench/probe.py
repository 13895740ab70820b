"""The probe: sends events of its own beside a load and watches until each counts in a balance.

A shell: owns a producer, connections and clocks. Must not know the load, nor what latencies mean.
"""

import asyncio
import json
import time
from typing import Final

import attrs
import numpy as np
from confluent_kafka import Producer

from bench.errors import MeasureError
from bench.recorded import first
from bench.sampler import connect, one
from bench.scenario import Scenario
from billing.config.deployment import Deployment
from billing.config.source_settings import KafkaSource
from billing.config.store_url import MysqlUrl

PROBE_SECONDS: Final = 0.05  # on average: 20 probes a second load nothing, and make a p99 of minutes
PROBE_POLL_SECONDS: Final = 0.001  # what looking too late adds to a latency, at most, next to the query's own time
PROBE_WAIT_SECONDS_MAX: Final = 30.0


def _example(scenario: Scenario) -> bytes:
    """Return an event like those of the load."""
    return scenario.workload.payloads(0, 1)[0] if scenario.events_file is None else first(scenario.events_file)


@attrs.define(eq=False)
class _Target:
    """An account of the probe on one shard: when its events were due, and how many of them have been seen."""

    account: str
    slot: int
    url: MysqlUrl
    due_seconds: list[float] = attrs.Factory(list)
    seen: int = 0
    waiting: asyncio.Event = attrs.Factory(asyncio.Event)


class Probe:
    """Sends 20 events a second, to each shard in turn, and watches until each counts in a balance.

    They are due at random (Poisson), since the load moves in steps, and others would always meet the same part of one.
    Latencies run from the moment that an event was due, which is its timestamp in Kafka too: a sender that is late
    itself hides nothing.
    """

    def __init__(self, found: Deployment, scenario: Scenario) -> None:
        source = found.settings.source
        assert isinstance(source, KafkaSource), "checked before"
        self.latencies: list[float] = []
        self.stopping = False
        self._source = source
        self._seed = scenario.seed
        self._mark = f"{time.time_ns():x}"
        self._body = json.loads(_example(scenario))
        self._targets = [self._target(found, number) for number in range(len(found.shardmap.shards))]

    def _target(self, found: Deployment, number: int) -> _Target:
        """Make an account that lives on this shard; of a few hundred names one does."""
        name = found.shardmap.shards[number]
        for attempt in range(100_000):
            account = f"probe-{self._mark}-{attempt}"
            places = found.shardmap.shards_of(account)
            if len(places) == 1 and places[0][1] == number:
                url = next(shard.writer for shard in found.settings.shards if shard.name == name)
                assert isinstance(url, MysqlUrl), "checked before"
                return _Target(account, places[0][0], url)
        raise MeasureError(f"no account was found that the map puts on {name}; a shard needs slots")

    async def run(self) -> None:
        """Probe until told to stop and everything sent was seen, or given up."""
        producer = Producer({**self._source.options, "bootstrap.servers": self._source.bootstrap, "linger.ms": 0})
        watchers = [asyncio.create_task(self._watch(target)) for target in self._targets]
        began, began_wall = time.monotonic(), time.time()
        gaps = np.random.default_rng(self._seed)
        sent, due = 0, 0.0
        while not self.stopping:
            due += gaps.exponential(PROBE_SECONDS)
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            target = self._targets[sent % len(self._targets)]
            body = {**self._body, "id": f"probe-{sent:012d}", "account": target.account}
            timestamp_ms = round((began_wall + due) * 1000)
            producer.produce(
                self._source.topic, json.dumps(body).encode(), target.account.encode(), timestamp=timestamp_ms
            )
            producer.poll(0)
            target.due_seconds.append(began + due)
            target.waiting.set()
            sent += 1
        deadline = time.monotonic() + PROBE_WAIT_SECONDS_MAX
        while any(target.waiting.is_set() for target in self._targets):
            if time.monotonic() > deadline:
                lost = sum(len(target.due_seconds) - target.seen for target in self._targets)
                raise MeasureError(
                    f"{lost} probes were not billed in {PROBE_WAIT_SECONDS_MAX:.0f} s; the load is too high"
                )
            await asyncio.sleep(PROBE_SECONDS)
        producer.flush(PROBE_WAIT_SECONDS_MAX)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)

    async def _watch(self, target: _Target) -> None:
        connection = await connect(target.url)
        query = (
            "SELECT COALESCE(SUM(events),0) FROM balances "
            f"WHERE slot={target.slot:d} AND account='{target.account}'"  # made above, of harmless characters
        )
        try:
            while True:
                await target.waiting.wait()
                visible = int(await one(connection, query))
                now = time.monotonic()
                self.latencies += [now - due for due in target.due_seconds[target.seen : visible]]
                target.seen = visible
                if visible == len(target.due_seconds):
                    target.waiting.clear()
                else:
                    await asyncio.sleep(PROBE_POLL_SECONDS)
        finally:
            connection.close()
