"""Telling: what was read of an account, as answers have it.

Owns how decimals, times and kept attributes are written. Must not know where they come from.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from billing.moment import SECOND_US
from billing.reads.answers import AsOf, BalanceAnswer, BalanceOf, CreditOf, Line, UsageOf, exact, moment
from billing.reads.standing import Drawn, Standing
from billing.reads.statement import RecordedLine, event_and_origin
from billing.reads.usage import UsageSum

_NONE: Final = exact(Decimal(0))


def balance_answer(
    account: str, told: Sequence[Standing], fresh: list[AsOf], version: int, *, consistent: bool
) -> BalanceAnswer:
    """Return an account's answer from its standing in each currency."""
    return BalanceAnswer(account, list(map(balance_of, told)), credits_of(told), fresh, version, consistent)


def credits_of(told: Iterable[Standing]) -> list[CreditOf]:
    """Tell the credits of each currency."""
    return [credit_of(one) for standing in told for one in standing.credits]


def balance_of(one: Standing) -> BalanceOf:
    """Tell a standing."""
    charged = exact(one.charged)
    if not one.credits:  # as of most accounts
        return BalanceOf(one.currency, charged, one.events, charged, _NONE, _NONE, _NONE, _NONE, _NONE, charged)
    amounts = (one.charged, one.credited, one.granted, one.drawn, one.expired, one.remaining, one.due)
    return BalanceOf(one.currency, charged, one.events, *map(exact, amounts))


def credit_of(one: Drawn) -> CreditOf:
    """Tell a credit and what became of it."""
    credit = one.credit
    return CreditOf(
        id=credit.id,
        kind=credit.kind.value,
        time=moment(credit.time_us),
        currency=credit.currency,
        amount=exact(credit.amount),
        cost=exact(credit.cost),
        priority=credit.priority,
        expires=None if credit.expires_us is None else moment(credit.expires_us),
        products=list(credit.products),
        drawn=exact(one.drawn),
        expired=exact(one.expired),
        remaining=exact(one.remaining),
    )


def usage_of(one: UsageSum, by: Sequence[str]) -> UsageOf:
    """Tell one bucket; by: the names of its dimensions."""
    dims = dict(zip(by, one.dims, strict=True))
    return UsageOf(moment(one.bucket * SECOND_US), dims, one.events, exact(one.quantity), exact(one.amount))


def line_of(line: RecordedLine) -> Line:
    """Tell a recorded line."""
    event, origin = event_and_origin(line.event)
    return Line(
        day=line.day,
        event=event,
        line=line.line,
        time=moment(line.time_us),
        origin=origin,
        product=line.product,
        rule=line.rule,
        currency=line.currency,
        quantity=exact(line.quantity),
        amount=exact(line.amount),
        book_version=line.book_version,
        attributes=_texts(line.kept) if line.kept else {},
    )


def _texts(kept: str) -> dict[str, str]:
    """Read what a record keeps: attributes, which are texts, or a credit's terms, some of them numbers or lists."""
    values: dict[str, object] = msgspec.json.decode(kept)
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in values.items()
    }
