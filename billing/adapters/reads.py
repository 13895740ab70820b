"""Reads: what is asked about accounts, gathered from the shards they are on, with how fresh it is.

Owns what the API and the commands answer alike. Must not know HTTP or terminals.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

import attrs

from billing.adapters.endpoints import Found, Work
from billing.adapters.gather import Fleet, Gathered
from billing.adapters.hot import Balances
from billing.adapters.renewal import Load, Renewal
from billing.adapters.snapshot import Place
from billing.config.api_settings import ApiLimits
from billing.config.deployment import Deployment
from billing.credits import drawing_rollup
from billing.cursor import CursorRow
from billing.errors import BillingError
from billing.exact import EXACT
from billing.reads.answers import (
    AsOf,
    BalanceAnswer,
    ExplainAnswer,
    LineExplained,
    TransactionsAnswer,
    UsageAnswer,
    UsageTotal,
    exact,
)
from billing.reads.book_words import rule_words
from billing.reads.explained import Explained, explained
from billing.reads.freshness import ANY, Want, as_of, book_version
from billing.reads.standing import Pieces, Standing, UntoldError, read_pieces, standings
from billing.reads.statement import (
    EVERY_LINE,
    CursorError,
    LineKey,
    RecordedLine,
    Wanted,
    event_key,
    key_of,
    lines_of,
    merged,
    token_of,
)
from billing.reads.telling import balance_answer, line_of, usage_of
from billing.reads.usage import (
    aligned,
    filled,
    filled_rows,
    fitting,
    is_able,
    regrouped,
    total_of,
    usage_rows_of,
)
from billing.wire import IDENTIFIER_LENGTH_MAX, is_identifier
from rules.book import Every, Rollup
from rules.running import Held

ROUNDS_MAX: Final = 5  # of reading a spread account, each because a grant came in between
EVER: Final = range(2**32)  # what INT UNSIGNED holds, and so every bucket
EXPLAINED_LINES_MAX: Final = 1_000  # of one event on one account: lines are numbered by groups of the book
_T = TypeVar("_T")


class BadRequestError(BillingError):
    """The question itself is wrong: no such rollup, or a text that cannot be an account."""

    exit_code = 2


class NotRecordedError(BillingError):
    """Nothing is recorded of what is asked for."""


@attrs.frozen
class UsageQuery:
    """Which usage: of a rollup by name, or of the one that fits; in buckets of `every`, by dimensions, in a span.

    every, by: None is as a rollup has them that is named, else days and no dimensions; span: starts of buckets, seconds
    since 1970-01-01 UTC; fill: rows of zeros where nothing was used.
    """

    rollup: str | None = None
    every: Every | None = None
    by: tuple[str, ...] | None = None
    span: range = EVER
    fill: bool = False


@attrs.frozen
class PageQuery:
    """Which lines, how many, and after which cursor; None is from the newest."""

    wanted: Wanted = EVERY_LINE
    rows_max: int = 100
    cursor: str | None = None


class Reads:
    """Answers questions about one deployment; used from one event loop."""

    def __init__(self, deployment: Deployment, limits: ApiLimits | None = None, load: Load | None = None) -> None:
        """Prepare; load: reads the files again, when shards were written with a newer book or map."""
        self._limits = limits or deployment.settings.api.limits
        self._left: list[Fleet] = []
        self._noticed: Found[Balances] | None = None
        self._renewal = Renewal(deployment, load, self._renew)
        self.book = self._book = deployment.book
        self._map = deployment.shardmap
        self.fleet = Fleet(deployment, self._limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._renewal.close()
        for fleet in (self.fleet, *self._left):
            await fleet.close()

    async def balance(self, account: str, want: Want = ANY) -> BalanceAnswer:
        """Return an account's balances, added exactly; one that was never charged has 0 in its currency.

        Raises: BadRequestError, ShardDownError, NotAppliedError, UntoldError.
        """
        check_account(account)
        places = self.places([account])
        gathered = await self.fleet.balances(places, want)
        found = {place: rows for one in gathered.found for place, rows in one.rows.items()}
        fresh, version = self.freshness(gathered.found)
        told = self.standings(account, [found[at] for of in places.values() for at in of])
        if told is None:  # spread, with grants: its shards must be added up between the same edges
            return await self.balance_together(account, want)
        return balance_answer(account, told, fresh, version, consistent=gathered.consistent)

    def look_up(self, account: str) -> tuple[Place, asyncio.Task[Found[Balances]]] | None:
        """Return the place of an account and the read that will have it; None for one that has several.

        The read is shared, and not the caller's to cancel. It raises: ShardDownError, StatementTimeoutError.
        """
        places = self._map.shards_of(account)
        if len(places) > 1:
            return None
        slot, shard = places[0]
        place = slot, account
        return place, self.fleet.balance_at(self._map.shards[shard], place)

    async def usage(self, account: str, query: UsageQuery, want: Want = ANY) -> UsageAnswer:
        """Return an account's usage, in order of time.

        Raises: BadRequestError, ShardDownError, StatementTimeoutError, NotAppliedError.
        """
        check_account(account)
        rollup = self._rollup(query)
        every = query.every or rollup.every
        by = query.by if query.by is not None else rollup.by if query.rollup else ()
        span, rows_max = aligned(query.span, every), self._limits.usage_rows_max
        name = rollup.name
        gathered = await self.fleet.of_account(
            account, want, lambda slots: usage_rows_of(account, slots, name, span, rows_max + 1), heavy=True
        )
        rows = [row for one in gathered.found for row in one.rows]
        if len(rows) > rows_max:
            raise BadRequestError(
                f"the answer would be made of more than {rows_max:,} rows of {name}; "
                "ask for a shorter time, longer buckets or fewer dimensions"
            )
        sums = regrouped(rows, rollup, every, by)
        if query.fill:
            rows_filled = filled_rows(sums, every, span)
            if rows_filled > rows_max:
                raise BadRequestError(
                    f"with gaps filled, the answer would have {rows_filled:,} rows; ask for less time"
                )
            sums = filled(sums, every, span)
        total = total_of(sums)
        fresh, version = self.freshness(gathered.found)
        return UsageAnswer(
            account=account,
            rollup=name,
            every=every.value,
            currency=self._book.currency_of(account),
            usage=[usage_of(one, by) for one in sums],
            total=UsageTotal(total.events, exact(total.quantity), exact(total.amount)),
            as_of=fresh,
            book_version=version,
            consistent=gathered.consistent,
        )

    async def transactions(self, account: str, query: PageQuery, want: Want = ANY) -> TransactionsAnswer:
        """Return a page of an account's lines, newest day first.

        Raises: as usage.
        """
        check_account(account)
        try:
            last = None if query.cursor is None else key_of(query.cursor)
        except CursorError:
            raise BadRequestError("cursor: is none; write what `next` of the page before says") from None
        lines, gathered = await self._lines(account, query.wanted, last, query.rows_max + 1, want)
        page = lines[: query.rows_max]
        more = token_of(page[-1].key) if len(lines) > query.rows_max else None
        fresh, version = self.freshness(gathered.found)
        return TransactionsAnswer(account, list(map(line_of, page)), more, fresh, version, gathered.consistent)

    async def explain(
        self, account: str, event: str, origin: str | None = None, span: Wanted | None = None, want: Want = ANY
    ) -> ExplainAnswer:
        """Return what an event charged an account, as recorded, with the rules that did.

        origin: whose event it is, where not the account's; span: in which time to look. Raises: NotRecordedError, else
        as usage.
        """
        check_account(account)
        wanted = attrs.evolve(span or Wanted(), event=event_key(event, origin))
        lines, gathered = await self._lines(account, wanted, None, EXPLAINED_LINES_MAX, want)
        if not lines:
            raise NotRecordedError("no such event is recorded for this account")
        rules = {rule.id: rule for rule in self._book.rules}
        fresh, version = self.freshness(gathered.found)
        explained = [
            LineExplained(
                line_of(line),
                rule_words(rules[line.rule]) if line.rule in rules else None,
                line.book_version == self._book.version,
            )
            for line in lines
        ]
        total = EXACT.create_decimal(0)
        for line in lines:
            total = EXACT.add(total, line.amount)
        return ExplainAnswer(account, event, explained, exact(total), fresh, version, gathered.consistent)

    def explain_event(self, payload: bytes) -> Explained:
        """Explain an event by the book, as for an account that has used nothing. Raises: UndecodableError."""
        return explained(payload, self._book, Held())

    def every_of(self, rollup: str | None) -> Every:
        """Return the length of a rollup's buckets; a day, where none is named or the book has none of the name."""
        return next((one.every for one in self._book.rollups if one.name == rollup), Every.DAY)

    async def _lines(
        self, account: str, wanted: Wanted, last: LineKey | None, limit: int, want: Want
    ) -> tuple[list[RecordedLine], Gathered[list[RecordedLine]]]:
        gathered = await self.fleet.of_account(
            account, want, lambda slots: lines_of(account, slots, wanted, last, limit), heavy=True
        )
        return merged([one.rows for one in gathered.found], limit), gathered

    def places(self, accounts: Sequence[str]) -> dict[str, list[Place]]:
        """Return where rows of these accounts are, by shard."""
        places: dict[str, list[Place]] = {}
        for account, found in zip(accounts, self._map.places_of(accounts), strict=True):
            for slot, shard in found:
                places.setdefault(self._map.shards[shard], []).append((slot, account))
        return places

    def standings(self, account: str, pieces: Sequence[Pieces | UntoldError]) -> list[Standing] | None:
        """Return an account's standing; None where its pieces were not added up between the edges of all its grants.

        Raises: UntoldError.
        """
        whole: list[Pieces] = []
        for piece in pieces:
            if isinstance(piece, UntoldError):
                raise piece
            whole.append(piece)
        if not _are_together(whole):
            return None
        return standings(whole, self._book.currency_of(account), time.time_ns() // 1_000)

    async def balance_together(self, account: str, want: Want) -> BalanceAnswer:
        """Read the pieces of a spread account until all are added up between the edges of all its grants.

        Raises as balance.
        """
        rollup, between = drawing_rollup(self._book), None
        for _ in range(ROUNDS_MAX):
            gathered = await self.fleet.of_account(
                account, want, _reading_pieces(account, rollup, between), heavy=False
            )
            pieces = [one.rows for one in gathered.found]
            if _are_together(pieces):
                told = standings(pieces, self._book.currency_of(account), time.time_ns() // 1_000)
                fresh, version = self.freshness(gathered.found)
                return balance_answer(account, told, fresh, version, consistent=gathered.consistent)
            between = tuple(sorted({edge for piece in pieces for edge in piece.edges_of_credits}))
        raise UntoldError("the account is given grants faster than its shards can be read together; ask again")

    def _renew(self, deployment: Deployment) -> None:
        """Go on with a newer book and map; questions that are under way end with what they began with."""
        self._left.append(self.fleet)
        self.book = self._book = deployment.book
        self._map = deployment.shardmap
        self.fleet = Fleet(deployment, self._limits)

    def _rollup(self, query: UsageQuery) -> Rollup:
        if query.rollup is None:
            found = fitting(self._book, query.every or Every.DAY, query.by or ())
            if found is None:
                raise BadRequestError(f"no rollup of book {self._book.name} has such buckets by these dimensions")
            return found
        named = next((one for one in self._book.rollups if one.name == query.rollup), None)
        if named is None:
            names = ", ".join(one.name for one in self._book.rollups) or "none"
            raise BadRequestError(f"rollup: {query.rollup[:64]!a} is not in book {self._book.name}, which has: {names}")
        if not is_able(named, query.every or named.every, query.by or ()):
            of = f"each {named.every.value} by {', '.join(named.by) or 'nothing'}"
            raise BadRequestError(f"rollup: {named.name} is of {of}, which cannot be divided further")
        return named

    def freshness(self, found: Sequence[Found[_T]]) -> tuple[list[AsOf], int]:
        """Return how far answers of these shards reach, and the book version that they were last written with."""
        cursors: list[Sequence[CursorRow]] = [one.cursors for one in found]
        whole = found[0].as_of if len(found) == 1 else as_of(cursors, max((one.at_us for one in found), default=0))
        self._renewal.notice(cursors)
        return whole, book_version(cursors, self._book.version)

    def version_of(self, found: Found[Balances]) -> int:
        """Return the book version that a shard was last written with, as `freshness` does, for all who share a read."""
        if found is not self._noticed:
            self._renewal.notice([found.cursors])
            self._noticed = found
        version = found.cursors.book_version
        return self._book.version if version is None else version


def check_account(account: str) -> None:
    """Check that a text can be an account. Raises: BadRequestError."""
    if not is_identifier(account):
        raise BadRequestError(
            f"account: {account[:IDENTIFIER_LENGTH_MAX]!a} cannot be one; "
            f"write 1 to {IDENTIFIER_LENGTH_MAX} characters of visible ASCII without quotes and backslash"
        )


def _are_together(pieces: Sequence[Pieces]) -> bool:
    if len(pieces) == 1:
        return True
    needed = {edge for piece in pieces for edge in piece.edges_of_credits}
    return all(needed <= {*piece.edges} for piece in pieces)


def _reading_pieces(
    account: str, rollup: Rollup | None, between: tuple[int, ...] | None
) -> Callable[[Sequence[int]], Work[Pieces]]:
    def work(slots: Sequence[int]) -> Work[Pieces]:
        return lambda connection, _: read_pieces(connection, account, slots, rollup, between)

    return work
