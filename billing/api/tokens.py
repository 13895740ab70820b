"""Tokens: JWTs of an issuer whose public keys stand in a file (RFC 7519, RFC 7517).

Owns what a token must say. Signatures, times, audience and issuer are checked by PyJWT, with algorithms pinned here.
"""

import os
from typing import Any, Final

import jwt

from billing.config.api_settings import Jwt
from billing.errors import SettingsError
from billing.keys import ACCOUNTS_MAX, Caller, Scope, is_account_pattern

TOKEN_CHARACTERS_MAX: Final = 8_192
_LEEWAY_SECONDS: Final = 5  # two machines' clocks
_REQUIRED: Final = ["exp", "aud", "iss", "sub"]


class TokenError(Exception):
    """A token that opens nothing; its sentence tells its bearer why."""


class Tokens:
    """Checks tokens; reads the file of keys again when it changes."""

    def __init__(self, settings: Jwt) -> None:
        self._settings = settings
        self._state: tuple[int, int] = (0, 0)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._load()

    def caller(self, token: str) -> Caller:
        """Return who bears a token: `sub`, with `scope` (words) and `accounts` (ids, or beginnings and *).

        Raises: TokenError.
        """
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise TokenError("is too long")
        self._load()
        try:
            key = self._keys.get(str(jwt.get_unverified_header(token).get("kid", "")))
            if key is None:
                raise TokenError("was signed with a key that is not known here")
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._settings.algorithms),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as error:
            raise TokenError(f"is not accepted: {error}") from error
        return _caller(claims)

    def _load(self) -> None:
        """Read the keys. Raises: SettingsError where they never could be read; later a bad file changes nothing."""
        try:
            found = os.stat(self._settings.jwks)  # noqa: PTH116 - as Path.stat, on every request
            state = found.st_mtime_ns, found.st_ino
            if state == self._state:
                return
            keys = jwt.PyJWKSet.from_json(self._settings.jwks.read_text()).keys
        except (OSError, ValueError, jwt.PyJWTError) as error:
            if self._keys:
                return
            raise SettingsError(f"{self._settings.jwks}: has no public keys (JWKS): {error}") from error
        self._keys = {key.key_id: key for key in keys if key.key_id}
        self._state = state


def _caller(claims: dict[str, Any]) -> Caller:
    """Read what a token, whose signature holds, says of its bearer."""
    scope, accounts = claims.get("scope", ""), claims.get("accounts", [])
    if not isinstance(scope, str) or not isinstance(accounts, list) or len(accounts) > ACCOUNTS_MAX:
        raise TokenError("has no proper scope and accounts")
    if not all(isinstance(one, str) and is_account_pattern(one) for one in accounts):
        raise TokenError("names something that cannot be an account")
    scopes = frozenset(Scope(word) for word in scope.split() if word in {*Scope})
    return Caller(f"jwt:{claims['sub']}"[:200], scopes, tuple(accounts))
