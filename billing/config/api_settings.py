"""API settings: who may call, how the connection is secured and how much one may ask, as `[api]` says.

Owns the keys, their bounds and reasons. Must not know HTTP.
"""

from pathlib import Path
from typing import Any, Final

import attrs

from billing.config.document import TableSchema
from billing.config.sections import Section
from billing.errors import SettingsError
from billing.limits import bounded

ALGORITHMS: Final = ("EdDSA", "ES256", "ES384", "RS256", "PS256")  # asymmetric only: no secret that signs is here
KEYS_FILE: Final = "keys.db"
OPERATORS_FILE: Final = "operators.jsonl"  # beside the keys


@attrs.frozen
class ApiLimits:
    """Every bound of the API; the unit is the last part of the name but `_max`. Metadata: range and reason."""

    requests_max: int = bounded(
        256, 1, 100_000, "answered at once by a process: what waits longer is told to come back"
    )
    key_requests_max: int = bounded(64, 1, 100_000, "answered at once for one key, so that one caller leaves room")
    key_requests_per_second: int = bounded(5_000, 1, 1_000_000, "of one key: a loop without a pause is a defect")
    connections_max: int = bounded(8, 2, 256, "to one endpoint of a shard: a database has few hundred, for all")
    statement_timeout_ms: int = bounded(2_000, 10, 60_000, "a statement that takes longer asks for too much at once")
    wait_ms_max: int = bounded(5_000, 0, 60_000, "how long a request may wait for min_position")
    reader_lag_ms_max: int = bounded(2_000, 100, 600_000, "a reader further behind its writer is not asked")
    balances_accounts_max: int = bounded(1_000, 1, 10_000, "accounts of one request: a few statements a shard")
    page_rows_max: int = bounded(1_000, 1, 10_000, "lines of a page: half a megabyte")
    usage_rows_max: int = bounded(10_000, 100, 1_000_000, "rows of a rollup that one answer is made of")
    usage_days_max: int = bounded(400, 1, 40_000, "of an hourly answer; days and months may span ten times as much")
    events_max: int = bounded(10_000, 1, 100_000, "events of one request: a few tenths of a second of work")
    body_bytes_max: int = bounded(16_777_216, 65_536, 268_435_456, "held in memory while it is read")
    body_timeout_ms: int = bounded(20_000, 100, 600_000, "a body that comes more slowly holds a place of others")
    publish_timeout_ms: int = bounded(10_000, 100, 600_000, "a log that needs longer counts as away")


@attrs.frozen
class Jwt:
    """Tokens of an issuer: a file of its public keys (RFC 7517), and what a token must say."""

    jwks: Path
    audience: str
    issuer: str
    algorithms: tuple[str, ...] = ALGORITHMS


@attrs.frozen
class Tls:
    """The server's certificate chain and its private key, PEM."""

    certificate: Path
    key: Path


@attrs.frozen
class Api:
    """Everything that `[api]` says.

    keys: the file of API keys; operators_log: of what was done with an operator's power.
    """

    keys: Path
    jwt: Jwt | None = None
    tls: Tls | None = None
    limits: ApiLimits = ApiLimits()
    operators_log: Path = attrs.field(
        default=attrs.Factory(lambda self: self.keys.with_name(OPERATORS_FILE), takes_self=True)
    )


_LIMITS: Final[dict[str, Any]] = {field.name: field.metadata for field in attrs.fields(ApiLimits)}
_JWT: Final = ("jwks", "jwt_audience", "jwt_issuer", "jwt_algorithms")
_TLS: Final = ("tls_certificate", "tls_key")
SCHEMA: Final = TableSchema(("keys", "operators_log", *_JWT, *_TLS, *_LIMITS))


def read_api(section: Section, folder: Path) -> Api:
    """Read the section; relative paths start at the folder.

    Raises: SettingsError.
    """
    keys = section.keys
    limits = {
        name: keys[name].integer(bound["minimum"], bound["maximum"]) for name, bound in _LIMITS.items() if name in keys
    }
    key_file = keys["keys"].path(folder) if "keys" in keys else folder / KEYS_FILE
    return Api(
        key_file,
        _jwt(section, folder),
        _tls(section, folder),
        ApiLimits(**limits),
        keys["operators_log"].path(folder) if "operators_log" in keys else key_file.with_name(OPERATORS_FILE),
    )


def _jwt(section: Section, folder: Path) -> Jwt | None:
    if not any(name in section.keys for name in _JWT):
        return None
    jwks = _file(section, "jwks", folder, "a file of public keys (JWKS)")
    audience = section.need("jwt_audience", "what tokens for this service say in aud").text("an audience")
    issuer = section.need("jwt_issuer", "what tokens of the issuer say in iss").text("an issuer")
    if "jwt_algorithms" not in section.keys:
        return Jwt(jwks, audience, issuer)
    given = section.keys["jwt_algorithms"].items("algorithm")
    return Jwt(jwks, audience, issuer, tuple(one.choice(ALGORITHMS) for one in given))


def _tls(section: Section, folder: Path) -> Tls | None:
    if not any(name in section.keys for name in _TLS):
        return None
    certificate, key = (_file(section, name, folder, "a PEM file") for name in _TLS)
    return Tls(certificate, key)


def _file(section: Section, name: str, folder: Path, what: str) -> Path:
    given = section.need(name, f"the path of {what}")
    path = given.path(folder)
    if not path.is_file():
        raise SettingsError(f"{given.where}: {path} is no file; name {what}")
    return path
