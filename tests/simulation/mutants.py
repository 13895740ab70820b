"""Mutants of the engine: deliberate defects, made at run time in one place each, that some seed must notice.

Owns the list. Must not know how it is tried; `statement_mutants` has those of SQL and of what Kafka is asked for.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs
import numpy as np

from billing import engine as engine_module
from billing import fold as fold_module
from billing import lane as lane_module
from billing import rows as rows_module
from billing import voids as voids_module
from billing.adapters.memory import MemoryShard
from billing.batch import Slice, Span
from billing.charge import Charges
from billing.cursor import Claim, Standing
from billing.dedupe import PartKey
from billing.effects import Apply, Effect, Seek
from billing.engine import Engine
from billing.event import Events, Rejected
from billing.fold import CursorMove, Transaction, fold
from billing.lane import Lane, State
from billing.ports import Outcome, Reaction
from billing.pricing import charge
from billing.tiers import count
from billing.voids import Known
from rules.cumulative import Used
from tests.simulation import check as check_module

_mark, _take_back = voids_module._Lines.mark, voids_module._Lines.take_back_recorded  # noqa: SLF001 - as above
_of_rows = Known.of_rows

_apply, _split, _refused = MemoryShard.apply, Slice.split, Lane.refused
_ahead, _send = Lane.ahead, Engine._apply  # noqa: SLF001 - as above
_claim, _catch_up, _stand, _moves = MemoryShard.claim, Engine._catch_up, Lane.stand, fold_module._moves  # noqa: SLF001
_table_rows, _decimal_texts, _as_of = fold_module.table_rows, rows_module.decimal_texts, check_module.as_of
_part_order = fold_module.part_order
_settled, _settle_in_memory = Transaction.settled, MemoryShard._settled  # noqa: SLF001 - mutants replace what is inside


def _nothing(*_: object, **__: object) -> Any:
    return {}


def _no_rows(*_: object) -> list[Any]:
    return []


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


def _charge_by_company(events: Events, *rest: Any) -> tuple[Charges, list[Rejected]]:
    charges, rejects = charge(events, *rest)
    return attrs.evolve(charges, amount=charges.amount.times(len(events))), rejects


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


def _ahead_and_gone(lane: Lane) -> Slice | None:
    batch = _ahead(lane)
    if batch is not None:
        lane.pending.popleft()
        lane._count()  # noqa: SLF001 - as above
    return batch


def _send_what_was_folded(engine: Engine, lane: Lane, existing: Mapping[PartKey, Known]) -> list[Effect]:
    folded = engine._ahead.get(lane.shard)  # noqa: SLF001 - as above
    (effect,) = _send(engine, lane, existing)
    if folded is None or not isinstance(effect, Apply):
        return [effect]
    engine._sent[lane.shard] = folded[1]  # noqa: SLF001 - as above
    return [attrs.evolve(effect, transaction=folded[1])]


def _refused_without_poison(lane: Lane, *what: Any) -> None:
    _refused(lane, *what)
    lane.poison.clear()


def _settled_once() -> Callable[[Transaction, Used], Transaction]:
    """Remember what a batch was settled to, as if that survived a rollback or the loss of the shard's last writes."""
    remembered: dict[Any, Transaction] = {}

    def settled(transaction: Transaction, before: Used) -> Transaction:
        assert transaction.draft is not None, "what has nothing to settle is not settled"
        moves = tuple((move.partition, move.start, move.stop, move.accepted) for move in transaction.moves)
        charges = transaction.draft.charges
        events = (*charges.account.rows(), *charges.key.to_pylist())
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


def _over_a_gap(piece: Slice, starts: Mapping[int, int]) -> Slice | None:
    spans = {
        partition: Span(max(span.start, starts[partition]), span.stop)
        for partition, span in piece.spans.items()
        if partition in starts and starts[partition] < span.stop
    }
    return piece._within(spans) if spans else None  # noqa: SLF001 - mutants replace what is inside


