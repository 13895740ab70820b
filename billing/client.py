"""The Python client: the HTTP API as typed calls.

Owns how a call becomes a request, and what is tried again. Answers are those of `billing.reads.answers`. Must not know
shards.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from billing.errors import BillingError
from billing.reads.answers import (
    BalanceAnswer,
    BalancesAnswer,
    EventsAnswer,
    ExplainAnswer,
    Line,
    Problem,
    TransactionsAnswer,
    UsageAnswer,
)

_TRIES: Final = 4
_AGAIN: Final = frozenset({429, 503})
_PAUSE_SECONDS_MAX: Final = 10.0
_TIMEOUT_SECONDS: Final = 30.0
_encode_events: Final = msgspec.json.Encoder(decimal_format="number").encode
_T = TypeVar("_T")


class ApiError(BillingError):
    """The API answered with a problem, or not at all; status is 0 then."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status or 'no answer'}: {detail}")
        self.status = status


class Client:
    """Calls one API with one key, over connections that are kept; a context, for use from one thread.

    What is too much at once (429) or away (503) is tried again as the answer advises, and so is publishing: events
    are billed once, however often they are sent.
    """

    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        """url: as `billing serve` says it, without a path; transport: of httpx, for proxies and tests."""
        self._http = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
            timeout=_TIMEOUT_SECONDS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def balance(self, account: str, *, strong: bool = False, min_position: str = "") -> BalanceAnswer:
        """Return an account's balances. Raises: ApiError, as every call here."""
        return self._get(_of(account, "balance"), BalanceAnswer, _fresh(strong=strong, min_position=min_position))

    def balances(self, accounts: Iterable[str], *, strong: bool = False, min_position: str = "") -> BalancesAnswer:
        """Return balances of up to 1,000 accounts; `errors` has those that could not be read."""
        query = _fresh(strong=strong, min_position=min_position)
        body = msgspec.json.encode({"accounts": list(accounts)})
        return self._decoded(self._sent("POST", "/v1/balances", query, body), BalancesAnswer)

    def usage(
        self,
        account: str,
        *,
        rollup: str | None = None,
        every: str | None = None,
        by: Sequence[str] | None = None,
        since: str | None = None,
        until: str | None = None,
        fill: bool = False,
    ) -> UsageAnswer:
        """Return an account's usage; times are RFC 3339, or days."""
        query = {
            "rollup": rollup,
            "every": every,
            "by": None if by is None else ",".join(by),
            "from": since,
            "to": until,
            "fill": "true" if fill else None,
        }
        return self._get(_of(account, "usage"), UsageAnswer, query)

    def transactions(
        self,
        account: str,
        *,
        since: str | None = None,
        until: str | None = None,
        product: str | None = None,
        rule: str | None = None,
        event: str | None = None,
        page: int = 100,
    ) -> Iterator[Line]:
        """Yield an account's lines, newest day first, page by page as they are taken."""
        query: dict[str, str | None] = {
            "from": since, "to": until, "product": product, "rule": rule, "event": event, "limit": str(page),
        }  # fmt: skip
        while True:
            answer = self._get(_of(account, "transactions"), TransactionsAnswer, query)
            yield from answer.transactions
            if answer.next is None:
                return
            query["cursor"] = answer.next

    def explain(self, account: str, event: str, *, origin: str | None = None) -> ExplainAnswer:
        """Return what a recorded event charged an account."""
        path = _of(account, f"transactions/{quote(event, safe='')}/explain")
        return self._get(path, ExplainAnswer, {"origin": origin})

    def publish(self, events: Sequence[Mapping[str, Any]]) -> EventsAnswer:
        """Publish events; when this returns, those without an error are durable in the log.

        Numbers with a point must be Decimal or text: a float is not what it looks like.
        """
        body = _encode_events(list(events))
        return self._decoded(self._sent("POST", "/v1/events", {}, body), EventsAnswer)

    def _get(self, path: str, answer: type[_T], query: Mapping[str, str | None]) -> _T:
        return self._decoded(self._sent("GET", path, query, None), answer)

    def _sent(self, method: str, path: str, query: Mapping[str, str | None], body: bytes | None) -> httpx.Response:
        asked = {name: value for name, value in query.items() if value is not None}
        headers = {} if body is None else {"content-type": "application/json"}
        for attempt in range(1, _TRIES + 1):
            try:
                response = self._http.request(method, path, params=asked, content=body, headers=headers)
            except httpx.TransportError as error:
                if attempt == _TRIES:
                    raise ApiError(0, f"{type(error).__name__} {error}".strip()) from error
                time.sleep(0.1 * 2**attempt)
                continue
            if response.status_code not in _AGAIN or attempt == _TRIES:
                return response
            advised = response.headers.get("retry-after", "1")
            time.sleep(min(float(advised) if advised.isdigit() else 1.0, _PAUSE_SECONDS_MAX))
        raise AssertionError("the last attempt returns or raises")

    @staticmethod
    def _decoded(response: httpx.Response, answer: type[_T]) -> _T:
        if response.is_success:
            return msgspec.json.decode(response.content, type=answer)
        try:
            detail = msgspec.json.decode(response.content, type=Problem).detail
        except msgspec.DecodeError:  # a proxy's page
            detail = response.reason_phrase
        raise ApiError(response.status_code, detail)


def _of(account: str, what: str) -> str:
    return f"/v1/accounts/{quote(account, safe='')}/{what}"


def _fresh(*, strong: bool, min_position: str) -> dict[str, str | None]:
    return {"consistency": "strong" if strong else None, "min_position": min_position or None}
