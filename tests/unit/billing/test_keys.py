"""API keys and what they open."""

from pathlib import Path

import pytest

from billing.adapters.keyfile import KeyFile, KeyFileError
from billing.keys import RANDOM_BYTES, Caller, Scope, id_and_secret, new_key

RANDOM = bytes(range(RANDOM_BYTES))


def test_a_key_opens_with_its_secret_only():
    """Anybody who knows a key's id would be let in."""
    text, key = new_key(RANDOM, "app", [Scope.READ], ["acme"], 5)
    assert text == "bk_aaaqeayeau_BgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCU"
    key_id, secret = id_and_secret(text)
    assert key.id == key_id
    assert key.opens(secret)
    assert not key.opens(secret[:-1] + "A")
    assert not key.opens("")
    assert secret not in repr(key)


@pytest.mark.parametrize("text", ["", "bk_", "bk_aaaqeayeau_", "bk_AAAQEAYEAU_" + 43 * "x", "xk_aaaqeayeau_" + 43 * "x",
                                  "bk_aaaqeayeau_" + 44 * "x", "bk_aaaqeayeau_" + 42 * "x" + "\n"])  # fmt: skip
def test_what_is_no_key_is_not_looked_up(text):
    """Anything that a caller writes would reach the file of keys."""
    assert id_and_secret(text) is None


def test_a_key_ends_when_it_expires_or_is_revoked():
    """A key that was given for a day would open for ever."""
    _, key = new_key(RANDOM, "app", [Scope.READ], ["acme"], 5, 10)
    assert [key.fault(at) for at in (9, 10, 11)] == [None, "expired", "expired"]
    _, other = new_key(RANDOM, "app", [Scope.READ], ["acme"], 5)
    assert other.fault(2**62) is None


@pytest.mark.parametrize(
    ("patterns", "account", "sees"),
    [
        (["acme"], "acme", True),
        (["acme"], "acme-1", False),
        (["acme"], "acm", False),
        (["acme*"], "acme-1", True),
        (["acme*"], "acme", True),
        (["acme*"], "xacme", False),
        (["*"], "anything", True),
        ([], "acme", False),
        (["a", "b*"], "bc", True),
        (["a*c"], "abc", False),
    ],
)
def test_accounts_are_named_whole_or_by_their_beginning(patterns, account, sees):
    """A customer's key would show the account next to his."""
    assert Caller("k", frozenset({Scope.READ, Scope.WRITE}), tuple(patterns)).sees(account) is sees


def test_scopes_are_apart():
    """A key that publishes events would read balances, or one that reads would publish."""
    for held, may in (
        ({Scope.READ}, {Scope.READ}),
        ({Scope.WRITE}, {Scope.WRITE}),
        ({Scope.OPERATOR}, {Scope.OPERATOR, Scope.READ}),
    ):
        caller = Caller("k", frozenset(held), ())
        assert {scope for scope in Scope if caller.may(scope)} == may
    assert Caller("k", frozenset({Scope.OPERATOR}), ()).sees("any")


def test_the_file_tells_of_changes_that_others_make(tmp_path: Path):
    """A key that was revoked by a command would open until the server is started again."""
    server, command = KeyFile(tmp_path / "keys.db"), KeyFile(tmp_path / "keys.db")
    assert server.find("aaaqeayeau") is None
    assert not (tmp_path / "keys.db").exists(), "looking makes nothing"
    _, key = new_key(RANDOM, "app", [Scope.READ, Scope.WRITE], ["acme", "b*"], 5, 10)
    command.add(key, "me")
    assert server.find(key.id) == key
    assert command.revoke(key.id, "me", 7)
    assert server.find(key.id).revoked_us == 7
    assert command.revoke(key.id, "me", 9)
    assert server.find(key.id).revoked_us == 7, "when it was revoked first"
    assert not command.revoke("other", "me", 9)
    assert [row[1:] for row in command.actions()] == [("me", "create", key.id)] + 2 * [("me", "revoke", key.id)]
    (tmp_path / "keys.db").unlink()
    assert server.find(key.id) is None, "the file is gone, and its keys with it"


def test_a_file_that_is_no_database_lets_nobody_in(tmp_path: Path):
    """A damaged file would be taken for an empty one, or stop the server."""
    (tmp_path / "keys.db").write_bytes(b"x" * 5_000)
    with pytest.raises(KeyFileError, match="cannot be used as the file of keys"):
        KeyFile(tmp_path / "keys.db").find("aaaqeayeau")
