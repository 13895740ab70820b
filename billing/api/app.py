"""The application: which paths exist and what they answer.

Owns the routes. Must not know shards or SQL.
"""

from typing import Any, Final
from urllib.parse import unquote

from litestar import Litestar, get
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

from billing.adapters.reads import BadRequestError, BalanceAnswer, Reads, ShardDownError
from billing.api import problem

_HANDLERS: Final[dict[Any, Any]] = {
    BadRequestError: problem.bad_request,
    ShardDownError: problem.shard_down,
    HTTPException: problem.http,
    Exception: problem.unexpected,
}


def application(reads: Reads) -> ASGIApp:
    """Return the application over one deployment."""
    app = Litestar(
        [balance, health],
        state=State({"reads": reads}),
        exception_handlers=_HANDLERS,
        openapi_config=None,
        logging_config=None,
    )

    async def with_raw_path(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:  # an account may have a slash in it, which is %2F until its path is matched
            scope["path"] = scope["raw_path"].decode("latin-1").partition("?")[0]
        await app(scope, receive, send)

    return with_raw_path


@get("/v1/accounts/{account:str}/balance")
async def balance(account: str, state: State) -> BalanceAnswer:
    """Return an account's balances, with how fresh they are."""
    reads: Reads = state["reads"]
    return await reads.balance(unquote(account))


@get("/healthz")
async def health() -> dict[str, str]:
    """Say that this process serves; a shard that is down concerns its accounts only."""
    return {"status": "ok"}
