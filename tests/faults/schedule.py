"""The schedule of a campaign: which faults come when, drawn from a seed.

Must not know what the faults are: a kind is a name.
"""

import random
from collections.abc import Sequence

import attrs

AT_SECONDS_MAX = 2.0  # into its round
RATE_MIN = 100.0  # events/s


@attrs.frozen
class Fault:
    """One fault: when it begins (seconds into its round), and the seed of everything else about it."""

    kind: str
    at_seconds: float
    seed: int


@attrs.frozen
class Round:
    """Faults that overlap, while events come at a rate a second; all is well again before the next round."""

    rate: float
    faults: tuple[Fault, ...]


def schedule(seed: int, kinds: Sequence[str], faults: int, at_once: int, rate_max: float) -> list[Round]:
    """Draw rounds with `faults` faults in all, at most `at_once` a round; every kind comes once before any comes twice.

    rate_max: events/s. The beginning of a longer schedule is the shorter one of the same seed.
    """
    draw = random.Random(seed)
    rounds: list[Round] = []
    waiting: list[str] = []
    while faults > 0:
        rate = draw.uniform(RATE_MIN, rate_max)
        together = []
        for _ in range(draw.randint((at_once + 1) // 2, at_once)):
            if not waiting:
                waiting = draw.sample(sorted(kinds), len(kinds))
            together.append(Fault(waiting.pop(), draw.uniform(0, AT_SECONDS_MAX), draw.getrandbits(32)))
        rounds.append(Round(rate, tuple(together[:faults])))
        faults -= len(together)
    return rounds
