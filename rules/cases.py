"""Cases: golden examples of a book, events and what they must be charged, against what the book makes of them.

Owns the comparison. Must not know how cases are written, and prices nothing itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import attrs
import numpy as np

from rules.book import Book
from rules.columns import PICO_PLACES, Coded, Decimals, Priced, Usage
from rules.document import Node
from rules.number import decimal_text, places_of, units_of
from rules.pricer import Pricer
from rules.quote import quoted
from rules.running import Running


@attrs.frozen
class Charge:
    """What one rule charges one account; in units of 1e-12; quantity_pico None where a case does not say it."""

    account: str
    rule: str
    quantity_pico: int | None
    amount_pico: int


@attrs.frozen(eq=False)
class CaseEvent:
    """One event, `repeat` times, and what is expected of it: charges (of all repeats together) or a refusal.

    Neither is given where only the total of the case matters.
    """

    node: Node
    account: str
    product: str
    time_us: int
    quantity: Decimal
    attributes: Mapping[str, str]
    repeat: int
    charges: tuple[Charge, ...] | None
    refused: str | None


@attrs.frozen(eq=False)
class Case:
    """Events in the order of a log, which begin with nothing used, and the sum of all that they are charged (1e-12)."""

    node: Node
    name: str
    source: str | None
    events: tuple[CaseEvent, ...]
    total_pico: int | None


@attrs.frozen(eq=False)
class Cases:
    """A file of cases and the book that it is about."""

    path: Path
    book: Path
    cases: tuple[Case, ...]


@attrs.frozen
class Failure:
    """One difference: where it is expected, of what, and both values."""

    path: str
    line: int
    case: str
    place: str
    what: str
    expected: str
    got: str

    def __str__(self) -> str:
        return (
            f"{self.path}:{self.line}: {quoted(self.case)}: {self.place}: {self.what}: expected {self.expected}, "
            f"got {self.got}"
        )


def failures(book: Book, cases: Cases) -> Iterator[Failure]:
    """Price every case by the book and yield what is not as expected."""
    pricer = Pricer(book)
    for case in cases.cases:
        priced = Running(book).settle(pricer.price(_usage(book, case.events)))
        yield from _Comparison(cases.path, case, priced, book).failures()


def _usage(book: Book, events: Sequence[CaseEvent]) -> Usage:
    rows = [event for event in events for _ in range(event.repeat)]
    scale = max(places_of(event.quantity) for event in events)

    def column(read: Callable[[CaseEvent], str | None]) -> Coded:
        return Coded.of([read(event) for event in rows])

    return Usage(
        account=column(lambda event: event.account),
        product=column(lambda event: event.product),
        time_us=np.array([event.time_us for event in rows], dtype=np.int64),
        quantity=Decimals.of_integers([units_of(event.quantity, scale) for event in rows], scale),
        attributes={name: column(lambda event, name=name: event.attributes.get(name)) for name in book.attributes},  # type: ignore[misc]
    )


@attrs.frozen(eq=False)
class _Comparison:
    """One case against what the book makes of it."""

    path: Path
    case: Case
    priced: Priced
    book: Book

    def failures(self) -> Iterator[Failure]:
        """Yield the differences, event by event, and then that of the total."""
        events = [i for i, event in enumerate(self.case.events) for _ in range(event.repeat)]
        got: list[dict[tuple[str, str], Charge]] = [{} for _ in self.case.events]
        for row, charge in self._lines():
            known = got[events[row]].get((charge.rule, charge.account))
            got[events[row]][charge.rule, charge.account] = charge if known is None else _sum(known, charge)
        refused: dict[int, str] = {}
        for reject in self.priced.rejects:
            refused.setdefault(events[reject.event], f"{reject.reason} ({reject.detail})")
        for i, event in enumerate(self.case.events):
            yield from self._of_event(f"events[{i}]", event, got[i], refused.get(i))
        total_pico = sum(charge.amount_pico for charges in got for charge in charges.values())
        if self.case.total_pico is not None and total_pico != self.case.total_pico:
            yield self._failure(self.case.node, "total", "amount", _shown(self.case.total_pico), _shown(total_pico))

    def _of_event(
        self, place: str, event: CaseEvent, got: Mapping[tuple[str, str], Charge], refused: str | None
    ) -> Iterator[Failure]:
        if event.refused is not None:
            if refused is None or refused.partition(" ")[0] != event.refused:
                yield self._failure(event.node, place, "refused", event.refused, refused or _listed(got.values()))
            return
        if refused is not None:
            expected = "no refusal" if event.charges is None else _listed(event.charges)
            yield self._failure(event.node, place, "charges", expected, f"refused: {refused}")
            return
        if event.charges is None:
            return
        wanted = {(charge.rule, charge.account): charge for charge in event.charges}
        for key in dict.fromkeys([*wanted, *got]):
            yield from self._of_charge(event.node, place, wanted.get(key), got.get(key))

    def _of_charge(self, node: Node, place: str, wanted: Charge | None, got: Charge | None) -> Iterator[Failure]:
        if wanted is None or got is None:
            one = wanted or got
            assert one is not None, "a key is of one of the two"
            what = f"rule {one.rule} for account {one.account}"
            sides = ("no charge" if charge is None else _one(charge) for charge in (wanted, got))
            yield self._failure(node, place, what, *sides)
            return
        what = f"rule {wanted.rule} for account {wanted.account}"
        for of, left, right in (
            ("quantity", wanted.quantity_pico, got.quantity_pico),
            ("amount", wanted.amount_pico, got.amount_pico),
        ):
            if left is not None and right is not None and left != right:
                yield self._failure(node, place, f"{of} of {what}", _shown(left), _shown(right))

    def _lines(self) -> Iterator[tuple[int, Charge]]:
        lines = self.priced.lines
        accounts = lines.account.rows()
        quantity_pico, amount_pico = (
            column.rescaled(PICO_PLACES).units.tolist() for column in (lines.quantity, lines.amount)
        )
        for i, (row, rule) in enumerate(zip(lines.event.tolist(), lines.rule.tolist(), strict=True)):
            account = accounts[i]
            assert account is not None, "every line charges an account"
            yield row, Charge(account, self.book.rules[rule].id, quantity_pico[i], amount_pico[i])

    def _failure(self, node: Node, place: str, what: str, expected: str, got: str) -> Failure:
        return Failure(str(self.path), node.line, self.case.name, place, what, expected, got)


def _sum(left: Charge, right: Charge) -> Charge:
    assert left.quantity_pico is not None, "a line has a quantity"
    assert right.quantity_pico is not None, "a line has a quantity"
    return attrs.evolve(
        left,
        quantity_pico=left.quantity_pico + right.quantity_pico,
        amount_pico=left.amount_pico + right.amount_pico,
    )


def _shown(pico: int) -> str:
    return decimal_text(pico, PICO_PLACES)


def _one(charge: Charge) -> str:
    quantity = "" if charge.quantity_pico is None else f"quantity {_shown(charge.quantity_pico)}, "
    return f"{quantity}amount {_shown(charge.amount_pico)}"


def _listed(charges: Iterable[Charge]) -> str:
    texts = [f"{charge.rule} for {charge.account}: {_one(charge)}" for charge in charges]
    return "; ".join(texts) or "no charge"
