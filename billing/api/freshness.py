"""Freshness over HTTP: what a caller asks of it, as query parameters, and what he can compare, as headers.

Owns `consistency`, `min_position` and `wait_ms`, ETags, and the header that tells positions.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from xxhash import xxh3_64_hexdigest

from billing.adapters.reads import BadRequestError
from billing.config.api_settings import ApiLimits
from billing.reads.answers import BalanceAnswer, BalanceOf, CreditOf
from billing.reads.freshness import PositionError, Want, position_of, positions_text

POSITION_CHARACTERS_MAX: Final = 4_096
CACHE_CONTROL: Final = "private, no-cache"  # kept for one caller, who asks each time whether it is still right
_WAIT_MS: Final = 2_000

Consistency = Annotated[
    Literal["bounded", "strong"],
    QueryParameter(description="strong asks the writers; bounded takes readers that are close enough behind them."),
]
MinPosition = Annotated[
    str | None,
    QueryParameter(
        max_length=POSITION_CHARACTERS_MAX,
        description="Wait until this is applied: `min_position` of the answer to POST /v1/events.",
    ),
]
WaitMs = Annotated[
    int | None, QueryParameter(ge=0, le=60_000, description="How long to wait at most, in milliseconds.")
]


def want_of(
    state: State, consistency: Consistency = "bounded", min_position: MinPosition = None, wait_ms: WaitMs = None
) -> Want:
    """Read how fresh an answer must be. Raises: BadRequestError."""
    limits: ApiLimits = state["limits"]
    try:
        position = None if min_position is None else position_of(min_position)
    except PositionError:
        raise BadRequestError("min_position: is no position; write what the answer to POST /v1/events says") from None
    wait = min(_WAIT_MS if wait_ms is None else wait_ms, limits.wait_ms_max)
    return Want(consistency == "strong", position, wait / 1000)


def want_for_account(
    account: NamedDependency[str],
    state: State,
    consistency: Consistency = "bounded",
    min_position: MinPosition = None,
    wait_ms: WaitMs = None,
) -> Want:
    """Read the same once the account is known: of dependencies at once, Litestar makes a task each."""
    del account
    return want_of(state, consistency, min_position, wait_ms)


def tagged(request: Request[Any, Any, Any], answer: BalanceAnswer) -> Response[BalanceAnswer]:
    """Answer with an ETag of the balances, or with 304 where the caller has them."""
    headers, is_known = tags(answer, request.headers.get("if-none-match", ""))
    if is_known:
        return Response(None, status_code=304, headers=headers)  # type: ignore[arg-type]  # a 304 has no body
    return Response(answer, headers=headers)


def tags(answer: BalanceAnswer, known: str) -> tuple[dict[str, str], bool]:
    """Return the headers by which callers compare, and whether they have the balances; known: `if-none-match`."""
    tag = tag_of(answer.account, answer.balances, answer.credits, answer.book_version)
    headers = {"etag": tag, "cache-control": CACHE_CONTROL, "billing-position": positions_text(answer.as_of)}
    return headers, is_known(tag, known)


def tag_of(account: str, balances: list[BalanceOf], credited: list[CreditOf], book_version: int) -> str:
    """Return the ETag of balances: the same as long as they do not change, however far the shards come meanwhile."""
    return f'W/"{xxh3_64_hexdigest(msgspec.json.encode((account, balances, credited, book_version)))}"'


def is_known(tag: str, known: str) -> bool:
    """Tell whether a caller has what a tag is of; known: `if-none-match`."""
    tags_known = [one.strip() for one in known.split(",")] if known else ()
    return tag in tags_known or "*" in tags_known
