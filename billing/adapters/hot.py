"""Hot balances: reads of one shard joined into few statements, and remembered as long as its cursors stand still.

Owns when a remembered balance is still right: a shard's state is a function of the log below its cursors, so equal
cursors mean equal balances, whichever endpoint tells. Must not know HTTP.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy import Connection

from billing.adapters.endpoints import Endpoints, Found
from billing.cursor import CursorRow
from billing.reads.balance import Balance, read_balances_at
from billing.reads.standing import Pieces, UntoldError, credited_places, read_pieces
from rules.book import Rollup

Place = tuple[int, str]  # slot, account
REMEMBERED_MAX: Final = 50_000  # places of a shard: some 20 MB
_REST_SECONDS_MAX: Final = 0.003  # between two reads, so that under load each answers several questions
Balances = dict[Place, Pieces | UntoldError]


class HotBalances:
    """Balances of one shard.

    While a read is under way, questions wait for the next one and share it: no answer is older than its question, and
    any number of callers costs two statements at a time.
    """

    def __init__(self, endpoints: Endpoints, rollup: Rollup | None, *, strong: bool) -> None:
        """Prepare; rollup: by which grants are drawn."""
        self._endpoints = endpoints
        self._rollup = rollup
        self._strong = strong
        self._waiting: set[Place] = set()
        self._next: asyncio.Task[Found[Balances]] | None = None
        self._running: asyncio.Task[Found[Balances]] | None = None
        self._took = 0.0  # the last read, seconds
        self._over = -math.inf  # when it was
        self._remembered: Balances = {}
        self._positions: tuple[object, ...] = ()

    async def read(self, places: Iterable[Place]) -> Found[Balances]:
        """Return the rows of these places (and perhaps others), and the cursors that they belong to.

        Raises: ShardDownError, StatementTimeoutError.
        """
        self._waiting.update(places)
        if self._next is None:
            self._next = asyncio.create_task(self._read_next(self._running))
        return await asyncio.shield(self._next)

    async def _read_next(self, before: asyncio.Task[Found[Balances]] | None) -> Found[Balances]:
        if before is not None:
            with suppress(Exception):  # its callers are told
                await asyncio.shield(before)
        await asyncio.sleep(self._rest_seconds())
        self._running, self._next = self._next, None
        began = time.monotonic()
        places, self._waiting = sorted(self._waiting), set()

        def read(connection: Connection, cursors: Sequence[CursorRow]) -> Balances:
            return self._read(connection, cursors, places)

        try:
            return await self._endpoints.ask(read, strong=self._strong)
        finally:
            self._over = time.monotonic()
            self._took = self._over - began

    def _rest_seconds(self) -> float:
        """Return how long to wait for company: a read begins as long after the last one as that one took, at most."""
        return max(0.0, min(self._took, _REST_SECONDS_MAX) - (time.monotonic() - self._over))

    def _read(self, connection: Connection, cursors: Sequence[CursorRow], places: Sequence[Place]) -> Balances:
        """Read in the snapshot of these cursors what is not remembered of it."""
        positions = tuple((row.log, row.partition, row.next_offset) for row in cursors)
        if positions != self._positions or len(self._remembered) > REMEMBERED_MAX:
            self._remembered, self._positions = {}, positions
        missing = [place for place in places if place not in self._remembered]
        balances: dict[Place, list[Balance]] = {place: [] for place in missing}
        for place, balance in read_balances_at(connection, missing):
            balances[place].append(balance)
        read: Balances = {place: Pieces(rows, (), (), ()) for place, rows in balances.items()}
        for slot, account in credited_places(connection, missing):  # few: each is asked alone
            read[slot, account] = self._pieces(connection, slot, account)
        self._remembered.update(read)
        return {place: self._remembered[place] for place in places}

    def _pieces(self, connection: Connection, slot: int, account: str) -> Pieces | UntoldError:
        try:
            return read_pieces(connection, account, [slot], self._rollup, None)
        except UntoldError as error:  # of one account, which must not take the others' answers away
            return error
