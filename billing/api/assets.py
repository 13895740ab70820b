"""Assets: the page at `/` and its files, as they stand in the package.

Owns how they are served: to everybody, with a policy that lets the page talk to this server and nothing else. What the
page may see is decided where it asks: it shows the key that a person typed in, as any other caller does.
"""

from pathlib import Path
from typing import Annotated, Any, Final

import attrs
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from xxhash import xxh3_64_hexdigest

from billing.api.access import OPEN

_FOLDER: Final = Path(__file__).with_name("page")
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # asked for again each time, and answered with 304: a new version is seen at once
}
_OPEN_MARK: Final = b'data-keys="needed"'


@attrs.frozen
class Asset:
    """One file: its bytes, its media type and its tag."""

    body: bytes
    media_type: str
    tag: str


def assets(*, open_to_all: bool) -> dict[str, Asset]:
    """Read the page's files; open_to_all: the page need not ask for a key."""
    found = {}
    for path in _FOLDER.iterdir():
        body = path.read_bytes()
        if open_to_all:
            body = body.replace(_OPEN_MARK, b'data-keys="none"')
        found[path.name] = Asset(body, _TYPES[path.suffix], f'"{xxh3_64_hexdigest(body)}"')
    return found


@get("/", opt={OPEN: True}, include_in_schema=False)
async def index(request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """Answer with the page."""
    return _answer(request, state["assets"]["index.html"])


@get("/page/{name:str}", opt={OPEN: True}, include_in_schema=False)
async def asset(
    request: Request[Any, Any, State], state: State, name: Annotated[str, PathParameter()]
) -> Response[bytes]:
    """Answer with a file of the page."""
    found: dict[str, Asset] = state["assets"]
    if name not in found:
        raise NotFoundException("the page has no such file")
    return _answer(request, found[name])


def _answer(request: Request[Any, Any, State], found: Asset) -> Response[bytes]:
    headers = {**_HEADERS, "etag": found.tag}
    if request.headers.get("if-none-match", "").removeprefix("W/") == found.tag:
        return Response(b"", status_code=304, headers=headers, media_type=found.media_type)
    return Response(found.body, headers=headers, media_type=found.media_type)
