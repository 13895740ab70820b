"""Pricing: usage in, lines and rejects out.

Owns the order in which groups are priced and events rejected. Pure: the same event and book give the same lines,
whatever else is in the batch and whatever was priced before.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from rules import payer
from rules.book import CURRENCY, Book
from rules.columns import MISSING, PICO_PLACES, Decimals, Int32s, Int64s, Lines, Priced, Reject, Units, Usage
from rules.contract import Contracts, Terms, terms_of
from rules.counting import Counting
from rules.directory import Directory
from rules.lane import Lane, lanes_of
from rules.match import Matched, Matcher
from rules.measure import Bools, Measures
from rules.payer import Payers
from rules.period import Per
from rules.plain import Plain
from rules.price.cumulative import CumulativePrice
from rules.quote import quoted
from rules.table import TableIndex

OVERFLOW: Final = "the quantity or the amount has more than 26 digits before the point"

Rows = NDArray[np.intp]


class Pricer:
    """Prices usage by one book; holds bounded memos that never change a result. Not for use by two threads at once."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._directory = Directory(book)
        self._matcher = Matcher(book)
        self._plain = Plain(book, self._directory)
        self._lanes, self._lane_of_rule, self._position_of_rule = lanes_of(book)

    def price(self, usage: Usage) -> Priced:
        """Return the lines of every event that can be charged, and a reject for every other one."""
        payers = Payers(usage.account)
        currency = self._directory.currency(payers.rows(usage.account.codes, self._directory.lookup))
        matched = self._matcher.match(usage, np.maximum(currency, 0))
        lines = self._plain.lines(usage, matched, currency)
        if lines is not None:
            return Priced(lines, list(_unmatched(usage, matched)))
        batch = _Batch(usage, matched, payers, self._directory, currency, self.book.contracts)
        batch.refuse_currencies(self.book)
        for group in range(len(self.book.groups)):
            rows = np.flatnonzero((batch.winners[group] != MISSING) & batch.alive)
            rules = batch.winners[group][rows]
            lanes = self._lane_of_rule[rules]
            for lane in np.flatnonzero(np.bincount(lanes)).tolist():
                members = lanes == lane
                batch.charge(group, self._lanes[lane], rows[members], self._position_of_rule[rules[members]])
        batch.refuse_unmatched()
        return batch.priced()


@attrs.frozen(eq=False)
class _Shown:
    """Billed quantities of some rows in one group."""

    group: int
    rows: Rows
    quantity: Decimals


