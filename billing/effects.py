"""Effects: what the engine asks of the worker.

Owns their forms; the engine decides on them, the worker executes them. Must not know why or how.
"""

from collections.abc import Mapping, Sequence

import attrs

from billing.cursor import Claim
from billing.dedupe import PartKey
from billing.errors import BillingError
from billing.fold import Transaction
from billing.ports import Reaction


@attrs.frozen
class ClaimCursors:
    """Ask a shard where it stands."""

    shard: int
    claim: Claim


@attrs.frozen
class Apply:
    """Write a transaction to a shard."""

    shard: int
    transaction: Transaction


@attrs.frozen
class Look:
    """Ask a shard which of these parts it has."""

    shard: int
    keys: Sequence[PartKey]


@attrs.frozen
class Seek:
    """Read these partitions, and only these, from these offsets; open the reader if it is new."""

    reader: int
    positions: Mapping[int, int]


@attrs.frozen
class Check:
    """Ask the log whether it reaches these offsets: a shard has applied what lies below, and no reader has been there.

    A reader behind them would not notice that a log lost its end, and what comes there next would be taken for applied.
    """

    positions: Mapping[int, int]


@attrs.frozen
class CloseReader:
    """Stop a reader and forget it."""

    reader: int


@attrs.frozen
class Halt:
    """Stop the worker: going on could only do harm."""

    error: BillingError


@attrs.frozen
class Settled:
    """A batch is committed: for metrics and progress."""

    shard: int
    transaction: Transaction
    detail: str = ""


@attrs.frozen
class Troubled:
    """A shard refused something: for logs and metrics."""

    shard: int
    reaction: Reaction
    detail: str


Effect = ClaimCursors | Apply | Look | Seek | Check | CloseReader | Halt | Settled | Troubled
