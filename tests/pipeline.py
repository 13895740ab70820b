"""The path from payloads to a transaction, run for tests with one small book; nothing in it is a stand-in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np

from billing.adapters.memory import MemoryShard
from billing.batch import Slice, Span, Spans, route_charges
from billing.cursor import Claim
from billing.dedupe import PartKey, part_keys
from billing.event import Decoder
from billing.fold import Transaction, fold
from billing.ports import Applied, Reaction, Refused
from billing.pricing import charge
from billing.rows import decimal_texts
from billing.voids import Known
from rules.book import Book
from rules.columns import Decimals
from rules.pricer import Pricer
from sharding.key import slot_of
from sharding.shardmap import ShardMap
from tests.rulebooks import book_of

LOG = "test:log"
HOUR = 1_767_225_600  # 2026-01-01T00:00:00Z, also the start of its day and month
DAY = HOUR // 86_400
SLOT = int(slot_of(["acme"])[0])  # of the account that events have unless a test says another

# A quantity is its own price, so that the amounts of a test can be read off its events.
CHARGES = """
dimensions: [country]
keep: [to]
charges:
- group: usage
  rules:
  - {id: unit, when: {product: sms}, price: {per_unit: 1}}
  - {id: refund, when: {product: refund}, price: {per_unit: -1}}
- group: share
  rules:
  - id: share
    when: {reseller: {exists: true}}
    charge: {attribute: reseller}
    price: {percentage: {of: usage, rate: "0.10"}}
  - {id: resold, when: {product: resold}, charge: {attribute: reseller}, price: {per_unit: 1}}
rollups:
- {name: monthly, every: month}
- {name: hourly, every: hour, by: [product, country]}
"""

# Tiers so low that single events cross them, beside a linear line of each message.
COUNTING = """
dimensions: [country]
charges:
- group: usage
  rules:
  - id: graduated
    when: {product: sms}
    price: {graduated: {per: month, tiers: [{up_to: 10, unit: 1}, {up_to: 20, unit: "0.5", flat: 3}, {unit: "0.25"}]}}
  - id: volume
    when: {product: call}
    price: {volume: {per: day, tiers: [{up_to: 10, unit: 1}, {unit: "0.5"}]}}
  - {id: plain, when: {product: plain}, price: {per_unit: 1}}
- group: fee
  rules:
  - {id: fee, when: {product: sms}, price: {flat: "0.01"}}
- group: share
  rules:
  - id: share
    when: {reseller: {exists: true}}
    charge: {attribute: reseller}
    price: {graduated: {per: month, tiers: [{up_to: 2, unit: "0.1"}, {unit: "0.05"}]}}
rollups:
- {name: monthly, every: month}
"""


def payload(id: str = "e1", account: str = "acme", product: str = "sms", **fields: Any) -> bytes:  # noqa: A002
    """Write one event; attributes=None leaves them out, other fields override or join the defaults."""
    event = {"id": id, "account": account, "product": product, "time": "2026-01-01T00:00:00Z", **fields}
    return json.dumps(event).encode()


def credit(id: str, terms: Mapping[str, Any], account: str = "acme", **fields: Any) -> bytes:  # noqa: A002
    """Write one credit event; other fields override or join the defaults."""
    event = {"id": id, "account": account, "time": "2026-01-01T00:00:00Z", "type": "credit", "credit": terms}
    return json.dumps(event | fields).encode()


@attrs.frozen
class Pipeline:
    """A book and a shard map, with the steps of the path as short calls."""

    book: Book
    shardmap: ShardMap

    @property
    def pricer(self) -> Pricer:
        """Return a fresh pricer of the book."""
        return Pricer(self.book)

    def slices(
        self, payloads: Sequence[bytes], start: int = 0, partition: int = 0, stop: int | None = None
    ) -> list[Slice]:
        """Decode, price and route payloads at offsets start, start+1, ...; the span ends at `stop`."""
        offsets = list(range(start, start + len(payloads)))
        span = Span(start, start + len(payloads) if stop is None else stop)
        return self.slices_at({partition: span}, [(partition, offset) for offset in offsets], payloads)

    def slices_at(self, spans: Spans, places: Sequence[tuple[int, int]], payloads: Sequence[bytes]) -> list[Slice]:
        """Decode, price and route payloads that stand at these (partition, offset)."""
        partition = np.array([place[0] for place in places], dtype=np.int32)
        offset = np.array([place[1] for place in places], dtype=np.int64)
        names = sorted({*self.book.attributes, *self.shardmap.spread_attributes()})
        events, undecodable = Decoder(names).decode(partition, offset, payloads)
        charges, unpriced = charge(events, self.pricer, sorted(self.shardmap.spread_attributes()))
        return route_charges(spans, charges, [*undecodable, *unpriced], self.shardmap)

    def slice(self, payloads: Sequence[bytes], start: int = 0, partition: int = 0, stop: int | None = None) -> Slice:
        """Return the first shard's slice."""
        return self.slices(payloads, start, partition, stop)[0]

    def fold(
        self,
        batch: Slice,
        existing: Mapping[PartKey, Known] | None = None,
        poison: Mapping[tuple[int, int], str] | None = None,
        map_version: int = 1,
    ) -> Transaction:
        """Fold a slice."""
        return fold(batch, self.book, LOG, map_version, existing or {}, poison or {})

    def transaction(
        self, payloads: Sequence[bytes], start: int = 0, partition: int = 0, stop: int | None = None
    ) -> Transaction:
        """Return what the first shard would write."""
        return self.fold(self.slice(payloads, start, partition, stop))


def pipeline_in(folder: Path, shards: Sequence[str] = ("s1",), charges: str = CHARGES) -> Pipeline:
    """Load the book from a file in `folder`."""
    return Pipeline(book_of(folder, charges), ShardMap.even(list(shards)))


def plain(columns: Any) -> SimpleNamespace:
    """Return the columns of a table's rows as lists of plain values, decimals as their text."""
    found = {}
    for name, column in ((field.name, getattr(columns, field.name)) for field in attrs.fields(type(columns))):
        if isinstance(column, Decimals):
            found[name] = decimal_texts(column)
        else:
            found[name] = column if name == "tails" else column.tolist()
    return SimpleNamespace(**found)


def bill(pipeline: Pipeline, pieces: Sequence[Sequence[bytes]], *, looks: bool = False) -> MemoryShard:
    """Bill pieces of a log one after the other, as the engine does; looks: asks first, which must change nothing."""
    shard = MemoryShard("s1")
    shard.claim(Claim(LOG, {0: 0}, 1, 1))
    start = 0
    for piece in pieces:
        batch = pipeline.slice(piece, start)
        outcome = shard.apply(pipeline.fold(batch, shard.existing(part_keys(batch)) if looks else {}))
        if isinstance(outcome, Refused):
            assert (looks, outcome.reaction) == (False, Reaction.DUPLICATES)
            outcome = shard.apply(pipeline.fold(batch, shard.existing(part_keys(batch))))
        assert outcome == Applied()
        start += len(piece)
    return shard
