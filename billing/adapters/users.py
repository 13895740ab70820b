"""Users: the worker, the reader and the migrator of a shard's database, with exactly the rights that each needs.

Owns the rights. Must not know settings' keys or tables' columns. Idempotent, and safe while all of them are at work:
what is missing is granted before what is too much is taken away.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs
from sqlalchemy import Connection, text

from billing.adapters.sql import run
from billing.config.database_settings import USERS, Database, Role
from billing.config.settings import Shard, entered_by
from billing.config.store_url import MysqlUrl
from billing.errors import BillingError

_EVERY_TABLE: Final = ""
_BY_WILDCARD: Final = "*"  # every table of every database whose name is like this one's: what people grant by hand
_GRANT_OPTION: Final = "GRANT OPTION"
Rights = frozenset[tuple[str, str]]  # of (table or "" for the whole database, privilege)

# Nobody but the migrator can delete or drop. A worker locks records that it looks up (`FOR UPDATE`), which MySQL allows
# to who may change rows, or lock tables: the second is given, so that what is recorded stays as it is.
_RIGHTS: Final[Mapping[Role, Rights]] = {
    Role.READER: frozenset({(_EVERY_TABLE, "SELECT")}),
    Role.WORKER: frozenset(
        {
            (_EVERY_TABLE, "SELECT"),
            (_EVERY_TABLE, "LOCK TABLES"),
            ("records", "INSERT"),
            *(
                (table, privilege)
                for table in ("credits", "tiers", "rollups", "balances", "cursors", "quarantine")
                for privilege in ("INSERT", "UPDATE")
            ),
        }
    ),
    # With what it hands on to the worker, and the option to hand it on: a new table must not need an admin.
    Role.MIGRATOR: frozenset(
        (_EVERY_TABLE, privilege)
        for privilege in (
            "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX", "LOCK TABLES", _GRANT_OPTION,
        )
    ),
}  # fmt: skip


class UserRefusedError(BillingError):
    """A user that is named for billing is more than that. Reaction: stop; a person names another one."""


async def make_users(shard: Shard, database: Database) -> None:
    """Make or update the users of a shard, and its database if it is missing, as the admin.

    Raises: StoreUnreachableError, SettingsError when a password is not known here, UserRefusedError.
    """
    url = entered_by(database.logins[Role.ADMIN], shard.migrator)
    assert isinstance(url, MysqlUrl), "files have no users"

    def work(connection: Connection) -> None:
        connection.execute(text(f"CREATE DATABASE IF NOT EXISTS `{url.database}`"))
        for role in USERS:
            _make_user(connection, role, database)
            found = _found(connection, _account(role, database), url.database)
            wanted = _RIGHTS[role]
            _grant(connection, role, database, url.database, {one for one in wanted - found if one[0] == _EVERY_TABLE})
            for table, privilege in sorted(found - wanted):
                place = _place(connection, url.database, table)
                connection.execute(text(f"REVOKE {privilege} ON {place} FROM {_account(role, database)}"))

    await run(attrs.evolve(url, database=""), work)


async def grant_tables(shard: Shard, database: Database) -> None:
    """Grant what concerns single tables, as the migrator, once they exist. Raises as make_users."""
    url = shard.migrator
    assert isinstance(url, MysqlUrl), "files have no users"

    def work(connection: Connection) -> None:
        for role in USERS:
            of_tables = {one for one in _RIGHTS[role] if one[0] != _EVERY_TABLE}
            _grant(connection, role, database, url.database, of_tables)

    await run(url, work)


def _make_user(connection: Connection, role: Role, database: Database) -> None:
    account, login = _account(role, database), database.logins[role]
    if login.lacking:
        raise UserRefusedError(login.lacking)
    found = text("SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE=:account")
    everywhere = {str(one) for (one,) in connection.execute(found, {"account": account})} - {"USAGE"}
    if everywhere:
        raise UserRefusedError(
            f"database.{role}: {account} has rights on the whole server ({', '.join(sorted(everywhere))}); "
            "name a user that is for billing only"
        )
    required = "X509" if database.require_certificate else "SSL" if database.require_tls else "NONE"
    condition = f"IDENTIFIED BY :password REQUIRE {required}"
    for statement in (f"CREATE USER IF NOT EXISTS {account} {condition}", f"ALTER USER {account} {condition}"):
        connection.execute(text(statement), {"password": login.password})


def _grant(connection: Connection, role: Role, database: Database, name: str, rights: set[tuple[str, str]]) -> None:
    for table in sorted({table for table, _ in rights}):
        privileges = sorted(privilege for of, privilege in rights if of == table and privilege != _GRANT_OPTION)
        option = f" WITH {_GRANT_OPTION}" if (table, _GRANT_OPTION) in rights else ""
        what, place = ", ".join(privileges or ["USAGE"]), _place(connection, name, table)
        connection.execute(text(f"GRANT {what} ON {place} TO {_account(role, database)}{option}"))


def _found(connection: Connection, account: str, database: str) -> Rights:
    """Return what a user may do in a database; rights on single columns are none of ours."""

    def read() -> Iterator[tuple[str, str]]:
        given = {"account": account, "database": database, "pattern": _pattern(connection, database)}
        of_all = (
            f"IF(TABLE_SCHEMA=:pattern,'{_EVERY_TABLE}','{_BY_WILDCARD}') FROM information_schema.SCHEMA_PRIVILEGES"
        )
        for columns in (of_all, "TABLE_NAME FROM information_schema.TABLE_PRIVILEGES"):
            query = text(
                f"SELECT PRIVILEGE_TYPE, IS_GRANTABLE, {columns} "
                "WHERE GRANTEE=:account AND TABLE_SCHEMA IN (:database, :pattern)"
            )
            for privilege, grantable, table in connection.execute(query, given):
                yield str(table), str(privilege)
                if grantable == "YES":
                    yield str(table), _GRANT_OPTION

    return frozenset(one for one in read() if one[1] != "USAGE")


def _account(role: Role, database: Database) -> str:
    return f"'{database.logins[role].user}'@'{database.users_host}'"  # of harmless characters, says `[database]`


def _place(connection: Connection, database: str, table: str) -> str:
    if table == _EVERY_TABLE:
        return f"`{_pattern(connection, database)}`.*"
    return f"`{database}`.*" if table == _BY_WILDCARD else f"`{database}`.`{table}`"


def _pattern(connection: Connection, database: str) -> str:
    """Return a database's name as grants on all of it have it: `_` would stand for any character there.

    Unless a MySQL server has partial revokes, with which it stands for itself.
    """
    found = connection.execute(text("SHOW GLOBAL VARIABLES LIKE 'partial\\_revokes'")).all()
    return database if found and found[0][1] == "ON" else database.replace("_", "\\_")
