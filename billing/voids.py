"""Voids: what takes a charge back, as it was recorded and whatever the book says now.

Owns the lines of a void and the order in which counters are used and given back. Which event a void meets is decided in
`billing.fold`. Must not know SQL text or connections.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from billing.charge import Charges
from billing.tail import Tail
from billing.tiers import Counted, used_of
from rules.book import Book
from rules.columns import MISSING, PICO_PLACES, Decimals, Dictionary, Int32s, Int64s
from rules.cumulative import Settled, Used, settle

VOIDED_RULE: Final = "!"  # no rule's id: of line 0 where a void came before its event, which then is never charged


@attrs.frozen
class KnownLine:
    """One recorded line, 0 or above; quantity and amount in 1e-12."""

    product: str
    rule: str
    currency: str
    book_version: int
    quantity_pico: int
    amount_pico: int


@attrs.frozen
class Known:
    """What a shard has of a part: the digest of its event.

    lines: in order, if a void asked for them; voided: nothing is left to take back.
    """

    digest: int
    lines: tuple[KnownLine, ...] = ()
    voided: bool = False

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[int, int, KnownLine]]) -> "Known":
        """Return what all records of a part say: line, digest and the rest of each, in any order."""
        recorded = sorted(row[:2] for row in rows if row[0] >= 0)
        of_line = {row[0]: row[2] for row in rows}
        lines = tuple(of_line[line] for line, _ in recorded)
        voided = len(recorded) < len(rows) or lines[0].rule == VOIDED_RULE
        return cls(recorded[0][1], lines, voided)


Target = Known | int | None  # what a void takes back: recorded lines, a part of the same batch, or nothing yet


def uncounted_rule(charges: Charges, row: int, known: Known, book: Book) -> str | None:
    """Return a rule that counts and charged this event once, if the book no longer says what it counted."""
    counting = {rule.id for rule in book.rules if rule.per is not None}
    here = _own_counters(charges, row)
    return next((line.rule for line in known.lines if line.rule in counting and line.rule not in here), None)


def taken_back(charges: Charges, targets: Mapping[int, Target]) -> tuple[Charges, Int64s]:
    """Give voids the lines that take back what their events were charged, in place of their prices.

    targets: for each part that is a void. Line n is taken back by line -1 - n of the same part, with the opposite sign.
    Returns with the charges, for each of their lines, the line of the same charges that it takes back, or -1.
    """
    if not targets:
        return charges, np.full(len(charges.part), MISSING, dtype=np.int64)
    usual = np.flatnonzero(~charges.void[charges.part])
    made = _Lines(charges)
    for row, target in sorted(targets.items()):
        if target is None:
            made.mark(row)
        elif isinstance(target, Known):
            made.take_back_recorded(row, target)
        else:
            made.take_back_line_by_line(row, target)
    return made.joined(usual)


def settle_in_order(book: Book, counted: Counted, before: Used, charges: Charges, reverses: Int64s) -> Settled:
    """Settle uses, and give back what voids take back, one after the other as they stand in the log."""
    void = charges.void[charges.part[counted.line]]
    if not void.any():
        return settle(book, counted.rule, before, counted.counter, counted.use)
    uses = counted.use.rescaled(PICO_PLACES).units.tolist()
    place_of_line = {line: place for place, line in enumerate(counted.line.tolist())}
    targets = reverses[counted.line].tolist()
    amounts = charges.amount.take(counted.line).rescaled(PICO_PLACES).units.tolist()
    edges = [0, *(np.flatnonzero(np.diff(void)) + 1).tolist(), len(void)]
    for start, stop in itertools.pairwise(edges):
        rows = np.arange(start, stop)
        if void[start]:
            for row in rows.tolist():
                if targets[row] != MISSING:
                    amounts[row] = -amounts[place_of_line[targets[row]]]
            before = _given_back(before, counted.counter[rows], uses[start:stop], amounts[start:stop])
            continue
        done = settle(book, counted.rule, before, counted.counter[rows], counted.use.take(rows))
        if done.overflow is not None and done.overflow.any():
            overflow = np.zeros(len(void), dtype=np.bool_)
            overflow[rows] = done.overflow
            return Settled(counted.use, before, overflow)
        amounts[start:stop] = done.amount.rescaled(PICO_PLACES).units.tolist()
        before = done.used
    return Settled(Decimals.of_integers(amounts, PICO_PLACES), before, None)


def _given_back(before: Used, counter: Int32s, uses: Sequence[int], amounts: Sequence[int]) -> Used:
    """Add what voids take back, which is negative, to their counters, and count each as an event less."""
    quantity, amount = (column.rescaled(PICO_PLACES).units.tolist() for column in (before.quantity, before.amount))
    events = before.events.tolist()
    for place, use, paid in zip(counter.tolist(), uses, amounts, strict=True):
        quantity[place] += use
        amount[place] += paid
        events[place] -= 1
    return used_of(quantity, events, amount)


def _lines_of(charges: Charges, row: int) -> range:
    """Return the lines of a part."""
    start, stop = np.searchsorted(charges.part, [row, row + 1]).tolist()
    return range(start, stop)


def _own_counters(charges: Charges, row: int) -> dict[str, int]:
    """Return the lines of a part that count, by rule."""
    lines = [line for line in _lines_of(charges, row) if charges.counter[line] != MISSING]
    return {charges.tails[charges.tail[line]].rule: line for line in lines}


class _Lines:
    """Collects the lines of voids; numbers of 1e-12."""

    def __init__(self, charges: Charges) -> None:
        self._charges = charges
        self._quantity = charges.quantity.rescaled(PICO_PLACES).units
        self._amount = charges.amount.rescaled(PICO_PLACES).units
        self._use = charges.use.rescaled(PICO_PLACES).units
        self._codes: dict[Tail, int] = {}
        self._part: list[int] = []
        self._line: list[int] = []
        self._tail: list[int] = []
        self._numbers: list[tuple[int, int, int]] = []  # quantity, amount, use
        self._counter: list[int] = []
        self._reverses: list[int] = []

    def mark(self, row: int) -> None:
        """Take the place of an event that has not come: whenever it does, it is a repeat."""
        tail = attrs.evolve(self._own_tail(row), rule=VOIDED_RULE)
        self._add(row, 0, tail, (0, 0, 0), MISSING)

    def take_back_recorded(self, row: int, known: Known) -> None:
        """Take back lines as they were recorded."""
        counting, own = _own_counters(self._charges, row), self._own_tail(row)
        for number, line in reversed(list(enumerate(known.lines))):
            tail = Tail(line.product, line.rule, line.currency, line.book_version, own.rollup_dims)
            counter, use = MISSING, 0
            if line.rule in counting:
                priced = counting[line.rule]
                counter, use = int(self._charges.counter[priced]), int(self._use[priced])
                if use == int(self._quantity[priced]):  # a rule that counts quantities: the record has it
                    use = line.quantity_pico
            self._add(row, -1 - number, tail, (-line.quantity_pico, -line.amount_pico, -use), counter)

    def take_back_line_by_line(self, row: int, target: int) -> None:
        """Take back the lines of a part of this batch; those that count get their amounts when they are settled."""
        charges = self._charges
        for line in reversed(_lines_of(charges, target)):
            numbers = -int(self._quantity[line]), -int(self._amount[line]), -int(self._use[line])
            tail = charges.tails[charges.tail[line]]
            self._add(row, -1 - int(charges.line[line]), tail, numbers, int(charges.counter[line]), line)

    def joined(self, usual: NDArray[np.intp]) -> tuple[Charges, Int64s]:
        """Return the charges with these lines and the usual ones, and what each line takes back."""
        charges = self._charges
        used, places = np.unique(charges.tail[usual], return_inverse=True)
        codes = [self._code(charges.tails[one]) for one in used.tolist()]
        quantity, amount, use = zip(*self._numbers, strict=True)
        part = np.concatenate([charges.part[usual], np.array(self._part, dtype=np.int32)])
        order = np.argsort(part, kind="stable")
        tail = np.concatenate([np.array(codes, dtype=np.int32)[places], np.array(self._tail, dtype=np.int32)])
        counter = np.concatenate([charges.counter[usual], np.array(self._counter, dtype=np.int32)])
        line = np.concatenate([charges.line[usual], np.array(self._line, dtype=np.int32)])
        place_of = np.full(len(charges.part) + 1, MISSING, dtype=np.int64)  # the last one: of MISSING
        place_of[np.concatenate([usual, np.full(len(self._part), len(charges.part))])[order]] = np.arange(len(order))
        place_of[MISSING] = MISSING
        reverses = np.concatenate([np.full(len(usual), MISSING), np.array(self._reverses, dtype=np.int64)])[order]
        joined = attrs.evolve(
            charges,
            part=part[order],
            line=line[order],
            tail=tail[order],
            tails=Dictionary(self._codes),
            quantity=_joined(charges.quantity.take(usual), quantity).take(order),
            amount=_joined(charges.amount.take(usual), amount).take(order),
            counter=counter[order],
            use=_joined(charges.use.take(usual), use).take(order),
        )
        return joined, place_of[reverses]

    def _own_tail(self, row: int) -> Tail:
        charges = self._charges
        tail: Tail = charges.tails[charges.tail[_lines_of(charges, row)[0]]]
        return tail

    def _add(
        self, row: int, line: int, tail: Tail, numbers: tuple[int, int, int], counter: int, reverses: int = MISSING
    ) -> None:
        self._part.append(row)
        self._line.append(line)
        self._tail.append(self._code(tail))
        self._numbers.append(numbers)
        self._counter.append(counter)
        self._reverses.append(reverses)

    def _code(self, tail: Tail) -> int:
        return self._codes.setdefault(tail, len(self._codes))


def _joined(column: Decimals, pico: Sequence[int]) -> Decimals:
    return Decimals.concat([column, Decimals.of_integers(pico, PICO_PLACES)])
