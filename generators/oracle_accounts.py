"""The oracle's reading of accounts and contracts: who pays, in which currency, and what instead of the book's price.

Owns a second, independent statement of those parts of the book's format, in plain `decimal` and dictionaries. Must not
share code with what it checks.
"""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final

import attrs

_EXACT: Final = Context(prec=200)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class Account:
    """One row of the table of accounts; an empty text says nothing."""

    currency: str
    parent: str


@attrs.frozen
class Contract:
    """One row of the contracts; from_us, until_us: half-open, None is no bound; None is what it leaves as it is."""

    from_us: int | None
    until_us: int | None
    price: Decimal | None
    discount: Decimal | None
    tiers: str
    minimum: Decimal | None = None  # of a period

    def reduced(self, exact: Decimal) -> Decimal:
        """Return what the discount leaves of an amount."""
        if self.discount is None:
            return exact
        return _EXACT.multiply(exact, _EXACT.divide(100 - self.discount, Decimal(100)))


@attrs.frozen(eq=False)
class Accounts:
    """What is known of accounts.

    contracts: by account, then "rule" or "group", then its name; tiers: the lists of the book, as it writes them.
    """

    currency: str
    table: Mapping[str, Account]
    contracts: Mapping[tuple[str, str, str], Sequence[Contract]]
    tiers: Mapping[str, list[dict[str, Any]]]

    def currency_of(self, account: str) -> str:
        """Return what an account is charged in."""
        row = self.table.get(account)
        return row.currency if row is not None and row.currency else self.currency

    def payer_of(self, account: str) -> str:
        """Return the account at the top of the parents."""
        row = self.table.get(account)
        return account if row is None or not row.parent else self.payer_of(row.parent)

    def contract_of(self, account: str, rule: str, group: str, time_us: int) -> Contract | None:
        """Return what is agreed with an account at a time: for the rule, or else for its group."""
        for row in (
            *self.contracts.get((account, "rule", rule), ()),
            *self.contracts.get((account, "group", group), ()),
        ):
            begun = row.from_us is None or row.from_us <= time_us
            if begun and (row.until_us is None or time_us < row.until_us):
                return row
        return None


def load(document: Mapping[str, Any], folder: Path) -> Accounts:
    """Return what a valid book's files say."""
    table = {
        row["account"]: Account(row.get("currency", ""), row.get("parent", ""))
        for row in _rows(document.get("accounts"), folder)
    }
    contracts: dict[tuple[str, str, str], list[Contract]] = {}
    for row in _rows(document.get("contracts"), folder):
        kind = "rule" if row.get("rule") else "group"
        contract = Contract(
            _moment_us(row.get("from")),
            _moment_us(row.get("until")),
            _number(row.get("price")),
            _number(row.get("discount")),
            row.get("tiers") or "",
            _number(row.get("minimum")),
        )
        contracts.setdefault((row["account"], kind, row[kind]), []).append(contract)
    return Accounts(document["currency"], table, contracts, document.get("tiers") or {})


def _rows(source: Mapping[str, str] | None, folder: Path) -> list[dict[str, str]]:
    if source is None:
        return []
    with (folder / source["file"]).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _number(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def _moment_us(text: str | None) -> int | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text.upper()) if len(text) > len("2026-01-01") else date.fromisoformat(text)
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
