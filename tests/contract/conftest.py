"""Places for the contract of stores, and the book that its transactions are priced by."""

import pytest

from tests.pipeline import Pipeline, pipeline_in
from tests.stores import MemoryPlace, Place, server_place, sqlite_place


def _place(kind: str, request: pytest.FixtureRequest) -> Place:
    if kind == "memory":
        return MemoryPlace()
    if kind == "sqlite":
        return sqlite_place(request.getfixturevalue("tmp_path"))
    if kind == "mariadb":
        return server_place(kind, request.getfixturevalue("mariadb_servers")(1)[0])
    return server_place(kind, request.getfixturevalue("mysql_server"))


@pytest.fixture(params=["memory", "sqlite", "mariadb", "mysql"])
def place(request: pytest.FixtureRequest) -> Place:
    """Give an empty shard of each kind."""
    return _place(request.param, request)


@pytest.fixture(params=["sqlite", "mariadb", "mysql"])
def tables(request: pytest.FixtureRequest) -> Place:
    """Give an empty shard of each kind that has tables."""
    return _place(request.param, request)


@pytest.fixture(params=["mariadb", "mysql"])
def served(request: pytest.FixtureRequest) -> Place:
    """Give an empty shard on each real server."""
    return _place(request.param, request)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Give the path from payloads to transactions."""
    return pipeline_in(tmp_path_factory.mktemp("book"))
