"""The oracle's way from a book's files to its reading: YAML and CSV that are known to be valid.

Owns the second statement of how a book is written; what it means is in `oracle_book`. Must not share code with what it
checks.
"""

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import yaml

from generators import oracle_accounts
from generators.oracle_book import (
    AMOUNT_PLACES,
    EXACT,
    Amounts,
    Book,
    Measure,
    Rollup,
    Rule,
    Test,
    UnitPrice,
    identity,
    number_of,
)
from generators.oracle_call import Call, Terms, call_of
from generators.oracle_event import Event, text_of
from generators.oracle_period import period_of
from generators.oracle_tiers import Tariff, curve_of, free_percentage

_MODES: Final = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "up": ROUND_UP, "down": ROUND_DOWN}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def load(path: Path) -> Book:
    """Return a valid book read from its YAML file and the CSV files beside it."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    groups: dict[str, list[Rule]] = {}
    for group in document["charges"]:
        currency = group.get("currency", document["currency"])
        groups.setdefault(group["group"], []).extend(_rule(rule, path.parent, currency) for rule in group["rules"])
    rollups = [
        Rollup(rollup["name"], rollup["every"], tuple(rollup.get("by") or ()))
        for rollup in document.get("rollups") or ()
    ]
    accounts = oracle_accounts.load(document, path.parent)
    return Book(document["currency"], frozenset(document.get("dimensions") or ()), [*groups.items()], rollups, accounts)


def _rule(source: dict[str, Any], folder: Path, currency: str) -> Rule:
    charge = source.get("charge") or {}
    counting = source.get("quantity") or {}
    rounding = source.get("round") or {}
    ((kind, price),) = source["price"].items()
    options = price if isinstance(price, dict) else {}
    bounds = source.get("per_period") or {}
    per = options.get("per", bounds.get("per"))
    rule = Rule(
        id=source["id"],
        conditions=[
            (name, _test(spec, is_number=name == "quantity")) for name, spec in (source.get("when") or {}).items()
        ],
        from_us=_moment_us(source.get("from")),
        until_us=_moment_us(source.get("until")),
        measure=Measure(
            of=counting.get("of"),
            round_up_to=_optional(counting.get("round_up_to")),
            per=_decimal(counting.get("per", 1)),
            minimum=_optional(counting.get("minimum")),
        ),
        share_of=options.get("of"),
        is_per_unit=kind != "flat" and "of" not in options,
        price=_price(kind, price, folder),
        fixed=_decimal(options.get("fixed", 0)),
        step=Decimal(1).scaleb(-rounding.get("places", AMOUNT_PLACES)),
        mode=_MODES[rounding.get("mode", "half_even")],
        minimum=_optional(source.get("minimum")),
        maximum=_optional(source.get("maximum")),
        payer=charge.get("attribute"),
        to_parent=charge.get("parent", False),
        currency=currency,
        period_of=None if per is None else period_of(per),
        tariff=None,
    )
    return (
        rule
        if per is None
        else attrs.evolve(
            rule,
            tariff=_tariff(rule, kind, options, _optional(bounds.get("maximum"))),
            per=per,
            least=_optional(bounds.get("minimum")),
        )
    )


def _tariff(rule: Rule, kind: str, price: dict[str, Any], cap: Decimal | None) -> Tariff:
    if "per" not in price:
        return Tariff(identity, None, identity, None, None, cap)
    if kind == "percentage":
        return Tariff(None, free_percentage(price), rule.rounded, rule.minimum, rule.maximum, cap)
    return Tariff(curve_of(kind, price), None, rule.rounded, rule.minimum, rule.maximum, cap, kind)


def _decimal(value: int | str) -> Decimal:
    return Decimal(str(value))


def _optional(value: int | str | None) -> Decimal | None:
    return None if value is None else _decimal(value)


def _moment_us(value: date | str | None) -> int | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _test(spec: Any, *, is_number: bool) -> Test:  # noqa: ANN401 - whatever YAML holds
    if isinstance(spec, dict):
        tests = [_keyed_test(key, value, is_number=is_number) for key, value in spec.items()]
        return lambda field: all(test(field) for test in tests)
    wanted = {_decimal(one) if is_number else str(one) for one in (spec if isinstance(spec, list) else [spec])}
    return lambda field: field in wanted


def _keyed_test(key: str, value: Any, *, is_number: bool) -> Test:  # noqa: ANN401 - whatever YAML holds
    match key:
        case "not":
            inner = _test(value, is_number=is_number)
            return lambda field: not inner(field)
        case "exists":
            return lambda field: (field is not None) == value
        case "prefix":
            prefixes = tuple(map(str, value)) if isinstance(value, list) else str(value)
            return lambda field: field is not None and field.startswith(prefixes)
        case "min":
            low = _decimal(value)
            return lambda field: (number := _as_number(field)) is not None and number >= low
        case "max":
            high = _decimal(value)
            return lambda field: (number := _as_number(field)) is not None and number < high
        case _:
            raise AssertionError(f"a valid book has no condition {key}")


def _as_number(field: str | Decimal | None) -> Decimal | None:
    return number_of(field) if isinstance(field, str) else field


def _price(kind: str, source: Any, folder: Path) -> UnitPrice:  # noqa: ANN401 - whatever YAML holds
    match kind:
        case "per_unit" | "flat":
            amount = _decimal(source)
            return lambda _event, _amounts: amount
        case "percentage":
            rate = Decimal(1) if "per" in source else _decimal(source["rate"])
            if "of" not in source:
                return lambda _event, _amounts: rate
            group = source["of"]
            return lambda _event, amounts: EXACT.multiply(amounts[group], rate) if group in amounts else None
        case "graduated_percentage" if "of" in source:
            return lambda _event, amounts: amounts.get(source["of"])
        case "graduated" | "graduated_percentage" | "volume" | "package" | "allowance":
            return lambda _event, _amounts: Decimal(0)  # what it costs is settled later
        case "table" | "call":
            return _table_price(source, folder) if kind == "table" else _call_price(source, folder)
        case _:
            raise AssertionError(f"a valid book has no price {kind}")


def _table_price(source: dict[str, Any], folder: Path) -> UnitPrice:
    rows = _rows(folder / source["file"])
    return _row_price(source, rows, [_cell(row[source["column"]]) for row in rows])


def _call_price(source: dict[str, Any], folder: Path) -> UnitPrice:
    terms, table = Terms.of(source), source.get("table")
    if table is None:
        call = call_of(terms, source)
        return lambda _event, _amounts: call
    rows = _rows(folder / table["file"])
    return _row_price(table, rows, [terms.call_of_row(table, row) for row in rows])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _row_price(
    source: dict[str, Any], rows: list[dict[str, str]], prices: Sequence[Decimal | Call | None]
) -> UnitPrice:
    """Return the price of the row that an event's texts choose."""
    if "key" in source:
        names = source["key"]
        by_key: dict[tuple[object, ...], Decimal | Call | None] = {
            tuple(row[name] for name in names): price for row, price in zip(rows, prices, strict=True)
        }
        return lambda event, _: by_key.get(tuple(text_of(event, name) for name in names))
    cells = {row["prefix"]: price for row, price in zip(rows, prices, strict=True)}
    lengths = sorted(set(map(len, cells)), reverse=True)

    def price(event: Event, _: Amounts) -> Decimal | Call | None:
        text = text_of(event, source["longest_prefix"])
        if text is None:
            return None
        return next(
            (cells[text[:length]] for length in lengths if len(text) >= length and text[:length] in cells), None
        )

    return price


def _cell(text: str) -> Decimal | None:
    return Decimal(text) if text else None