def _catch_up_from_here(engine: Engine) -> list[Effect]:
    main = engine._main or {}  # noqa: SLF001 - mutants replace what is inside
    return [
        attrs.evolve(effect, positions={partition: main[partition] for partition in effect.positions})
        if isinstance(effect, Seek)
        else effect
        for effect in _catch_up(engine)
    ]


def _stand_on_memory(lane: Lane, positions: Mapping[int, int], now_ms: int) -> None:
    _stand(lane, {partition: max(at, lane.positions.get(partition, at)) for partition, at in positions.items()}, now_ms)


def _refused_is_poison(lane: Lane, reaction: Reaction, detail: str, now_ms: int) -> None:
    if reaction is Reaction.BISECT and lane.inflight is not None:
        lane.poison.update(dict.fromkeys(lane.inflight.places(), detail))
    _refused(lane, reaction, detail, now_ms)


def _apply_any_version(shard: MemoryShard, transaction: Transaction) -> Outcome:
    for move in transaction.moves:
        cursor = shard.tables.cursors.get((transaction.log, move.partition))
        if cursor is not None:
            cursor.map_version, cursor.book_version = transaction.map_version, transaction.book_version
    return _apply(shard, transaction)


def _claim_raising_nothing(shard: MemoryShard, claim: Claim) -> Standing:
    before = {key: (cursor.map_version, cursor.book_version) for key, cursor in shard.tables.cursors.items()}
    standing = _claim(shard, claim)
    for key, versions in before.items():
        cursor = shard.tables.cursors[key]
        cursor.map_version, cursor.book_version = versions
    return standing


def _claim_from_the_start(shard: MemoryShard, claim: Claim) -> Standing:
    for partition, start in claim.starts.items():
        cursor = shard.tables.cursors.get((claim.log, partition))
        if cursor is not None:
            cursor.next_offset = start
    return _claim(shard, claim)


def _moves_of(change: Callable[[CursorMove, list[int]], CursorMove]) -> Callable[..., list[CursorMove]]:
    def moves(batch: Slice, *rest: Any) -> list[CursorMove]:
        places = sorted(batch.places())
        return [
            change(move, [offset for partition, offset in places if partition == move.partition])
            for move in _moves(batch, *rest)
        ]

    return moves


def _from_the_first_event(move: CursorMove, offsets: list[int]) -> CursorMove:
    return attrs.evolve(move, start=offsets[0]) if offsets else move


def _repeats_are_accepted(move: CursorMove, _: list[int]) -> CursorMove:
    return attrs.evolve(move, accepted=move.accepted + move.duplicates, duplicates=0)


def _rows_of_lines(*what: Any) -> Any:
    records, rollups, balances = _table_rows(*what)
    return records, rollups, attrs.evolve(balances, events=balances.events + 1)


def _in_cents(column: Any) -> list[str]:
    return [str(round(Decimal(text), 2)) for text in _decimal_texts(column)]


def _in_log_order(*what: Any) -> Any:
    order = _part_order(*what)
    return attrs.evolve(order, parts=np.arange(len(order.parts)))


def _as_of_those_who_have_begun(cursors: Mapping[str, Any]) -> Any:
    rows = [row for rows in cursors.values() for row in rows]
    return [
        min((one for one in told if one["partition"] == partition), key=lambda one: one["position"])
        for told in ([one for shard in cursors.values() for one in _as_of({"": shard})],)
        for partition in sorted({row.partition for row in rows})
    ]


@attrs.frozen
class Mutant:
    """A defect: what it puts in the place of what; seed: one that notices it, tried first where time is short."""

    owner: object
    attribute: str
    replacement: Any
    seed: int = 0


