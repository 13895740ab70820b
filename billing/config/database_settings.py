"""Database settings: who enters the shards' servers, and how the connection is secured, as `[database]` says.

Owns the keys, the roles and where their passwords come from. Must not know drivers, or what a role may do.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from ssl import SSLContext, SSLError, create_default_context
from types import MappingProxyType
from typing import Final

import attrs

from billing.config.document import TableSchema, read_secret
from billing.config.sections import Section
from billing.config.store_url import ClientCertificate
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
    """A user and its password, and the file that has it; lacking: why it is not known here, for who would enter."""

    user: str
    password: str = attrs.field(default="", repr=False)
    password_file: Path | None = None
    lacking: str = ""


@attrs.frozen
class Database:
    """Everything that `[database]` says.

    tls_ca: authorities (PEM) that servers' certificates must be by; None does not encrypt. logins: by role, empty where
    URLs name users. users_host: from where they may enter, as servers match it; require_tls: whether only encrypted.
    tls_client: what is shown to servers; require_certificate: whether users may enter only with one.
    """

    tls_ca: Path | None = None
    logins: Mapping[Role, Login] = MappingProxyType({})
    users_host: str = "%"
    require_tls: bool = False
    tls_client: ClientCertificate | None = None
    require_certificate: bool = False


SCHEMA: Final = TableSchema(
    (
        "tls_ca", "tls_certificate", "tls_key", "require_tls", "require_certificate", "users_host",
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
    tls_client = _client(section, folder, tls_ca)
    require_certificate = keys["require_certificate"].truth() if "require_certificate" in keys else False
    if require_certificate and tls_client is None:
        raise keys["require_certificate"].error("nobody could enter without database.tls_certificate; name it there")
    host = keys["users_host"].matching(_HOST, "a host, or % for any") if "users_host" in keys else "%"
    return Database(tls_ca, _logins(section, folder), host, require_tls, tls_client, require_certificate)


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
        return Login(user, *read_secret(file, folder))
    except SettingsError as error:
        return Login(user, lacking=str(error))


def _client(section: Section, folder: Path, tls_ca: Path | None) -> ClientCertificate | None:
    if not {"tls_certificate", "tls_key"} & section.keys.keys():
        return None
    given = section.need("tls_certificate", "the path of a PEM file with the certificate that servers are shown")
    key = section.need("tls_key", "the path of a PEM file with the certificate's key")
    if tls_ca is None:
        raise given.error("is shown encrypted only; name the servers' authorities in database.tls_ca")
    found = ClientCertificate(given.path(folder), key.path(folder))
    try:
        client_context(tls_ca, found)
    except (SSLError, OSError) as error:
        raise given.error(f"{found.chain} with key {found.key} cannot be used ({_told(error)}); name both") from error
    return found


def client_context(authorities: Path, client: ClientCertificate | None) -> SSLContext:
    """Return what checks a server's certificate and host name, by these authorities only, and shows it the client's.

    Raises: SSLError, OSError.
    """
    context = create_default_context(cafile=str(authorities))
    if client is not None:
        context.load_cert_chain(client.chain, client.key, password="")  # else one that has a password asks the terminal
    return context


def _told(error: OSError) -> str:
    return (error.reason if isinstance(error, SSLError) else error.strerror) or "no PEM file"


def _authorities(section: Section, folder: Path) -> Path:
    given = section.keys["tls_ca"]
    path = given.path(folder)
    try:
        create_default_context(cafile=str(path))
    except (SSLError, OSError) as error:
        reason = "has no certificate in it" if isinstance(error, SSLError) else f"cannot be read ({error.strerror})"
        raise given.error(f"{path} {reason}; name a PEM file of authorities") from error
    return path
