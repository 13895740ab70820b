"""The faults: all that a simulated world may do to the engine, and how likely each of them is in a run.

This list is the whole permission. Everything that a plan draws, the world does and a run counts is declared here:
`python -m tests.simulation --faults` prints it. One run in twenty has no strikes and no chances at all: what fails
there fails without any fault. All strikes fall, and all chances end, before `Plan.faulty_until_ms`; after that every
shard must apply the whole log within `world.GRACE_MS`.

Not permitted: a shard that applies half a transaction, a log that reorders, repeats or silently loses records within a
partition, new records in a truncated log before a person has looked at it.
"""

from enum import Enum
from typing import Final

import attrs


class Kind(Enum):
    """What the numbers of a fault mean."""

    STRIKES = "strikes in a run"  # each at a moment and a place of its own
    CHANCE = "chance for each call"
    SHARE = "share of the log's records"
    OUTCOME = "comes about by itself"  # not drawn, but a simulation without it would test nothing


@attrs.frozen
class Odds:
    """How often a fault happens: a run draws one of the choices, all of them equally likely."""

    kind: Kind
    choices: tuple[float, ...]
    words: str


def _strikes(choices: tuple[float, ...], words: str) -> Odds:
    return Odds(Kind.STRIKES, choices, words)


def _chance(choices: tuple[float, ...], words: str) -> Odds:
    return Odds(Kind.CHANCE, choices, words)


def _share(choices: tuple[float, ...], words: str) -> Odds:
    return Odds(Kind.SHARE, choices, words)


def _outcome(words: str) -> Odds:
    return Odds(Kind.OUTCOME, (), words)


_COMMON: Final = (0, 0, 1, 2)
_RARE: Final = (0, 0, 0, 1)
_SELDOM: Final = (0,) * 11 + (1,)
_CALLS: Final = (0.0, 0.02, 0.1)


class Fault(Enum):
    """One thing that may go wrong; its value says how often, and what exactly."""

    # workers
    CRASH = _strikes(_COMMON, "a worker ends at once with its sessions; what it sent still arrives; another one starts")
    PAUSE = _strikes(
        _COMMON, "a worker stands still for 20 to 800 ms, then believes what it believed before (a zombie)"
    )
    STOP = _strikes(_COMMON, "a worker is told to stop, has up to 300 ms to send what waits, and another one starts")
    CLOCK_FORWARD = _strikes(_COMMON, "a worker's clock jumps ahead, by milliseconds or by a day")
    CLOCK_BACK = _strikes(_COMMON, "a worker's clock jumps back, by milliseconds or by a day")
    NEW_BOOK = _strikes(_RARE, "a book with a higher version replaces the file, at once for some workers only")
    NEW_MAP = _strikes(_RARE, "a shard map with a higher version replaces the file, at once for some workers only")
    # the group
    REBALANCE = _strikes(_COMMON, "all partitions are assigned anew, and each worker hears of it at another time")
    TWO_OWNERS = _outcome("a worker is given a partition that another one, alive or paused, still takes for its own")
    # calls to a shard
    REFUSED = _chance(
        _CALLS, "a shard refuses, with any reaction for which a server does, before anything has happened"
    )
    ROLLED_BACK = _chance(
        _CALLS,
        "a shard reads and locks all that a transaction needs, then rolls it back: a deadlock, a lock wait, a cut",
    )
    CUT_BEFORE = _chance(_CALLS, "the connection is cut before COMMIT arrives: no answer, and nothing was written")
    CUT_DURING = _chance(_CALLS, "the connection is cut during COMMIT: no answer, and it is applied up to 600 ms later")
    CUT_AFTER = _chance(_CALLS, "the connection is cut after COMMIT: it was applied, and its answer is lost")
    # shards
    OUTAGE = _strikes(_COMMON, "a shard is dead for 10 ms to 1 s, or until all faults are over; its sessions end")
    SLOWNESS = _strikes(_COMMON, "a shard answers 10 to 100 times more slowly, for 50 ms to 1 s")
    FAILOVER = _strikes(_COMMON, "a copy takes over that lacks the last 0 to 20 writes, acknowledged or not")
    SMALL_PACKETS = _strikes(_COMMON, "a shard takes transactions of 2 to 6 events only, for 50 ms to 1 s")
    FULL_BUFFER = _outcome("a worker holds as much for one shard as it may")
    DETACHED = _outcome("a shard is left behind and catches up with a reader of its own")
    FENCED = _outcome(
        "a shard's cursor does not stand where a transaction begins, which is another worker's work or a rollback"
    )
    # the log
    PARTITION_ADDED = _strikes(_RARE, "the log grows a partition, whose cursors begin at its first offset")
    RETENTION = _strikes(
        _SELDOM, "the log deletes records that a shard has not applied; a person brings them back, if asked"
    )
    TRUNCATION = _strikes(_SELDOM, "the log ends before what a shard has applied, until a person has repaired it")
    RECREATION = _strikes(_SELDOM, "the topic is deleted and made anew, until a person has brought the old one back")
    GAP = _share((0.0, 0.25, 0.6), "offsets without a record follow: aborted transactions, control records, compaction")
    # events
    DUPLICATE = _share((0.12,), "a copy of one of the last events, in the same or in any partition")
    RESENT = _strikes((0, 0, 1, 3), "a producer sends 2 to 20 records in a row once more")
    OUT_OF_ORDER = _share((0.0, 0.05, 0.2), "a record is delivered behind up to 20 later ones")
    CONFLICT = _share((0.01,), "an event has the identity of another one and a different body")
    MALFORMED = _share((0.11,), "an event breaks the format or no rule prices it, in all ways that generators know")
    VOID = _strikes((0, 1, 4, 20), "an event is taken back, before or after it is billed, at times twice")
    POISON = _strikes((0, 0, 0, 1, 3), "a shard refuses to store an event that passed every check")

    __hash__ = object.__hash__  # each is one object, and that of Enum hashes the name, in Python, each time

    @property
    def odds(self) -> Odds:
        """Return how likely it is, and what it is."""
        odds: Odds = self.value
        return odds

    @property
    def words(self) -> str:
        """Return the name as a person writes it."""
        return self.name.lower().replace("_", "-")


DRAWN: Final = tuple(fault for fault in Fault if fault.odds.kind is not Kind.OUTCOME)


def fault_of(words: str) -> Fault:
    """Return the fault of this name. Raises KeyError if there is none."""
    return Fault[words.upper().replace("-", "_")]


def listing() -> str:
    """Return the declaration as lines of text."""
    lines = []
    for fault in Fault:
        odds = fault.odds
        choices = " ".join(f"{choice:g}" for choice in odds.choices)
        often = f"{odds.kind.value}: {choices}" if choices else odds.kind.value
        lines.append(f"{fault.words:16} {odds.words} [{often}]")
    return "\n".join(lines)
