"""Due: which counters are settled when a period is closed, and what is missing to their minimums.

Owns the choice of rules, periods and accounts, also of those that used nothing but promised a minimum. Must not know
connections, nor how what is missing gets posted.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
from sqlalchemy import Connection, Text, literal_column, select, type_coerce
from sqlalchemy.types import NULLTYPE

from billing.closing import Closing, Due, Posting, closing
from billing.errors import BillingError, SettingsError
from billing.exact import pico_of
from billing.keyset import after as behind
from billing.ledger import text_of
from billing.schema import tiers
from billing.tiers import TierKey, used_of
from rules.book import Book
from rules.commitment import SETTLED_AS, Minimum, has_minimums, minimums, promised
from rules.describe import time_text
from rules.fields import nearest
from rules.period import SECOND_US, Per, Unit, ends_possible, name_of, starts_named, unit_named
from rules.quote import quoted
from sharding.shardmap import ShardMap

PAGE_ROWS: Final = 10_000  # counters read at a time
_MARGIN_SECONDS: Final = 2 * 86_400  # zones begin their days up to so much before or after UTC's
_LENGTHS: Final = {Unit.HOUR: 3_600, Unit.DAY: 86_400, Unit.MONTH: 31 * 86_400, Unit.YEAR: 366 * 86_400}


class NotEndedError(BillingError):
    """A period is still running: more use may come in it. Reaction: a person closes it later."""

    exit_code = 2


@attrs.frozen
class CounterRow:
    """A counter as it stands: what its events were charged, and what closing it has posted in how many lines; 1e-12."""

    slot: int
    account: str
    rule: str
    period: int
    events: int
    charged_pico: int
    lines: int
    posted_pico: int


@attrs.frozen(eq=False)
class Plan:
    """What is closed: periods of one name, by rules of one book.

    rules: index into `Book.rules` by id; now: seconds since 1970-01-01 UTC; window: starts of periods that may have the
    name, half-open.
    """

    name: str
    book: Book
    map_version: int
    rules: Mapping[str, int]
    now: int
    window: tuple[int, int]

    def takes(self, rule: str, start: int) -> bool:
        """Tell whether a counter is of a period that is closed."""
        index = self.rules.get(rule)
        return index is not None and name_of(self._per(index), start) == self.name

    def has_ended(self, row: CounterRow) -> bool:
        """Tell whether the period of a counter has ended, which depends on the account where events name its day."""
        return ends_possible(self._per(self.rules[row.rule]), row.period)[1] <= self.now

    def due(self, rows: Sequence[CounterRow]) -> list[Due]:
        """Return what is due of counters that are taken and have ended."""
        found, by_rule = [], dict[str, list[CounterRow]]()
        for row in rows:
            by_rule.setdefault(row.rule, []).append(row)
        for rule, of_rule in by_rule.items():
            index, starts = self.rules[rule], [row.period for row in of_rule]
            owed = minimums(self.book, index, [row.account for row in of_rule], starts)
            found += [self._due(row, index, minimum) for row, minimum in zip(of_rule, owed, strict=True)]
        return found

    def promises(self, shardmap: ShardMap) -> dict[int, dict[TierKey, CounterRow]]:
        """Return, by shard, the counters of accounts that owe a minimum by contract, as if nothing was used.

        Raises: SettingsError for a spread account, whose counter would have no one place.
        """
        found: dict[int, dict[TierKey, CounterRow]] = {}
        for rule, index in self.rules.items():
            per = self._per(index)
            for start in starts_named(per, self.name) if per.attribute is None else ():
                accounts = list(promised(self.book, index, start))
                for account, home in zip(accounts, shardmap.homes(accounts).tolist() if accounts else (), strict=True):
                    if account in shardmap.spreads:
                        raise SettingsError(
                            f"the contract of account {account} has a minimum for rule {rule}, but the map spreads the "
                            "account, so that the minimum has no one place; pin the account in the map instead"
                        )
                    row = CounterRow(home[0], account, rule, start, 0, 0, 0, 0)
                    found.setdefault(home[1], {})[_key(row)] = row
        return found

    def _per(self, index: int) -> Per:
        per = self.book.rules[index].per
        assert per is not None, "only rules with periods are closed"
        return per

    def _due(self, row: CounterRow, index: int, minimum: Minimum | None) -> Due:
        rule = self.book.rules[index]
        last = ends_possible(self._per(index), row.period)[0] * SECOND_US - 1
        return Due(row.slot, row.account, rule.id, row.period, rule.currency, last, minimum)


def plan_of(book: Book, shardmap: ShardMap, name: str, now: int, only: Sequence[str] = ()) -> Plan:
    """Return the plan to close the periods of a name; only: ids of rules, none for all that count by such periods.

    Raises: SettingsError, NotEndedError.
    """
    unit = unit_named(name)
    if unit is None:
        raise SettingsError(f"{name[:64]!a} names no period; write 2026, 2026-01, 2026-01-31 or 2026-01-31T23")
    counting = {rule.id: i for i, rule in enumerate(book.rules) if rule.per is not None and rule.per.unit is unit}
    for rule in only:
        if rule not in counting:
            raise SettingsError(
                f"--rule {quoted(rule)}: no rule of book {book.name} with this id counts by the {unit}; "
                + (nearest(rule, [*counting]) if counting else f"none of its rules counts by the {unit}")
            )
    if not any(has_minimums(book, index) for index in counting.values()):
        raise SettingsError(
            f"{name}: no rule of book {book.name} has a minimum by the {unit}; "
            f"add `per_period: {{per: {unit}, minimum: ...}}` to one, or name a period of another length"
        )
    rules = {rule: index for rule, index in counting.items() if rule in only or not only}
    windows = []
    for rule, index in rules.items():
        per = book.rules[index].per
        assert per is not None, "it counts by the unit"
        first = attrs.evolve(per, attribute=None)
        for start in starts_named(first, name):
            windows.append(start)
            end = ends_possible(first, start)[1]
            if end > now and per.attribute is None and has_minimums(book, index):
                raise NotEndedError(
                    f"{name} has not ended for rule {rule}: it ends at {time_text(end * SECOND_US)}; close it then"
                    + (", or only rules whose period has ended, --rule ID" if len(rules) > 1 else "")
                )
    start, stop = min(windows, default=0), max(windows, default=0)
    window = start - _MARGIN_SECONDS, stop + _LENGTHS[unit] + _MARGIN_SECONDS
    return Plan(name, book, shardmap.version, rules, now, window)


def read_page(connection: Connection, plan: Plan, after: TierKey | None, rows_max: int) -> list[CounterRow]:
    """Read the next counters of a shard behind a key, in order of keys; all that start in the plan's window."""
    own, posted = tiers, tiers.alias("posted")
    raw = [type_coerce(own.c[name], NULLTYPE) for name in ("slot", "account", "rule", "period")]
    mark = literal_column(f"'{SETTLED_AS}'", Text()).concat(type_coerce(own.c.rule, Text()))
    same = [posted.c[name] == own.c[name] for name in ("slot", "account", "period")]
    sums = own.c.events, own.c.amount, posted.c.events, posted.c.amount
    query = (
        select(*raw, *sums)
        .select_from(own)
        .outerjoin(posted, (type_coerce(posted.c.rule, Text()) == mark) & same[0] & same[1] & same[2])
        .where(own.c.period >= plan.window[0], own.c.period < plan.window[1])
        .order_by(*raw)
        .limit(rows_max)
    )
    if after is not None:
        key = [own.c[name] for name in ("slot", "account", "rule", "period")]
        query = query.where(behind(connection.dialect.name, key, after))
    found: Sequence[Any] = connection.execute(query).all()
    return [
        CounterRow(slot, text_of(account), text_of(rule), period, events, _pico(charged), lines or 0, _pico(before))
        for slot, account, rule, period, events, charged, lines, before in found
    ]


