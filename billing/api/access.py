"""Access: who calls, and whether what is asked for is his concern.

Owns the only way from a request to an account: a handler gets `account` from `account_of`, which has checked it. A
foreign account does not exist: 404, in the same words as anything else that is not there.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final
from urllib.parse import unquote

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException
from litestar.middleware import ASGIMiddleware
from litestar.params import PathParameter
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Send, WebSocketReceiveMessage
from litestar.types import Scope as AsgiScope

from billing.adapters.keyfile import KeyFile
from billing.adapters.oplog import OperatorLog
from billing.adapters.reads import check_account
from billing.api.admission import Admission, Running, TooManyError
from billing.api.tokens import TokenError, Tokens
from billing.config.api_settings import ApiLimits
from billing.keys import Caller, Key, Scope, id_and_secret

OPEN: Final = "open"  # of routes that need no key
_NEEDS: Final = "needs"  # of the others: the scope that a key must have
ANYBODY: Final = Caller("anybody", frozenset(Scope), ("*",))  # where the API is served without keys
_SCHEME: Final = "bearer "
_OPENED_MAX: Final = 10_000  # headers that are known to open a key
_OPENED_CHARACTERS_MAX: Final = 80  # scheme and key; whoever writes more spaces between is looked at each time
_Connection = ASGIConnection[Any, Any, Any, Any]


class Door:
    """Knows callers by what they show."""

    def __init__(self, keys: KeyFile | None, tokens: Tokens | None) -> None:
        """keys: None lets everybody in."""
        self._keys = keys
        self._tokens = tokens
        self._opened: dict[str, Key] = {}  # what was shown, and the key that it opens as long as the file says the same

    def caller(self, authorization: str) -> Caller:
        """Return who shows this header. Raises: HTTPException (401), KeyFileError."""
        if self._keys is None:
            return ANYBODY
        key = self._opened.get(authorization)
        if key is None or self._keys.find(key.id) is not key:
            return self._checked(self._keys, authorization)
        return _usable(key).caller

    def _checked(self, keys: KeyFile, authorization: str) -> Caller:
        if not authorization:
            raise _unknown("a key is needed: Authorization: Bearer KEY; an operator makes one: billing keys create")
        if not authorization.lower().startswith(_SCHEME):
            raise _unknown("the key must be shown as: Authorization: Bearer KEY")
        shown = authorization[len(_SCHEME) :].strip()
        parts = id_and_secret(shown)
        if parts is None:
            return self._bearer(shown)
        key = keys.find(parts[0])
        if key is None or not key.opens(parts[1]):
            raise _unknown("the key is not known")
        if len(authorization) <= _OPENED_CHARACTERS_MAX:
            if len(self._opened) >= _OPENED_MAX:
                self._opened.clear()
            self._opened[authorization] = key
        return _usable(key).caller

    def _bearer(self, token: str) -> Caller:
        if self._tokens is None or token.count(".") != len("..") or not token.isascii():
            raise _unknown("the key is not known")
        try:
            return self._tokens.caller(token)
        except TokenError as error:
            raise _unknown(f"the token {error}") from error


class Passage:
    """A caller who was let in, until he leaves."""

    __slots__ = ("_counted", "caller")

    def __init__(self, caller: Caller, *counted: Running) -> None:
        self.caller = caller
        self._counted = counted

    def leave(self) -> None:
        """Count him no longer; once."""
        for one in self._counted:
            one.leave()


class Entrance:
    """The door, with how many may pass it at once."""

    def __init__(self, door: Door, limits: ApiLimits) -> None:
        self._door = door
        self._admission = Admission(limits)

    def enter(self, authorization: str) -> Passage:
        """Let in who shows this header. Raises: as Door.caller, TooManyError."""
        request = self._admission.request()
        try:
            caller = self._door.caller(authorization)
            return Passage(caller, request, self._admission.of_caller(caller.id, time.monotonic()))
        except BaseException:
            request.leave()
            raise

    @contextmanager
    def passed(self, scope: AsgiScope) -> Iterator[Caller]:
        """Let a request's caller in for as long as the context lasts. Raises: as `enter`."""
        passage = self.enter(header(scope, b"authorization"))
        try:
            yield passage.caller
        finally:
            passage.leave()


class Gate(ASGIMiddleware):
    """Lets a request in: not too many at once, of a known caller, with a body that comes in time."""

    exclude_opt_key = OPEN

    def __init__(self, entrance: Entrance, limits: ApiLimits) -> None:
        self._entrance = entrance
        self._body_seconds = limits.body_timeout_ms / 1000

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass a request on, or raise what it is refused with."""
        try:
            with self._entrance.passed(scope) as caller:
                scope["user"] = caller
                _check_scope(caller, scope)
                await next_app(scope, self._in_time(receive), send)
        except TooManyError as error:
            retry = {"retry-after": str(error.retry_seconds)}
            raise HTTPException(status_code=429, detail=str(error), headers=retry) from error

    def _in_time(self, receive: Receive) -> Receive:
        """Return what receives the body until its time is over, and then only the end of the connection."""
        deadline = asyncio.get_running_loop().time() + self._body_seconds
        whole = False

        async def receive_in_time() -> HTTPReceiveMessage | WebSocketReceiveMessage:
            nonlocal whole
            if whole:
                return await receive()
            async with asyncio.timeout_at(deadline):
                message = await receive()
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return receive_in_time


def needs(scope: Scope) -> dict[str, Scope]:
    """Return the options of routes for callers with a scope, which the gate asks for."""
    return {_NEEDS: scope}


def note(connection: _Connection) -> None:
    """Record what a caller does with an operator's power. Raises: OperatorLogError, which refuses it."""
    log: OperatorLog | None = connection.app.state["operators"]
    if log is not None:
        caller: Caller = connection.scope["user"]
        method = connection.scope.get("method", "")
        log.record(caller.id, f"{method} {connection.scope['path']}")


def account_of(
    account_id: Annotated[
        str, PathParameter(description="The account's id: 1 to 64 of visible ASCII without quotes and backslash.")
    ],
    request: Request[Any, Any, State],
) -> str:
    """Return the account that the path names, if it is the caller's concern.

    Raises: BadRequestError, NotFoundException.
    """
    account = unquote(account_id)
    check_account(account)
    caller: Caller = request.scope["user"]
    if not caller.sees(account):
        raise NotFoundException("no such account for this key")
    if caller.needs_power(account):
        note(request)
    return account


def _check_scope(caller: Caller, scope: AsgiScope) -> None:
    """Refuse a caller without the scope that a route needs; what operators do is recorded.

    Not a guard of Litestar's: it would copy the route for each request, which costs more than the check.
    """
    needed: Scope | None = scope["route_handler"].opt.get(_NEEDS)
    if needed is None:
        return
    if not caller.may(needed):
        raise PermissionDeniedException(f"this key may not {needed.value}; it needs that scope")
    if needed is Scope.OPERATOR:
        note(ASGIConnection(scope))


def _usable(key: Key) -> Key:
    fault = key.fault(time.time_ns() // 1_000)
    if fault is not None:
        raise _unknown(f"the key is {fault}; an operator makes a new one: billing keys create")
    return key


def _unknown(sentence: str) -> HTTPException:
    return HTTPException(status_code=401, detail=sentence, headers={"www-authenticate": "Bearer"})


def header(scope: AsgiScope, name: bytes) -> str:
    """Return a header of a request, "" where it has none; name: in small letters."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
