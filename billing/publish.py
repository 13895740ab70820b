"""Publishing: a request body taken apart into events, each checked as billing will check it.

Owns the forms of a body: one event or a list, plain or CloudEvents. Must not know the log or HTTP.
"""

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import msgspec
import numpy as np

from billing.event import Decoder
from billing.reads.answers import ItemError

_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")  # between tokens only: inside of JSON text they are escaped
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_one = msgspec.json.Decoder(msgspec.Raw).decode


class BodyError(ValueError):
    """A body that is neither an event nor a list of events."""


@attrs.frozen
class Checked:
    """Payloads that may be published with their places in the body, and what is wrong with the others."""

    payloads: Sequence[bytes]
    places: Sequence[int]
    errors: Sequence[ItemError]
    single: bool


def check_events(body: bytes, events_max: int, sees: Callable[[str], bool]) -> Checked:
    """Take a body apart; sees: whether the caller may publish for an account.

    Raises: BodyError, with what to write instead.
    """
    single = body.lstrip()[:1] != b"["
    try:
        items = [_decode_one(body)] if single else _decode_list(body)
    except (ValueError, RecursionError) as error:
        raise BodyError(f"the body is not JSON: {error}; write one event or a list of events") from error
    if len(items) > events_max:
        raise BodyError(f"{len(items):,} events; write at most {events_max:,}")
    payloads = [bytes(item).strip() for item in items]
    partition = np.zeros(len(payloads), dtype=np.int32)
    events, rejects = Decoder(()).decode(partition, np.arange(len(payloads), dtype=np.int64), payloads)
    errors = [ItemError(one.offset, 422, str(one.reason), one.detail) for one in rejects]
    taken = []
    for place, account in zip(events.offset.tolist(), events.account.rows(), strict=True):
        if account is not None and sees(account):
            taken.append(place)
        else:
            errors.append(ItemError(place, 404, "unknown_account", "no such account for this key"))
    errors.sort(key=lambda one: one.index)
    return Checked([payloads[place].translate(_LINE_ENDS) for place in taken], taken, errors, single)
