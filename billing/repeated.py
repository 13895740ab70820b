"""Repeated names: a JSON object that names a field twice, of which one reader takes the first and another the last.

Owns how they are found, and that it costs next to nothing where there are none. Must not know events. Source: RFC 8259,
section 4: what readers make of such an object is unpredictable.
"""

import json
import re
from collections import Counter
from typing import Any, Final

_NAME: Final = re.compile(rb'"[ \t\n\r]*:')  # the end of a name, or a quote and a colon inside a text


def may_repeat(text: bytes, names: int) -> bool:
    """Tell whether a JSON text may repeat a name; `names`: how many names its objects have, repeated ones counted once.

    Never wrong where it says no: each name ends in a quote and a colon, and there are no more of these than names.
    """
    return len(_NAME.findall(text)) != names


def repeated_name(text: bytes) -> str | None:
    """Return the first name that an object of a JSON text repeats, None if none does.

    Raises: ValueError when it is no JSON, or its texts are none.
    """
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            found.append(next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1))
            _require_characters(pairs)
        return made

    try:
        _require_characters(json.loads(text.decode(), object_pairs_hook=look, parse_int=str, parse_float=str))
    except RecursionError as error:
        raise ValueError("too deep") from error
    return found[0] if found else None


def _require_characters(read: object) -> None:
    """Check that no text has an escaped half of a surrogate pair, which is no character. Raises: ValueError."""
    json.dumps(read, ensure_ascii=False).encode()
