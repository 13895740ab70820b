from pathlib import Path

import pytest

from billing.config.store_url import MysqlUrl, SqliteUrl, StoreUrlError, parse

FOLDER = Path("/etc/billing")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mysql://billing@db/shard_0", MysqlUrl("db", 3306, "billing", "", "shard_0")),
        ("mysql://billing:pw@127.0.0.1:3307/shard_0", MysqlUrl("127.0.0.1", 3307, "billing", "pw", "shard_0")),
        ("mysql://b%40x:p%2F%3A%40w@db:1/d-1", MysqlUrl("db", 1, "b@x", "p/:@w", "d-1")),
        ("mysql://u:p@[::1]:3306/d", MysqlUrl("::1", 3306, "u", "p", "d")),
        ("sqlite:///data/s 0.db", SqliteUrl(Path("/etc/billing/data/s 0.db"))),
        ("sqlite:////var/s0.db", SqliteUrl(Path("/var/s0.db"))),
    ],
)
def test_urls(text: str, url: MysqlUrl | SqliteUrl) -> None:
    """A worker would write to another database than the one that was named."""
    assert parse(text, FOLDER) == url


PLAIN = "write mysql://user@host:port/database"
BAD = [
    ("", "is not the URL of a store; write mysql://user@host:port/database or sqlite:///path"),
    ("mysql:s3cret", "is not the URL of a store; write mysql://user@host:port/database or sqlite:///path"),
    ("postgres://u:s3cret@h/d", "is not the URL of a store; write mysql://user@host:port/database or sqlite:///path"),
    (
        "memory://",
        "memory:// forgets what was billed and is for tests; write mysql://user@host:port/database or sqlite:///path",
    ),
    ("mysql://", f"has no proper host and port; {PLAIN}"),
    ("mysql://u:s3cret@/d", f"has no proper host and port; {PLAIN}"),
    ("mysql://u:s3cret@h:0/d", f"has no proper host and port; {PLAIN}"),
    (
        "mysql://u:s3cret@h:99999/d",
        f"has no proper host and port; {PLAIN}, user and password percent-encoded",
    ),
    ("mysql://u:s3/cret@h/d", f"has no proper host and port; {PLAIN}, user and password percent-encoded"),
    ("mysql://u:s3cret", f"has no proper host and port; {PLAIN}, user and password percent-encoded"),
    ("mysql://h/d", f"has no user; {PLAIN}"),
    ("mysql://u:s3cret@h", "has no proper database name; write 1 to 64 of A-Z a-z 0-9 _ $ - after the host"),
    ("mysql://u:s3cret@h/", "has no proper database name; write 1 to 64 of A-Z a-z 0-9 _ $ - after the host"),
    ("mysql://u:s3cret@h/d/e", "has no proper database name; write 1 to 64 of A-Z a-z 0-9 _ $ - after the host"),
    ("mysql://u:s3cret@h/d`e", "has no proper database name; write 1 to 64 of A-Z a-z 0-9 _ $ - after the host"),
    ("mysql://u:s3cret@h/d?ssl=1", f"has something after the database; {PLAIN} only"),
    ("mysql://u:s3cret@h/d#x", f"has something after the database; {PLAIN} only"),
    ("mysql://u:s3 cret@h/d", "has characters that a URL cannot have; percent-encode user and password"),
    ("mysql://u:s3crét@h/d", "has characters that a URL cannot have; percent-encode user and password"),
    ("sqlite://s0.db", "names no file; write sqlite:///path, relative to this file's folder, or sqlite:////path"),
    ("sqlite:///", "names no file; write sqlite:///path, relative to this file's folder, or sqlite:////path"),
    ("sqlite:///data/", "names no file; write sqlite:///path, relative to this file's folder, or sqlite:////path"),
    ("sqlite:///:memory:", "names no file; write sqlite:///path, relative to this file's folder, or sqlite:////path"),
]


@pytest.mark.parametrize(("text", "sentence"), BAD)
def test_bad_urls_say_what_to_write_and_keep_the_secret(text: str, sentence: str) -> None:
    """A password would end up in a log, or a typo in a driver's traceback."""
    with pytest.raises(StoreUrlError) as caught:
        parse(text, FOLDER)
    assert str(caught.value) == sentence
    assert "s3" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_url_shows_no_password() -> None:
    """Passwords would be printed wherever a shard is named."""
    url = parse("mysql://b%40x:s3cret@[::1]:3306/d", FOLDER)
    assert str(url) == "mysql://b%40x@[::1]:3306/d"
    assert repr(url) == "MysqlUrl(host='::1', port=3306, user='b@x', database='d')"
    assert str(parse("sqlite:///s0.db", FOLDER)) == "sqlite:////etc/billing/s0.db"


def test_the_same_store_is_recognised_whoever_enters() -> None:
    """Two shards in one database would fence each other forever."""
    assert parse("mysql://a:x@DB:3306/d", FOLDER).place() == parse("mysql://b@db/d", FOLDER).place()
    assert parse("mysql://a@db/d", FOLDER).place() != parse("mysql://a@db/e", FOLDER).place()
    assert parse("sqlite:///x/../s.db", FOLDER).place() == parse("sqlite:////etc/billing/s.db", FOLDER).place()
