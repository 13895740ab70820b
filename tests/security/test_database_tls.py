"""Encrypted connections to real database servers: who is not whom the settings name gets neither password nor data."""

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
import uvloop
from asyncmy.errors import MySQLError
from sqlalchemy import text

from billing.adapters.migrate import migrate
from billing.adapters.mysql import MysqlStore
from billing.adapters.sql import Database, run
from billing.config.store_url import ClientCertificate, MysqlUrl
from billing.cursor import Claim, Standing
from billing.errors import SettingsError, StoreUnreachableError
from billing.limits import Limits
from billing.ports import Reaction, Refused
from ops.local.mysql import MysqlServer
from tests.certificates import HOST, Authority
from tests.security.conftest import SecureServer
from tests.servers import query
from tests.stores import TODAY

PASSWORD = "rem\N{EURO SIGN}te secret"  # beyond Latin-1, which the driver takes text for
CIPHER = text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")


@pytest.fixture(scope="module")
def url(secure: SecureServer) -> MysqlUrl:
    """Make a shard, and a user who must encrypt."""

    async def prepare() -> None:
        user = "'remote'@'%'"
        await query(
            secure.server, "CREATE DATABASE IF NOT EXISTS encrypted", "SET NAMES utf8mb4",
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{PASSWORD}' REQUIRE SSL",
            f"GRANT ALL ON encrypted.* TO {user}",
        )  # fmt: skip
        await migrate("s1", found, TODAY)

    found = MysqlUrl(HOST, secure.server.port, "remote", PASSWORD, "encrypted", secure.authority.file)
    uvloop.run(prepare())
    return found


async def claimed(url: MysqlUrl) -> Standing | Refused:
    """Claim a shard as a worker does."""
    store = MysqlStore("s1", url, Limits())
    try:
        return await store.claim(Claim("log", {0: 0}, 1, 1))
    finally:
        await store.close()


async def kept(url: MysqlUrl) -> Any:
    """Read by a connection that is kept, as the API does."""
    database = Database(url, 2, 1_000)
    try:
        return await database.read(lambda connection: connection.execute(CIPHER).one()[1])
    finally:
        await database.close()


def refused(url: MysqlUrl) -> str:
    """Try every way in, and return what the reader is told; the worker is told the same."""
    outcome = uvloop.run(claimed(url))
    assert isinstance(outcome, Refused)
    assert outcome.reaction is Reaction.RECONNECT  # other shards go on, and this one does once it is corrected
    with pytest.raises(StoreUnreachableError) as caught:
        uvloop.run(run(url, lambda connection: connection.execute(CIPHER).one()))
    with pytest.raises(StoreUnreachableError) as of_kept:
        uvloop.run(kept(url))
    told = str(caught.value).removeprefix(f"{url}: ")
    assert outcome.detail == f"s1 at {url.host}:{url.port}: {told}"
    assert str(of_kept.value) == str(caught.value)
    assert not url.password or url.password not in str(caught.value)
    assert "\n" not in told
    return told


@pytest.fixture
def swapped(secure: SecureServer) -> Iterator[Any]:
    """Give a function that changes the server's certificate while it runs; it gets its own back."""
    kinds = [secure.folder / f"server.{kind}" for kind in ("crt", "key")]
    originals = [path.with_suffix(f"{path.suffix}.original") for path in kinds]

    def put(files: Any) -> None:
        for source, target in zip(files, kinds, strict=True):
            shutil.copy(source, target)
        uvloop.run(
            query(secure.server, "FLUSH SSL" if secure.server.kind == "mariadb" else "ALTER INSTANCE RELOAD TLS")
        )

    for path, original in zip(kinds, originals, strict=True):
        shutil.copy(path, original)
    yield put
    put(originals)


def test_every_connection_is_encrypted(url: MysqlUrl) -> None:
    """What people bought would cross the network in the clear, although the settings say that it does not."""
    assert uvloop.run(run(url, lambda connection: connection.execute(CIPHER).one()[1]))
    assert uvloop.run(kept(url))
    assert isinstance(uvloop.run(claimed(url)), Standing)  # the user may enter encrypted only
    assert "needs database.tls_ca" in refused(attrs.evolve(url, tls_ca=None))


def test_a_certificate_by_somebody_else_is_refused(url: MysqlUrl, tmp_path: Path) -> None:
    """Whoever answers in the server's place would be given the password and everything else."""
    other = Authority(tmp_path, "other").file
    assert refused(attrs.evolve(url, tls_ca=other)) == (
        f"the server's certificate is by no authority in {other}; name the file with its authority"
    )


