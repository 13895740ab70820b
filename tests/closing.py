"""Closing periods in tests: the product's own steps on a shard of any kind, as the command runs them."""

from collections.abc import Sequence
from decimal import Decimal

from billing.adapters.close import ReadPage, pages_of, settle
from billing.closing import Posting
from billing.due import CounterRow, Plan, plan_of
from billing.ports import Store
from rules.commitment import settled_as
from tests.pipeline import Pipeline
from tests.stores import LIMITS, MemoryPlace, Place

NOW = 1_798_761_600  # 2027-01-01T00:00:00Z: every period of 2026 has ended


def plan(pipeline: Pipeline, period: str, now: int = NOW, only: Sequence[str] = ()) -> Plan:
    """Plan to close a period by the pipeline's book and map."""
    return plan_of(pipeline.book, pipeline.shardmap, period, now, only)


def reader(place: Place, planned: Plan) -> ReadPage:
    """Return what reads the counters of a shard."""
    if not isinstance(place, MemoryPlace):
        return pages_of(place.url, planned)
    tiers = place.shard.tables.tiers

    async def read(after):
        if after is not None:
            return []
        rows = []
        for (slot, account, rule, period), (_, events, amount) in sorted(tiers.items()):
            _, lines, posted = tiers.get((slot, account, settled_as(rule), period), (0, 0, Decimal(0)))
            rows.append(CounterRow(slot, account, rule, period, events, _pico(amount), lines, _pico(posted)))
        return rows

    return read


async def close(
    place: Place, store: Store | None, pipeline: Pipeline, period: str, now: int = NOW, only: Sequence[str] = ()
) -> list[Posting]:
    """Close a period on the first shard; without a store, only tell what would be posted."""
    planned = plan(pipeline, period, now, only)
    promises = planned.promises(pipeline.shardmap).get(0, {})
    steps = settle(planned, promises, reader(place, planned), store, LIMITS)
    return [posting async for step in steps for posting in step.postings]


def posted(postings: Sequence[Posting]) -> dict[tuple[str, str], Decimal]:
    """Return what was posted by account and rule."""
    return {(one.due.account, one.due.rule): Decimal(one.amount_pico).scaleb(-12) for one in postings}


def _pico(amount: Decimal) -> int:
    return int(amount.scaleb(12))
