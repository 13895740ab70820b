"""Operations: what operators see of the fleet, and what load balancers ask.

Owns these routes.
"""

from typing import Final

from litestar import Router, get
from litestar.datastructures import State

from billing.adapters.overview import shards_answer
from billing.adapters.reads import Reads
from billing.api import examples
from billing.api.access import OPEN, needs
from billing.api.problem import problems
from billing.keys import Scope
from billing.reads.answers import BookAnswer, Health, ShardsAnswer
from billing.reads.book_words import book_words


@get(
    "/book",
    responses=problems(401, 403, 429, 503) | examples.of(BookAnswer),
    summary="Rulebook in force",
    operation_id="book",
)
async def book(state: State) -> BookAnswer:
    """Return the rulebook that this process knows: its version, rollups, and rules in words."""
    reads: Reads = state["reads"]
    return book_words(reads.book)


@get(
    "/shards",
    responses=problems(401, 403, 429, 503) | examples.of(ShardsAnswer),
    summary="Shards and lag",
    operation_id="shards",
)
async def shards(state: State) -> ShardsAnswer:
    """Return how every shard stands; one that does not answer says so, and the others are told all the same."""
    reads: Reads = state["reads"]
    return await shards_answer(reads.fleet)


@get("/healthz", opt={OPEN: True}, tags=["operations"], summary="Health", operation_id="health")
async def health() -> Health:
    """Say that this process serves; needs no key."""
    return Health()


OPERATIONS: Final = Router("/v1", route_handlers=[book, shards], opt=needs(Scope.OPERATOR), tags=["operations"])
