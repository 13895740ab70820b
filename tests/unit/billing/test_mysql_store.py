"""What the store makes of a driver that fails."""

import asyncio

import pytest
from asyncmy.connection import Connection

from billing.adapters.mysql import MysqlStore
from billing.adapters.sql import run
from billing.config.store_url import MysqlUrl
from billing.cursor import Claim
from billing.errors import StoreUnreachableError
from billing.limits import Limits
from billing.ports import Reaction

URL = MysqlUrl(host="127.0.0.1", port=1, user="u", password="", database="d")


@pytest.fixture
def reset_while_connecting(monkeypatch):
    """Let the driver say what it says (asyncmy 0.2.18) when a connection is reset before its socket was looked at."""

    async def connect(_):
        raise RuntimeError("Transport does not expose socket instance")

    monkeypatch.setattr(Connection, "connect", connect)


@pytest.mark.usefixtures("reset_while_connecting")
def test_a_connection_reset_while_it_is_made_is_tried_again():
    """A network that fails at the wrong moment would end the worker."""
    answer = asyncio.run(MysqlStore("shard-0", URL, Limits()).claim(Claim("log", {0: 0}, 1, 1)))
    assert answer.reaction is Reaction.RECONNECT
    assert answer.detail.startswith("shard-0 at 127.0.0.1:1: Transport does not expose socket instance; check that")


@pytest.mark.usefixtures("reset_while_connecting")
def test_a_question_on_a_connection_reset_while_it_is_made_names_the_shard():
    """A person would see a traceback, and not which database it was."""
    with pytest.raises(StoreUnreachableError, match=r"mysql://u@127.0.0.1:1/d: Transport does not expose"):
        asyncio.run(run(URL, lambda _: None))
