"""Reading cases: the file of golden cases beside a book.

Owns the format (`NAME.cases.yaml` beside `NAME.yaml`), its limits and the words of its errors.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

from rules.book import EVENT_FIELDS
from rules.cases import Case, CaseEvent, Cases, Charge
from rules.columns import PICO_PLACES
from rules.document import Mapping as MappingNode
from rules.document import Node, Problems, read_document
from rules.errors import BookError
from rules.fields import Fields
from rules.number import units_of
from rules.payer import is_account
from rules.quote import quoted

SUFFIX: Final = ".cases.yaml"
CASES_MAX: Final = 10_000  # of one file; a million checks belong in a test of their own
EVENTS_MAX: Final = 1_000  # of one case
REPEAT_MAX: Final = 100_000  # of one event: enough to walk through every tier, priced in a second
DEFAULT_ACCOUNT: Final = "acme"
DEFAULT_TIME_US: Final = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z

_REFUSALS: Final = ("no_rule", "wrong_currency", "bad_quantity", "bad_account", "bad_period", "overflow")


def beside(book: Path) -> Path:
    """Return where the cases of a book are."""
    return book.with_name(book.name.removesuffix(book.suffix) + SUFFIX)


def is_cases(path: Path) -> bool:
    """Tell whether a file is one of cases, by its name."""
    return path.name.endswith(SUFFIX)


def read_cases(path: Path) -> Cases:
    """Read a file of cases.

    Raises BookError with all its problems.
    """
    problems = Problems(path)
    root = read_document(problems)
    cases = None if root is None else _CasesReader(Fields(problems)).cases(root)
    if problems.found or cases is None:
        raise BookError(sorted(problems.found, key=lambda problem: problem.line))
    return cases


class _CasesReader:
    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def cases(self, root: Node) -> Cases | None:
        path = self._fields.problems.path
        entries = self._fields.mapping(root, ["cases"], ["book"])
        if entries is None:
            return None
        named = self._fields.text(entries["book"]) if "book" in entries else path.name.removesuffix(SUFFIX) + ".yaml"
        names: set[str] = set()
        items = self._fields.items(entries["cases"], CASES_MAX)
        if not items:
            self._fields.wrong(entries["cases"], "has no case; add one")
        read = [self._case(item, names) for item in items]
        return None if named is None else Cases(path, path.parent / named, tuple(case for case in read if case))

    def _case(self, node: Node, names: set[str]) -> Case | None:
        entries = self._fields.mapping(node, ["case", "events"], ["source", "total"])
        if entries is None:
            return None
        name = self._fields.text(entries["case"])
        if name in names:
            self._fields.wrong(entries["case"], f"the case {quoted(name)} exists already; rename one")
        source = self._fields.text(entries["source"]) if "source" in entries else None
        total_pico = self._pico(entries["total"]) if "total" in entries else None
        items = self._fields.items(entries["events"], EVENTS_MAX)
        if not items:
            self._fields.wrong(entries["events"], "has no event; add one")
        events = [self._event(item, has_total="total" in entries) for item in items]
        if name is None:
            return None
        names.add(name)
        return Case(node, name, source, tuple(event for event in events if event), total_pico)

    def _event(self, node: Node, *, has_total: bool) -> CaseEvent | None:
        optional = ["account", "time", "quantity", "attributes", "repeat", "charges", "refused"]
        entries = self._fields.mapping(node, ["product"], optional)
        if entries is None:
            return None
        product = self._fields.text(entries["product"])
        account = self._account(entries["account"]) if "account" in entries else DEFAULT_ACCOUNT
        time_us = self._fields.instant_us(entries["time"]) if "time" in entries else DEFAULT_TIME_US
        quantity = self._quantity(entries["quantity"]) if "quantity" in entries else Decimal(1)
        repeat = self._fields.integer(entries["repeat"], 1, REPEAT_MAX) if "repeat" in entries else 1
        attributes = self._attributes(entries["attributes"]) if "attributes" in entries else {}
        refused = self._refused(entries["refused"]) if "refused" in entries else None
        if "charges" in entries and "refused" in entries:
            self._fields.wrong(node, "must have either charges or refused; keep one of them")
        elif "charges" not in entries and "refused" not in entries and not has_total:
            self._fields.wrong(node, "expects nothing; write its charges, refused, or a total of the case")
        charges = self._charges(entries["charges"], account or DEFAULT_ACCOUNT) if "charges" in entries else None
        if product is None or account is None or time_us is None or quantity is None or repeat is None:
            return None
        return CaseEvent(node, account, product, time_us, quantity, attributes, repeat, charges, refused)

    def _quantity(self, node: Node) -> Decimal | None:
        return self._fields.decimal(node, PICO_PLACES, Decimal(0))

    def _pico(self, node: Node, least: Decimal | None = None) -> int | None:
        number = self._fields.decimal(node, PICO_PLACES, least)
        return None if number is None else units_of(number, PICO_PLACES)

    def _account(self, node: Node) -> str | None:
        text = self._fields.text(node)
        if text is not None and not is_account(text):
            self._fields.wrong(node, f"{quoted(text)} is not an account; write 1 to 64 visible ASCII characters")
            return None
        return text

    def _refused(self, node: Node) -> str | None:
        text = self._fields.text(node)
        if text is not None and text not in _REFUSALS:
            self._fields.wrong(node, f"{quoted(text)} is not a reason; write one of {', '.join(_REFUSALS)}")
        return text

    def _attributes(self, node: Node) -> Mapping[str, str]:
        if not isinstance(node, MappingNode):
            self._fields.wrong(node, "must be a mapping of attribute to text, such as {country: US}")
            return {}
        for name in EVENT_FIELDS:
            if name in node.entries:
                self._fields.wrong(node.entries[name], "is a field of every event; write it beside attributes")
        texts = {name: self._fields.text(value) for name, value in node.entries.items()}
        return {name: text for name, text in texts.items() if text is not None}

    def _charges(self, node: Node, account: str) -> tuple[Charge, ...]:
        charges: list[Charge] = []
        items = self._fields.items(node, EVENTS_MAX)
        if not items:
            self._fields.wrong(node, "lists no charge; write {rule: .., amount: ..}, or refused: no_rule")
        for item in items:
            entries = self._fields.mapping(item, ["rule", "amount"], ["quantity", "account"])
            if entries is None:
                continue
            rule, amount_pico = self._fields.name(entries["rule"]), self._pico(entries["amount"])
            charged = self._account(entries["account"]) if "account" in entries else account
            quantity_pico = self._pico(entries["quantity"], Decimal(0)) if "quantity" in entries else None
            if any((one.rule, one.account) == (rule, charged) for one in charges):
                self._fields.wrong(item, f"the rule {quoted(rule or '')} is listed twice; add its amounts up")
            elif rule is not None and amount_pico is not None and charged is not None:
                charges.append(Charge(charged, rule, quantity_pico, amount_pico))
        return tuple(charges)
