"""Problems: errors as RFC 9457 problem documents.

Owns which status an error has, and how routes declare theirs. A sentence never names hosts or files: whoever asks need
not know the inside.
"""

import traceback
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec

from billing.adapters.endpoints import ShardDownError
from billing.adapters.gather import NotAppliedError
from billing.adapters.intake import LogAwayError
from billing.adapters.keyfile import KeyFileError
from billing.adapters.oplog import OperatorLogError
from billing.adapters.reads import BadRequestError, NotRecordedError
from billing.adapters.sql import StatementTimeoutError
from billing.reads.answers import Problem
from billing.reads.standing import UntoldError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5  # a failover takes about so long
_SHOWN_MAX: Final = 8  # things wrong with a request
_log = structlog.get_logger()
_AnyRequest = Request[Any, Any, Any]


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Declare which problems a route answers with."""
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, description=HTTPStatus(status).phrase, media_type=MEDIA_TYPE
        )
        for status in statuses
    }


def bad_request(request: _AnyRequest, error: BadRequestError) -> Response[bytes]:
    """Answer a wrong question with what to write instead."""
    return _response(HTTPStatus.BAD_REQUEST, str(error), request)


def not_recorded(request: _AnyRequest, error: NotRecordedError) -> Response[bytes]:
    """Answer a question about something that is not there."""
    return _response(HTTPStatus.NOT_FOUND, str(error), request)


def shard_down(request: _AnyRequest, error: ShardDownError) -> Response[bytes]:
    """Answer for an account whose shard does not; other accounts are not affected."""
    _log.warning("shard does not answer", shard=error.shard, error=str(error))
    detail = (
        f"shard {error.shard} does not answer; accounts on other shards can be read, this one again when it is back"
    )
    return _response(HTTPStatus.SERVICE_UNAVAILABLE, detail, request, shard=error.shard)


def not_applied(request: _AnyRequest, error: NotAppliedError) -> Response[bytes]:
    """Answer after a wait for a position that was too short."""
    return _response(HTTPStatus.SERVICE_UNAVAILABLE, str(error), request, retry_seconds=1)


def too_long(request: _AnyRequest, error: StatementTimeoutError) -> Response[bytes]:
    """Answer a question that takes the database too long."""
    return _response(HTTPStatus.GATEWAY_TIMEOUT, str(error), request)


def log_away(request: _AnyRequest, error: LogAwayError) -> Response[bytes]:
    """Answer a publisher whose events are not known to be durable."""
    _log.warning("log takes no events", error=str(error))
    detail = "the log takes no events now; send the same again later, with the same ids: none is billed twice"
    return _response(HTTPStatus.SERVICE_UNAVAILABLE, detail, request)


def key_file(request: _AnyRequest, error: KeyFileError) -> Response[bytes]:
    """Answer while nobody's key can be checked."""
    _log.error("keys cannot be read", error=str(error))
    return _response(HTTPStatus.SERVICE_UNAVAILABLE, "keys cannot be checked now; ask again later", request)


def unrecorded(request: _AnyRequest, error: OperatorLogError) -> Response[bytes]:
    """Answer an operator whose action cannot be recorded."""
    _log.error("operators' actions cannot be recorded", error=str(error))
    return _response(
        HTTPStatus.SERVICE_UNAVAILABLE, "operators' actions cannot be recorded now, so none is done", request
    )


def slow_body(request: _AnyRequest, _error: TimeoutError) -> Response[bytes]:
    """Answer a request whose body does not come."""
    return _response(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time; send it again, faster", request)


def untold(request: _AnyRequest, error: UntoldError) -> Response[bytes]:
    """Answer for an account of which it cannot be told what its grants have paid."""
    _log.warning("what grants paid cannot be told", error=str(error))
    return _response(HTTPStatus.SERVICE_UNAVAILABLE, str(error), request)


def too_deep(request: _AnyRequest, _error: RecursionError) -> Response[bytes]:
    """Answer a body of lists within lists without end."""
    return _response(HTTPStatus.BAD_REQUEST, "the body is nested too deeply", request)


def http(request: _AnyRequest, error: HTTPException) -> Response[bytes]:
    """Answer a request for no such route, with a wrong method, a wrong key or wrong parameters."""
    extra = error.extra if isinstance(error.extra, list) else []
    errors = [one for one in extra if isinstance(one, dict)][:_SHOWN_MAX]
    named = "; ".join(f"{one['key']}: {one['message']}" for one in errors if "key" in one and "message" in one)
    response = _response(HTTPStatus(error.status_code), named or error.detail, request, errors=errors)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def unexpected(request: _AnyRequest, error: Exception) -> Response[bytes]:
    """Answer after a defect: it is logged in full and told in general."""
    trace = "".join(traceback.format_tb(error.__traceback__))  # where, and no values: keys and accounts are among them
    _log.error("unexpected", route=request.scope.get("path_template"), error=type(error).__name__, trace=trace)
    return _response(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a defect; the log has its details", request)


HANDLERS: Final[dict[Any, Any]] = {
    BadRequestError: bad_request,
    NotRecordedError: not_recorded,
    ShardDownError: shard_down,
    NotAppliedError: not_applied,
    StatementTimeoutError: too_long,
    LogAwayError: log_away,
    KeyFileError: key_file,
    OperatorLogError: unrecorded,
    UntoldError: untold,
    TimeoutError: slow_body,
    RecursionError: too_deep,
    HTTPException: http,
    Exception: unexpected,
}


def _response(
    status: HTTPStatus,
    detail: str,
    request: _AnyRequest,
    *,
    shard: str = "",
    errors: list[dict[str, Any]] | None = None,
    retry_seconds: int = RETRY_SECONDS,
) -> Response[bytes]:
    path = request.scope["path"]
    problem = Problem(status.phrase, int(status), detail, instance=path, shard=shard, errors=errors or [])
    headers = {"retry-after": str(retry_seconds)} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(msgspec.json.encode(problem), status_code=int(status), media_type=MEDIA_TYPE, headers=headers)
