"""The lookup: the question asked most, an account's balance, answered without the framework.

Owns the shortest way from `GET /v1/accounts/{id}/balance` to its answer, for callers whose own account it is. All else,
refusals and errors among it, is left to the framework, whose route answers alike (decision 0033).
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from billing.adapters.reads import Reads
from billing.api.access import Entrance, header
from billing.api.compression import packed
from billing.api.freshness import tags
from billing.keys import Scope as KeyScope
from billing.wire import is_identifier

_BEFORE: Final = b"/v1/accounts/"
_AFTER: Final = b"/balance"
_JSON: Final = (b"content-type", b"application/json")
_Headers = list[tuple[bytes, bytes]]
_Answer = tuple[int, _Headers, bytes]


class Lookup:
    """An ASGI application before another one."""

    def __init__(self, app: ASGIApp, entrance: Entrance, reads: Reads, headers: Mapping[str, str]) -> None:
        """headers: what every answer has."""
        self._app = app
        self._entrance = entrance
        self._reads = reads
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a lookup; pass anything else on."""
        account = _account(scope)
        answer = None if account is None else await self._answer(scope, account)
        if answer is None:
            await self._app(scope, receive, send)
            return
        status, headers, body = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, scope: Scope, account: str) -> _Answer | None:
        """Return status, headers and body; None where the framework must find out what is wrong."""
        try:
            with self._entrance.passed(scope) as caller:
                if not (caller.may(KeyScope.READ) and caller.owns(account)):
                    return None
                answer = await self._reads.balance(account)
        except Exception:  # noqa: BLE001 - the framework meets it again, and knows how to tell it
            return None
        told, is_known = tags(answer, header(scope, b"if-none-match"))
        headers = [*self._headers, *((name.encode(), value.encode()) for name, value in told.items())]
        if is_known:
            return 304, headers, b""
        body, encoding = packed(msgspec.json.encode(answer), header(scope, b"accept-encoding"))
        if encoding:
            headers += [(b"content-encoding", encoding.encode()), (b"vary", b"Accept-Encoding")]
        return 200, [*headers, _JSON, (b"content-length", b"%d" % len(body))], body


def _account(scope: Scope) -> str | None:
    """Return the account whose balance is asked for, and nothing but that; None for any other request."""
    if scope["type"] != ScopeType.HTTP or scope["method"] != HttpMethod.GET or scope["query_string"]:
        return None
    path: bytes = scope["raw_path"]
    if not (path.startswith(_BEFORE) and path.endswith(_AFTER)):
        return None
    segment = path[len(_BEFORE) : -len(_AFTER)]
    if b"/" in segment:
        return None
    account = unquote(segment.decode("latin-1"))
    return account if is_identifier(account) else None
