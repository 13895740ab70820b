"""Mutants: deliberate defects, each of which some seed must notice.

They are made at run time, in one place each; the seeds are the first ones of the simulation itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
import pytest

from billing import engine as engine_module
from billing import fold as fold_module
from billing import voids as voids_module
from billing.adapters.memory import MemoryShard
from billing.batch import Slice
from billing.engine import Engine
from billing.fold import Transaction, fold
from billing.lane import Lane, State
from billing.ports import Outcome
from billing.tiers import count
from billing.voids import Known
from rules.cumulative import Used
from tests.simulation.check import SimulationError
from tests.simulation.world import simulate

SEEDS = range(60)

_mark, _take_back = voids_module._Lines.mark, voids_module._Lines.take_back_recorded  # noqa: SLF001 - as above
_of_rows = Known.of_rows

_apply, _split, _refused = MemoryShard.apply, Slice.split, Lane.refused
_settled, _settle_in_memory = Transaction.settled, MemoryShard._settled  # noqa: SLF001 - mutants replace what is inside


def _nothing(*_: object, **__: object) -> Any:
    return {}


def _never(*_: object, **__: object) -> bool:
    return False


def _whole(piece: Slice, _starts: Mapping[int, int]) -> Slice:
    return piece


def _apply_unguarded(shard: MemoryShard, transaction: Transaction) -> Outcome:
    for move in transaction.moves:
        cursor = shard.tables.cursors.get((transaction.log, move.partition))
        if cursor is not None:
            cursor.next_offset = move.start
    return _apply(shard, transaction)


def _apply_without_quarantine(shard: MemoryShard, transaction: Transaction) -> Outcome:
    return _apply(shard, attrs.evolve(transaction, quarantine=[]))


def _fold_without_existing(batch: Slice, *rest: Any) -> Transaction:
    book, log, version, _, poison = rest
    return fold(batch, book, log, version, {}, poison)


def _fold_without_bodies(batch: Slice, *rest: Any) -> Transaction:
    book, log, version, existing, poison = rest
    charges = attrs.evolve(batch.charges, digest=np.zeros_like(batch.charges.digest))
    bodiless = {key: attrs.evolve(known, digest=0) for key, known in existing.items()}
    return fold(attrs.evolve(batch, charges=charges), book, log, version, bodiless, poison)


def _split_and_forget(piece: Slice, events_max: int) -> tuple[Slice, None]:
    head, _ = _split(piece, events_max)
    return attrs.evolve(head, spans=piece.spans), None


def _stand_on_the_buffer(lane: Lane, positions: Mapping[int, int], now_ms: int) -> None:
    if lane.inflight is not None:
        lane.pending.appendleft(lane.inflight)
    lane.inflight = None
    lane.positions = dict(positions)
    lane.buffered = {**positions, **lane.buffered}
    lane.pending_since_ms = lane.confirmed_at_ms = now_ms
    lane.state = State.READY


def _detach_and_stay(lane: Lane) -> None:
    lane.pending.clear()
    lane.pending_events = lane.pending_bytes = 0


def _forget_the_call(lane: Lane) -> None:
    lane.pending.clear()
    lane.pending_events = lane.pending_bytes = lane.retry_at_ms = 0
    lane.positions, lane.buffered = {}, {}
    lane.state = State.WAITING


def _refused_without_poison(lane: Lane, *what: Any) -> None:
    _refused(lane, *what)
    lane.poison.clear()


def _settled_once() -> Callable[[Transaction, Used], Transaction]:
    """Remember what a batch was settled to, as if that survived a rollback or the loss of the shard's last writes."""
    remembered: dict[Any, Transaction] = {}

    def settled(transaction: Transaction, before: Used) -> Transaction:
        assert transaction.draft is not None, "what has nothing to settle is not settled"
        moves = tuple((move.partition, move.start, move.stop, move.accepted) for move in transaction.moves)
        events = (*transaction.records.account.to_pylist(), *transaction.records.event.to_pylist())
        return remembered.setdefault((moves, events), _settled(transaction, before))

    return settled


