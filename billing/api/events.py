"""Events: what producers publish over HTTP, put into the log that billing reads.

Owns the route and how its answer tells events apart. An answer that counts an event as accepted comes only when the
log has it durably; the same events may be sent again at any time, since billing drops repeats by id.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from litestar import Request, Response, Router, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from billing.adapters.intake import Intake, Outcome
from billing.adapters.reads import BadRequestError
from billing.api import examples
from billing.api.access import needs
from billing.api.problem import problems
from billing.config.api_settings import ApiLimits
from billing.keys import Caller, Scope
from billing.publish import BodyError, Checked, check_events
from billing.reads.answers import EventsAnswer, ItemError, Position
from billing.reads.freshness import LogPosition

_BULKY_BYTES: Final = 65_536  # larger bodies are taken apart on a thread, so that short requests do not wait for them


@post(
    "/",
    status_code=202,
    opt=needs(Scope.WRITE),
    responses=problems(400, 401, 403, 404, 408, 413, 422, 429, 501, 503) | examples.of(EventsAnswer, 202, 207),
    summary="Publish events",
    operation_id="publish",
    operation_class=examples.EventsBody,
)
async def publish(request: Request[Any, Any, State], state: State) -> Response[EventsAnswer]:
    """Publish one event or a list, plain or CloudEvents 1.0.

    202: every event is durable in the log. 207: some are; `errors` names the others by their place in the list. A
    single event that is not taken is answered with a problem. Events may be sent again: repeats are billed once.
    """
    intake: Intake | None = state["intake"]
    limits: ApiLimits = state["limits"]
    caller: Caller = request.scope["user"]
    if intake is None:
        raise HTTPException(status_code=501, detail="the source of this deployment takes no events")
    body = await request.body()
    try:
        if len(body) > _BULKY_BYTES:
            checked = await asyncio.to_thread(check_events, body, limits.events_max, caller.sees)
        else:
            checked = check_events(body, limits.events_max, caller.sees)
    except BodyError as error:
        raise BadRequestError(str(error)) from error
    if checked.single and checked.errors:
        (refused,) = checked.errors
        raise HTTPException(status_code=refused.status, detail=f"{refused.reason}: {refused.detail}")
    outcomes = await intake.publish(checked.payloads) if checked.payloads else []
    answer = _answer(checked, outcomes, intake.log)
    return Response(answer, status_code=207 if answer.errors else 202)


def _answer(checked: Checked, outcomes: Sequence[Outcome], log: str | None) -> EventsAnswer:
    ends: dict[int, int] = {}
    errors = list(checked.errors)
    for place, outcome in zip(checked.places, outcomes, strict=True):
        if isinstance(outcome, Position):
            ends[outcome.partition] = max(outcome.position, ends.get(outcome.partition, 0))
        else:
            errors.append(ItemError(place, 503, "not_acknowledged", f"{outcome}; send it again"))
    return EventsAnswer(
        accepted=sum(isinstance(one, Position) for one in outcomes),
        errors=sorted(errors, key=lambda one: one.index),
        positions=[Position(partition, position) for partition, position in sorted(ends.items())],
        min_position=str(LogPosition(log, ends)) if ends else "",
    )


EVENTS: Final = Router("/v1/events", route_handlers=[publish], tags=["events"])