def test_a_certificate_for_another_host_is_refused(url: MysqlUrl) -> None:
    """Anybody with a certificate of the same authority could stand in the server's place."""
    assert refused(attrs.evolve(url, host="127.0.0.1")) == (
        "the server's certificate is not for 127.0.0.1; write the host that it names, or give it another one"
    )


def test_an_expired_certificate_is_refused(secure: SecureServer, url: MysqlUrl, swapped: Any) -> None:
    """A key that was withdrawn by letting it expire would be good for ever."""
    for seconds in (2, 10, 60):  # MySQL takes none that has ended, so that one must end meanwhile, however slow this is
        ends = time.monotonic() + seconds
        try:
            swapped(secure.authority.issue("old", lasting=timedelta(seconds=seconds)))
        except MySQLError:
            continue
        time.sleep(max(ends + 1 - time.monotonic(), 0))
        break
    assert refused(url) == "the server's certificate has expired; renew it, or correct the clock"


def test_a_wrong_password_is_told(url: MysqlUrl) -> None:
    """Whoever rotates a password would search the network for what is wrong, or find the password in a log."""
    told = refused(attrs.evolve(url, password="something else"))
    assert told.startswith("1045 Access denied for user 'remote'@")
    assert "; correct user and password" in told


def test_a_server_that_does_not_encrypt_is_refused(url: MysqlUrl, mariadb_servers: Any) -> None:
    """A connection that is not encrypted after all would look as if it were."""
    plain: MysqlServer = mariadb_servers(1)[0]
    if url.port == plain.port:
        return
    told = refused(attrs.evolve(url, host="127.0.0.1", port=plain.port, user="root", password=""))
    assert told.endswith("; check that the server speaks TLS")


def test_a_certificate_lets_in_where_the_server_asks_for_one(
    secure: SecureServer, url: MysqlUrl, tmp_path: Path
) -> None:
    """Servers that know clients by certificates could not be used, or whoever has the password could enter."""
    account = "'certified'@'%'"
    statements = (
        "SET NAMES utf8mb4", f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{PASSWORD}' REQUIRE X509",
        f"GRANT ALL ON encrypted.* TO {account}",
    )  # fmt: skip
    uvloop.run(query(secure.server, *statements))
    certified = attrs.evolve(url, user="certified", tls_client=ClientCertificate(*secure.authority.issue("client")))
    assert uvloop.run(run(certified, lambda connection: connection.execute(CIPHER).one()[1]))
    assert uvloop.run(kept(certified))
    assert isinstance(uvloop.run(claimed(certified)), Standing)
    assert "must show a certificate database.tls_certificate" in refused(attrs.evolve(certified, tls_client=None))
    stranger = ClientCertificate(*Authority(tmp_path, "other").issue("stranger"))
    refused(attrs.evolve(certified, tls_client=stranger))
    gone = ClientCertificate(tmp_path / "none.crt", tmp_path / "none.key")
    assert str(gone.chain) in refused(attrs.evolve(certified, tls_client=gone))  # and tried again: it may be replaced


def test_a_new_password_is_taken_from_its_file(secure: SecureServer, url: MysqlUrl, tmp_path: Path) -> None:
    """Whoever rotates a password would have to restart every worker and every API process, all at once."""
    file = tmp_path / "secret"
    account = "'rotated'@'%'"

    async def change(password: str) -> None:
        await query(secure.server, f"ALTER USER {account} IDENTIFIED BY '{password}'")

    async def rotate() -> None:
        await query(
            secure.server, f"CREATE USER IF NOT EXISTS {account} REQUIRE SSL", f"GRANT ALL ON encrypted.* TO {account}"
        )
        await change("first")
        file.write_text("first\n")
        rotated = attrs.evolve(url, user="rotated", password="first", password_file=file)
        store = MysqlStore("s1", rotated, Limits())
        claim = Claim("log", {0: 0}, 1, 1)
        assert isinstance(await store.claim(claim), Standing)
        await change("second")
        assert isinstance(await store.claim(claim), Standing)  # the connection that is open stays
        await store.close()
        assert isinstance(await store.claim(claim), Refused)
        file.write_text("second\n")
        assert isinstance(await store.claim(claim), Standing)
        await store.close()
        file.unlink()  # what was read at the start is all there is, and the server says that it is wrong
        assert "1045" in str(await store.claim(claim))

    uvloop.run(rotate())


def test_a_password_that_is_not_here_is_told_to_who_needs_it(url: MysqlUrl) -> None:
    """A worker would try an empty password for ever, instead of saying which file is missing."""
    lacking = attrs.evolve(url, lacking="billing.toml:7: database.worker_password_file: is missing")
    for entering in (claimed(lacking), kept(lacking), run(lacking, lambda _: None)):
        with pytest.raises(SettingsError, match="worker_password_file: is missing"):
            uvloop.run(entering)
