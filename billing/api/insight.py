"""Insight: what the page shows beside an account's answers, for other programs too.

Owns these routes: who calls, the fleet's load, an account's charges by product and rule.
"""

from typing import Any, Final

from litestar import Request, Router, get
from litestar.datastructures import State
from litestar.di import NamedDependency

from billing.adapters.breakdown import charged_answer
from billing.adapters.load import Load
from billing.adapters.reads import Reads
from billing.api import examples
from billing.api.access import needs
from billing.api.asked import SLOW_ERRORS, Since, Until, wanted_of
from billing.api.problem import problems
from billing.keys import Caller, Scope
from billing.reads.freshness import Want
from billing.reads.page_answers import CallerAnswer, ChargedAnswer, LoadAnswer


@get(
    "/v1/caller",
    responses=problems(401, 429, 503) | examples.of(CallerAnswer),
    summary="Who calls",
    operation_id="caller",
    tags=["caller"],
)
async def caller(request: Request[Any, Any, State]) -> CallerAnswer:
    """Return what the key that is shown may do, and for which accounts."""
    known: Caller = request.scope["user"]
    return CallerAnswer(known.id, sorted(scope.value for scope in known.scopes), list(known.accounts))


@get(
    "/v1/load",
    opt=needs(Scope.OPERATOR),
    responses=problems(401, 403, 429, 503) | examples.of(LoadAnswer),
    summary="Load",
    operation_id="load",
    tags=["operations"],
)
async def load(state: State) -> LoadAnswer:
    """Return events a second, by shard too, how far shards are behind the log, and which accounts are hot.

    Rates are of the last five seconds; hot accounts are counted in the newest events of the log.
    """
    found: Load = state["load"]
    reads: Reads = state["reads"]
    return await found.answer(reads.fleet)


@get(
    "/charged",
    responses=problems(*SLOW_ERRORS) | examples.of(ChargedAnswer),
    summary="Charged, by product and rule",
    operation_id="charged",
)
async def charged(
    account: NamedDependency[str],
    want: NamedDependency[Want],
    state: State,
    since: Since = None,
    until: Until = None,
) -> ChargedAnswer:
    """Return what an account was charged in a time, by product and rule, the largest amount first.

    It is added up from lines: of an account with millions, ask for less time.
    """
    reads: Reads = state["reads"]
    return await charged_answer(reads, account, wanted_of(since, until), want)


CALLER: Final = Router("/", route_handlers=[caller, load])
