"""Ports: what the engine needs of a source and of a store, and the words they answer with.

Owns the contract that every adapter keeps and every contract test checks. Must not know any adapter.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol

import attrs

from billing.batch import Spans
from billing.cursor import Bounds, Claim, Standing
from billing.dedupe import PartKey
from billing.fold import Transaction
from billing.voids import Known
from rules.columns import Int32s, Int64s


class Reaction(Enum):
    """What to do after a store said no; each error code has exactly one."""

    RETRY = "retry"  # rolled back for sure: send again
    RECONNECT = "reconnect"  # outcome unknown: new connection, read the cursors
    RESOLVE_WRITER = "resolve writer"  # this endpoint does not write (any more): find the writer
    SPLIT = "split"  # the packet is too large: send less
    PAUSE = "pause"  # the shard cannot write now (disk full): wait long
    BISECT = "bisect"  # one row is refused: halve until the event is alone, then quarantine it
    DUPLICATES = "duplicates"  # a record exists already: ask which, drop them, fold again
    FENCED = "fenced"  # the cursors do not stand where the batch starts: read them


@attrs.frozen
class Applied:
    """The transaction is committed; written: the same with every amount settled, None where nothing was left to."""

    written: Transaction | None = attrs.field(default=None, eq=False, repr=False)


@attrs.frozen
class Refused:
    """The transaction is not known to be committed: what to do, and the store's own words."""

    reaction: Reaction
    detail: str


Outcome = Applied | Refused


@attrs.frozen(eq=False)
class Records:
    """One read of a log: records in log order per partition, and the spans that were read (gaps have no records).

    partition: int32[n]; offset: int64[n]; payload: n byte strings; spans: every partition whose position moved.
    """

    partition: Int32s
    offset: Int64s
    payload: Sequence[bytes]
    spans: Spans

    def __len__(self) -> int:
        return len(self.payload)


@attrs.frozen
class Ownership:
    """The partitions that a process owns; epoch grows with every change, also one that ends where it began.

    None at epoch 0: nobody has told yet; none later: others have them all.
    """

    partitions: frozenset[int]
    epoch: int


class Store(Protocol):
    """One shard's database, as its one writer sees it; calls are made one at a time."""

    name: str

    async def claim(self, claim: Claim) -> Standing | Refused:
        """Create missing cursors, take over older map and book versions, and return where every cursor stands.

        Waits for transactions still in flight on these cursors, so that the answer is final.
        """
        ...

    async def apply(self, transaction: Transaction) -> Outcome:
        """Write a transaction: all of it or nothing. Never raises for what a database can do.

        One with a draft is settled here: its counters are locked and read in the transaction that writes.
        """
        ...

    def prepare(self, transaction: Transaction) -> None:
        """Get ready for a transaction that will probably be the next one applied, while another one is."""
        ...

    async def existing(self, keys: Sequence[PartKey]) -> Mapping[PartKey, Known] | Refused:
        """Return what the shard has of these parts, if it has records: digests, and of those with `void` the lines.

        Waits for transactions that are writing them.
        """
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


class Reader(Protocol):
    """A position in a log, moving forward; used by one task at a time."""

    generation: int  # grows with every seek: what was read across one is void

    async def read(self, records_max: int, wait_seconds: float, gather_seconds: float = 0.0) -> Records:
        """Return what comes next, at most `records_max` records.

        wait_seconds: how long to wait at most for something to come; gather_seconds: and then for more.
        """
        ...

    async def idle(self) -> None:
        """Keep the membership alive while nothing may be read."""
        ...

    async def seek(self, positions: Mapping[int, int]) -> None:
        """Read these partitions, and only these, from these offsets on."""
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class Source(Protocol):
    """A log with an identity: positions in one log mean nothing in another."""

    @property
    def log(self) -> str:
        """Return the log's identity, known once opened: cluster and topic ids for Kafka."""
        ...

    async def open(self) -> None:
        """Connect. Raises SourceError with the address where nothing answers."""
        ...

    def reader(self) -> Reader:
        """Return a reader that is not yet positioned; the first is the one that ownership is assigned to."""
        ...

    def ownership(self) -> Ownership:
        """Return what this process owns now."""
        ...

    async def partitions(self) -> Sequence[int]:
        """Return every partition that the log has."""
        ...

    async def bounds(self, partitions: Sequence[int]) -> Mapping[int, Bounds]:
        """Return the offsets that the log still has."""
        ...

    async def verify(self) -> None:
        """Check that the log is still the one that was opened; says nothing while it does not answer.

        Raises: LogChangedError when positions in it have come to mean something else.
        """
        ...

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Tell the log where this process stands: a hint for lag monitors, never read back."""
        ...

    async def close(self) -> None:
        """Leave."""
        ...
