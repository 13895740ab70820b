"""Problems: errors as RFC 9457 problem documents.

Owns which status an error has. A sentence never names hosts or files: whoever asks need not know the inside.
"""

from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from billing.adapters.reads import BadRequestError, ShardDownError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5  # a failover takes about so long
_log = structlog.get_logger()


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457, section 3.1; shard: which one does not answer, where that is the problem."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    instance: str = ""
    shard: str = ""


def bad_request(request: Request[Any, Any, Any], error: BadRequestError) -> Response[bytes]:
    """Answer a wrong question with what to write instead."""
    return _response(HTTPStatus.BAD_REQUEST, str(error), request)


def shard_down(request: Request[Any, Any, Any], error: ShardDownError) -> Response[bytes]:
    """Answer for an account whose shard does not; other accounts are not affected."""
    _log.warning("shard does not answer", shard=error.shard, error=str(error))
    detail = (
        f"shard {error.shard} does not answer; accounts on other shards can be read, this one again when it is back"
    )
    return _response(HTTPStatus.SERVICE_UNAVAILABLE, detail, request, error.shard)


def http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer a request for no such route, with a wrong method and the like."""
    return _response(HTTPStatus(error.status_code), error.detail, request)


def unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer after a defect: it is logged in full and told in general."""
    _log.error("unexpected", path=request.url.path, exc_info=error)
    return _response(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a defect; the log has its details", request)


def _response(status: HTTPStatus, detail: str, request: Request[Any, Any, Any], shard: str = "") -> Response[bytes]:
    problem = Problem(status.phrase, int(status), detail, instance=request.url.path, shard=shard)
    headers = {"retry-after": str(RETRY_SECONDS)} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(msgspec.json.encode(problem), status_code=int(status), media_type=MEDIA_TYPE, headers=headers)
