"""The users that `billing init` makes, on real servers: each can do its work, and nothing else."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import asyncmy
import pytest
from asyncmy.errors import MySQLError

from billing.adapters.check import facts
from billing.adapters.users import UserRefusedError
from billing.cli import app
from billing.config.settings import load
from billing.errors import SettingsError, StoreUnreachableError
from tests.apis import READ, Site
from tests.command import BOOK, event, write_events, write_settings
from tests.pipeline import credit
from tests.security.conftest import SecureServer
from tests.servers import query

DENIED = {
    1044,
    1045,
    1142,
    1143,
    1227,
}  # access denied: to a database, at all, to a command, to a column, without a privilege
ROLES = ("worker", "reader", "migrator")
SECRET = "pa's\"s\\w%s:é"  # each character has a meaning on the way to some server
RULES = """\
      - {id: rule-sms, when: {product: sms}, price: {per_unit: "0.0079"}}
      - id: rule-data
        when: {product: data}
        price: {graduated: {per: month, tiers: [{up_to: 10, unit: "1"}, {unit: "0.5"}]}}
        per_period: {minimum: 50}"""
EVENTS: list[dict[str, object] | bytes] = [
    *(event(number) for number in range(40)),
    *(event(number, product="data", quantity=7) for number in range(40, 45)),
    event(3),
    event(4, type="void"),
    event(5, quantity=9),
    credit("c1", {"kind": "payment", "amount": "10", "currency": "USD"}, "account-1", time="2026-01-01T00:00:00Z"),
    b"junk",
]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def site(secure: SecureServer, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Write settings with two shards on the server, which name the users; make nothing yet."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "admin.secret").write_text(secure.server.password)
    for role in ROLES:
        (folder / f"{role}.secret").write_text(f"{SECRET}-{role}\n")
    users = [f'{role} = "b_{role}"\n{role}_password_file = "{role}.secret"' for role in ROLES]
    database = ["[database]", f'tls_ca = "{secure.authority.file}"', "require_tls = true", *users]
    write_settings(folder, more="\n".join(database))
    (folder / "book.yaml").write_text(BOOK.format(version=1, rules=RULES))
    path = folder / "billing.toml"
    text = path.read_text()
    for number in range(2):
        text = text.replace(f"sqlite:///shard-{number}.db", secure.url(f"billing_{number}"))
    path.write_text(text)
    write_events(folder, EVENTS)
    as_admin(Site(folder))
    return Site(folder)


def run(site: Site, *arguments: str, result: int = 0) -> None:
    """Run a command in this process."""
    code = app(
        [*arguments, "-c", str(site.folder / "billing.toml")],
        exit_on_error=False, print_error=False, result_action="return_value",
    )  # fmt: skip
    assert (code or 0) == result, arguments


def as_admin(site: Site) -> None:
    """Run `billing init` as the only one who has the admin's password."""
    with pytest.MonkeyPatch.context() as once:
        once.setenv("BILLING_DATABASE_ADMIN", "root")
        once.setenv("BILLING_DATABASE_ADMIN_PASSWORD_FILE", "admin.secret")
        run(site, "init")


def only(site: Site, role: str) -> None:
    """Leave no password but one role's here, as on a machine of that role."""
    for other in ROLES:
        if other != role:
            (site.folder / f"{other}.secret").rename(site.folder / f"{other}.elsewhere")


@pytest.fixture(autouse=True)
def passwords(site: Site) -> Any:
    """Put back what a test has taken away."""
    yield
    for role in ROLES:
        if (elsewhere := site.folder / f"{role}.elsewhere").exists():
            elsewhere.rename(site.folder / f"{role}.secret")


async def session(secure: SecureServer, role: str, database: str | None = "billing_0") -> Any:
    """Enter as a role."""
    return await asyncmy.connect(
        host="localhost", port=secure.server.port, user=f"b_{role}", password=f"{SECRET}-{role}".encode(), db=database,
        ssl=ssl.create_default_context(cafile=str(secure.authority.file)), autocommit=True,
    )  # fmt: skip


def refusals(secure: SecureServer, role: str, statements: Sequence[str]) -> dict[str, int]:
    """Run statements as a role; returns the error of each, 0 for one that was done."""

    async def play() -> dict[str, int]:
        codes = {}
        connection = await session(secure, role)
        for statement in statements:
            try:
                await connection.query(statement)
            except MySQLError as error:
                codes[statement] = int(error.args[0])
            else:
                codes[statement] = 0
        connection._transport.abort()  # noqa: SLF001 - an encrypted end is waited for by nobody, and would be warned of
        connection.close()
        await asyncio.sleep(0)
        return codes

    return asyncio.run(play())


