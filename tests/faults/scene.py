"""The scene of a campaign: what faults act on, and what is written down of them.

Owns the locks that keep two faults off one victim, the counts and the trace. Must not know which faults there are.
"""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from ops.local.kafka import KafkaServer
from ops.local.mysql import MysqlServer
from tests.faults.proxy import Proxy
from tests.faults.traffic import Traffic
from tests.fleet import Fleet, Site, WorkerProcess

KAFKA = "kafka"
STEADY = "steady"  # begins the names of the workers that are always there


@attrs.define(eq=False)
class Scene:
    """Servers under load, and the means to hurt them; faults run in threads of their own.

    small: the shard whose data folder is a small volume, if there is one; folder: for copies of data folders;
    workers_max: at most so many at a time.
    counts: what was done, by kind; recoveries: seconds until all was well again, by kind, of faults that were alone.
    """

    site: Site
    fleet: Fleet
    proxies: list[Proxy]
    traffic: Traffic
    folder: Path
    small: int | None = None
    workers_max: int = 8
    alone: bool = False
    counts: Counter[str] = attrs.Factory(Counter)
    recoveries: dict[str, list[float]] = attrs.Factory(lambda: defaultdict(list))
    trace: list[str] = attrs.Factory(list)
    _started: float = attrs.Factory(time.monotonic)
    _locks: dict[str, threading.Lock] = attrs.Factory(lambda: defaultdict(threading.Lock))

    @property
    def kafka(self) -> KafkaServer:
        """The broker."""
        return self.site.kafka

    @property
    def servers(self) -> list[MysqlServer]:
        """The servers of the shards, in their order."""
        return list(self.site.servers)

    def note(self, text: str) -> None:
        """Write down what happens now."""
        self.trace.append(f"{time.monotonic() - self._started:8.2f} s  {text}")

    @contextmanager
    def holding(self, *victims: str) -> Iterator[None]:
        """Keep other faults off these victims meanwhile."""
        held = [self._locks[victim] for victim in sorted(victims)]
        for lock in held:
            lock.acquire()
        try:
            yield
        finally:
            for lock in held:
                lock.release()

    @contextmanager
    def shard(self, draw: random.Random, number: int | None = None) -> Iterator[int]:
        """Hold one shard's server, drawn if none is named."""
        chosen = draw.randrange(len(self.servers)) if number is None else number
        with self.holding(f"shard-{chosen}"):
            yield chosen

    @contextmanager
    def worker(self, draw: random.Random) -> Iterator[WorkerProcess]:
        """Hold one of the workers that are always there."""
        name = draw.choice(sorted(name for name in self.fleet.workers if name.startswith(STEADY)))
        with self.holding(name):
            yield self.fleet.workers[name]
