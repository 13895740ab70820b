"""Defects: the ways in which an event can be bad, each with the reason that it must be rejected for.

Owns the damage done to one event's bytes. Must not know how often it happens, nor where.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import msgspec

UNSEEN_QUANTITY: Final = 7919  # no generated event has it, so that a conflicting body differs whatever it was
_LARGE_BYTES: Final = 70 * 1024  # above the 64 KiB an event may have
_LONG_VALUE_BYTES: Final = 1025  # an attribute value may have 1,024
_MANY_ATTRIBUTES: Final = 65  # an event may have 64
_LONG_IDENTIFIER: Final = 65  # an identifier may have 64 characters

_Event = dict[str, Any]


@attrs.frozen
class Defect:
    """One way to be bad: the reason to reject an event, and the damage (sound bytes, a random number -> bad bytes)."""

    reason: str
    damage: Callable[[bytes, int], bytes]


def _edited(reason: str, edit: Callable[[_Event], object]) -> Defect:
    """Return a defect that changes the decoded event; what else the event says stays."""

    def damage(body: bytes, _: int) -> bytes:
        event = msgspec.json.decode(body)
        edit(event)
        return msgspec.json.encode(event)

    return Defect(reason, damage)


def _set(reason: str, **fields: object) -> Defect:
    return _edited(reason, lambda event: event.update(fields))


def _attribute(reason: str, **attributes: object) -> Defect:
    return _edited(reason, lambda event: event["attributes"].update(attributes))


def _id(character: str) -> Defect:
    return _edited("bad_field", lambda event: event.update(id=event["id"] + character))


def _garbage(_: bytes, number: int) -> bytes:
    # No line breaks: a file of lines must keep its count. 0x9F begins neither JSON nor UTF-8.
    return b"\x9f" + bytes(32 + byte % 224 for byte in number.to_bytes(8, "big")) * (1 + number % 16)


def _conflict(body: bytes, _: int) -> bytes:
    event = msgspec.json.decode(body)
    if "credit" in event:
        event["credit"]["amount"] = UNSEEN_QUANTITY
    else:
        event["quantity"] = UNSEEN_QUANTITY
    return msgspec.json.encode(event)


CONFLICTING: Final = Defect("conflict", _conflict)
DEFECTS: Final[Mapping[str, Defect]] = {
    "truncated_json": Defect("undecodable", lambda body, number: body[: 1 + number % (len(body) - 1)]),
    "garbage_bytes": Defect("undecodable", _garbage),
    "invalid_utf8": Defect("undecodable", lambda body, _: body.replace(b'"account":"', b'"account":"\xc3\x28', 1)),
    "not_an_object": Defect("undecodable", lambda body, _: b"[" + body + b"]"),
    "nan_quantity": Defect("undecodable", lambda body, _: body[:-1] + b',"quantity":NaN}'),
    "large_event": _attribute("too_large", note="x" * _LARGE_BYTES),
    "missing_id": _edited("bad_field", lambda event: event.pop("id")),
    "empty_id": _set("bad_field", id=""),
    "long_id": _edited("bad_field", lambda event: event.update(id=event["id"].ljust(_LONG_IDENTIFIER, "x"))),
    "nul_in_id": _id("\0"),
    "quote_in_id": _id("'"),
    "emoji_in_id": _id("\N{MONEY BAG}"),
    "number_as_account": _set("bad_field", account=17),
    "negative_quantity": _set("bad_field", quantity=-1),
    "nan_text_quantity": _set("bad_field", quantity="NaN"),
    "fine_quantity": _set("bad_field", quantity="0.1234567890123"),
    "unreadable_time": _set("bad_field", time="yesterday"),
    "many_attributes": _attribute("bad_field", **{f"extra_{number:02d}": "x" for number in range(_MANY_ATTRIBUTES)}),
    "long_attribute": _attribute("bad_field", note="x" * _LONG_VALUE_BYTES),
    "nested_attribute": _attribute("bad_field", note={"nested": "map"}),
    "misspelt_field": _set("bad_field", quantitiy=2),
    "year_1900": _edited("time_out_of_range", lambda event: event.update(time="1900-06-15" + event["time"][10:])),
    "year_2200": _edited("time_out_of_range", lambda event: event.update(time="2200-06-15" + event["time"][10:])),
    "unknown_type": _set("unknown_type", type="refund"),
    "unknown_product": _set("no_rule", product="telegram"),
    "foreign_currency": _attribute("wrong_currency", currency="EUR"),
}
