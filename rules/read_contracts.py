"""Reading contracts: the CSV file beside a book that tells what accounts pay instead of its prices.

Owns its columns, and the words in which what is wrong is told.
"""

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import numpy as np

from rules.book import Book, Rule
from rules.cells import NumberKind, Numbers, numbers_of
from rules.columns import MISSING, PICO_PLACES, Decimals, Int32s, Int64s
from rules.commitment import minimum_fault
from rules.contract import ALWAYS_US, FOREVER_US, Bools, Contracts, in_order, rows_by_key
from rules.document import Node
from rules.fields import INSTANT_WANTED, Fields, instant_of, nearest
from rules.payer import ACCOUNT_WANTED, is_account
from rules.period import Unit
from rules.price.constant import ConstantPrice
from rules.price.cumulative import CumulativePrice
from rules.price.percentage import Percentage
from rules.price.table import TablePrice
from rules.quote import quoted
from rules.read_list import List, read_list
from rules.read_table import Tables
from rules.variants import TierLists, takes_tiers, variants_of

_OPTIONAL: Final = ("rule", "group", "from", "until", "price", "discount", "tiers", "minimum")
_ONE_NUMBER: Final = (ConstantPrice, Percentage, TablePrice)  # prices that are one number, which a contract can replace
_WHOLE_PERCENT: Final = 100


@attrs.frozen(eq=False)
class _Targets:
    """What the rows are for: names of rules and groups, each with its number; of_row: int64[k], by row of the file."""

    rules: dict[str, int]
    groups: dict[str, int]
    of_row: Int64s

    @property
    def count(self) -> int:
        return len(self.rules) + len(self.groups)

    def rules_of(self, book: Book) -> list[list[int]]:
        """Return the indexes of the rules that each target is about."""
        found: list[list[int]] = [[] for _ in range(self.count)]
        for i, rule in enumerate(book.rules):
            for number in (self.rules.get(rule.id), self.groups.get(rule.group)):
                if number is not None:
                    found[number].append(i)
        return found


def read_contracts(node: Node, fields: Fields, tables: Tables, book: Book, tier_lists: TierLists) -> Book:
    """Read `contracts: {file: contracts.csv}` of a book that is complete but for them, and add them to it."""
    read = read_list(node, fields, tables, ["account"], _OPTIONAL)
    if read is None:
        return book
    found = len(fields.problems.found)
    accounts, account = _accounts(read)
    targets = _targets(read, book)
    from_us, until_us = _instants(read, "from", ALWAYS_US), _instants(read, "until", FOREVER_US)
    price, discount = _numbers(read, "price", NumberKind.PRICE), _numbers(read, "discount", NumberKind.INCREMENT)
    minimum = _numbers(read, "minimum", NumberKind.AMOUNT)
    if len(fields.problems.found) > found:
        return book
    _check_cells(read, book, targets, price, discount, minimum)
    _check_minimums(read, book, minimum)
    _check_tiers(read, book, targets, tier_lists, dated=(from_us != ALWAYS_US) | (until_us != FOREVER_US))
    _check_accounts(read, book, targets, [*accounts], account)
    _refuse(read, "until", from_us >= until_us, lambda _: "the row is never in effect; write a time after `from`")
    order, keys, starts_us = in_order(account, targets.of_row, from_us, targets.count)
    same = keys[1:] // len(starts_us) == keys[:-1] // len(starts_us)
    for at in np.flatnonzero(same & (until_us[order][:-1] > from_us[order][1:])).tolist():
        earlier, later = sorted((int(order[at]), int(order[at + 1])))
        read.wrong(later, "from", f"overlaps line {read.line(earlier)}; end one row where the other begins")
    if len(fields.problems.found) > found:
        return book
    variants = variants_of(read, book.rules, tier_lists, targets.rules_of(book), targets.of_row)
    numbers = [{rule.id: rule.id for rule in book.rules}, {rule.id: rule.group for rule in book.rules}]
    of_rule, of_group = (
        np.array([known.get(names[rule.id], MISSING) for rule in book.rules], dtype=np.int32)
        for names, known in zip(numbers, (targets.rules, targets.groups), strict=True)
    )
    contracts = Contracts(
        file=read.path,
        accounts=accounts,
        target_of_rule=of_rule,
        target_of_group=of_group,
        targets=targets.count,
        starts_us=starts_us,
        keys=keys,
        by_key=rows_by_key(keys, len(accounts) * targets.count * len(starts_us), len(starts_us)),
        until_us=until_us[order],
        lines=read.lines[order],
        price=price.units.take(order),
        priced=price.filled[order],
        kept=_kept(discount.units.take(order)) if discount.filled.any() else None,
        minimum=minimum.units.take(order),
        committed=minimum.filled[order],
        terms=variants.terms[order],
        variants=variants.numbers,
    )
    return attrs.evolve(book, contracts=contracts, variants=variants.rules)