def root(secure: SecureServer, *statements: str) -> tuple[tuple[object, ...], ...]:
    """Run statements as who may do everything."""
    return asyncio.run(query(secure.server, *statements))


def grants(secure: SecureServer) -> set[object]:
    """Return every right of every role, without passwords."""
    found = [row[0] for role in ROLES for row in root(secure, f"SHOW GRANTS FOR b_{role}@'%'")]
    return {str(one).split(" IDENTIFIED BY")[0] for one in found}


EVERYWHERE = [
    "CREATE DATABASE another",
    "DROP DATABASE billing_0",
    "SELECT * FROM neighbour.secrets",
    "INSERT INTO neighbour.secrets VALUES (1)",
    "UPDATE neighbour.secrets SET secret=1",
    "SELECT * FROM billingx0.secrets",  # `_` in a name that is granted stands for any character, unless escaped
    "CREATE TABLE billingx0.t (a INT)",
    "CREATE TABLE neighbour.t (a INT)",
    "SELECT * FROM mysql.user",
    "CREATE USER somebody",
    "SET GLOBAL max_connections=1",
    "GRANT ALL ON *.* TO b_worker@'%'",
]
NOT_A_MIGRATOR = [
    "DROP TABLE records",
    "TRUNCATE TABLE records",
    "ALTER TABLE records ADD COLUMN x INT",
    "ALTER TABLE records DROP PARTITION p_future",
    "CREATE TABLE x (a INT)",
    "CREATE INDEX i ON records (time_us)",
    "DELETE FROM records",
    "DELETE FROM balances",
    "DELETE FROM quarantine",
    "UPDATE records SET amount=0",
    "UPDATE control SET value='shard-1'",
    "UPDATE alembic_version SET version_num='0001'",
    "GRANT SELECT ON billing_0.* TO b_worker@'%'",
]
NOT_A_WORKER = [
    "INSERT INTO cursors (log,`partition`,next_offset,map_version,book_version) VALUES ('x',0,0,1,1)",
    "UPDATE balances SET amount=0",
    "UPDATE quarantine SET retried=1",
    "LOCK TABLES records WRITE",
]


@pytest.mark.parametrize("role", ROLES)
def test_nobody_gets_further_than_its_work(secure: SecureServer, site: Site, role: str) -> None:
    """A password that leaks from a worker or a reader would be enough to destroy what was billed, or read all else."""
    root(
        secure, "CREATE DATABASE IF NOT EXISTS neighbour", "CREATE TABLE IF NOT EXISTS neighbour.secrets (secret INT)",
        "CREATE DATABASE IF NOT EXISTS billingx0", "CREATE TABLE IF NOT EXISTS billingx0.secrets (secret INT)",
    )  # fmt: skip
    forbidden = {"worker": NOT_A_MIGRATOR, "reader": [*NOT_A_MIGRATOR, *NOT_A_WORKER], "migrator": []}[role]
    codes = refusals(secure, role, [*EVERYWHERE, *forbidden])
    if role == "migrator":
        assert codes.pop("DROP DATABASE billing_0") == 0  # as it may drop every table in it
        as_admin(site)
    assert {statement: code for statement, code in codes.items() if code not in DENIED} == {}


def test_a_worker_alone_bills_audits_and_closes(secure: SecureServer, site: Site) -> None:
    """A fleet would stop at the first void, counter or conflict that needs a right it was not given."""
    only(site, "worker")
    run(site, "run", "--until-end")
    run(site, "close", "2026-01")
    run(site, "quarantine", "retry", "--reason", "conflict")
    run(site, "run", "--until-end")
    path = site.folder / "billing.toml"
    text = path.read_text()
    as_worker = text.replace('reader = "b_reader"', 'reader = "b_other"').replace("b_worker", "b_reader")
    as_worker = as_worker.replace("b_other", "b_worker").replace("reader.secret", "worker.secret")
    try:
        path.write_text(as_worker)
        run(site, "audit")
    finally:
        path.write_text(text)
    recorded = "SELECT SUM(accepted),SUM(duplicates),SUM(quarantined) FROM {}.cursors"
    shards = [root(secure, recorded.format(f"billing_{number}"))[0] for number in range(2)]
    assert [sum(int(str(one)) for one in column) for column in zip(*shards, strict=True)] == [47, 1, 3]


