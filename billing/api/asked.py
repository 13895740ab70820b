"""Asked: what callers may ask of an account, as parameters, and how they are read.

Owns the names of times and filters in the query, and how long a time may be asked for.
"""

import time
from typing import Annotated, Final

from litestar.params import QueryParameter

from billing.adapters.reads import BadRequestError
from billing.config.api_settings import ApiLimits
from billing.moment import SECOND_US
from billing.reads.statement import Wanted
from billing.span import moment_of
from billing.wire import is_identifier
from rules.book import Every

ERRORS: Final = (400, 401, 403, 404, 429, 503)
SLOW_ERRORS: Final = (*ERRORS, 504)
_DAY_SECONDS: Final = 86_400
_DEFAULT_DAYS: Final = {Every.HOUR: 7, Every.DAY: 92, Every.MONTH: 3_650}
_SPANS: Final = {Every.HOUR: 1, Every.DAY: 10, Every.MONTH: 10}  # times usage_days_max

Since = Annotated[
    str | None, QueryParameter(name="from", max_length=40, description="From this day or RFC 3339 moment on.")
]
Until = Annotated[
    str | None, QueryParameter(name="to", max_length=40, description="Before this day or RFC 3339 moment.")
]
Name = Annotated[str | None, QueryParameter(max_length=64)]
Origin = Annotated[
    str | None, QueryParameter(max_length=64, description="Whose event it is, where another account is charged.")
]


def wanted_of(
    since: str | None,
    until: str | None,
    product: str | None = None,
    rule: str | None = None,
    event: str | None = None,
    origin: str | None = None,
) -> Wanted:
    """Read which lines are asked for. Raises: BadRequestError."""
    for name, text in (("product", product), ("rule", rule), ("event", event), ("origin", origin)):
        if text is not None and not is_identifier(text):
            raise BadRequestError(f"{name}: {text[:64]!a} cannot be one; write 1 to 64 characters of visible ASCII")
    if origin is not None and event is None:
        raise BadRequestError("origin: says whose event it is; write event too")
    key = event if origin is None else f"{origin} {event}"
    return Wanted(_moment("from", since), _moment("to", until), product, rule, key)


def _moment(name: str, text: str | None) -> int | None:
    found = None if text is None else moment_of(text)
    if text is not None and (found is None or not 0 <= found < 2**32 * SECOND_US):
        raise BadRequestError(f"{name}: {text[:40]!a} is no time; write 2026-01-31 or 2026-01-31T12:00:00Z")
    return found


def span_of(since: str | None, until: str | None, every: Every, limits: ApiLimits) -> range:
    """Return the seconds that usage is asked for. Raises: BadRequestError."""
    start, stop = _moment("from", since), _moment("to", until)
    end = int(time.time()) + 1 if stop is None else stop // SECOND_US
    begin = max(end - _DEFAULT_DAYS[every] * _DAY_SECONDS, 0) if start is None else start // SECOND_US
    most = limits.usage_days_max * _SPANS[every]
    if begin > end:
        raise BadRequestError("from: is after to; write the earlier one as from")
    if end - begin > most * _DAY_SECONDS:
        raise BadRequestError(f"from, to: span more than {most:,} days by the {every.value}; ask for less time")
    return range(begin, end)
