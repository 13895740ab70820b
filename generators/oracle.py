"""The oracle: what a log must cost, computed without the engine, one event at a time, in plain `decimal`.

Owns the expected balances, sums, duplicates and rejects of a log. Must not share code with what it checks: an error in
one of the two then shows as a difference.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

import attrs

from generators.oracle_book import EXACT, Book, Counters, Line, uncharged
from generators.oracle_credit import Credit, Standing, Terms, standing
from generators.oracle_event import DAY_US, Event, RejectedError, parse, text_of
from generators.oracle_files import load
from generators.oracle_tiers import State

_DIMENSION_BYTES_MAX: Final = 64  # a dimension's value is part of a rollup's primary key
_HOUR_US: Final = 3_600_000_000
_KEY_BYTES: Final = 16  # of a hash: no two of 10**12 identities share it by accident

RuleKey = tuple[str, str]  # account, rule
RollupKey = tuple[
    str, str, int, tuple[str | None, ...]
]  # account, rollup, start of the bucket in us, values of `by` (None: absent)


@attrs.frozen
class Total:
    """A sum over lines: amount (currency units), billed quantity, number of lines, and how many events made them."""

    amount: Decimal
    quantity: Decimal
    lines: int
    events: int


@attrs.frozen(eq=False)
class Expected:
    """What must be in the shards after a log.

    events = accepted + duplicates + the rejected ones, voids among them; lines: records, also those of voids;
    accounts: by charged account, with lines and events that were taken back subtracted; rules: by (account, rule);
    rollups: by (account, rollup, bucket start in microseconds since 1970-01-01 UTC, values of `by`, None where absent);
    rejects: reason by log position; credits: those that were not taken back, by account; hourly: the rollup that
    says what was charged for a product in an hour, and the place of the product in `by`; None if there is none;
    counters: by (account, rule, start of the period in seconds).
    """

    events: int
    accepted: int
    duplicates: int
    lines: int
    accounts: Mapping[str, Total]
    rules: Mapping[RuleKey, Total]
    rollups: Mapping[RollupKey, Total]
    rejects: Mapping[int, str]
    credits: Mapping[str, list[Credit]]
    hourly: tuple[str, int] | None
    counters: Mapping[tuple[str, str, int], State]

    def standing(self, account: str, at_us: int) -> Standing:
        """Return what an account's credits have paid; at_us: now, microseconds since 1970-01-01 UTC.

        Without any grant, what was charged is one sum.
        """
        if self.hourly is None:
            return standing([(0, "", self.accounts[account].amount)], self.credits.get(account, []), at_us)
        rollup, place = self.hourly
        charges = [
            (start_us, str(values[place]), total.amount)
            for (charged, name, start_us, values), total in self.rollups.items()
            if (charged, name) == (account, rollup)
        ]
        return standing(charges, self.credits.get(account, []), at_us)

    @property
    def balances(self) -> dict[str, Decimal]:
        """The balance of each charged account, in currency units."""
        return {account: total.amount for account, total in self.accounts.items()}

    @property
    def quarantined(self) -> dict[str, int]:
        """The number of rejected events by reason."""
        return dict(Counter(self.rejects.values()))


@attrs.frozen(eq=False)
class Reading:
    """What one entry of a log says by a book, whatever else is in the log.

    event: None if it is rejected, for the reason; lines: as the book charges them, before counters have settled them.
    """

    event: Event | None
    reason: str = ""
    lines: Sequence[Line] = ()
    identity: bytes = b""
    body: bytes = b""


def read(payload: bytes, book: Book) -> Reading:
    """Return what an entry says: a pure function, whose results a caller may keep."""
    try:
        event = _valid(payload, book)
        return Reading(event, "", _lines(book, event), _identity(event), _body(event))
    except RejectedError as error:
        return Reading(None, error.reason)


def run(payloads: Iterable[bytes], book: Path | str | Book, read: Callable[[bytes, Book], Reading] = read) -> Expected:
    """Return what a log, given in its order, must cost by a valid book: its file, or what was loaded from it.

    An event is rejected for its form, then for its price, and only then compared with what was accepted before under
    its identity (account, UTC day, id): the same event again is a duplicate, another one is rejected as a conflict.
    The first void of an event takes back what it was charged when it came; one that comes first lets its event be
    nothing but a duplicate. Voids that price as nothing are none the worse for it. read: `read`, or what remembers it.
    """
    book = book if isinstance(book, Book) else load(Path(book))
    tally, counters = _Tally(book), Counters(book)
    bodies: dict[bytes, bytes] = {}
    counted: dict[bytes, Sequence[Line]] = {}  # the lines whose amounts depend on what came before
    voided: set[bytes] = set()
    credits: dict[bytes, Event] = {}  # noqa: A001 - the noun
    rejects: dict[int, str] = {}
    events = accepted = duplicates = 0
    for position, payload in enumerate(payloads):
        events += 1
        reading = read(payload, book)
        event, lines, digest, identity = reading.event, reading.lines, reading.body, reading.identity
        if event is None:
            rejects[position] = reading.reason
            continue
        known = bodies.get(identity)
        if known is not None and known != digest:
            rejects[position] = "conflict"
        elif event.is_void and identity not in voided:
            accepted += 1
            voided.add(identity)
            bodies[identity] = digest
            if known is None:
                tally.mark(event, lines)
            else:
                lines = counted.pop(identity, lines)
                credits.pop(identity, None)
                tally.add(event, lines, -1)
                counters.give_back(lines)
        elif known is not None:
            duplicates += 1
        else:
            try:
                lines = counters.settle(lines)
            except RejectedError as error:
                rejects[position] = error.reason
                continue
            tally.add(event, lines)
            bodies[identity] = digest
            accepted += 1
            if event.terms is not None:
                credits[identity] = event
            if any(line.period is not None for line in lines):
                counted[identity] = lines
    return Expected(
        events=events,
        accepted=accepted,
        duplicates=duplicates,
        lines=tally.lines,
        accounts={key: total.frozen() for key, total in tally.accounts.items()},
        rules={key: total.frozen() for key, total in tally.rules.items()},
        rollups={key: total.frozen() for key, total in tally.rollups.items()},
        rejects=rejects,
        credits=_by_account(credits.values()),
        hourly=next(
            (
                (one.name, one.by.index("product"))
                for one in book.rollups
                if one.every == "hour" and "product" in one.by
            ),
            None,
        ),
        counters=counters.states,
    )


def _by_account(events: Iterable[Event]) -> dict[str, list[Credit]]:
    found: dict[str, list[Credit]] = {}
    for event in events:
        assert event.terms is not None, "credits have terms"
        found.setdefault(event.account, []).append(Credit(event.id, event.time_us, event.terms))
    return found


def _lines(book: Book, event: Event) -> list[Line]:
    """Return what an event is charged, or a void takes back. Raises RejectedError."""
    if not event.is_void:
        return book.lines(event) if event.terms is None else [book.credit_line(event)]
    if event.terms is not None:
        return [uncharged(event.account)]
    try:
        return book.lines(event)
    except RejectedError:  # its event, if it ever comes, says so
        return []


def _valid(payload: bytes, book: Book) -> Event:
    event = parse(payload)
    for name in book.dimensions:
        if len(event.attributes.get(name, "").encode()) > _DIMENSION_BYTES_MAX:
            raise RejectedError("bad_field", f"{name} is a dimension of more than {_DIMENSION_BYTES_MAX} bytes")
    return event


def _identity(event: Event) -> bytes:
    text = f"{event.account}\n{event.time_us // DAY_US}\n{event.id}"  # identifiers have no line breaks
    return blake2b(text.encode(), digest_size=_KEY_BYTES).digest()


def _body(event: Event) -> bytes:
    """Return a digest of what an event says, whichever way it is written."""
    quantity = str(event.quantity.normalize(EXACT))
    said = event.product, event.time_us, quantity, sorted(event.attributes.items()), event.terms and _said(event.terms)
    return blake2b(repr(said).encode(), digest_size=_KEY_BYTES).digest()


def _said(terms: Terms) -> tuple[object, ...]:
    amounts = str(terms.amount.normalize(EXACT)), str(terms.cost.normalize(EXACT))
    return terms.kind, terms.currency, *amounts, terms.priority, terms.expires_us, terms.products


@attrs.define
class _Sum:
    amount: Decimal = Decimal(0)
    quantity: Decimal = Decimal(0)
    lines: int = 0
    events: int = 0

    def add(self, line: Line, sign: int) -> None:
        self.amount = EXACT.add(self.amount, EXACT.multiply(line.amount, Decimal(sign)))
        self.quantity = EXACT.add(self.quantity, EXACT.multiply(line.quantity, Decimal(sign)))
        self.lines += sign

    def frozen(self) -> Total:
        return Total(self.amount, self.quantity, self.lines, self.events)


class _Tally:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.lines = 0
        self.accounts: dict[str, _Sum] = {}
        self.rules: dict[RuleKey, _Sum] = {}
        self.rollups: dict[RollupKey, _Sum] = {}

    def mark(self, event: Event, lines: Sequence[Line]) -> None:
        """Count one line of nothing for each account that a void concerns whose event has not come."""
        accounts = {event.account, *(line.account for line in lines)}
        for account in accounts:
            self.accounts.setdefault(account, _Sum())
        self.lines += len(accounts)

    def add(self, event: Event, lines: Sequence[Line], sign: int = 1) -> None:
        """Add the lines of an event, or (sign -1) take them back."""
        touched: dict[int, _Sum] = {}
        buckets = [
            (
                rollup.name,
                _bucket_us(rollup.every, event.time_us // _HOUR_US),
                tuple(text_of(event, name) for name in rollup.by),
            )
            for rollup in self.book.rollups
        ]
        for line in lines:
            sums = [
                self.accounts.setdefault(line.account, _Sum()),
                self.rules.setdefault((line.account, line.rule), _Sum()),
                *(self.rollups.setdefault((line.account, *bucket), _Sum()) for bucket in buckets),
            ]
            for total in sums:
                total.add(line, sign)
                touched[id(total)] = total
        for total in touched.values():
            total.events += sign
        self.lines += len(lines)


@lru_cache(maxsize=65_536)
def _bucket_us(every: str, hour: int) -> int:
    """Return the start of the hour, day or month that an hour (number since 1970-01-01 UTC) is in, in microseconds."""
    start = datetime.fromtimestamp(hour * 3_600, UTC)
    if every != "hour":
        start = start.replace(hour=0)
    if every == "month":
        start = start.replace(day=1)
    return int(start.timestamp()) * 1_000_000
