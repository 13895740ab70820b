"""Explained: one event as the path would take it, from its bytes to the rows of the tables, and why.

Owns the way through decoding, pricing and folding for a single event. Must not know how it is shown.
"""

from decimal import Decimal

import attrs
import numpy as np

from billing.batch import Slice, Span
from billing.dedupe import PartKey
from billing.event import Decoder
from billing.exact import pico_of
from billing.fold import Transaction, fold
from billing.moment import DAY_US, SECOND_US, day_number, day_text
from billing.pricing import charge
from billing.tiers import used_of
from billing.voids import Known, KnownLine
from billing.wire import Reason
from rules.book import Book
from rules.columns import Usage
from rules.describe import time_text
from rules.explain import ExplainedGroup, Explanation, explain
from rules.pricer import Pricer
from rules.running import Held
from sharding.key import slot_of

Row = dict[str, str | int]


@attrs.frozen
class Rows:
    """What a shard writes for the event alone, table by table; sums are what the event adds."""

    records: tuple[Row, ...]
    rollups: tuple[Row, ...]
    balances: tuple[Row, ...]
    tiers: tuple[Row, ...]
    credits: tuple[Row, ...]


@attrs.frozen
class Explained:
    """The whole tale: book, event, each group, the refusal (reason and detail) if there is one, and the rows.

    taken_back: what a void of the event writes after them, which is asked for by explaining the void; else None.
    """

    book: str
    version: int
    currency: str
    event: str
    account: str
    day: str
    groups: tuple[ExplainedGroup, ...]
    refused: str | None
    detail: str | None
    rows: Rows
    taken_back: Rows | None


class UndecodableError(Exception):
    """A payload that is not an event: it would be quarantined before any rule is asked."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"the event is refused before any rule is asked, {reason}: {detail}")


def explained(payload: bytes, book: Book, used: Held, rule_id: str | None = None) -> Explained:
    """Explain one event by a book.

    used: what each counter held before; rule_id: the only rule to ask. A void is explained as the event that it is a
    copy of, and as what takes it back right after; of a credit no rule is asked. Raises UndecodableError, or
    UnknownRuleError.
    """
    one = np.zeros(1, dtype=np.int32)
    events, rejects = Decoder(book.attributes, book.payers).decode(one, one.astype(np.int64), [payload])
    if rejects:
        raise UndecodableError(rejects[0].reason, rejects[0].detail)
    is_void, events = bool(events.void[0]), attrs.evolve(events, void=np.zeros(1, dtype=np.bool_))
    usage = Usage(events.account, events.product, events.time_us, events.quantity, events.attributes)
    told = Explanation((), None) if events.credits else explain(book, usage, used, rule_id)
    charges, refused = charge(events, Pricer(book))
    slot = slot_of([charges.account.values[code] for code in charges.account.codes.tolist()])
    batch = Slice({0: Span(0, 1)}, charges, slot, refused)
    transaction = _settled(fold(batch, book, "", 0, {}, {}), told)
    refusal = next(iter(transaction.quarantine), None)
    assert told.refused is None or (refusal and refusal.reason.value) == told.refused.reason, "both refuse alike"
    (event,), (account,) = events.id.to_pylist(), events.account.rows()
    assert account is not None, "every event has an account"
    return Explained(
        book=book.name,
        version=book.version,
        currency=book.currency_of(account),
        event=event,
        account=account,
        day=day_text(int(events.time_us[0]) // DAY_US),
        groups=told.groups,
        refused=refusal.reason.value if refusal else None,
        detail=refusal.detail if refusal else None,
        rows=_rows(transaction),
        taken_back=_rows(_voided(batch, book, transaction)) if is_void and not refusal else None,
    )


def _voided(batch: Slice, book: Book, charged: Transaction) -> Transaction:
    """Return what a void of an event writes that has just been charged."""
    void = np.ones(len(batch.charges), dtype=np.bool_)
    batch = Slice(batch.spans, attrs.evolve(batch.charges, void=void), batch.slot, [])
    lines: dict[PartKey, list[tuple[int, int, KnownLine]]] = {}
    for slot, account, day, key, line, _, digest, tail, quantity, amount, _ in charged.records.tuples():
        of = charged.records.tails[tail]
        numbers = (pico_of(Decimal(text)) for text in (quantity, amount))
        recorded = KnownLine(of.product, of.rule, of.currency, of.book_version, *numbers)
        lines.setdefault(PartKey(slot, account, day_number(day), key), []).append((line, digest, recorded))
    known = {key: Known.of_rows(rows) for key, rows in lines.items()}
    voided = fold(batch, book, "", 0, known, {})
    if voided.counters is None:
        return voided
    assert [*voided.counters.tuples()] == [*charged.tiers.keys.tuples()], "what was counted is given back"
    return voided.settled(charged.tiers.used)


def _settled(transaction: Transaction, told: Explanation) -> Transaction:
    """Finish a transaction by what the counters held that the explanation tells of."""
    if transaction.draft is None:
        return transaction
    held_of = {group.line.rule: group.line.held for group in told.groups if group.line is not None}
    held = [held_of.get(rule) or Held() for _, _, rule, _ in transaction.draft.counted.keys.tuples()]
    return transaction.settled(
        used_of([one.quantity_pico for one in held], [one.events for one in held], [one.amount_pico for one in held])
    )


def _rows(transaction: Transaction) -> Rows:
    tails = transaction.records.tails
    records = tuple(
        _row(
            slot=slot,
            account=account,
            day=day,
            event=event,
            line=line,
            time=time_text(time_us),
            rule=tails[tail].rule,
            quantity=_plain(quantity),
            amount=_plain(amount),
            currency=tails[tail].currency,
            kept=kept,
        )
        for slot, account, day, event, line, time_us, _, tail, quantity, amount, kept in transaction.records.tuples()
    )
    rollups = tuple(
        _row(
            slot=slot,
            account=account,
            rollup=rollup,
            bucket=time_text(bucket * SECOND_US),
            dims=dims,
            events=events,
            quantity=_plain(quantity),
            amount=_plain(amount),
        )
        for slot, account, rollup, bucket, dims, events, quantity, amount, _ in transaction.rollups.tuples()
    )
    balances = tuple(
        _row(slot=slot, account=account, currency=currency, events=events, amount=_plain(amount))
        for slot, account, currency, events, amount, _ in transaction.balances.tuples()
    )
    tiers = tuple(
        _row(
            slot=slot,
            account=account,
            rule=rule,
            period=time_text(period * SECOND_US),
            quantity=_plain(quantity),
            events=events,
            amount=_plain(amount),
        )
        for slot, account, rule, period, quantity, events, amount in transaction.tiers.tuples()
    )
    credits = tuple(  # noqa: A001 - the noun
        _row(
            slot=one.slot,
            account=one.account,
            day=one.day,
            event=one.event,
            line=one.line,
            kind=one.kind,
            currency=one.currency,
            amount=_plain(f"{one.amount:f}"),
            cost=_plain(f"{one.cost:f}"),
            priority=one.priority,
            expires="" if one.expires_us is None else time_text(one.expires_us),
            products=one.products,
        )
        for one in transaction.credits
    )
    return Rows(records, rollups, balances, tiers, credits)


def _row(**cells: str | int) -> Row:
    return cells


def _plain(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
