"""Faults of workers and of who owns what: killed, frozen, too many, and partitions that change hands all the time."""

import random
import signal
import time
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException

from tests.faults.scene import STEADY, Scene
from tests.fleet import wait_until

FROZEN_SECONDS = 0.2, 9.0  # from a hiccup to longer than the group waits for a member
JOINS = 3, 8
GUEST_SECONDS = 0.0, 2.0  # how long a guest stays; some go before they get anything


def kill(scene: Scene, draw: random.Random) -> None:
    """SIGKILL a worker, and start another in its place."""
    with scene.worker(draw) as worker:
        owned = worker.partitions()
        ended = worker.kill()
        killed_at = time.monotonic()
        assert ended == -signal.SIGKILL, f"{worker.name} had ended by itself: {worker.log_path.read_text()}"
        scene.counts["worker killed" if owned else "worker killed before it had partitions"] += 1
        scene.note(f"{worker.name} killed, with partitions {sorted(owned)}")
        before = _positions(scene, owned)
        scene.fleet.start(worker.name)
        if scene.alone and owned:
            wait_until(
                lambda: all(at > before[partition] for partition, at in _positions(scene, owned).items()),
                "the partitions of a killed worker move again",
            )
            scene.recoveries["worker killed: its partitions move again"].append(time.monotonic() - killed_at)


def freeze(scene: Scene, draw: random.Random) -> None:
    """SIGSTOP a worker, and SIGCONT it when others may have its partitions: a zombie."""
    with scene.worker(draw) as worker:
        seconds = draw.uniform(*FROZEN_SECONDS)
        scene.note(f"{worker.name} frozen for {seconds:.1f} s")
        worker.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            worker.process.send_signal(signal.SIGCONT)
        scene.counts["worker frozen"] += 1


def crowd(scene: Scene, draw: random.Random) -> None:
    """Start further workers, up to the most there may be, and end them: some in order, some by SIGKILL."""
    with scene.holding("extras"):
        steady = sum(name.startswith(STEADY) for name in scene.fleet.workers)
        extras = [scene.fleet.start(f"extra-{number}") for number in range(draw.randint(1, scene.workers_max - steady))]
        scene.note(f"{len(extras)} further workers")
        wait_until(lambda: all(extra.partitions() for extra in extras), "further workers get partitions")
        for extra in extras:
            time.sleep(draw.uniform(0, 0.5))
            if draw.random() < 0.5:
                ended, expected = extra.terminate(), 0
            else:
                ended, expected = extra.kill(), -signal.SIGKILL
            assert ended == expected, f"{extra.name} ended with {ended}: {extra.log_path.read_text()}"
            del scene.fleet.workers[extra.name]
            scene.counts["rebalance"] += 2
        scene.counts[f"fleet of {steady + len(extras)} workers"] += 1


def rebalance(scene: Scene, draw: random.Random) -> None:
    """Let guests join the group and leave it: partitions change hands, to members that never bill, and back."""
    joins = draw.randint(*JOINS)
    scene.note(f"{joins} guests join and leave")
    for _ in range(joins):
        seconds = draw.uniform(*GUEST_SECONDS)
        guest = Consumer(
            {
                "bootstrap.servers": scene.kafka.bootstrap,
                "group.id": "fleet",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 6_000,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "log_level": 0,
            }
        )
        try:
            guest.subscribe([scene.site.topic])
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                with suppress(KafkaException):  # the broker may be away
                    guest.poll(0.1)
        finally:
            guest.close()
        scene.counts["rebalance"] += 2


def _positions(scene: Scene, partitions: frozenset[int]) -> dict[int, int]:
    """Return how far the first shard that answers is in each of these partitions."""
    rows = next(iter(scene.site.cursors().values()), [])
    return {row.partition: row.next_offset for row in rows if row.partition in partitions}
