"""Renewal: the settings read again, once shards were written with a newer book or map than this process knows.

Owns when that is tried. A file that is wrong, or not newer yet, changes nothing: answers go on as they were.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from billing.config.deployment import Deployment
from billing.cursor import CursorRow
from billing.errors import BillingError
from rules.errors import BookError
from sharding.errors import ShardMapError

Load = Callable[[], Deployment]
_PAUSE_SECONDS: Final = 5.0  # between two tries: whoever publishes a book may not have copied it to this machine yet
_log = structlog.get_logger()


class Renewal:
    """Watches the cursors that answers are made with; used from one event loop."""

    def __init__(self, found: Deployment, load: Load | None, take: Callable[[Deployment], None]) -> None:
        """load: reads the files again, None where that is not wanted; take: is given what is newer."""
        self._versions = found.book.version, found.shardmap.version
        self._load = load
        self._take = take
        self._task: asyncio.Task[None] | None = None
        self._tried_at = -_PAUSE_SECONDS

    def notice(self, cursors: Iterable[Sequence[CursorRow]]) -> None:
        """Look at what shards were written with, and read the files again where that is newer."""
        book, shardmap = self._versions
        if not any(row.book_version > book or row.map_version > shardmap for rows in cursors for row in rows):
            return
        if self._load is None or self._task is not None or time.monotonic() - self._tried_at < _PAUSE_SECONDS:
            return
        self._tried_at = time.monotonic()
        self._task = asyncio.create_task(self._renew(self._load))

    async def close(self) -> None:
        """Finish."""
        if self._task is not None:
            await self._task

    async def _renew(self, load: Load) -> None:
        try:
            found = await asyncio.to_thread(load)
        except (BillingError, BookError, ShardMapError, OSError) as error:
            _log.warning("the newer book or map cannot be read", error=str(error))
        else:
            versions = found.book.version, found.shardmap.version
            if versions != self._versions and all(
                new >= old for new, old in zip(versions, self._versions, strict=True)
            ):
                self._versions = versions
                self._take(found)
                _log.warning("reloaded", book=found.book.version, map=found.shardmap.version)
        finally:
            self._task = None