def _settled_by_nothing(transaction: Transaction, before: Used) -> Transaction:
    return _settled(transaction, Used.nothing(len(before)))


def _read_before_the_last_write(shard: MemoryShard, transaction: Transaction) -> Transaction:
    now, then = shard.tables.tiers, getattr(shard, "stale", {})
    shard.tables.tiers = then
    try:
        return _settle_in_memory(shard, transaction)
    finally:
        shard.tables.tiers = now
        shard.stale = dict(now)  # type: ignore[attr-defined]


def _apply_without_counters(shard: MemoryShard, transaction: Transaction) -> Outcome:
    before = dict(shard.tables.tiers)
    outcome = _apply(shard, transaction)
    shard.tables.tiers = before
    return outcome


def _use_in_no_order(charges: Any, *rest: Any) -> Any:
    counted = count(charges, *rest)
    return counted and attrs.evolve(counted, counter=counted.counter[::-1])


def _mark_beside(lines: Any, row: int) -> None:
    _mark(lines, row)
    lines._line[-1] = -1  # noqa: SLF001 - mutants replace what is inside


def _take_back_nothing(lines: Any, row: int, known: Known) -> None:
    nothing = [attrs.evolve(line, quantity_pico=0, amount_pico=0) for line in known.lines]
    _take_back(lines, row, attrs.evolve(known, lines=tuple(nothing)))


def _never_voided(rows: Any) -> Known:
    return attrs.evolve(_of_rows(rows), voided=False)


MUTANTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "what was read again is not trimmed": (Slice, "since", _whole),
    "the rest of a batch that was cut is lost": (Slice, "split", _split_and_forget),
    "the cursor is not compared before it is moved": (MemoryShard, "apply", _apply_unguarded),
    "quarantine is not written": (MemoryShard, "apply", _apply_without_quarantine),
    "no record is found": (MemoryShard, "existing", _nothing),
    "records that exist are sent again": (engine_module, "fold", _fold_without_existing),
    "bodies are not compared": (engine_module, "fold", _fold_without_bodies),
    "a lane believes its buffer, not the shard's cursors": (Lane, "stand", _stand_on_the_buffer),
    "a detached lane believes that it has what it dropped": (Lane, "detach", _detach_and_stay),
    "an answer from before an assignment counts after it": (Lane, "forget", _forget_the_call),
    "an event that its shard refuses is forgotten": (Lane, "refused", _refused_without_poison),
    "an idle lane never asks where its shard stands": (Lane, "unsure", _never),
    "a batch that was settled stays settled after a rollback": (Transaction, "settled", _settled_once()),
    "every batch begins at the first tier": (Transaction, "settled", _settled_by_nothing),
    "counters are read before the transaction that writes them": (MemoryShard, "_settled", _read_before_the_last_write),
    "counters are not written": (MemoryShard, "apply", _apply_without_counters),
    "uses are added to each other's counters": (fold_module, "count", _use_in_no_order),
    "a void does not stand in the place of its event": (voids_module._Lines, "mark", _mark_beside),  # noqa: SLF001
    "a void takes nothing back": (voids_module._Lines, "take_back_recorded", _take_back_nothing),  # noqa: SLF001
    "a void is not seen to be a repeat": (Known, "of_rows", _never_voided),
    "nobody catches up": (Engine, "_catch_up", lambda _: []),
}


def simulate_all() -> None:
    """Run the seeds until one fails."""
    for seed in SEEDS:
        simulate(seed)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_simulation_notices_a_defect(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the simulation would pass whatever the engine did wrong here."""
    owner, name, replacement = MUTANTS[mutant]
    assert callable(getattr(owner, name)), "the mutant replaces something that exists"
    monkeypatch.setattr(owner, name, replacement)
    with pytest.raises(SimulationError) as caught:
        simulate_all()
    assert isinstance(caught.value.__cause__, AssertionError), "it is the check that fails, not the mutant"
