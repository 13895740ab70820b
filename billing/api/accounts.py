"""Accounts: balances, usage, transactions and their explanation.

Owns these routes. Which accounts a caller sees is decided in `access` before a handler runs.
"""

import csv
import io
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, unquote, urlencode

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody, PathParameter, QueryParameter

from billing.adapters.many import balances_answer
from billing.adapters.reads import BadRequestError, NotRecordedError, PageQuery, Reads, UsageQuery
from billing.api import examples
from billing.api.access import account_of, needs, note
from billing.api.asked import ERRORS, SLOW_ERRORS, Name, Origin, Since, Until, span_of, wanted_of
from billing.api.freshness import tagged, want_for_account, want_of
from billing.api.insight import charged
from billing.api.problem import problems
from billing.config.api_settings import ApiLimits
from billing.keys import Caller, Scope
from billing.reads.answers import (
    AccountError,
    BalanceAnswer,
    BalancesAnswer,
    ExplainAnswer,
    Line,
    TransactionsAnswer,
    UsageAnswer,
)
from billing.reads.explained import UndecodableError
from billing.reads.freshness import Want
from rules.book import Every


class BalancesRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Accounts to look up."""

    accounts: Annotated[list[str], msgspec.Meta(min_length=1, max_length=10_000, examples=[["acme", "globex"]])]


@get(
    "/balance",
    responses=problems(*ERRORS) | examples.of(BalanceAnswer) | examples.UNCHANGED,
    summary="Balance",
    operation_id="balance",
)
async def balance(
    account: NamedDependency[str], want: NamedDependency[Want], state: State, request: Request[Any, Any, State]
) -> Response[BalanceAnswer]:
    """Return what an account owes, by currency, exactly; zero for one that was never charged.

    With `If-None-Match`, 304 tells that the balances are still the same; `billing-position` tells up to where.
    """
    reads: Reads = state["reads"]
    return tagged(request, await reads.balance(account, want))


@get("/usage", responses=problems(*SLOW_ERRORS) | examples.of(UsageAnswer), summary="Usage", operation_id="usage")
async def usage(
    account: NamedDependency[str],
    want: NamedDependency[Want],
    state: State,
    rollup: Name = None,
    every: Annotated[
        Literal["hour", "day", "month"] | None, QueryParameter(description="The length of a bucket.")
    ] = None,
    by: Annotated[str | None, QueryParameter(max_length=1_024, description="Dimensions, with commas between.")] = None,
    since: Since = None,
    until: Until = None,
    fill: Annotated[bool, QueryParameter(description="Add buckets without usage.")] = False,  # noqa: FBT002 - no flag
) -> UsageAnswer:
    """Return an account's usage in buckets of time, with its total; of a rollup, or of the one that fits.

    Buckets that begin within `from` and `to` are in it, by default the last 7 days by hour, 92 by day, ten years by
    month; `fill` adds buckets without usage.
    """
    reads: Reads = state["reads"]
    length = Every(every) if every else reads.every_of(rollup)
    span = span_of(since, until, length, state["limits"])
    dims = None if by is None else tuple(filter(None, by.split(",")))
    return await reads.usage(account, UsageQuery(rollup, Every(every) if every else None, dims, span, fill), want)


@get(
    "/transactions",
    responses=problems(*SLOW_ERRORS) | examples.of(TransactionsAnswer),
    summary="Transactions",
    operation_id="transactions",
    operation_class=examples.PageAnswer,
)
async def transactions(
    account: NamedDependency[str],
    want: NamedDependency[Want],
    state: State,
    request: Request[Any, Any, State],
    since: Since = None,
    until: Until = None,
    product: Name = None,
    rule: Name = None,
    event: Name = None,
    origin: Origin = None,
    limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 100,
    cursor: Annotated[
        str | None, QueryParameter(max_length=400, description="`next` of the page before; None is the newest.")
    ] = None,
    form: Annotated[Literal["json", "csv"], QueryParameter(name="format")] = "json",
) -> Response[TransactionsAnswer | str]:
    """Return an account's lines, newest day first, a page at a time, whatever its number.

    As CSV, the next page is named by the header `link`.
    """
    reads: Reads = state["reads"]
    limits: ApiLimits = state["limits"]
    if limit > limits.page_rows_max:
        raise BadRequestError(f"limit: {limit} is too many; write at most {limits.page_rows_max}")
    wanted = wanted_of(since, until, product, rule, event, origin)
    answer = await reads.transactions(account, PageQuery(wanted, limit, cursor), want)
    headers = {"cache-control": "private, no-cache"}
    if answer.next is not None:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        path = f"/v1/accounts/{quote(account, safe='')}/transactions?{urlencode([*query, ('cursor', answer.next)])}"
        headers["link"] = f'<{path}>; rel="next"'
    if form == "csv":
        return Response(_csv(answer), media_type="text/csv", headers=headers)
    return Response(answer, headers=headers)


@get(
    "/transactions/{event_id:str}/explain",
    responses=problems(*SLOW_ERRORS) | examples.of(ExplainAnswer),
    summary="Explain a charge",
    operation_id="explain",
)
async def explain(
    account: NamedDependency[str],
    event_id: Annotated[str, PathParameter(description="The event's id.")],
    want: NamedDependency[Want],
    state: State,
    origin: Origin = None,
    since: Since = None,
    until: Until = None,
) -> ExplainAnswer:
    """Return what an event charged an account, as recorded, and by which rules of the book.

    `from` and `to` make it quick for an account with many lines: the event's day, for example.
    """
    reads: Reads = state["reads"]
    wanted = wanted_of(since, until, None, None, unquote(event_id), origin)
    return await reads.explain(account, unquote(event_id), origin, wanted, want)


@post(
    "/explain",
    status_code=200,
    responses=problems(*ERRORS, 413, 422) | examples.of_body("What the event would be charged, rule by rule"),
    summary="Explain an event",
    operation_id="explainEvent",
    operation_class=examples.EventBody,
)
async def explain_event(
    account: NamedDependency[str], request: Request[Any, Any, State], state: State
) -> dict[str, Any]:
    """Return what an event of this account would be charged by the book in force: rules tried, steps, rows.

    Nothing is written. Cumulative prices are told as for an account that has used nothing before.
    """
    reads: Reads = state["reads"]
    try:
        told = reads.explain_event(await request.body())
    except UndecodableError as error:
        raise BadRequestError(str(error)) from error
    if told.account != account:
        raise NotRecordedError("the event is of another account")
    found: dict[str, Any] = msgspec.to_builtins(told)
    return found


@post(
    "/v1/balances",
    status_code=200,
    opt=needs(Scope.READ),
    responses=problems(400, 401, 403, 413, 429, 503) | examples.of(BalancesAnswer, 200, 207),
    summary="Balances of many accounts",
    operation_id="balances",
)
async def balances(
    data: JSONBody[BalancesRequest], want: NamedDependency[Want], state: State, request: Request[Any, Any, State]
) -> Response[BalancesAnswer]:
    """Return balances of many accounts at once; 207 where some could not be read, each with the reason."""
    reads: Reads = state["reads"]
    limits: ApiLimits = state["limits"]
    caller: Caller = request.scope["user"]
    if len(data.accounts) > limits.balances_accounts_max:
        raise BadRequestError(
            f"accounts: {len(data.accounts)} are too many; write at most {limits.balances_accounts_max}"
        )
    seen, foreign = [], []
    for one in data.accounts:
        if caller.sees(one):
            seen.append(one)
        else:
            foreign.append(AccountError(one, 404, "no such account for this key"))
    if any(map(caller.needs_power, seen)):
        note(request)
    answer = await balances_answer(reads, seen, want)
    answer = msgspec.structs.replace(answer, errors=[*answer.errors, *foreign])
    return Response(answer, status_code=207 if answer.errors else 200)


ACCOUNTS: Final = Router(
    "/v1/accounts/{account_id:str}",
    route_handlers=[balance, usage, charged, transactions, explain, explain_event],
    opt=needs(Scope.READ),
    dependencies={
        "account": Provide(account_of, sync_to_thread=False),
        "want": Provide(want_for_account, sync_to_thread=False),
    },
    tags=["accounts"],
)
BALANCES: Final = Router(
    "/",
    route_handlers=[balances],
    dependencies={"want": Provide(want_of, sync_to_thread=False)},
    tags=["accounts"],
)


def _csv(answer: TransactionsAnswer) -> str:
    text = io.StringIO()
    names = [name for name in Line.__struct_fields__ if name != "attributes"]
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow([*names, "attributes"])
    for line in answer.transactions:
        attributes = msgspec.json.encode(line.attributes).decode()
        writer.writerow([*(getattr(line, name) for name in names), attributes])
    return text.getvalue()
