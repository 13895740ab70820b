"""Database servers that speak TLS, with certificates of an authority made for the run."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from ops.local.install import Kind
from ops.local.mysql import MysqlServer
from tests.certificates import HOST, Authority


@attrs.frozen
class SecureServer:
    """A server whose certificate is for `localhost`, by `authority`."""

    server: MysqlServer
    authority: Authority
    folder: Path

    def url(self, database: str, host: str = HOST) -> str:
        """Return the URL of a database on it, without a user."""
        return f"mysql://{host}:{self.server.port}/{database}"


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def secure(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    """Give a server of each kind."""
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp(f"secure-{kind}")
    authority = Authority(folder)
    certificate, key = authority.issue("server")
    server = MysqlServer(
        name=kind,
        folder=folder / kind,
        kind=kind,
        buffer_pool_mib=64,
        redo_mib=64,
        password="r00t-secret",
        options=(f"--ssl-ca={authority.file}", f"--ssl-cert={certificate}", f"--ssl-key={key}"),
    )
    server.start_anywhere()
    yield SecureServer(server, authority, folder)
    server.stop()
