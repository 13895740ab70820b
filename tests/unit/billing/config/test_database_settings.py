"""The users and the certificates of databases, in a settings file."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from billing.config.store_url import ClientCertificate, MysqlUrl, SqliteUrl
from billing.errors import SettingsError
from tests.certificates import Authority
from tests.settings_files import GOOD, loaded

DATABASE = """
[database]
worker = "b_worker"
worker_password_file = "worker.secret"
reader = "b_reader"
migrator = "b_migrator"
"""
USERLESS = GOOD.replace("billing:s3cret@", "")


def test_roles_enter_the_same_databases_as_other_users(folder: Path) -> None:
    """A worker would enter as who may drop tables, or readers as who may change balances."""
    (folder / "worker.secret").write_text("w0rk\n")
    environ = {"BILLING_DATABASE_ADMIN": "root", "BILLING_DATABASE_READER_PASSWORD": "r3ad"}
    settings = loaded(USERLESS + DATABASE, environ)
    shard, file = settings.shards
    assert isinstance(shard.writer, MysqlUrl)
    assert (shard.writer.user, shard.writer.password, shard.writer.port) == ("b_worker", "w0rk", 3307)
    assert [str(url) for url in (shard.primary, *shard.readers, shard.migrator)] == [
        "mysql://b_reader@127.0.0.1:3307/shard_0",
        "mysql://b_reader@127.0.0.1:3308/shard_0",
        "mysql://b_migrator@127.0.0.1:3307/shard_0",
    ]
    assert isinstance(shard.primary, MysqlUrl)
    assert (shard.primary.password, shard.primary.lacking) == ("r3ad", "")
    assert isinstance(shard.migrator, MysqlUrl)
    assert shard.migrator.lacking == (
        "billing.toml:22: database.migrator_password_file: is missing; "
        "name it, or set BILLING_DATABASE_MIGRATOR_PASSWORD"
    )
    assert file.writer == file.primary == file.migrator == SqliteUrl(Path("data/shard-1.db"))
    assert "w0rk" not in repr(settings) + str(settings)
    assert "r3ad" not in repr(settings) + str(settings)


BAD_DATABASE = [
    (
        GOOD + DATABASE,
        "9: shards[0].writer: has a user, and [database] names the users; write mysql://host:port/database",
    ),
    (
        USERLESS + DATABASE.replace('migrator = "b_migrator"', ""),
        "22: database.migrator: is missing; write the name of the migrator's user, or remove worker",
    ),
    (
        USERLESS + DATABASE.replace("b_reader", "b_worker"),
        "25: database.reader: is the user of worker too; each has other rights, so give each its own",
    ),
    (
        USERLESS + DATABASE.replace("b_reader", "b'reader"),
        '25: database.reader: "b\'reader" is not allowed; write a user: 1 to 32 of A-Z a-z 0-9 _ . -',
    ),
    (
        USERLESS + DATABASE + 'reader_password = "s3cret"',
        (
            "27: database.reader_password: a password must not stand here; name its file in reader_password_file, "
            "or set BILLING_DATABASE_READER_PASSWORD"
        ),
    ),
    (
        USERLESS.replace('"shard-0"', '"shard-0"\npassword_file = "a.secret"') + DATABASE,
        "9: shards[0].password_file: [database] names the users, and where their passwords are; remove it",
    ),
    (
        GOOD + "[database]\nrequire_tls = true",
        "22: database.require_tls: nobody could enter without database.tls_ca; name the authorities there",
    ),
    (
        GOOD + '[database]\nrequire_tls = "yes"',
        '22: database.require_tls: "yes" is neither true nor false; write one of them',
    ),
    (
        GOOD + '[database]\ntls_ca = "none.pem"',
        "22: database.tls_ca: none.pem cannot be read (No such file or directory); name a PEM file of authorities",
    ),
    (
        GOOD + '[database]\ntls_ca = "billing.toml"',
        "22: database.tls_ca: billing.toml has no certificate in it; name a PEM file of authorities",
    ),
    (
        GOOD + '[database]\ntls_certificate = "a.crt"',
        "21: database.tls_key: is missing; write the path of a PEM file with the certificate's key",
    ),
    (
        GOOD + '[database]\ntls_certificate = "a.crt"\ntls_key = "a.key"',
        "22: database.tls_certificate: is shown encrypted only; name the servers' authorities in database.tls_ca",
    ),
    (
        GOOD + "[database]\nrequire_certificate = true",
        "22: database.require_certificate: nobody could enter without database.tls_certificate; name it there",
    ),
    (
        GOOD + '[database]\nusers_host = "a b"',
        '22: database.users_host: "a b" is not allowed; write a host, or % for any',
    ),
]


@pytest.mark.parametrize(("text", "sentence"), BAD_DATABASE)
def test_a_wrong_database_section_is_told(text: str, sentence: str) -> None:
    """Whoever sets users up would be left with one who may do everything, or with connections that nobody encrypts."""
    with pytest.raises(SettingsError) as caught:
        loaded(text)
    assert str(caught.value) == f"billing.toml:{sentence}"


def test_a_certificate_that_cannot_be_shown_is_told(folder: Path) -> None:
    """A worker would start, and be refused by every shard; or ask a terminal that it has not for the key's password."""
    authority = Authority(folder)
    chain, key = authority.issue("client")
    other = authority.issue("other")[1]
    private = load_pem_private_key(key.read_bytes(), None)
    locked = folder / "locked.key"
    locked.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    text = GOOD + f'[database]\ntls_ca = "{authority.file}"\ntls_certificate = "{chain}"\n'
    assert loaded(text + f'tls_key = "{key}"').database.tls_client == ClientCertificate(chain, key)
    for wrong in (other, locked, folder / "none.key"):
        with pytest.raises(SettingsError) as caught:
            loaded(text + f'tls_key = "{wrong}"')
        told = f"billing.toml:23: database.tls_certificate: {chain} with key {wrong} cannot be used ("
        assert str(caught.value).startswith(told)
