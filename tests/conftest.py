"""Fixtures that tests of every kind share: real servers, started lazily and stopped at the end of the run."""

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from ops.local.mysql import MysqlServer
from tests.servers import SecureKafka, ServerPool

# How long an example takes says nothing about the project on a machine that others use too.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

_POOL = pytest.StashKey[ServerPool]()
_USED = pytest.StashKey[Counter[str]]()
_FINDINGS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep installed servers in the project's .cache, whatever folder the run was started from.

    Brokers of tests live for seconds: what Java's second compiler does for them costs more than it saves.
    """
    os.environ.setdefault("BILLING_CACHE", str(config.rootpath / ".cache" / "servers"))
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
    config.stash[_USED], config.stash[_FINDINGS] = Counter(), []


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and only in what the tests make: a tenth of their time goes into it otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def pytest_runtest_teardown() -> None:
    """Forget how a command that ran in this process logs: to what its test took for stderr, which is closed soon."""
    structlog.reset_defaults()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what this process has to tell to the one that prints it, when several share the tests."""
    config = session.config
    if _POOL in config.stash:
        config.stash[_USED].update(config.stash[_POOL].used())
    if hasattr(config, "workeroutput"):
        config.workeroutput.update(used=dict(config.stash[_USED]), findings=config.stash[_FINDINGS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what another process has to tell; one that crashed tells nothing, and its tests have failed."""
    told: dict[str, Any] = getattr(node, "workeroutput", {})
    node.config.stash[_USED].update(told.get("used", {}))
    node.config.stash[_FINDINGS].extend(told.get("findings", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers the run really used, and what its campaigns counted."""
    used = [f"{title} x {count}" if count > 1 else title for title, count in sorted(config.stash[_USED].items())]
    terminalreporter.write_line(f"servers used: {', '.join(used) or 'none'}")
    for finding in config.stash[_FINDINGS]:
        terminalreporter.write_line(finding)


@pytest.fixture
def publish(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that adds a line to the summary at the end of the run."""
    return request.config.stash[_FINDINGS].append


@pytest.fixture(scope="session")
def server_pool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPool]:
    """Keep the run's servers; a server that cannot be had fails the tests that ask for it."""
    pool = ServerPool(tmp_path_factory.mktemp("servers"))
    request.config.stash[_POOL] = pool
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def mariadb_servers(server_pool: ServerPool) -> Callable[[int], list[MysqlServer]]:
    """Return a function that gives n MariaDB servers, the same ones each time; one that is down is started again."""
    return lambda count: server_pool.databases("mariadb", count)


@pytest.fixture(scope="session")
def mysql_server(server_pool: ServerPool) -> MysqlServer:
    """Give one MySQL server; a test that stops it must start it again."""
    return server_pool.databases("mysql", 1)[0]


@pytest.fixture(scope="session")
def kafka_server(server_pool: ServerPool) -> SecureKafka:
    """Give one Kafka broker; tests use topics of their own names, and one that stops it must start it again."""
    return server_pool.kafka()
