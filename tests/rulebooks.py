"""Small books and events for tests: written as YAML and dictionaries, read back as plain values."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from rules.book import Book
from rules.columns import MISSING, Coded, Counter, Decimals, Priced, Usage
from rules.cumulative import Used, settle
from rules.load import load
from rules.number import units_of
from rules.pricer import Pricer

TIME_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z

HEAD = "book: test\nversion: 1\ncurrency: USD\n"

Line = tuple[int, str, str, str, str]  # event, rule, account, quantity, amount


def book_of(folder: Path, charges: str, **tables: str) -> Book:
    """Load a book made of these charges; tables are written beside it as `name.csv`."""
    for name, content in tables.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    path = folder / "book.yaml"
    path.write_text(HEAD + charges, encoding="utf-8")
    return load(path)


def rules_of(folder: Path, *rules: str, **tables: str) -> Book:
    """Load a book of one group, `usage`, with these rules in YAML's flow style; the ids are r0, r1, ..."""
    items = "".join(f"  - {{id: r{i}, {rule}}}\n" for i, rule in enumerate(rules))
    return book_of(folder, f"charges:\n- group: usage\n  rules:\n{items}", **tables)


def usage_of(book: Book, events: Iterable[Mapping[str, Any]]) -> Usage:
    """Put events into columns: account, product, time_us, quantity, and every other key an attribute."""
    rows = list(events)
    quantities = [Decimal(str(row.get("quantity", 1))) for row in rows]
    scale = max((-int(quantity.as_tuple().exponent) for quantity in quantities), default=0)
    scale = max(scale, 0)
    return Usage(
        account=Coded.of([row.get("account", "acme") for row in rows]),
        product=Coded.of([row.get("product", "sms") for row in rows]),
        time_us=np.array([row.get("time_us", TIME_US) for row in rows], dtype=np.int64),
        quantity=Decimals.of_integers([units_of(quantity, scale) for quantity in quantities], scale),
        attributes={name: Coded.of([row.get(name) for row in rows]) for name in book.attributes},
    )


def lines_of(book: Book, priced: Priced) -> list[Line]:
    """Write lines as plain values: event, rule, account, quantity, amount."""
    lines = priced.lines
    return [
        (event, book.rules[rule].id, account, plain(quantity, lines.quantity.scale), plain(amount, lines.amount.scale))
        for event, rule, account, quantity, amount in zip(
            lines.event.tolist(),
            lines.rule.tolist(),
            [str(account) for account in lines.account.rows()],
            lines.quantity.units.tolist(),
            lines.amount.units.tolist(),
            strict=True,
        )
    ]


def plain(units: int, scale: int) -> str:
    """Write `units * 10**-scale` without trailing zeros."""
    value = Fraction(units, 10**scale)
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, rest = divmod(value * 10**scale, 10**scale)
    digits = f"{int(rest):0{scale}d}".rstrip("0") if scale else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def price(book: Book, *events: Mapping[str, Any]) -> list[Line]:
    """Price events that must all be accepted."""
    priced = Pricer(book).price(usage_of(book, events))
    assert list(priced.rejects) == []
    return lines_of(book, priced)


def amounts(book: Book, *events: Mapping[str, Any]) -> list[str]:
    """Return only the amounts of events that must all be accepted."""
    return [line[4] for line in price(book, *events)]


def reasons(book: Book, *events: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """Return the rejects of events, as plain values."""
    priced = Pricer(book).price(usage_of(book, events))
    return [(reject.event, reject.reason, reject.detail) for reject in priced.rejects]


def settled(book: Book, *events: Mapping[str, Any]) -> list[Line]:
    """Price events that must all be accepted, and settle them from nothing on, in their order."""
    priced = Pricer(book).price(usage_of(book, events))
    assert list(priced.rejects) == []
    return lines_of(book, Ledger(book).charge(priced))


def settled_amounts(book: Book, *events: Mapping[str, Any]) -> list[str]:
    """Return only the amounts of settled events."""
    return [line[4] for line in settled(book, *events)]


class Ledger:
    """Counters of every account, kept as the store would keep them, from batch to batch."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.used: dict[tuple[str, str, int], tuple[Fraction, int, int]] = {}  # quantity, events, amount in pico

    def charge(self, priced: Priced) -> Priced:
        """Return the same with the amounts of lines that have a counter."""
        lines = priced.lines
        accounts = lines.account.rows()
        rows = np.flatnonzero(lines.counter != MISSING)
        keys: dict[tuple[str, Counter], int] = {}
        counter = [keys.setdefault((str(accounts[row]), lines.counters[lines.counter[row]]), len(keys)) for row in rows]
        names = [(account, self.book.counted_rules[one.rule].id, one.period) for account, one in keys]
        held = [self.used.get(name, (Fraction(0), 0, 0)) for name in names]
        before = Used(
            Decimals.of_integers([int(quantity * 10**12) for quantity, _, _ in held], 12),
            np.array([events for _, events, _ in held], dtype=np.int64),
            Decimals.of_integers([amount for _, _, amount in held], 12),
        )
        rules = np.array([one.rule for _, one in keys], dtype=np.int32)
        found = settle(self.book, rules, before, np.array(counter, dtype=np.int32), lines.use.take(rows))
        assert found.overflow is None
        for i, name in enumerate(names):
            quantity = Fraction(int(found.used.quantity.units[i]), 10**found.used.quantity.scale)
            self.used[name] = quantity, int(found.used.events[i]), int(found.used.amount.units[i])
        amount = lines.amount.units.astype(object)
        amount[rows] = found.amount.units
        return attrs.evolve(priced, lines=attrs.evolve(lines, amount=Decimals(amount, 12)))