def test_a_reader_alone_answers_every_question(site: Site) -> None:
    """People would be told nothing, or the API be given a user that can change balances."""
    run(site, "run", "--until-end")
    only(site, "reader")
    for command in (
        ("balance", "account-1"), ("usage", "account-1", "--rollup", "hourly"), ("transactions", "account-1"),
        ("explain", "account-1", "event-1"), ("export", "records", "--format", "csv", "--out", f"{site.folder}/out"),
        ("audit",), ("quarantine", "list"), ("shards", "show"), ("shards", "verify"),
    ):  # fmt: skip
        run(site, *command)
    key = site.key(READ, accounts=["account-1"])
    answer = site.get("/v1/accounts/account-1/balance?consistency=strong", key)
    assert (answer.status_code, len(answer.json()["balances"])) == (200, 1)
    page = site.get("/v1/accounts/account-1/transactions", key)
    assert page.json()["transactions"]
    with pytest.raises(SettingsError, match=r"database\.worker_password_file: .*worker\.secret: cannot be read"):
        run(site, "run", "--until-end")
    (site.folder / "reader.secret").rename(site.folder / "reader.elsewhere")
    with pytest.raises(SettingsError, match=r"database\.reader_password_file: .*reader\.secret: cannot be read"):
        run(site, "serve")  # at its start, and not at the first question
    with pytest.raises(SettingsError, match=r"database\.migrator_password_file: .*migrator\.secret: cannot be read"):
        run(site, "init")


def test_a_migrator_alone_makes_the_tables_and_lets_the_others_in(secure: SecureServer, site: Site) -> None:
    """Each new version of the schema would need an admin's password, or leave workers without their new table."""
    before = grants(secure)
    root(secure, "DROP DATABASE billing_0", "CREATE DATABASE billing_0")  # rights on single tables are gone with them
    only(site, "migrator")
    run(site, "init")
    run(site, "init")
    assert grants(secure) == before
    root(secure, "DELETE FROM billing_1.cursors")  # the log is billed from its start again, where nothing is left
    root(
        secure, *(f"DELETE FROM billing_1.{table}" for table in ("records", "rollups", "balances", "tiers", "credits"))
    )


def test_rights_are_exactly_these_however_they_were(secure: SecureServer, site: Site, monkeypatch: Any) -> None:
    """What somebody granted by hand in a hurry would stay for ever, or another `billing init` take too much away."""
    before = grants(secure)
    root(
        secure,
        "GRANT ALL ON billing_0.* TO b_worker@'%'",
        "GRANT DELETE, DROP ON `billing\\_0`.* TO b_reader@'%' WITH GRANT OPTION",
        "GRANT DELETE ON billing_1.records TO b_worker@'%'",
        "REVOKE UPDATE ON billing_1.balances FROM b_worker@'%'",
        "ALTER USER b_reader@'%' IDENTIFIED BY 'another' REQUIRE NONE",
    )
    assert grants(secure) != before
    as_admin(site)
    assert grants(secure) == before
    run(site, "balance", "account-1")
    root(secure, "CREATE USER IF NOT EXISTS b_powerful@'%'", "GRANT PROCESS ON *.* TO b_powerful@'%'")
    monkeypatch.setenv("BILLING_DATABASE_READER", "b_powerful")
    with pytest.raises(UserRefusedError, match=r"has rights on the whole server \(PROCESS\); name a user that is for"):
        as_admin(site)


def test_users_may_be_made_to_show_a_certificate(
    site: Site, secure: SecureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds a password on a machine could enter from any other, although the settings say that it does not do."""
    chain, key = secure.authority.issue("client")
    try:
        with monkeypatch.context() as certified:
            certified.setenv("BILLING_DATABASE_TLS_CERTIFICATE", str(chain))
            certified.setenv("BILLING_DATABASE_TLS_KEY", str(key))
            certified.setenv("BILLING_DATABASE_REQUIRE_CERTIFICATE", "true")
            as_admin(site)
            run(site, "balance", "account-1")
        with pytest.raises(StoreUnreachableError, match=r"needs .*database\.tls_certificate"):
            run(site, "balance", "account-1")
    finally:
        as_admin(site)
    run(site, "balance", "account-1")


def test_an_unencrypted_connection_is_refused(site: Site) -> None:
    """A worker that lost its TLS settings would send what people bought in the clear, unnoticed."""
    plain = [line for line in (site.folder / "billing.toml").read_text().splitlines() if "tls" not in line]
    path = site.folder / "plain.toml"
    path.write_text("\n".join(plain))
    (shard, _) = load(path, {}).shards
    found = asyncio.run(facts(shard))
    assert isinstance(found, StoreUnreachableError)
    assert "needs database.tls_ca" in str(found)
    assert SECRET not in str(found)
