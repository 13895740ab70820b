"""The audit: recomputes every sum of a shard from its records and compares, to the last place and to the last checksum.

Owns conservation: per account, records = each rollup = balance; per rule and period that counts, records = counter; per
partition, accepted events = records, quarantined = quarantine. The tables are read side by side in order of accounts
and compared one account at a time: neither accounts nor records are held in memory, only the counters of one account.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import reduce
from typing import Final

import attrs
from sqlalchemy import Connection, func, select

from billing.audited_credits import Credits
from billing.exact import EXACT
from billing.ledger import (
    PAGE_ROWS,
    Account,
    ByAccount,
    Counter,
    CreditEntry,
    Run,
    Sum,
    read_balances,
    read_counters,
    read_credits,
    read_rollups,
    read_runs,
    text_of,
)
from billing.moment import SECOND_US
from billing.schema import cursors, quarantine
from rules.book import Book, Rule
from rules.commitment import settled_as
from rules.price.cumulative import CumulativePrice

DIFFERENCES_MAX: Final = 20  # of a shard, told in words; all are counted
_ZERO: Final = Decimal(0)


@attrs.frozen
class ShardAudit:
    """What the audit of one shard found; differences are sentences, `wrong` counts all of them.

    amounts: what was charged, by currency; credits: how many there are, each void one less; credited: what they add up
    to, by currency.
    """

    shard: str
    accounts: int
    events: int
    lines: int
    quarantined: int
    duplicates: int
    amounts: Mapping[str, Decimal]
    credits: int
    credited: Mapping[str, Decimal]
    wrong: int
    differences: tuple[str, ...]


class _Findings:
    def __init__(self) -> None:
        self.wrong = 0
        self.sentences: list[str] = []

    def add(self, sentence: str) -> None:
        self.wrong += 1
        if len(self.sentences) < DIFFERENCES_MAX:
            self.sentences.append(sentence)

    def compare(self, account: Account, what: str, ours: Sum | None, theirs: Sum | None) -> None:
        if ours == theirs:
            return
        self.add(f"{_place(account)}: records add up to {_words(ours)}, {what} says {_words(theirs)}")


def _place(account: Account) -> str:
    return f"slot {account[0]} account {text_of(account[1])}"


def _words(total: Sum | None) -> str:
    return "nothing" if total is None else f"{total.amount} in {total.events} events (checksum {total.checksum:016x})"


class _Counters:
    """What the counters of an account's cumulative prices say, and what the records of their periods add up to.

    A record belongs to the last period of its rule that has begun: periods of a rule follow one another, and each that
    has a record has a counter. Where each event names the day that its period starts on, periods overlap, and only all
    periods of an account and rule together can be compared. Quantities are compared where the counter counts what the
    lines show, and not amounts. The counter of a rule that the book has no more decides nothing, and voids leave it as
    it is: then it is not compared.
    """

    def __init__(self, book: Book) -> None:
        self._rules = {rule.id for rule in book.rules}
        self._given_up: set[str] = set()
        self._counting = set(_with_minimums(rule for rule in book.rules if rule.per is not None))
        self._overlapping = set(_with_minimums(rule for rule in book.rules if rule.per and rule.per.attribute))
        self._measured = {rule.id for rule in book.rules if _counts_what_it_shows(rule)}
        self._periods: dict[str, list[int]] = {}
        self._said: dict[tuple[str, int], _Count] = {}
        self._found: dict[tuple[str, int], _Count] = {}

    def begin(self, counters: Iterable[Counter]) -> None:
        """Begin an account; its counters are in order of rule and period."""
        self._periods, self._said, self._found = {}, {}, {}
        self._given_up.clear()
        for one in counters:
            period = 0 if one.rule in self._overlapping else one.period
            self._periods.setdefault(one.rule, []).append(period)
            self._add(self._said, (one.rule, period), one.lines, one.amount, one.quantity)

    def add(self, run: Run) -> None:
        """Add records, some of which have counters."""
        if not self._periods and not self._counting:
            return
        for raw_rule, time_us, amount, quantity, line in zip(
            run.rules, run.times_us, run.amounts, run.quantities, run.lines, strict=True
        ):
            rule, sign = text_of(raw_rule), 1 if line >= 0 else -1  # a void's line takes another one back
            periods = self._periods.get(rule)
            if periods is not None:
                begun = bisect_right(periods, time_us // SECOND_US)
                self._add(self._found, (rule, periods[max(begun - 1, 0)]), sign, amount, quantity)
                if sign < 0 and rule not in self._rules:
                    self._given_up.add(rule)
            elif rule in self._counting:
                self._add(self._found, (rule, 0), sign, amount, quantity)

    def _add(
        self,
        counts: dict[tuple[str, int], "_Count"],
        key: tuple[str, int],
        lines: int,
        amount: Decimal,
        quantity: Decimal | str,
    ) -> None:
        measured = Decimal(quantity) if key[0] in self._measured else _ZERO
        counts[key] = counts.get(key, _NOTHING).plus(_Count(lines, amount, measured))

    def compare(self, account: Account, findings: _Findings) -> None:
        """Tell where counters and records differ; a counter that counts nothing needs no record."""
        for key in sorted(self._said.keys() | self._found.keys()):
            said, found = (counts.get(key, _NOTHING) for counts in (self._said, self._found))
            if said != found and key[0] not in self._given_up:
                rule, period = key
                when = "all periods" if rule in self._overlapping else f"the period from {period}"
                findings.add(
                    f"{_place(account)}: records of rule {rule} in {when} add up to {found.words()}, "
                    f"the counter says {said.words()}"
                )


@attrs.frozen
class _Count:
    """Lines, amount, and the quantity where it is compared."""

    lines: int
    amount: Decimal
    quantity: Decimal

    def plus(self, other: "_Count") -> "_Count":
        """Add exactly."""
        return _Count(
            self.lines + other.lines,
            EXACT.add(self.amount, other.amount),
            EXACT.add(self.quantity, other.quantity),
        )

    def words(self) -> str:
        """Write it for a person."""
        return f"{self.amount} in {self.lines} lines" + (f" of {self.quantity}" if self.quantity else "")


_NOTHING: Final = _Count(0, _ZERO, _ZERO)


def _with_minimums(rules: Iterable[Rule]) -> Iterator[str]:
    """Yield the names under which rules count: their own, and that of what closing their periods posts."""
    for rule in rules:
        yield from (rule.id, settled_as(rule.id))


def _counts_what_it_shows(rule: Rule) -> bool:
    return isinstance(rule.price, CumulativePrice) and rule.price.of is None


class _Rollups:
    """Which rollups a shard has, and what they say of an account.

    A rollup that has any row has one of each account with records. Which rollups there are is learned from their rows:
    the accounts that came before the first row of one are told of when it is met, the first of them in words.
    """

    def __init__(self, findings: _Findings) -> None:
        self._findings = findings
        self._names: list[str] = []
        self._before: list[tuple[Account, Sum]] = []
        self._accounts = 0

    def compare(self, account: Account, total: Sum | None, parts: Iterable[tuple[str, Sum]]) -> None:
        """Compare what the rollups say of the next account with what its records add up to, None without records."""
        sums = _added(parts)
        for name in sums.keys() - self._names:
            self._met(name)
        for name in self._names:
            self._findings.compare(account, f"rollup {name}", total, sums.get(name))
        if total is not None:
            self._accounts += 1
            if len(self._before) < DIFFERENCES_MAX:
                self._before.append((account, total))

    def _met(self, name: str) -> None:
        self._names.append(name)
        for account, total in self._before:
            self._findings.compare(account, f"rollup {name}", total, None)
        self._findings.wrong += self._accounts - len(self._before)


class _Accounts:
    """What the accounts of a shard that were compared so far add up to."""

    def __init__(self, book: Book, findings: _Findings) -> None:
        self._findings = findings
        self._counters = _Counters(book)
        self._rollups = _Rollups(findings)
        self.accounts = self.home_events = self.lines = 0
        self.amounts: dict[str, Decimal] = {}
        self.credits = Credits(findings.add)

    def compare(
        self,
        account: Account,
        runs: Iterable[Run],
        balances: Iterable[tuple[str, Sum]],
        rollups: Iterable[tuple[str, Sum]],
        counters: Iterable[Counter],
        credited: Iterable[CreditEntry],
    ) -> None:
        """Compare everything that is said of the next account; of its records, only sums are kept."""
        self._counters.begin(counters)  # they name the periods that the records are added up by
        ours = _added(self._totals(runs))
        theirs = dict(balances)
        for currency in sorted(ours.keys() | theirs.keys()):
            self._findings.compare(account, "balance", ours.get(currency), theirs.get(currency))
        for currency, total in ours.items():
            self.amounts[currency] = EXACT.add(self.amounts.get(currency, _ZERO), total.amount)
        self.accounts += bool(ours)
        self._rollups.compare(account, reduce(Sum.plus, ours.values()) if ours else None, rollups)
        self._counters.compare(account, self._findings)
        self.credits.compare(_place(account), credited)

    def _totals(self, runs: Iterable[Run]) -> Iterator[tuple[str, Sum]]:
        for run in runs:
            self.home_events += run.home_events
            self.lines += len(run.amounts)
            self._counters.add(run)
            self.credits.recorded(run.credits)
            yield run.currency, run.total


def _added(parts: Iterable[tuple[str, Sum]]) -> dict[str, Sum]:
    sums: dict[str, Sum] = {}
    for name, part in parts:
        sums[name] = sums[name].plus(part) if name in sums else part
    return sums


def audit_shard(
    connection: Connection,
    shard: str,
    book: Book,
    on_lines: Callable[[int], None] = lambda _lines: None,
    page_rows: int = PAGE_ROWS,
) -> ShardAudit:
    """Audit one shard within the snapshot of one connection; memory grows neither with accounts nor with records.

    book: says which rules count; on_lines: told how many records were added up since the last call; page_rows: of each
    table, held at a time.
    """
    findings = _Findings()
    found = _Accounts(book, findings)
    runs = ByAccount(read_runs(connection, page_rows, on_lines))
    balances = ByAccount(read_balances(connection, page_rows))
    rollups = ByAccount(read_rollups(connection, page_rows))
    counters = ByAccount(read_counters(connection, page_rows))
    credited = ByAccount(read_credits(connection, page_rows))
    of_accounts = runs, balances, rollups, counters, credited
    while ahead := [one.account for one in of_accounts if one.account is not None]:
        account = min(ahead)
        found.compare(
            account,
            runs.take(account),
            balances.take(account),
            rollups.take(account),
            counters.take(account),
            credited.take(account),
        )
    duplicates, held = _compare_cursors(connection, found.home_events, findings)
    return ShardAudit(
        shard,
        accounts=found.accounts,
        events=found.home_events,
        lines=found.lines,
        quarantined=held,
        duplicates=duplicates,
        amounts=found.amounts,
        credits=found.credits.count,
        credited=found.credits.sums,
        wrong=findings.wrong,
        differences=tuple(findings.sentences),
    )


def _compare_cursors(connection: Connection, home_events: int, findings: _Findings) -> tuple[int, int]:
    """Compare what cursors count with records and quarantine; return duplicates, and events in quarantine."""
    counts = connection.execute(
        select(func.sum(cursors.c.accepted), func.sum(cursors.c.duplicates), func.sum(cursors.c.quarantined))
    ).one()
    accepted, duplicates, quarantined = (int(count or 0) for count in counts)
    held = connection.execute(select(func.count()).select_from(quarantine)).scalar_one()
    if accepted != home_events:
        findings.add(f"cursors count {accepted} events, records have {home_events}")
    if quarantined != held:
        findings.add(f"cursors count {quarantined} events in quarantine, it has {held}")
    return duplicates, held
