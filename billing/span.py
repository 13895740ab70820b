"""Spans of time as people write them: RFC 3339 moments, or days of UTC.

Owns the text. Must not know what happens in a span.
"""

import re
from typing import Final

from billing.moment import parse_moment

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def moment_of(text: str) -> int | None:
    """Read 2026-01-31T12:00:00Z, or 2026-01-31 for its midnight in UTC: microseconds since 1970-01-01, or None."""
    return parse_moment(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
