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
from billing.adapters.snapshot import Place
from billing.reads.balance import Balance, read_balances_at
from billing.reads.freshness import Cursors
from billing.reads.standing import Pieces, UntoldError, credited_places, read_pieces
from rules.book import Rollup

REMEMBERED_MAX: Final = 50_000  # places of a shard: some 20 MB
_REST_SECONDS: Final = 0.001  # between two reads, so that under load each answers several questions
Balances = dict[Place, Pieces | UntoldError]


class HotBalances:
    """Balances of one shard.

    While a read is under way, questions wait for the next one and share it: no answer is older than its question, and
    any number of callers costs one statement at a time.
    """

    def __init__(self, endpoints: Endpoints, rollup: Rollup | None, *, strong: bool) -> None:
        """Prepare; rollup: by which grants are drawn."""
        self._endpoints = endpoints
        self._rollup = rollup
        self._strong = strong
        self._waiting: set[Place] = set()
        self._next: asyncio.Task[Found[Balances]] | None = None
        self._running: asyncio.Task[Found[Balances]] | None = None
        self._over = -math.inf  # when the last read was
        self._remembered: Balances = {}
        self._positions: tuple[object, ...] = ()
        self._credited: set[Place] = set()  # those known to have payments or grants, which take a transaction

    async def read(self, places: Iterable[Place]) -> Found[Balances]:
        """Return the rows of these places (and perhaps others), and the cursors that they belong to.

        Raises: ShardDownError, StatementTimeoutError.
        """
        self._waiting.update(places)
        return await asyncio.shield(self._due())

    def read_one(self, place: Place) -> asyncio.Task[Found[Balances]]:
        """Return the read that will have this place, and others: it is not the caller's to cancel. Raises as `read`."""
        self._waiting.add(place)
        return self._due()

    def _due(self) -> asyncio.Task[Found[Balances]]:
        if self._next is None:
            self._next = asyncio.create_task(self._read_next(self._running))
        return self._next

    async def _read_next(self, before: asyncio.Task[Found[Balances]] | None) -> Found[Balances]:
        if before is not None and not before.done():
            with suppress(Exception):  # its callers are told
                await asyncio.shield(before)
        await asyncio.sleep(max(0.0, _REST_SECONDS - (time.monotonic() - self._over)))
        self._running, self._next = self._next, None
        places, self._waiting = sorted(self._waiting), set()
        try:
            return await self._read(places)
        finally:
            self._over = time.monotonic()

    async def _read(self, places: list[Place]) -> Found[Balances]:
        """Ask for what is not remembered, and for everything where the cursors have moved meanwhile."""
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered = {}
        missing = [place for place in places if place not in self._remembered]
        if not self._credited.isdisjoint(missing):
            return await self._read_in_transaction(places)
        found = await self._endpoints.snapshot(missing, strong=self._strong)
        if self._have_moved(found.cursors) and len(missing) < len(places):
            missing = places
            found = await self._endpoints.snapshot(places, strong=self._strong)
            self._have_moved(found.cursors)
        if found.rows.credited:
            return await self._read_in_transaction(places)
        read = {place: Pieces(found.rows.balances.get(place, ()), (), (), ()) for place in missing}
        self._remembered.update(read)
        return Found({place: self._remembered[place] for place in places}, found.cursors, found.at_us)

    async def _read_in_transaction(self, places: Sequence[Place]) -> Found[Balances]:
        """Read what takes several statements: credits, and the charges that they have paid, of the same moment."""

        def read(connection: Connection, cursors: Cursors) -> Balances:
            self._have_moved(cursors)
            missing = [place for place in places if place not in self._remembered]
            balances: dict[Place, list[Balance]] = {place: [] for place in missing}
            for place, balance in read_balances_at(connection, missing):
                balances[place].append(balance)
            found: Balances = {place: Pieces(rows, (), (), ()) for place, rows in balances.items()}
            credited = credited_places(connection, missing)
            for slot, account in credited:  # few: each is asked alone
                found[slot, account] = self._pieces(connection, slot, account)
            self._credited.update(credited)
            self._remembered.update(found)
            return {place: self._remembered[place] for place in places}

        return await self._endpoints.ask(read, strong=self._strong)

    def _have_moved(self, cursors: Cursors) -> bool:
        """Forget everything where the cursors are others than those of what is remembered; tell whether they are."""
        if cursors.positions == self._positions:
            return False
        self._remembered, self._positions = {}, cursors.positions
        return True

    def _pieces(self, connection: Connection, slot: int, account: str) -> Pieces | UntoldError:
        try:
            return read_pieces(connection, account, [slot], self._rollup, None)
        except UntoldError as error:  # of one account, which must not take the others' answers away
            return error
