"""Faults of the log and of who fills it: a broker killed, transactions aborted, events that come again."""

import random
import time

from tests.faults.scene import KAFKA, Scene

DOWN_SECONDS = 0.0, 2.0
ABORTS = 2, 8
SHARE = 0.05, 0.5


def kill_broker(scene: Scene, draw: random.Random) -> None:
    """SIGKILL the broker and start it again."""
    with scene.holding(KAFKA):
        seconds = draw.uniform(*DOWN_SECONDS)
        scene.note(f"broker killed for {seconds:.1f} s")
        scene.kafka.kill()
        time.sleep(seconds)
        scene.kafka.start()
        scene.counts["broker killed"] += 1


def abort_transactions(scene: Scene, draw: random.Random) -> None:
    """Write events in transactions of Kafka, of which half are aborted: gaps between offsets."""
    with scene.holding(KAFKA):
        aborted = scene.traffic.transactions(draw.randint(*ABORTS), draw)
        scene.note(f"{aborted} transactions of Kafka aborted")
        scene.counts["Kafka transaction aborted"] += aborted


def repeat_events(scene: Scene, draw: random.Random) -> None:
    """Send earlier events again, up to half of a stretch, to other partitions, some with another body."""
    repeats, conflicts = scene.traffic.storm(draw.uniform(*SHARE), draw)
    scene.note(f"{repeats} events sent again, {conflicts} with another body")
    scene.counts["event repeated in a storm"] += repeats
    scene.counts["event contradicted in a storm"] += conflicts