ENGINE: Final[dict[str, Mutant]] = {
    "what was read again is not trimmed": Mutant(Slice, "since", _whole),
    "the rest of a batch that was cut is lost": Mutant(Slice, "split", _split_and_forget, seed=1),
    "the cursor is not compared before it is moved": Mutant(MemoryShard, "apply", _apply_unguarded, seed=3),
    "quarantine is not written": Mutant(MemoryShard, "apply", _apply_without_quarantine),
    "no record is found": Mutant(MemoryShard, "existing", _nothing),
    "records that exist are sent again": Mutant(engine_module, "fold", _fold_without_existing),
    "an event costs more in company": Mutant(engine_module, "charge", _charge_by_company),
    "bodies are not compared": Mutant(engine_module, "fold", _fold_without_bodies, seed=1),
    "a lane believes its buffer, not the shard's cursors": Mutant(Lane, "stand", _stand_on_the_buffer, seed=24),
    "a detached lane believes that it has what it dropped": Mutant(Lane, "detach", _detach_and_stay, seed=3),
    "an answer from before an assignment counts after it": Mutant(Lane, "forget", _forget_the_call, seed=6),
    "an event that its shard refuses is forgotten": Mutant(Lane, "refused", _refused_without_poison, seed=1),
    "what is folded ahead waits no more": Mutant(Lane, "ahead", _ahead_and_gone, seed=12),
    "what was folded ahead is sent, whatever has become known": Mutant(
        Engine, "_apply", _send_what_was_folded, seed=112
    ),
    "an idle lane never asks where its shard stands": Mutant(Lane, "unsure", _never, seed=221),
    "a batch that was settled stays settled after a rollback": Mutant(
        Transaction, "settled", _settled_once(), seed=299
    ),
    "credits of a batch are forgotten": Mutant(fold_module, "credit_rows", _no_rows),
    "every batch begins at the first tier": Mutant(Transaction, "settled", _settled_by_nothing),
    "counters are read before the transaction that writes them": Mutant(
        MemoryShard, "_settled", _read_before_the_last_write
    ),
    "counters are not written": Mutant(MemoryShard, "apply", _apply_without_counters),
    "uses are added to each other's counters": Mutant(fold_module, "count", _use_in_no_order),
    "a void does not stand in the place of its event": Mutant(voids_module._Lines, "mark", _mark_beside, seed=9),  # noqa: SLF001
    "a void takes nothing back": Mutant(voids_module._Lines, "take_back_recorded", _take_back_nothing, seed=2),  # noqa: SLF001
    "a void is not seen to be a repeat": Mutant(Known, "of_rows", _never_voided, seed=4),
    "cursors beyond the log's end are not noticed": Mutant(Engine, "_check_ahead", lambda *_: [], seed=690),
    "nobody catches up": Mutant(Engine, "_catch_up", lambda _: []),
    "a gap at the hand-over of a catch-up is not seen": Mutant(Slice, "since", _over_a_gap),
    "a shard that catches up begins where the others are": Mutant(Engine, "_catch_up", _catch_up_from_here),
    "a cursor that went back is not believed": Mutant(Lane, "stand", _stand_on_memory, seed=66),
    "one bad event takes its batch into quarantine": Mutant(Lane, "refused", _refused_is_poison, seed=1),
    "versions are not compared when a cursor moves": Mutant(MemoryShard, "apply", _apply_any_version, seed=5),
    "a claim raises no versions": Mutant(MemoryShard, "claim", _claim_raising_nothing, seed=5),
    "a claim sets cursors back": Mutant(MemoryShard, "claim", _claim_from_the_start),
    "the first event's offset is expected, not the last position": Mutant(
        fold_module, "_moves", _moves_of(_from_the_first_event)
    ),
    "repeats are counted as accepted": Mutant(fold_module, "_moves", _moves_of(_repeats_are_accepted)),
    "a balance counts an event too many": Mutant(fold_module, "table_rows", _rows_of_lines),
    "amounts are rounded when they are written": Mutant(rows_module, "decimal_texts", _in_cents),
    "rows are not sorted by primary key": Mutant(fold_module, "part_order", _in_log_order),
    "a buffer has no limit": Mutant(Lane, "full", property(lambda _: False), seed=15),
    "a refusal is waited out for ever": Mutant(lane_module, "backoff_ms", lambda *_: 10**9, seed=3),
    "a clock that is set back is not noticed": Mutant(Engine, "_set_back", lambda *_: None, seed=97),
    "as_of passes over shards that have not begun": Mutant(check_module, "as_of", _as_of_those_who_have_begun),
}
