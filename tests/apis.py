"""The API under test, in this process: a small deployment on SQLite shards, its application and callers."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx
from litestar.testing import AsyncTestClient

from billing.adapters.keyfile import KeyFile
from billing.adapters.migrate import migrate
from billing.api.app import application
from billing.cli.work import work
from billing.config.deployment import Deployment, load_deployment
from billing.keys import RANDOM_BYTES, Scope, new_key
from tests.command import write_book, write_events, write_settings

READ, WRITE, OPERATOR = Scope.READ, Scope.WRITE, Scope.OPERATOR
_T = TypeVar("_T")


@attrs.frozen
class Site:
    """A folder with settings, and what they name."""

    folder: Path

    @property
    def found(self) -> Deployment:
        """Load the settings as they are now."""
        return load_deployment(self.folder / "billing.toml", {})

    def bill(self) -> None:
        """Bill what the log has."""
        work(self.found, until_end=True)

    def key(self, *scopes: Scope, accounts: Sequence[str] = (), lasting_us: int | None = None) -> str:
        """Make a key that ends so long from now, and return its text."""
        now_us = time.time_ns() // 1_000
        ends_us = None if lasting_us is None else now_us + lasting_us
        text, key = new_key(secrets.token_bytes(RANDOM_BYTES), "test", scopes, accounts, now_us, ends_us)
        self.keys.add(key, "test")
        return text

    @property
    def keys(self) -> KeyFile:
        """Open the file of keys, as another process would."""
        return KeyFile(self.found.settings.api.keys)

    def serve(self, scenario: Callable[[httpx.AsyncClient], Awaitable[_T]], *, open_to_all: bool = False) -> _T:
        """Play a scenario with a client of the running application."""

        async def play() -> _T:
            async with AsyncTestClient(
                application(self.found, open_to_all=open_to_all, load=lambda: self.found)
            ) as client:
                return await scenario(client)

        return asyncio.run(play())

    def get(self, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        """Ask once."""
        return self.serve(lambda client: client.get(path, headers=shown(key) | headers))


def shown(key: str | None) -> dict[str, str]:
    """Return the header that shows a key."""
    return {} if key is None else {"authorization": f"Bearer {key}"}


def make_site(
    folder: Path, events: Sequence[Mapping[str, object] | bytes], api: str = "", prices: dict[str, str] | None = None
) -> Site:
    """Write settings with two shards, a book and a log, and make the shards; api: more lines of [api]."""
    write_settings(folder, more=f"[api]\n{api}")
    write_book(folder, prices or {"sms": "0.0079", "voice": "0.01"})
    write_events(folder, [one if isinstance(one, bytes) else dict(one) for one in events])
    site = Site(folder)

    async def migrate_all() -> None:
        for shard in site.found.settings.shards:
            await migrate(shard.name, shard.writer, date(2026, 1, 15))

    asyncio.run(migrate_all())
    return site


def problem(response: httpx.Response) -> dict[str, Any]:
    """Return the problem that a response is."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    found: dict[str, Any] = response.json()
    assert found["status"] == response.status_code
    return found
