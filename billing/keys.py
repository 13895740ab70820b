"""Keys: who may call, what for, about which accounts, and until when.

Owns the form of an API key and the one check of an account's scope. Must not know files, clocks or HTTP.
"""

import hmac
import re
from base64 import b32encode, urlsafe_b64encode
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Final

import attrs

from billing.wire import is_identifier

EVERY_ACCOUNT: Final = "*"
ACCOUNTS_MAX: Final = 1_000  # of one key: whoever needs more has accounts with a common beginning
RANDOM_BYTES: Final = 38  # 6 for the id, 32 for the secret, which nobody guesses and no salt need protect
_ID_BYTES: Final = 6
_TEXT: Final = re.compile(r"bk_([a-z2-7]{10})_([A-Za-z0-9_-]{43})", re.ASCII)


class Scope(StrEnum):
    """What a caller may do: read accounts, publish events of accounts, or see the fleet and every account."""

    READ = "read"
    WRITE = "write"
    OPERATOR = "operator"


@attrs.frozen
class Caller:
    """Who asks: id for limits and logs; accounts: ids, or beginnings of ids that end in *."""

    id: str
    scopes: frozenset[Scope]
    accounts: tuple[str, ...]

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller may do such a thing at all."""
        return scope in self.scopes or (scope is Scope.READ and Scope.OPERATOR in self.scopes)

    def sees(self, account: str) -> bool:
        """Tell whether an account is the caller's concern; any other does not exist for him."""
        return Scope.OPERATOR in self.scopes or self.owns(account)

    def needs_power(self, account: str) -> bool:
        """Tell whether the caller sees an account only because operators see all of them."""
        return Scope.OPERATOR in self.scopes and not self.owns(account)

    def owns(self, account: str) -> bool:
        """Tell whether an account is among the caller's own."""
        for one in self.accounts:
            if account.startswith(one[:-1]) if one.endswith(EVERY_ACCOUNT) else account == one:
                return True
        return False


@attrs.frozen
class Key:
    """An API key as it is kept: its secret only as SHA-256; times in microseconds since 1970, None is never."""

    id: str
    secret_sha256: str = attrs.field(repr=False)
    name: str
    scopes: frozenset[Scope]
    accounts: tuple[str, ...]
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None

    @cached_property
    def caller(self) -> Caller:
        """Who calls with it."""
        return Caller(self.id, self.scopes, self.accounts)

    def opens(self, secret: str) -> bool:
        """Tell whether this is its secret, in the same time for any."""
        return hmac.compare_digest(self.secret_sha256, _sha256(secret))

    def fault(self, now_us: int) -> str | None:
        """Tell why it is of no more use, if it is not."""
        if self.revoked_us is not None:
            return "revoked"
        return "expired" if self.expires_us is not None and now_us >= self.expires_us else None


def new_key(
    random: bytes,
    name: str,
    scopes: Iterable[Scope],
    accounts: Iterable[str],
    created_us: int,
    expires_us: int | None = None,
) -> tuple[str, Key]:
    """Return a key's text, which is shown once, and what is kept of it; random: RANDOM_BYTES of the system's best."""
    assert len(random) == RANDOM_BYTES, "both parts are random"
    key_id = b32encode(random[:_ID_BYTES]).decode().rstrip("=").lower()
    secret = urlsafe_b64encode(random[_ID_BYTES:]).decode().rstrip("=")
    kept = Key(key_id, _sha256(secret), name, frozenset(scopes), tuple(accounts), created_us, expires_us)
    return f"bk_{key_id}_{secret}", kept


def id_and_secret(text: str) -> tuple[str, str] | None:
    """Read a key's text, or None for any other."""
    found = _TEXT.fullmatch(text)
    return None if found is None else (found[1], found[2])


def is_account_pattern(text: str) -> bool:
    """Tell whether a text names accounts: an id, or the beginning of ids and a *."""
    return is_identifier(text)  # which a * is too


def _sha256(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
