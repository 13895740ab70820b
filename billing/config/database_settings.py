"""Database settings: who enters the shards' servers, and how the connection is secured, as `[database]` says.

Owns the keys, the roles and where their passwords come from. Must not know drivers, or what a role may do.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from ssl import SSLError, create_default_context
from types import MappingProxyType
from typing import Final

import attrs

from billing.config.document import TableSchema, read_secret
from billing.config.sections import Section
from billing.errors import SettingsError

_USER: Final = r"[A-Za-z0-9_.-]{1,32}"  # what needs no quotes in SQL but the usual ones; MySQL's longest name
_HOST: Final = r"[A-Za-z0-9_.:%/-]{1,255}"


class Role(StrEnum):
    """What a user of the databases is for."""

    WORKER = "worker"  # bills: adds to what is recorded, and takes nothing away
    READER = "reader"  # looks
    MIGRATOR = "migrator"  # changes tables
    ADMIN = "admin"  # makes the others; needed by `billing init` only


USERS: Final = (Role.WORKER, Role.READER, Role.MIGRATOR)


@attrs.frozen
class Login:
    """A user and its password; lacking: why the password is not known here, for who would enter as this user."""

    user: str
    password: str = attrs.field(default="", repr=False)
    lacking: str = ""


@attrs.frozen
class Database:
    """Everything that `[database]` says.

    tls_ca: authorities (PEM) that servers' certificates must be by; None does not encrypt. logins: by role, empty where
    URLs name users. users_host: from where they may enter, as servers match it; require_tls: whether only encrypted.
    """

    tls_ca: Path | None = None
    logins: Mapping[Role, Login] = MappingProxyType({})
    users_host: str = "%"
    require_tls: bool = False


SCHEMA: Final = TableSchema(
    (
        "tls_ca", "require_tls", "users_host",
        *(f"{role}{suffix}" for role in Role for suffix in ("", "_password", "_password_file")),
    )
)  # fmt: skip


def read_database(section: Section, folder: Path) -> Database:
    """Read the section; relative paths start at the folder. A file that lacks a password is told when it is needed.

    Raises: SettingsError.
    """
    keys = section.keys
    tls_ca = _authorities(section, folder) if "tls_ca" in keys else None
    require_tls = keys["require_tls"].truth() if "require_tls" in keys else False
    if require_tls and tls_ca is None:
        raise keys["require_tls"].error("nobody could enter without database.tls_ca; name the authorities there")
    host = keys["users_host"].matching(_HOST, "a host, or % for any") if "users_host" in keys else "%"
    return Database(tls_ca, _logins(section, folder), host, require_tls)


def _logins(section: Section, folder: Path) -> Mapping[Role, Login]:
    given = [name for name in section.keys if name.split("_")[0] in {*Role}]
    if not given:
        return {}
    roles = [*USERS, *([Role.ADMIN] if any(name.startswith(Role.ADMIN) for name in given) else [])]
    logins: dict[Role, Login] = {}
    for role in roles:
        key = section.need(role, f"the name of the {role}'s user, or remove {given[0]}")
        user = key.matching(_USER, "a user: 1 to 32 of A-Z a-z 0-9 _ . -")
        twin = next((other for other, login in logins.items() if login.user == user), None)
        if twin is not None:
            raise key.error(f"is the user of {twin} too; each has other rights, so give each its own")
        logins[role] = _login(section, role, user, folder)
    return logins


def _login(section: Section, role: Role, user: str, folder: Path) -> Login:
    text, file = (section.keys.get(f"{role}{suffix}") for suffix in ("_password", "_password_file"))
    variable = f"BILLING_DATABASE_{role.upper()}_PASSWORD"
    if text is not None and not text.textual:
        raise text.error(f"a password must not stand here; name its file in {role}_password_file, or set {variable}")
    if text is not None and file is not None:
        raise text.error(f"{role}_password_file has a password too; keep one of them")
    if text is not None:
        return Login(user, text.text("a password"))
    if file is None:
        needed = f"{section.place}: {section.name}.{role}_password_file: is missing; name it, or set {variable}"
        return Login(user, lacking="" if role is Role.ADMIN else needed)
    try:
        return Login(user, read_secret(file, folder))
    except SettingsError as error:
        return Login(user, lacking=str(error))


def _authorities(section: Section, folder: Path) -> Path:
    given = section.keys["tls_ca"]
    path = given.path(folder)
    try:
        create_default_context(cafile=str(path))
    except (SSLError, OSError) as error:
        reason = "has no certificate in it" if isinstance(error, SSLError) else f"cannot be read ({error.strerror})"
        raise given.error(f"{path} {reason}; name a PEM file of authorities") from error
    return path
