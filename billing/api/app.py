"""The application: its routes put together, with who may enter and how errors are told.

Owns the whole. Must not know shards or SQL.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response import Response
from litestar.types import Receive, Scope, Send

from billing.adapters.intake import open_intake
from billing.adapters.keyfile import KeyFile
from billing.adapters.load import Load as FleetLoad
from billing.adapters.newest import Newest
from billing.adapters.oplog import OperatorLog
from billing.adapters.reads import Reads
from billing.adapters.renewal import Load
from billing.api import compression, problem
from billing.api.access import OPEN, Door, Entrance, Gate
from billing.api.accounts import ACCOUNTS, BALANCES
from billing.api.assets import asset, assets, index
from billing.api.events import EVENTS
from billing.api.insight import CALLER
from billing.api.lookup import Lookup
from billing.api.operations import OPERATIONS, health
from billing.api.tokens import Tokens
from billing.config.deployment import Deployment

ROUTES: Final = (ACCOUNTS, BALANCES, EVENTS, OPERATIONS, CALLER, health, index, asset)
KEYS_SECONDS: Final = 0.005  # after which a revoked key opens nothing
_PLAIN: Final = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def application(deployment: Deployment, *, open_to_all: bool = False, load: Load | None = None) -> Lookup:
    """Return the application over one deployment.

    open_to_all: no key is asked for; load: reads the files again, when shards were written with a newer book or map.

    Raises: SettingsError where the issuer's keys cannot be read.
    """
    api = deployment.settings.api
    tokens = None if api.jwt is None else Tokens(api.jwt)
    door = Door(None if open_to_all else KeyFile(api.keys, KEYS_SECONDS), tokens)
    entrance = Entrance(door, api.limits)
    reads = Reads(deployment, load=load)
    gauge = FleetLoad(Newest(deployment.settings.source))
    intake = open_intake(deployment.settings.source, api.limits.publish_timeout_ms)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with reads:
            yield
        await gauge.close()
        if intake is not None:
            await intake.close()

    app = Litestar(
        ROUTES,
        state=State(
            {
                "reads": reads,
                "load": gauge,
                "intake": intake,
                "limits": api.limits,
                "operators": None if open_to_all else OperatorLog(api.operators_log),
                "assets": assets(open_to_all=open_to_all),
            }
        ),
        middleware=[Gate(entrance, api.limits)],
        exception_handlers=problem.HANDLERS,
        request_max_body_size=api.limits.body_bytes_max,
        compression_config=compression.CONFIG,
        after_request=_with_plain_headers,
        openapi_config=_openapi(),
        lifespan=[lifespan],
        logging_config=None,
    )

    async def with_raw_path(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:  # an account may have a slash in it, which is %2F until its path is matched
            scope["path"] = scope["raw_path"].decode("latin-1").partition("?")[0]
        await app(scope, receive, send)

    return Lookup(with_raw_path, entrance, reads, _PLAIN)


async def _with_plain_headers(response: Response[object]) -> Response[object]:
    # Asynchronous without need: Litestar would take a thread for it.
    for name, value in _PLAIN.items():
        response.headers.setdefault(name, value)
    return response


def _openapi() -> OpenAPIConfig:
    try:
        number = version("billing-engine")
    except PackageNotFoundError:  # run from its source
        number = "0"
    scheme = SecurityScheme(
        type="http", scheme="bearer", description="A key made by `billing keys create`, or a JWT of the issuer."
    )
    return OpenAPIConfig(
        title="Billing engine",
        version=number,
        description="Balances, usage and statements, exact and seconds fresh; errors are problems (RFC 9457).",
        openapi_router=Router("/v1/openapi.json", route_handlers=[], opt={OPEN: True}, include_in_schema=False),
        render_plugins=[JsonRenderPlugin(path="/")],
        components=Components(security_schemes={"key": scheme}),
        security=[{"key": []}],
        use_handler_docstrings=True,
    )
