"""Pricing: events and a rulebook into charges; what cannot be priced comes back as rejects.

Owns which parts an event has, the accounts that it charges, and their lines. Must not know how rules price.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from billing.charge import FOREIGN_SEPARATOR, Bools, Charges
from billing.credit import taken
from billing.credits import refused_credits, with_terms
from billing.eights import Bytes, copy
from billing.event import Events, Rejected
from billing.kept import KEPT_BYTES_MAX, kept_texts, too_long
from billing.layout import laid_out
from billing.tail import tails_of
from billing.texts import texts_at
from billing.wire import Reason
from rules.book import Book
from rules.columns import (
    MISSING,
    PICO_PLACES,
    Coded,
    Decimals,
    Dictionary,
    Int32s,
    Int64s,
    Lines,
    Priced,
    Usage,
    texts_of,
)
from rules.compiled import compiled, item, put, text_buffers

DIMENSION_BYTES_MAX: Final = 64  # a wider value is not a low-cardinality dimension; it would widen every rollup key


class Pricer(Protocol):
    """What prices columns of usage: a pure function of (event, book)."""

    book: Book

    def price(self, usage: Usage) -> Priced:
        """Return the priced lines and the rejected events."""
        ...


def charge(events: Events, pricer: Pricer, routing_names: Iterable[str] = ()) -> tuple[Charges, list[Rejected]]:
    """Price events into parts and lines; what cannot be priced comes back as rejects.

    Each accepted event has a part for its own account, whose line 0 carries amount 0 if only others are charged: a
    repeat then always meets a record to collide with, even if the book has changed in between. A void has one too, even
    if nothing of it can be priced any more; its prices only say which accounts and counters are concerned. So has a
    credit, which no rule prices.
    """
    book = pricer.book
    priced = pricer.price(Usage(events.account, events.product, events.time_us, events.quantity, events.attributes))
    refused = {
        reject.event: (Reason(reject.reason), reject.detail)
        for reject in priced.rejects
        if not events.void[reject.event] and reject.event not in events.credits
    }
    refused |= refused_credits(events, book)
    refused |= _too_wide(events, book)
    kept = with_terms(kept_texts(events, book.keep), events.credits)
    for row in too_long(kept):
        refused.setdefault(row, (Reason.BAD_FIELD, f"kept attributes need more than {KEPT_BYTES_MAX} bytes"))
    rejects = [
        Rejected(
            int(events.partition[row]),
            int(events.offset[row]),
            events.account.values[events.account.codes[row]],
            reason,
            detail,
            events.payload[row].as_py(),
        )
        for row, (reason, detail) in sorted(refused.items())
    ]
    accepted = np.ones(len(events), dtype=np.bool_)
    if refused:
        accepted[list(refused)] = False
    return _assemble(events, priced, accepted, kept, book, routing_names), rejects


def _assemble(
    events: Events, priced: Priced, accepted: Bools, kept: pa.StringArray, book: Book, routing_names: Iterable[str]
) -> Charges:
    lines = priced.lines
    laid = laid_out(events, lines, accepted)
    source, event, rows, home = laid.source, laid.event, laid.rows, laid.home
    quantity, amount, use = lines.quantity, lines.amount.rescaled(PICO_PLACES), lines.use
    rule, counter = lines.rule, lines.counter
    if laid.changed:
        lonely = np.flatnonzero(source == MISSING)  # lines 0 of events that charge only others
        quantity, amount, use = (_with_zeros(column, source) for column in (quantity, amount, use))
        counter = np.append(counter, np.int32(MISSING))[source]
        rule = np.append(rule, np.int32(MISSING))[source]
        if len(lonely):
            zero_rules = _zero_rules(lines, events.account, event[lonely], book)
            if events.credits:
                zero_rules[np.isin(event[lonely], list(events.credits))] -= len(book.currencies)
            rule[lonely] = zero_rules
    tail, tails = tails_of(events, event, rule, book)
    whole = len(rows) == len(events) and bool(home.all())  # a part for each event, in their order
    chosen: slice | Int64s = slice(None) if whole else rows
    return Charges(
        partition=events.partition[chosen],
        offset=events.offset[chosen],
        key=events.id if whole else _keys(events, rows, home),
        account=Coded(laid.account, lines.account.values),
        time_us=events.time_us[chosen],
        digest=events.digest[chosen],
        home=home,
        void=events.void[chosen],
        kept=kept if whole else texts_at(kept, rows),
        payload=events.payload if whole else texts_at(events.payload, rows),
        attributes={name: events.attributes[name].take(rows) for name in routing_names},
        part=laid.part,
        line=laid.line,
        tail=tail,
        tails=tails,
        quantity=quantity,
        amount=amount,
        counter=counter,
        counters=lines.counters,
        use=use,
        credits=taken(events.credits, rows),
    )


def _with_zeros(column: Decimals, source: Int64s) -> Decimals:
    """Return the values of lines, 0 where the source is none."""
    return Decimals(np.append(column.units, column.units.dtype.type(0))[source], column.scale)


def _zero_rules(lines: Lines, account: Coded, events: NDArray[np.int64], book: Book) -> NDArray[np.int64]:
    """Return what stands for the rule of a line 0 without charge: the event's currency, counted from the end, below 0.

    An event is in one currency, so that any of its lines tells it; a void that nothing prices is in its account's.
    """
    rules = np.full(len(events), MISSING, dtype=np.int64)
    if len(lines):
        first = np.minimum(np.searchsorted(lines.event, events), len(lines) - 1)
        rules = np.where(lines.event[first] == events, lines.rule[first], MISSING)
    found, which = np.unique(rules, return_inverse=True)
    currencies = [book.currency if rule == MISSING else book.rules[rule].currency for rule in found.tolist()]
    currency = np.array([_currency_index(book, one) for one in currencies], dtype=np.int64)[which]
    for row in np.flatnonzero(rules == MISSING).tolist():
        name = account.values[account.codes[events[row]]]
        listed = None if book.accounts is None else book.accounts.currency_of(name)
        currency[row] = _currency_index(book, listed or book.currency)
    return currency - len(book.currencies)


def _currency_index(book: Book, currency: str) -> int:
    """Return the place of a currency; without any price in it, nothing was charged in it, and any other one will do."""
    return book.currencies.index(currency) if currency in book.currencies else 0


def _keys(events: Events, rows: NDArray[np.int64], home: Bools) -> pa.StringArray:
    if home.all():
        return texts_at(events.id, rows)
    ids, accounts = text_buffers(events.id), text_buffers(events.account.values.derived(texts_of))
    ends = np.empty(len(rows) + 1, dtype=np.int32)
    out = np.empty(_measure_keys(ids[1], accounts[1], events.account.codes, rows, home, ends), dtype=np.uint8)
    _write_keys(*ids, *accounts, events.account.codes, rows, home, out)
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(ends), pa.py_buffer(out))


@compiled
def _measure_keys(
    id_bounds: Int32s, account_bounds: Int32s, codes: Int32s, rows: Int64s, home: Bools, ends: Int32s
) -> int:
    """Write where the key of each part ends; returns the length of all of them."""
    total = 0
    ends[0] = 0
    for part in range(len(rows)):
        row = rows[part]
        total += item(id_bounds, row + 1) - item(id_bounds, row)
        if not home[part]:
            total += item(account_bounds, codes[row] + 1) - item(account_bounds, codes[row]) + 1
        ends[part + 1] = total
    return total


@compiled
def _write_keys(
    ids: Bytes,
    id_bounds: Int32s,
    accounts: Bytes,
    account_bounds: Int32s,
    codes: Int32s,
    rows: Int64s,
    home: Bools,
    out: Bytes,
) -> None:
    """Write the key of each part: the id of its event, after the event's account where another one is charged."""
    at = 0
    for part in range(len(rows)):
        row = rows[part]
        if not home[part]:
            code = item(codes, row)
            at = copy(out, at, accounts, item(account_bounds, code), item(account_bounds, code + 1))
            put(out, at, ord(FOREIGN_SEPARATOR))
            at += 1
        at = copy(out, at, ids, item(id_bounds, row), item(id_bounds, row + 1))


def _too_wide(events: Events, book: Book) -> dict[int, tuple[Reason, str]]:
    found: dict[int, tuple[Reason, str]] = {}
    for name in book.dimensions:
        column = events.attributes[name]
        if not column.values.derived_of_all(_has_wide):
            continue
        wide = column.derived(_are_wide, missing=False)
        if wide.any():
            detail = f"attributes.{name} is a dimension and longer than {DIMENSION_BYTES_MAX} bytes"
            found |= dict.fromkeys(np.flatnonzero(wide).tolist(), (Reason.BAD_FIELD, detail))
    return found


def _are_wide(texts: Sequence[str]) -> Bools:
    return np.fromiter((len(text.encode()) > DIMENSION_BYTES_MAX for text in texts), dtype=np.bool_, count=len(texts))


def _has_wide(texts: Dictionary[str]) -> bool:
    return bool(texts.derived(_are_wide).any()) if texts else False