def missing(plan: Plan, rows: Iterable[CounterRow]) -> tuple[Closing | None, int]:
    """Return what would be posted by these counters as they stand, and how many of them have not ended.

    The transaction is settled: to be told, or to be made anew from its `postings` for a store.
    """
    taken = [row for row in rows if plan.takes(row.rule, row.period)]
    ended = [row for row in taken if plan.has_ended(row)]
    by_key = {_key(row): row for row in ended}
    due = [
        one
        for one in plan.due(ended)
        if one.missing_pico((row := by_key[one.key]).charged_pico, row.events) != row.posted_pico
    ]
    if not due:
        return None, len(taken) - len(ended)
    unsettled = closing(due, plan.book, plan.map_version)
    held = {}
    for one in due:
        row = by_key[one.key]
        held[one.key] = row.charged_pico, row.events
        held[one.posted_key] = row.posted_pico, row.lines
    assert unsettled.counters is not None, "it is due"
    state = [held[key] for key in unsettled.counters.tuples()]
    used = used_of([0] * len(state), [events for _, events in state], [amount for amount, _ in state])
    return unsettled.settled(used), len(taken) - len(ended)


def again(plan: Plan, postings: Sequence[Posting]) -> Closing:
    """Return the transaction by which a store settles what these were to settle, whatever has happened since."""
    return closing([one.due for one in postings], plan.book, plan.map_version)


def _key(row: CounterRow) -> TierKey:
    return row.slot, row.account, row.rule, row.period


def _pico(amount: Any) -> int:  # noqa: ANN401 - a decimal, or None without a row
    return 0 if amount is None else pico_of(Decimal(amount))
