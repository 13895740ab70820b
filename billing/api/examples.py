"""Examples: one answer of each kind, as the OpenAPI document shows it.

Owns made-up data that is well-formed by construction: each is a value of the type that it stands for.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)

from billing.reads.answers import (
    AccountBalances,
    AccountError,
    AsOf,
    BalanceAnswer,
    BalanceOf,
    BalancesAnswer,
    BookAnswer,
    CreditOf,
    EventsAnswer,
    ExplainAnswer,
    ItemError,
    Line,
    LineExplained,
    Position,
    RollupWords,
    RuleWords,
    ShardsAnswer,
    ShardState,
    TransactionsAnswer,
    UsageAnswer,
    UsageOf,
    UsageTotal,
)
from billing.reads.page_answers import CallerAnswer, Charged, ChargedAnswer, HotAccount, LoadAnswer, ShardLoad

_AS_OF: Final = [
    AsOf("kafka:5L6g3nShT-eMCtK--X86sw:Zr2pQ1v8", 0, 48_211, "2026-01-31T11:59:58Z", "2026-01-31T12:00:00Z", 0.012)
]
_ZERO: Final = "0.000000000000"
_BALANCES: Final = [
    BalanceOf("USD", "12.345600000000", 1_562, "12.345600000000", "10.000000000000", "10.000000000000",
              "10.000000000000", _ZERO, _ZERO, "2.345600000000")
]  # fmt: skip
_CREDITS: Final = [
    CreditOf("grant-1", "grant", "2026-01-01T00:00:00Z", "USD", "10.000000000000", _ZERO, 1, "2026-07-01T00:00:00Z",
             ["sms"], "10.000000000000", _ZERO, _ZERO)
]  # fmt: skip
_LINE: Final = Line(
    "2026-01-31", "msg-000017", 0, "2026-01-31T11:59:58Z", "globex", "sms", "sms-us", "USD", "1.000000000000",
    "0.007900000000", 3, {"to": "+12025550123"},
)  # fmt: skip
_RULE: Final = RuleWords("sms-us", "usage", {"product": '"sms"', "country": '"US"'}, "per_unit", "USD")

ANSWERS: Final[dict[type[msgspec.Struct], msgspec.Struct]] = {
    BalanceAnswer: BalanceAnswer("acme", _BALANCES, _CREDITS, _AS_OF, 3),
    BalancesAnswer: BalancesAnswer(
        [AccountBalances("acme", _BALANCES)], [AccountError("globex", 404, "no such account for this key")], _AS_OF, 3
    ),
    UsageAnswer: UsageAnswer(
        "acme", "daily", "day", "USD",
        [UsageOf("2026-01-31T00:00:00Z", {"product": "sms"}, 40, "40.000000000000", "0.316000000000")],
        UsageTotal(40, "40.000000000000", "0.316000000000"), _AS_OF, 3,
    ),
    TransactionsAnswer: TransactionsAnswer("acme", [_LINE], "WyIyMDI2LTAxLTMxIiwibXNnLTAwMDAxNyIsMCwxMjNd", _AS_OF, 3),
    ExplainAnswer: ExplainAnswer(
        "acme", "msg-000017", [LineExplained(_LINE, _RULE, same_book=True)], "0.007900000000", _AS_OF, 3
    ),
    EventsAnswer: EventsAnswer(
        1, [ItemError(1, 422, "bad_field", "quantity is negative")], [Position(0, 48_212)], "0:48212"
    ),
    BookAnswer: BookAnswer(
        "telecom", 3, "USD", ["country"], [RollupWords("daily", "day", ["product"])], [_RULE], 1
    ),
    CallerAnswer: CallerAnswer("4qf2m7zkha", ["read"], ["acme", "shop-*"]),
    ChargedAnswer: ChargedAnswer(
        "acme", [Charged("sms", "sms-us", "USD", 40, "40.000000000000", "0.316000000000")], _AS_OF, 3
    ),
    LoadAnswer: LoadAnswer(
        "2026-01-31T12:00:00Z", 5.0, 12_500.0, 40, 0.0,
        [ShardLoad("shard-0", True, 40_000, 12_500.0, 1.0, 40, 0.0)],  # noqa: FBT003
        2_000, [HotAccount("acme", 240, 0.12, ["shard-0"])],
    ),
    ShardsAnswer: ShardsAnswer(1, [ShardState("shard-0", True, 65_536, 0, 40_000, 12, 3, 0.012, _AS_OF)]),  # noqa: FBT003
}  # fmt: skip
EVENT: Final = {
    "id": "msg-000017",
    "account": "acme",
    "product": "sms",
    "time": "2026-01-31T11:59:58Z",
    "quantity": 1,
    "attributes": {"country": "US", "to": "+12025550123"},
}
_EVENT_SCHEMA: Final = Schema(
    type=OpenAPIType.OBJECT,
    description="An event, plain or as CloudEvents 1.0 (structured mode) has it, with these fields in `data`.",
    examples=[EVENT],
)


UNCHANGED: Final = {304: ResponseSpec(None, description="The balances that the caller has are still right")}


def of(answer: type[msgspec.Struct], *statuses: int) -> dict[int, ResponseSpec]:
    """Declare an answer with its example."""
    example = Example(summary="An answer", value=msgspec.to_builtins(ANSWERS[answer]))
    return {
        status: ResponseSpec(answer, generate_examples=False, description="The answer", examples=[example])
        for status in statuses or (200,)
    }


def of_body(description: str) -> dict[int, ResponseSpec]:
    """Declare an answer of free form."""
    return {200: ResponseSpec(dict[str, Any], generate_examples=False, description=description)}


@dataclass
class PageAnswer(Operation):
    """An operation that answers with a page, as JSON or as CSV."""

    def __post_init__(self) -> None:
        """Declare the other form."""
        answer = (self.responses or {})["200"]
        assert isinstance(answer, OpenAPIResponse), "its content stands in the response itself"
        answer.content = {
            **(answer.content or {}),
            "text/csv": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING)),
        }


@dataclass
class EventBody(Operation):
    """An operation whose body is one event."""

    def __post_init__(self) -> None:
        """Declare the body, which is read as bytes."""
        self.request_body = RequestBody({"application/json": OpenAPIMediaType(schema=_EVENT_SCHEMA)}, required=True)


@dataclass
class EventsBody(Operation):
    """An operation whose body is one event or a list of events."""

    def __post_init__(self) -> None:
        """Declare the body, which is read as bytes."""
        several = Schema(type=OpenAPIType.ARRAY, items=_EVENT_SCHEMA, min_items=1)
        content = {
            "application/json": OpenAPIMediaType(schema=Schema(any_of=[_EVENT_SCHEMA, several])),
            "application/cloudevents+json": OpenAPIMediaType(schema=_EVENT_SCHEMA),
            "application/cloudevents-batch+json": OpenAPIMediaType(schema=several),
        }
        self.request_body = RequestBody(content, required=True)