class _Batch:
    """The state of pricing one batch: arrays of length n for each group, filled lane by lane."""

    def __init__(
        self,
        usage: Usage,
        matched: Matched,
        payers: Payers,
        directory: Directory,
        currency: Int32s,
        contracts: Contracts | None,
    ) -> None:
        self._usage = usage
        self._matched = matched
        self._payers = payers
        self._directory = directory
        self._currency = currency
        self._contracts = contracts
        self.winners: list[Int32s] = list(matched.winners)
        self.alive: Bools = np.ones(len(usage), dtype=bool)
        self._measures = Measures(usage)
        self._counting = Counting(usage)
        self._amounts: list[Units] = [np.zeros(len(usage), dtype=np.int64) for _ in self.winners]
        self._shown: list[_Shown] = []
        self._accounts: dict[int, Int32s] = {}  # only of groups that charge somebody else than the event's account
        self._rejects: list[Reject] = []

    def refuse_currencies(self, book: Book) -> None:
        """Reject events of accounts in a currency that has no prices, and those that state another than theirs."""
        for row in np.flatnonzero(self._currency == MISSING).tolist():
            own = quoted(book.currency_of(self._account(row)))
            self._reject(row, "wrong_currency", f"the account is in {own}, the book in {', '.join(book.currencies)}")
        column = self._usage.attributes[CURRENCY]
        codes = column.derived(self._directory.stated, MISSING)
        other = (codes != MISSING) & (codes != self._currency) & (self._currency != MISSING)
        for row in np.flatnonzero(other).tolist():
            text = quoted(column.values[column.codes[row]])
            own = quoted(book.currencies[self._currency[row]])
            of = "the book" if book.accounts is None else "its account"
            self._reject(row, "wrong_currency", f"the event is in {text}, {of} in {own}")

    def _account(self, row: int) -> str:
        account = self._usage.account
        name: str = account.values[account.codes[row]]
        return name

    def refuse_unmatched(self) -> None:
        """Reject events for which no rule won in any group."""
        for reject in _unmatched(self._usage, self._matched):
            if self.alive[reject.event]:
                self._reject(reject.event, reject.reason, reject.detail)

    def charge(self, group: int, lane: Lane, rows: Rows, positions: Int32s) -> None:
        """Price the rows that rules of one lane have won; rows that fail are rejected and left out."""
        measure = self._measures.of(lane.quantity.of)
        if measure.bad is not None:
            kept = self._refuse(
                rows, measure.bad[rows], "bad_quantity", partial(self._measures.detail, lane.quantity.of)
            )
            rows, positions = rows[kept], positions[kept]
        rows, positions = self._charge_others(group, lane, rows, positions)
        periods = None
        if lane.per is not None:
            rows, positions, periods = self._in_periods(lane.per, rows, positions)
        if not len(rows):
            return

        def charged(earlier: int) -> Units:
            return self._amounts[earlier][rows]

        def cells(index: TableIndex) -> Int32s:
            return self._matched.rows(index)[rows]

        terms = None if isinstance(lane.factors, CumulativePrice) else self._terms(group, rows)
        lines = lane.charged(positions, measure.quantity.take(rows), charged, cells, terms)
        if lines.overflow is not None:
            self._refuse(rows, lines.overflow, "overflow", lambda _: OVERFLOW)
        if lines.amount_pico.dtype == object:
            self._amounts[group] = self._amounts[group].astype(object)
        self._amounts[group][rows] = lines.amount_pico
        self._shown.append(_Shown(group, rows, lines.quantity))
        if lines.use is not None and periods is not None:
            self._counting.add(group, rows, self._counted(group, rows, periods), periods, lines.use)

    def _in_periods(self, per: Per, rows: Rows, positions: Int32s) -> tuple[Rows, Int32s, Int64s]:
        periods, bad = self._counting.periods(per, rows)
        if bad is not None:
            kept = self._refuse(rows, bad, "bad_period", partial(self._counting.detail, per))
            rows, positions, periods = rows[kept], positions[kept], periods[kept]
        return rows, positions, periods

    def _terms(self, group: int, rows: Rows) -> Terms | None:
        """Return the contracts that are in effect for some lines."""
        if self._contracts is None:
            return None
        parties, rules = self._parties(group, rows), self.winners[group][rows]
        return terms_of(self._contracts, parties, rules, self._usage.time_us[rows])

    def _counted(self, group: int, rows: Rows, periods: Int64s) -> Int32s:
        """Return the rule by which each line is counted."""
        rules = self.winners[group][rows]
        if self._contracts is None:
            return rules
        return self._contracts.counted(self._parties(group, rows), rules, periods)

    def _parties(self, group: int, rows: Rows) -> Int32s:
        """Return the number of each charged account in the contracts."""
        charged = self._accounts.get(group, self._usage.account.codes)[rows]
        return self._payers.rows(charged, self._directory.contracts)

    def _charge_others(self, group: int, lane: Lane, rows: Rows, positions: Int32s) -> tuple[Rows, Int32s]:
        """Note the charged accounts of a lane whose rules name another than the event's; leaves out what cannot be."""
        if lane.charge is None and not lane.charge_parent:
            return rows, positions
        accounts = self._accounts.setdefault(group, self._usage.account.codes.copy())
        if lane.charge is not None:
            column = self._usage.attributes[lane.charge]
            named, bad = self._payers.named_by(column.take(rows))
            if bad is not None:
                kept = self._refuse(rows, bad, "bad_account", partial(payer.detail, lane.charge, column))
                rows, positions, named = rows[kept], positions[kept], named[kept]
            other = self._directory.currency(self._payers.rows(named, self._directory.lookup)) != self._currency[rows]
            kept = self._refuse(rows, other, "wrong_currency", partial(payer.other_currency, column))
            rows, positions, named = rows[kept], positions[kept], named[kept]
            accounts[rows] = named
        if lane.charge_parent:
            accounts[rows] = self._payers.above(accounts[rows], self._directory)
        return rows, positions

    def _refuse(self, rows: Rows, bad: Bools, reason: str, detail: Callable[[int], str]) -> Bools:
        """Reject the bad ones of some rows and return a mask of the others."""
        for row in rows[bad].tolist():
            self._reject(row, reason, detail(row))
        return ~bad

    def _reject(self, row: int, reason: str, detail: str) -> None:
        self.alive[row] = False
        self._rejects.append(Reject(row, reason, detail))

    def priced(self) -> Priced:
        """Gather the lines of the events that are still alive, by event and then by group."""
        winners = np.stack(self.winners, axis=1)
        made = (winners != MISSING) & self.alive[:, None]
        event, _ = np.nonzero(made)
        codes = self._usage.account.codes
        account = codes[event]
        if self._accounts:
            account = np.stack([self._accounts.get(g, codes) for g in range(len(self.winners))], axis=1)[made]
        counted = self._counting.counted(made)
        lines = Lines(
            event=event.astype(np.int32),
            rule=winners[made],
            account=self._payers.coded(account),
            quantity=self._quantities(made),
            amount=Decimals(np.stack(self._amounts, axis=1)[made], PICO_PLACES),
            counter=counted.counter,
            counters=counted.counters,
            use=counted.use,
        )
        return Priced(lines, sorted(self._rejects, key=lambda reject: reject.event))

    def _quantities(self, made: NDArray[Any]) -> Decimals:
        """Bring the quantities of all lanes to one scale, in the order of lines."""
        scale = max((shown.quantity.scale for shown in self._shown), default=0)
        rescaled = [shown.quantity.rescaled(scale).units for shown in self._shown]
        wide = any(units.dtype == object for units in rescaled)
        quantities: Units = np.zeros(made.shape, dtype=object if wide else np.int64)
        for shown, units in zip(self._shown, rescaled, strict=True):
            quantities[shown.rows, shown.group] = units
        return Decimals(quantities[made], scale)


def _unmatched(usage: Usage, matched: Matched) -> Iterator[Reject]:
    """Yield a reject for each event for which no rule won in any group."""
    if not matched.unmatched:
        return
    product = usage.product
    for row in np.flatnonzero(matched.winners.max(axis=0) == MISSING).tolist():
        detail = f"no rule charges the product {quoted(product.values[product.codes[row]])}"
        yield Reject(row, "no_rule", detail)
