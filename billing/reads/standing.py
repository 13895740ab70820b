"""Standing: what an account was charged, what it was credited, and what the one has paid of the other.

Owns the selects over credits and over what grants draw from, and the sums. Must not know how connections are made.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
import msgspec
from sqlalchemy import Connection, func, literal, select, union_all

from billing.credit import Kind
from billing.errors import BillingError
from billing.exact import EXACT, of_pico, pico_of
from billing.keyset import PLACES_MAX, at_places
from billing.limits import CREDITS_MAX
from billing.moment import HOUR_SECONDS, TIME_US_MAX
from billing.reads.balance import Balance, read_balances
from billing.schema import credits as credit_table
from billing.schema import rollups
from rules.book import Rollup
from rules.burndown import HOUR_US, Charged, Grant, drawn, edges

_SPANS_MAX: Final = 100  # of one statement: SQLite takes 500 selects in one, and its text must not grow with grants
_END_HOUR: Final = TIME_US_MAX // HOUR_US
_ZERO: Final = Decimal(0)


class UntoldError(BillingError):
    """What grants have paid cannot be told; charged and credited can."""


@attrs.frozen
class CreditFact:
    """A credit as a shard has it: Decimals in currency units; expires_us None: never; products: () is any."""

    id: str
    time_us: int
    kind: Kind
    currency: str
    amount: Decimal
    cost: Decimal
    priority: int
    expires_us: int | None
    products: tuple[str, ...]

    @property
    def grant(self) -> Grant:
        """Return what the burn-down knows of a grant."""
        amount = pico_of(self.amount)
        scope = frozenset(self.products)
        return Grant(self.id, self.time_us, amount, scope, self.priority, self.expires_us, is_free=not self.cost)


@attrs.frozen
class Drawn:
    """A credit, and what became of it: amount = drawn + expired + remaining."""

    credit: CreditFact
    drawn: Decimal
    expired: Decimal
    remaining: Decimal


class Standing(msgspec.Struct, frozen=True):
    """An account in one currency; amounts in currency units.

    charged = drawn + due, due below 0 where refunds exceed charges; credited = drawn + expired + remaining; granted:
    the part of credited that are grants, the rest are payments. credits: in the order of their times.
    """

    currency: str
    events: int
    charged: Decimal
    credited: Decimal
    granted: Decimal
    drawn: Decimal
    expired: Decimal
    remaining: Decimal
    due: Decimal
    credits: Sequence[Drawn]


class Pieces(msgspec.Struct, frozen=True):
    """What one shard has of an account, of one moment.

    edges: those that charges are added up between; charges: empty where there are no grants to pay them.
    """

    balances: Sequence[Balance]
    credits: Sequence[CreditFact]
    edges: tuple[int, ...]
    charges: Sequence[Charged]

    @property
    def edges_of_credits(self) -> tuple[int, ...]:
        """The edges that the grants among these credits have."""
        return edges(one.grant for one in self.credits if one.kind is Kind.GRANT)


def read_pieces(
    connection: Connection,
    account: str,
    slots: Sequence[int],
    rollup: Rollup | None,
    between: tuple[int, ...] | None,
) -> Pieces:
    """Read what one shard has of an account, within the snapshot of one connection.

    rollup: by which charges are told apart, None if the book has none; between: edges that grants on other shards
    have, None if those of this one are all. Raises UntoldError.
    """
    found = live(_read_credits(connection, account, slots))
    own = edges(one.grant for one in found if one.kind is Kind.GRANT) if between is None else between
    charges: list[Charged] = []
    if own:
        if rollup is None:
            raise UntoldError("the account has grants, which need a rollup by product, every hour; add one to the book")
        charges = list(_read_charges(connection, account, slots, rollup, own))
    return Pieces(read_balances(connection, account, slots), found, own, charges)


def credited_places(connection: Connection, places: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
    """Return those of many (slot, account) on one shard that have credits."""
    return {
        (row.slot, row.account)
        for start in range(0, len(places), PLACES_MAX)
        for row in connection.execute(
            *at_places(connection.dialect.name, credit_table, places[start : start + PLACES_MAX])
        )
    }


def _read_credits(connection: Connection, account: str, slots: Sequence[int]) -> list[Any]:
    table = credit_table.c
    query = select(credit_table).where(table.slot.in_(slots), table.account == account)
    rows = connection.execute(query.order_by(*credit_table.primary_key).limit(CREDITS_MAX + 1)).all()
    if len(rows) > CREDITS_MAX:
        raise UntoldError(f"the account has more than {CREDITS_MAX} credits; what they paid is told up to that number")
    return list(rows)


def live(rows: Iterable[Any]) -> list[CreditFact]:
    """Return the credits that no void has taken back; rows: of `credits`."""
    found = list(rows)
    voided = {(row.slot, row.day, row.event) for row in found if row.line < 0}
    return [
        CreditFact(
            row.event, row.time_us, Kind(row.kind), row.currency, row.amount, row.cost, row.priority, row.expires_us,
            tuple(msgspec.json.decode(row.products)) if row.products else (),
        )
        for row in found
        if row.line >= 0 and (row.slot, row.day, row.event) not in voided
    ]  # fmt: skip


def _read_charges(
    connection: Connection, account: str, slots: Sequence[int], rollup: Rollup, between: Sequence[int]
) -> Iterator[Charged]:
    """Add up what was charged between edges, by product; the server adds, so that few rows come."""
    table = rollups.c
    adds = func.decimal_sum if connection.dialect.name == "sqlite" else func.sum
    spans = list(itertools.pairwise((0, *between, _END_HOUR)))
    for first in range(0, len(spans), _SPANS_MAX):
        queries = [
            select(literal(start), table.dims, adds(table.amount, type_=table.amount.type))
            .where(
                table.slot.in_(slots),
                table.account == account,
                table.rollup == rollup.name,
                table.bucket >= start * HOUR_SECONDS,
                table.bucket < stop * HOUR_SECONDS,
            )
            .group_by(table.dims)
            for start, stop in spans[first : first + _SPANS_MAX]
        ]
        for start, dims, amount in connection.execute(union_all(*queries)):
            yield Charged(start, _product(dims, rollup), pico_of(Decimal(amount)))


def _product(dims: str, rollup: Rollup) -> str:
    values: list[str | None] = msgspec.json.decode(dims)
    return str(values[rollup.by.index("product")]) if len(values) == len(rollup.by) else ""


def standings(pieces: Sequence[Pieces], currency: str, at_us: int) -> list[Standing]:
    """Return an account's standing in each currency that it was charged or credited in, or in its own.

    pieces: of all shards that it is on, added up between the same edges; currency: its own, in which grants pay; at_us:
    now, microseconds since 1970-01-01 UTC, by which grants have expired. Raises UntoldError.
    """
    if len(pieces) == 1 and not (pieces[0].credits or pieces[0].edges):
        return _uncredited(pieces[0].balances, currency)
    credits_of: dict[str, list[CreditFact]] = {}
    charged: dict[str, Decimal] = {}
    events: dict[str, int] = {}
    for piece in pieces:
        for one in piece.balances:
            charged[one.currency] = EXACT.add(charged.get(one.currency, _ZERO), one.amount)
            events[one.currency] = events.get(one.currency, 0) + one.events
        for credit in piece.credits:
            credits_of.setdefault(credit.currency, []).append(credit)
    charges = [one for piece in pieces for one in piece.charges]
    if any(piece.edges for piece in pieces):
        total = sum(one.amount_pico for one in charges)
        if total != pico_of(charged.get(currency, _ZERO)):
            raise UntoldError("the rollup that grants are drawn by and the balance differ; run billing audit")
    return [
        _standing(
            one,
            events.get(one, 0),
            charged.get(one, _ZERO),
            credits_of.get(one, []),
            charges * (one == currency),
            at_us,
        )
        for one in sorted(charged.keys() | credits_of.keys() or {currency})
    ]


def _uncredited(balances: Sequence[Balance], currency: str) -> list[Standing]:
    """Return the standing of an account on one shard that owes what it was charged, as most do."""
    if not balances:
        return [_charged(currency, 0, _ZERO)]
    told = [_charged(one.currency, one.events, one.amount) for one in balances]
    told.sort(key=lambda one: one.currency)
    return told


def _charged(currency: str, events: int, amount: Decimal) -> Standing:
    return Standing(currency, events, amount, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, amount, ())


def _standing(
    currency: str, events: int, charged: Decimal, credits_of: list[CreditFact], charges: Sequence[Charged], at_us: int
) -> Standing:
    if not credits_of:
        return _charged(currency, events, charged)
    credits_of.sort(key=lambda one: (one.time_us, one.id))
    grants = [one for one in credits_of if one.kind is Kind.GRANT]
    payments = [one for one in credits_of if one.kind is Kind.PAYMENT]
    paid = dict(zip(map(id, grants), drawn(charges, [one.grant for one in grants]), strict=True))
    due = pico_of(charged) - sum(paid.values())
    for one in payments:  # they pay anything, whenever it was charged, so that their order is only for the list
        paid[id(one)] = min(max(due, 0), pico_of(one.amount))
        due -= paid[id(one)]
    found = [_drawn(one, paid[id(one)], at_us) for one in credits_of]
    return Standing(
        currency=currency,
        events=events,
        charged=charged,
        credited=_added(one.credit.amount for one in found),
        granted=_added(one.amount for one in grants),
        drawn=_added(one.drawn for one in found),
        expired=_added(one.expired for one in found),
        remaining=_added(one.remaining for one in found),
        due=of_pico(due),
        credits=found,
    )


def _drawn(credit: CreditFact, paid_pico: int, at_us: int) -> Drawn:
    left = of_pico(pico_of(credit.amount) - paid_pico)
    until = credit.grant.until_hour if credit.kind is Kind.GRANT else None
    is_over = until is not None and until * HOUR_US <= at_us
    return Drawn(credit, of_pico(paid_pico), left if is_over else _ZERO, _ZERO if is_over else left)


def _added(amounts: Iterable[Decimal]) -> Decimal:
    total = _ZERO
    for one in amounts:
        total = EXACT.add(total, one)
    return total
