"""Load: events a second, how far shards are behind the log, and which accounts are hot, as operators see them live.

Owns the samples that rates are made of. However many operators look, the shards and the log are asked once a second.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import attrs

from billing.adapters.endpoints import Endpoints
from billing.adapters.gather import Fleet
from billing.adapters.newest import Newest, Tail
from billing.adapters.overview import cursors_of
from billing.cursor import CursorRow
from billing.reads.answers import moment
from billing.reads.page_answers import HotAccount, LoadAnswer, ShardLoad
from generators.producer import key_of
from sharding.shardmap import ShardMap

HOT_MAX: Final = 10
_FRESH_SECONDS: Final = 1.0  # how long an answer serves everybody who asks
_RATE_SECONDS: Final = 5.0  # a rate is of at least so long, once that is known
_KEPT_SECONDS: Final = 600.0  # older lags are told as at least so much
_SAMPLES_MAX: Final = 600


@attrs.frozen
class Sample:
    """What was seen at a moment of a clock that never goes back: cursors by shard, and the log's end."""

    at_seconds: float
    cursors: Mapping[str, Sequence[CursorRow]]
    tail: Tail

    def events(self, shard: str) -> int | None:
        """Return what a shard has counted; None where it did not answer."""
        rows = self.cursors.get(shard)
        return None if rows is None else sum(row.accepted + row.duplicates + row.quarantined for row in rows)


class Load:
    """The load of one fleet; used from one event loop."""

    def __init__(self, newest: Newest) -> None:
        self._newest = newest
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES_MAX)
        self._lock = asyncio.Lock()
        self._told: LoadAnswer | None = None

    async def close(self) -> None:
        """Close what looks at the log."""
        await self._newest.close()

    async def answer(self, fleet: Fleet) -> LoadAnswer:
        """Return the load now; the first one in a while takes a second, since a rate needs two looks."""
        async with self._lock:
            last = self._samples[-1] if self._samples else None
            now = time.monotonic()
            if self._told is not None and last is not None and now - last.at_seconds < _FRESH_SECONDS:
                return self._told
            if last is None or now - last.at_seconds > _KEPT_SECONDS:
                self._samples.clear()
                await self._look(fleet.endpoints)
                await asyncio.sleep(_FRESH_SECONDS)
            await self._look(fleet.endpoints)
            self._told = _told(self._samples, fleet)
            return self._told

    async def _look(self, endpoints: Mapping[str, Endpoints]) -> None:
        found, tail = await asyncio.gather(
            asyncio.gather(*map(cursors_of, endpoints.values())), self._newest.look()
        )  # fmt: skip
        cursors = {name: rows for name, rows in zip(endpoints, found, strict=True) if rows is not None}
        self._samples.append(Sample(time.monotonic(), cursors, tail))


def _told(samples: Sequence[Sample], fleet: Fleet) -> LoadAnswer:
    now, before = samples[-1], _before(samples)
    seconds = now.at_seconds - before.at_seconds
    rates = {name: _rate(before.events(name), now.events(name), seconds) for name in fleet.endpoints}
    total = sum(rate for rate in rates.values() if rate is not None)
    shards = [
        ShardLoad(
            shard=name,
            answers=name in now.cursors,
            events=now.events(name),
            events_per_second=None if rate is None else round(rate, 1),
            share=None if rate is None or not total else round(rate / total, 4),
            behind=behind(now.cursors.get(name), now.tail.ends),
            lag_seconds=lag_seconds(samples, name),
        )
        for name, rate in rates.items()
    ]
    return LoadAnswer(
        at=moment(time.time_ns() // 1_000_000 * 1_000),
        seconds=round(seconds, 1),
        events_per_second=round(total, 1),
        behind=max((one.behind for one in shards if one.behind is not None), default=None),
        lag_seconds=max((one.lag_seconds for one in shards if one.lag_seconds is not None), default=None),
        shards=shards,
        newest_events=len(now.tail.payloads),
        hot=list(_hot(now.tail.payloads, fleet.map)),
    )


def _before(samples: Sequence[Sample]) -> Sample:
    """Return what the newest sample is compared with."""
    now = samples[-1].at_seconds
    older = (one for one in reversed(samples) if now - one.at_seconds >= _RATE_SECONDS)
    return next(older, samples[0])


def _rate(before: int | None, after: int | None, seconds: float) -> float | None:
    return None if before is None or after is None else max(after - before, 0) / seconds


def behind(rows: Sequence[CursorRow] | None, ends: Mapping[int, int]) -> int | None:
    """Return how many offsets are not applied; a partition without a cursor is not applied at all."""
    if rows is None or not ends:
        return None
    reached: dict[int, int] = {}
    for row in sorted(rows, key=lambda one: one.applied_at_us):  # of several logs, the one that is billed now
        reached[row.partition] = row.next_offset
    return sum(max(end - reached.get(partition, 0), 0) for partition, end in ends.items())


def lag_seconds(samples: Sequence[Sample], shard: str) -> float | None:
    """Return how long ago the log ended where a shard is now; as long as samples go back, where that is longer ago."""
    now = samples[-1]
    rows = now.cursors.get(shard)
    if behind(rows, now.tail.ends) is None:
        return None
    known = [one for one in samples if one.tail.ends]
    reached = (one for one in reversed(known) if not behind(rows, one.tail.ends))
    return round(now.at_seconds - next(reached, known[0]).at_seconds, 1)


def _hot(payloads: Sequence[bytes], shardmap: ShardMap) -> Iterator[HotAccount]:
    accounts = Counter(key.decode() for key in map(key_of, payloads) if key is not None)
    for account, events in islice(accounts.most_common(), HOT_MAX):
        shards = list(dict.fromkeys(shardmap.shards[shard] for _, shard in shardmap.shards_of(account)))
        yield HotAccount(account, events, round(events / len(payloads), 4), shards)
