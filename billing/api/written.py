"""Written balances: what an account's answer says of its money, as JSON with its tag, written once while it stands.

Owns the JSON of a looked up balance. Must not know requests.
"""

from typing import Final

import attrs
import msgspec

from billing.adapters.endpoints import Found
from billing.adapters.hot import Balances
from billing.adapters.reads import Reads
from billing.adapters.snapshot import Place
from billing.api.freshness import tag_of
from billing.reads.answers import BalanceOf, CreditOf
from billing.reads.standing import Pieces, UntoldError
from billing.reads.telling import balance_of, credits_of

WRITTEN_MAX: Final = 50_000  # accounts: some 40 MB


class _Money(msgspec.Struct):
    """The beginning of `BalanceAnswer`."""

    account: str
    balances: list[BalanceOf]
    credits: list[CreditOf]


@attrs.frozen
class _Written:
    """What was written of these pieces with this version; beginning: JSON of the answer up to `as_of`."""

    pieces: Pieces | UntoldError
    version: int
    beginning: bytes
    tag: str


class WrittenBalances:
    """Answers of accounts on one shard each; used from one event loop."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._written: dict[str, _Written] = {}

    def answer(self, place: Place, found: Found[Balances]) -> tuple[bytes, str]:
        """Return the JSON of a `BalanceAnswer`, and its tag. Raises: UntoldError."""
        pieces, version = found.rows[place], self._reads.version_of(found)
        written = self._written.get(place[1])
        if written is None or written.pieces is not pieces or written.version != version:
            written = self._write(place[1], pieces, version)
        return b'%b,"as_of":%b,"book_version":%d}' % (written.beginning, found.as_of_json, version), written.tag

    def _write(self, account: str, pieces: Pieces | UntoldError, version: int) -> _Written:
        told = self._reads.standings(account, [pieces])
        assert told is not None, "the pieces of one shard go together"
        money = _Money(account, list(map(balance_of, told)), credits_of(told))
        tag = tag_of(account, money.balances, money.credits, version)
        written = _Written(pieces, version, msgspec.json.encode(money).removesuffix(b"}"), tag)
        if not money.credits:  # what is left of a grant depends on the time, too
            if len(self._written) >= WRITTEN_MAX:
                self._written.clear()
            self._written[account] = written
        return written