def _accounts(read: List) -> tuple[dict[str, int], Int32s]:
    numbers: dict[str, int] = {}
    codes = []
    for row, name in enumerate(read.column("account")):
        if name not in numbers and not is_account(name):
            read.wrong(row, "account", f"{quoted(name)} is not an account; {ACCOUNT_WANTED}")
        codes.append(numbers.setdefault(name, len(numbers)))
    return numbers, np.array(codes, dtype=np.int32)


def _targets(read: List, book: Book) -> _Targets:
    rules, groups = {rule.id: None for rule in book.rules}, dict.fromkeys(book.groups)
    numbers: dict[tuple[str, str], int] = {}
    codes = []
    for row, pair in enumerate(zip(read.column("rule"), read.column("group"), strict=True)):
        if pair not in numbers:
            numbers[pair] = len(numbers)
            rule, group = pair
            if bool(rule) == bool(group):
                read.wrong(row, "rule", "must name either a rule or a group; fill one of the two cells")
            elif rule and rule not in rules:
                read.wrong(row, "rule", f"{quoted(rule)} is no rule of the book; {nearest(rule, [*rules])}")
            elif group and group not in groups:
                read.wrong(row, "group", f"{quoted(group)} is no group of the book; {nearest(group, [*groups])}")
        codes.append(numbers[pair])
    return _Targets(
        {rule: number for (rule, _), number in numbers.items() if rule},
        {group: number for (_, group), number in numbers.items() if group},
        np.array(codes, dtype=np.int64),
    )


def _instants(read: List, column: str, absent: int) -> Int64s:
    instants: dict[str, int] = {"": absent}
    found = []
    for row, text in enumerate(read.column(column)):
        instant = instants.get(text)
        if instant is None:
            known = instant_of(text)
            if known is None:
                read.wrong(row, column, f"{quoted(text)} is not a date; {INSTANT_WANTED}")
            instant = instants[text] = absent if known is None else known
        found.append(instant)
    return np.array(found, dtype=np.int64)


def _numbers(read: List, column: str, kind: NumberKind) -> Numbers:
    numbers = numbers_of(read.cells(column), kind)
    for row, fault in numbers.faults:
        read.wrong(row, column, fault)
    return numbers


def _kept(discount: Decimals) -> Decimals:
    """Return the share that a discount in percent leaves."""
    whole = _WHOLE_PERCENT * 10**discount.scale
    return Decimals(whole - discount.units, discount.scale + 2)


def _refuse(read: List, column: str, wrong: Bools, message: Callable[[int], str]) -> None:
    for row in np.flatnonzero(wrong).tolist():
        read.wrong(row, column, message(row))


def _is_one_number(rule: Rule) -> bool:
    """Tell whether a rule's price is a number that another could replace; a percentage with a fee is two."""
    price = rule.price
    return isinstance(price, _ONE_NUMBER) and not (isinstance(price, Percentage) and price.fixed)


def _check_cells(
    read: List, book: Book, targets: _Targets, price: Numbers, discount: Numbers, minimum: Numbers
) -> None:
    """Note rows that say nothing, and what cannot be said of their rule or group."""
    by_id = {rule.id: rule for rule in book.rules}
    takes_price = np.zeros(targets.count, dtype=bool)
    for name, number in targets.rules.items():
        takes_price[number] = _is_one_number(by_id[name])
    is_group = np.zeros(targets.count, dtype=bool)
    is_group[[*targets.groups.values()]] = True
    of_row = targets.of_row
    own_tiers = np.array([bool(name) for name in read.column("tiers")], dtype=bool)
    nothing = ~price.filled & ~discount.filled & ~minimum.filled & ~own_tiers
    _refuse(
        read, "discount", nothing, lambda _: "the row changes nothing; write a price, a discount, tiers or a minimum"
    )
    too_much = (discount.units.units > _WHOLE_PERCENT * 10**discount.units.scale).astype(bool)
    _refuse(read, "discount", too_much, lambda _: "is more than 100 percent; write a part of the price")
    _refuse(
        read,
        "price",
        price.filled & is_group[of_row],
        lambda _: "a group's rules count different things; write a row for each rule, or a discount",
    )
    names = read.column("rule")
    _refuse(
        read,
        "price",
        price.filled & ~is_group[of_row] & ~takes_price[of_row],
        lambda row: f"the price of {quoted(names[row])} is not one number that another could replace; write a discount",
    )


