"""Commands of who lets callers in: keys create, list, revoke, log."""

import re
import secrets
import time
from typing import Annotated, Final, Literal

from cyclopts import Parameter
from rich.table import Table

from billing.adapters.keyfile import KeyFile
from billing.adapters.oplog import actions
from billing.cli.setup import DEFAULT_CONFIG, ConfigPath, deployment, out, print_json, user
from billing.errors import BillingError, SettingsError
from billing.keys import ACCOUNTS_MAX, EVERY_ACCOUNT, RANDOM_BYTES, Key, Scope, is_account_pattern, new_key
from billing.moment import SECOND_US
from billing.reads.answers import moment
from billing.span import moment_of

NAME_MAX: Final = 80
_UNIT_SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400}
_LASTING: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")


class NoSuchKeyError(BillingError):
    """No key has this id."""


def create(
    config: ConfigPath = DEFAULT_CONFIG,
    *,
    name: str,
    scope: tuple[Literal["read", "write", "operator"], ...] = ("read",),
    account: tuple[str, ...] = (),
    expires: str | None = None,
    json: bool = False,
) -> None:
    """Make a key and print it: this once, since only its hash is kept.

    Parameters
    ----------
    config
        The settings file.
    name
        Whom it is for.
    scope
        read (accounts), write (publish their events) or operator (the fleet, and every account); may be repeated.
    account
        An account's id, or the beginning of ids and a *; may be repeated.
    expires
        When it ends: 90d, 12h, 30m from now, or a day or RFC 3339 moment.
    json
        Print one JSON document.
    """
    scopes = [Scope(one) for one in scope]
    if not account and Scope.OPERATOR not in scopes:
        raise SettingsError(f"--account: is missing; name an account, a beginning and *, or {EVERY_ACCOUNT} for all")
    for one in account:
        if not is_account_pattern(one):
            raise SettingsError(f"--account {one[:64]!a}: cannot be one; write 1 to 64 characters of visible ASCII")
    if len(account) > ACCOUNTS_MAX:
        raise SettingsError(f"--account: {len(account)} are too many; write at most {ACCOUNTS_MAX}")
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise SettingsError(f"--name: write 1 to {NAME_MAX} printable characters")
    now_us = time.time_ns() // 1_000
    ends_us = None if expires is None else _ends_us(expires, now_us)
    text, key = new_key(secrets.token_bytes(RANDOM_BYTES), name, scopes, account, now_us, ends_us)
    _file(config).add(key, user())
    if json:
        print_json({"key": text, **_fields(key, now_us)})
        return
    out.print(text, highlight=False, soft_wrap=True)


def list_keys(config: ConfigPath = DEFAULT_CONFIG, *, json: bool = False) -> None:
    """Show every key, without its secret.

    Parameters
    ----------
    config
        The settings file.
    json
        Print one JSON document.
    """
    now_us = time.time_ns() // 1_000
    rows = [_fields(key, now_us) for key in _file(config).all()]
    if json:
        print_json(rows)
        return
    if not rows:
        out.print("no keys; make one: billing keys create", highlight=False)
        return
    table = Table(*rows[0], box=None, header_style="bold")
    for row in rows:
        table.add_row(*(" ".join(one) if isinstance(one, list) else one or "" for one in row.values()))
    out.print(table, highlight=False, markup=False)


def revoke(key_id: str, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Make a key useless: the next request with it is refused.

    Parameters
    ----------
    key_id
        The key's id, as `keys list` shows it.
    config
        The settings file.
    """
    if not _file(config).revoke(key_id, user(), time.time_ns() // 1_000):
        raise NoSuchKeyError(f"{key_id[:64]!a}: no key has this id; billing keys list shows them")
    out.print(f"{key_id} is revoked", highlight=False)


def log(config: ConfigPath = DEFAULT_CONFIG, *, operators: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show who made and revoked keys, and when.

    Parameters
    ----------
    config
        The settings file.
    operators
        Show what was done with an operator's power instead: over HTTP, and by commands that change what is billed.
    """
    if operators:
        for one in actions(deployment(config).settings.api.operators_log):
            out.print(f"{one.at}  {one.who}  {one.did}", highlight=False, markup=False, soft_wrap=True)
        return
    for at_us, who, action, key_id in _file(config).actions():
        out.print(f"{moment(at_us)}  {who}  {action}  {key_id}", highlight=False, markup=False, soft_wrap=True)


def _file(config: ConfigPath) -> KeyFile:
    return KeyFile(deployment(config).settings.api.keys)


def _ends_us(text: str, now_us: int) -> int:
    lasting = _LASTING.fullmatch(text)
    if lasting is not None:
        return now_us + int(lasting[1]) * _UNIT_SECONDS[lasting[2]] * SECOND_US
    found = moment_of(text)
    if found is None or found <= now_us:
        raise SettingsError(f"--expires {text[:64]!a}: is no time to come; write 90d, 12h, or 2027-01-31")
    return found


def _fields(key: Key, now_us: int) -> dict[str, str | list[str] | None]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": [scope.value for scope in sorted(key.scopes)],
        "accounts": list(key.accounts),
        "created": moment(key.created_us),
        "expires": None if key.expires_us is None else moment(key.expires_us),
        "state": key.fault(now_us) or "in use",
    }
