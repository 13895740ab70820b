"""The lookup: the question asked most, an account's balance, answered without the framework.

Owns the shortest way from `GET /v1/accounts/{id}/balance` to its answer, for callers whose own account it is. All else,
refusals and errors among it, is left to the framework, whose route answers alike (decisions 0033 and 0037).
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

import attrs
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from billing.adapters.endpoints import Found
from billing.adapters.hot import Balances
from billing.adapters.reads import Reads
from billing.adapters.snapshot import Place
from billing.api.access import Entrance, Passage
from billing.api.compression import packed
from billing.api.freshness import CACHE_CONTROL, is_known
from billing.api.written import WrittenBalances
from billing.keys import Scope as KeyScope
from billing.wire import is_identifier

_BEFORE: Final = b"/v1/accounts/"
_AFTER: Final = b"/balance"
_JSON: Final = (b"content-type", b"application/json")
_Headers = list[tuple[bytes, bytes]]


@attrs.frozen
class Asked:
    """A lookup that was let in: where its account is, the read that will have it, and what it said in its head."""

    place: Place
    read: asyncio.Task[Found[Balances]]
    passage: Passage
    known: str
    accepted: str


@attrs.frozen
class Answer:
    """An answer to be sent as it is."""

    status: int
    headers: _Headers
    body: bytes


class Lookup:
    """An ASGI application before another one, which is `app`."""

    def __init__(self, app: ASGIApp, entrance: Entrance, reads: Reads, headers: Mapping[str, str]) -> None:
        """headers: what every answer has."""
        self.app = app
        self._entrance = entrance
        self._reads = reads
        self._written = WrittenBalances(reads)
        same = {**headers, "cache-control": CACHE_CONTROL}
        self._headers = [(name.encode(), value.encode()) for name, value in same.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a lookup; pass anything else on."""
        asked = self.asked(scope)
        if asked is not None:
            try:
                await asyncio.wait([asked.read])
            except BaseException:
                asked.passage.leave()
                raise
        answer = None if asked is None else self.answer(asked)
        if answer is None:
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})

    def asked(self, scope: Scope) -> Asked | None:
        """Let a lookup in, to be answered when its read is done; None for what the framework must answer."""
        account = _account(scope)
        if account is None:
            return None
        authorization, known, accepted = _said(scope["headers"])
        try:
            passage = self._entrance.enter(authorization)
        except Exception:  # noqa: BLE001 - the framework meets it again, and knows how to tell it
            return None
        caller = passage.caller
        found = self._reads.look_up(account) if caller.may(KeyScope.READ) and caller.owns(account) else None
        if found is None:
            passage.leave()
            return None
        return Asked(*found, passage, known, accepted)

    def answer(self, asked: Asked) -> Answer | None:
        """Answer a lookup whose read is done, which then leaves; None where the framework must say what is wrong."""
        asked.passage.leave()
        try:
            found = asked.read.result()
            body, tag = self._written.answer(asked.place, found)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - as above; cancelled: the read was, with the process
            return None
        headers = [
            *self._headers,
            (b"etag", tag.encode()),
            (b"billing-position", found.cursors.positions_text.encode()),
        ]
        if asked.known and is_known(tag, asked.known):
            return Answer(304, headers, b"")
        if asked.accepted:
            body, encoding = packed(body, asked.accepted)
            if encoding:
                headers += [(b"content-encoding", encoding.encode()), (b"vary", b"Accept-Encoding")]
        headers += [_JSON, (b"content-length", b"%d" % len(body))]
        return Answer(200, headers, body)


def _account(scope: Scope) -> str | None:
    """Return the account whose balance is asked for, and nothing but that; None for any other request."""
    if scope["type"] != ScopeType.HTTP or scope["method"] != HttpMethod.GET or scope["query_string"]:
        return None
    path: bytes = scope["raw_path"]
    if not (path.startswith(_BEFORE) and path.endswith(_AFTER)):
        return None
    segment = path[len(_BEFORE) : -len(_AFTER)].decode("latin-1")
    if "/" in segment:
        return None
    account = unquote(segment) if "%" in segment else segment
    return account if is_identifier(account) else None


def _said(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str, str]:
    """Return what a head says as authorization, if-none-match and accept-encoding: the first of each, "" for none."""
    authorization = known = accepted = b""
    for name, value in headers:
        if name == b"authorization":
            authorization = authorization or value
        elif name == b"if-none-match":
            known = known or value
        elif name == b"accept-encoding":
            accepted = accepted or value
    return authorization.decode("latin-1"), known.decode("latin-1"), accepted.decode("latin-1")