def _check_minimums(read: List, book: Book, minimum: Numbers) -> None:
    """Note commitments to what no period adds up, or beyond what a period may cost."""
    by_id, rules = {rule.id: rule for rule in book.rules}, read.column("rule")
    for row in np.flatnonzero(minimum.filled).tolist():
        if not rules[row]:
            read.wrong(row, "minimum", "a group's rules are added up one by one; write a row for each rule")
        elif (rule := by_id.get(rules[row])) is not None:
            fault = minimum_fault(rule, int(minimum.units.units[row]) * 10 ** (PICO_PLACES - minimum.units.scale))
            if fault is not None:
                read.wrong(row, "minimum", fault)


def _check_tiers(read: List, book: Book, targets: _Targets, tier_lists: TierLists, dated: Bools) -> None:
    """Note own tiers that the book does not have, that its rule has no use for, or whose day would never come."""
    by_id = {rule.id: rule for rule in book.rules}
    rules, names = read.column("rule"), read.column("tiers")
    for row in [row for row, name in enumerate(names) if name]:
        if names[row] not in tier_lists:
            known = nearest(names[row], [*tier_lists]) if tier_lists else "name them in the book, `tiers: {NAME: [..]}`"
            read.wrong(row, "tiers", f"{quoted(names[row])} are no tiers of the book; {known}")
        elif not rules[row]:
            read.wrong(row, "tiers", "a group's rules count different things; write a row for each rule")
        elif not takes_tiers(by_id[rules[row]]):
            read.wrong(row, "tiers", f"{quoted(rules[row])} has no tiers of unit prices; write a price or a discount")
    ever = np.zeros(targets.count, dtype=bool)
    for name, number in targets.rules.items():
        per = by_id[name].per
        counts = isinstance(by_id[name].price, CumulativePrice)
        ever[number] = counts and per is not None and per.unit is Unit.EVER
    _refuse(
        read,
        "from",
        ever[targets.of_row] & dated,
        lambda row: (
            f"{quoted(rules[row])} counts for ever, so that no period could start then; leave from and until empty"
        ),
    )


def _check_accounts(read: List, book: Book, targets: _Targets, names: Sequence[str], account: Int32s) -> None:
    """Note rows that could never be in effect, since another account pays or the account has another currency."""
    if not targets.rules:
        return
    by_id = {rule.id: rule for rule in book.rules}
    currencies = {currency: i for i, currency in enumerate(dict.fromkeys(rule.currency for rule in book.rules))}
    of_target = np.full(targets.count, MISSING, dtype=np.int32)
    to_parent = np.zeros(targets.count, dtype=bool)
    for name, number in targets.rules.items():
        of_target[number] = currencies[by_id[name].currency]
        to_parent[number] = by_id[name].charge_parent
    of_account = np.array([currencies.get(book.currency_of(name), MISSING) for name in names], dtype=np.int32)
    wanted = of_target[targets.of_row]
    rules = read.column("rule")
    _refuse(
        read,
        "rule",
        (wanted != MISSING) & (wanted != of_account[account]),
        lambda row: (
            f"{quoted(rules[row])} is in {by_id[rules[row]].currency}, but {quoted(names[account[row]])} in "
            f"{book.currency_of(names[account[row]])}; name a rule in that currency"
        ),
    )
    if book.accounts is None or not to_parent.any():
        return
    payers = [book.accounts.payer_of(name) for name in names]
    pays = np.array([name == payer for name, payer in zip(names, payers, strict=True)], dtype=bool)
    _refuse(
        read,
        "account",
        to_parent[targets.of_row] & ~pays[account],
        lambda row: (
            f"{quoted(rules[row])} charges {quoted(payers[account[row]])} for {quoted(names[account[row]])}; write the "
            "contract of who pays"
        ),
    )
