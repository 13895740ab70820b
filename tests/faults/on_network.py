"""Faults of the network between workers and databases, by the proxies."""

import random
import time
from contextlib import suppress

from tests.faults.proxy import Cut
from tests.faults.scene import Scene
from tests.fleet import wait_until

CUTS = 8, 24
CUTS_SECONDS_MAX = 20.0
REFUSED_SECONDS = 0.0, 2.0
LATENCY_SECONDS = 0.001, 0.1
SLOW_SECONDS = 0.5, 3.0
STALLED_SECONDS = 0.5, 8.0  # to longer than a worker waits for an answer


def cut_commits(scene: Scene, draw: random.Random) -> None:
    """Cut a shard's connections at packets that commit, in every way in turn; some commits in between get through."""
    number = draw.randrange(len(scene.proxies))
    with scene.holding(f"proxy-{number}"):
        plan: list[Cut | None] = []
        for _ in range(draw.randint(*CUTS)):
            plan += [draw.choice(list(Cut)), *[None] * draw.randint(0, 2)]
        proxy = scene.proxies[number]
        proxy.arm(plan)
        with suppress(AssertionError):  # the server may be down meanwhile: what is left is not counted
            wait_until(lambda: proxy.armed == 0, "all commits are cut", CUTS_SECONDS_MAX)
        scene.note(f"shard-{number}: commits cut, {proxy.armed} of {len(plan)} left")
        proxy.heal()


def cut(scene: Scene, draw: random.Random) -> None:
    """Reset every connection to a shard, and refuse new ones for a while."""
    number = draw.randrange(len(scene.proxies))
    with scene.holding(f"proxy-{number}"):
        proxy = scene.proxies[number]
        seconds = draw.uniform(*REFUSED_SECONDS)
        scene.note(f"shard-{number}: connections cut, new ones refused for {seconds:.1f} s")
        proxy.refusing = True
        proxy.cut_all()
        time.sleep(seconds)
        proxy.heal()
        scene.counts["connections cut"] += 1


def slow(scene: Scene, draw: random.Random) -> None:
    """Delay everything between workers and a shard."""
    number = draw.randrange(len(scene.proxies))
    with scene.holding(f"proxy-{number}"):
        proxy = scene.proxies[number]
        proxy.latency_seconds = draw.uniform(*LATENCY_SECONDS)
        scene.note(f"shard-{number}: {1000 * proxy.latency_seconds:.0f} ms each way")
        time.sleep(draw.uniform(*SLOW_SECONDS))
        proxy.heal()
        scene.counts["connections slow"] += 1


def stall(scene: Scene, draw: random.Random) -> None:
    """Hold everything back between workers and a shard, and let it through when nobody may be waiting for it."""
    number = draw.randrange(len(scene.proxies))
    with scene.holding(f"proxy-{number}"):
        proxy = scene.proxies[number]
        seconds = draw.uniform(*STALLED_SECONDS)
        scene.note(f"shard-{number}: nothing passes for {seconds:.1f} s")
        proxy.stalled = True
        time.sleep(seconds)
        proxy.heal()
        scene.counts["connections stalled"] += 1
