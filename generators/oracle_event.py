"""The oracle's reading of an event: JSON text to values, in plain Python.

Owns a second, independent statement of what a valid event is. Must not share code with what it checks.
"""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, Never

import attrs

from generators.oracle_credit import Terms, TermsError, is_form, read_terms

EVENT_BYTES_MAX: Final = 65_536
_IDENTIFIER_CHARACTERS: Final = frozenset(map(chr, range(0x21, 0x7F))) - frozenset("'\"`\\")
_IDENTIFIER_LENGTH_MAX: Final = 64
_ATTRIBUTES_MAX: Final = 64
_NAME_BYTES_MAX: Final = 64
_VALUE_BYTES_MAX: Final = 1_024
_QUANTITY_CHARACTERS_MAX: Final = 128
_QUANTITY_PLACES_MAX: Final = 12
_QUANTITY_LIMIT: Final = Decimal(10) ** 26

_QUANTITY: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US: Final = 946_684_800_000_000  # 2000-01-01T00:00:00Z
_END_US: Final = 4_102_444_800_000_000  # 2100-01-01T00:00:00Z
DAY_US: Final = 86_400_000_000

_PLAIN_FIELDS: Final = frozenset({"id", "account", "product", "time", "quantity", "attributes", "type"})
_CREDIT_FIELDS: Final = frozenset({"id", "account", "time", "type", "credit", "attributes"})
_ENVELOPE_TEXTS: Final = ("specversion", "id", "source", "type", "time")


class RejectedError(ValueError):
    """An event that must be in quarantine: `reason` is the fixed word for it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Number(NamedTuple):
    """A JSON number as its literal text, so that no float ever stands for it."""

    text: str


@attrs.frozen
class Event:
    """One valid event.

    time_us: microseconds since 1970-01-01 UTC, finer digits cut off; attributes: numbers as their literal text;
    is_void: it is a copy of an event that shall not have been; terms: of a credit, or of a void of one.
    """

    id: str
    account: str
    product: str
    time_us: int
    quantity: Decimal
    attributes: dict[str, str]
    is_void: bool = False
    terms: Terms | None = None


def parse(body: bytes) -> Event:
    """Return the event that a log entry says.

    Raises: RejectedError when the entry is not a valid event.
    """
    if len(body) > EVENT_BYTES_MAX:
        raise RejectedError("too_large", f"{len(body)} bytes")
    fields = _fields(_json_object(body))
    for name in ("id", "account", "product"):
        if not is_identifier(fields[name]):
            raise RejectedError("bad_field", f"{name} is not an identifier")
    if fields.get("type", "usage") not in {"usage", "void", "credit"}:
        raise RejectedError("unknown_type", f"type is {fields['type']}")
    if fields.get("type", "usage") == ("usage" if "credit" in fields else "credit"):
        raise RejectedError("bad_credit", "a credit has its terms, and nothing else has")
    time_us = _time_us(fields["time"])
    quantity = _quantity(fields.get("quantity", _Number("1")))
    attributes = _attributes(fields.get("attributes", {}))
    if not _FIRST_US <= time_us < _END_US:
        raise RejectedError("time_out_of_range", f"time is {fields['time']}")
    terms = _terms(fields["credit"], time_us) if "credit" in fields else None
    is_void = fields.get("type") == "void"
    return Event(fields["id"], fields["account"], fields["product"], time_us, quantity, attributes, is_void, terms)


def _terms(raw: dict[str, Any], time_us: int) -> Terms:
    try:
        return read_terms(raw, time_us, _quantity, _time_us, is_identifier)
    except (TermsError, RejectedError) as error:
        raise RejectedError("bad_credit", str(error)) from error


def field_of(event: Event, name: str) -> str | Decimal | None:
    """Return what a condition of that name reads: a field of the event or an attribute; None when it is absent."""
    return event.quantity if name == "quantity" else text_of(event, name)


def text_of(event: Event, name: str) -> str | None:
    """Return the product, the account or the attribute of that name; None when it is absent."""
    if name in {"product", "account"}:
        return event.product if name == "product" else event.account
    return event.attributes.get(name)


def is_identifier(text: str) -> bool:
    """Tell whether text may be an id, an account or a product."""
    return 0 < len(text) <= _IDENTIFIER_LENGTH_MAX and _IDENTIFIER_CHARACTERS.issuperset(text)


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _json_object(body: bytes) -> dict[str, Any]:
    """Return what a text says, each number as it is written. An object that names a field twice says nothing."""
    is_ambiguous = False

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal is_ambiguous
        if len({name for name, _ in pairs}) < len(pairs):
            is_ambiguous = True
            json.dumps(pairs, ensure_ascii=False).encode()  # of what the object says no more, as below
        return dict(pairs)

    try:
        text = body.decode()
        outline = json.loads(
            text, object_pairs_hook=made, parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant
        )
        if "\\u" in text:  # an escaped half of a surrogate pair is no character
            json.dumps(outline, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RejectedError("undecodable", str(error)) from error
    if not isinstance(outline, dict):
        raise RejectedError("undecodable", "not an object")
    if is_ambiguous:
        raise RejectedError("bad_field", "a field is named twice")
    return outline


def _fields(outline: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the plain or the CloudEvents form, each of the right type."""
    fields, known = outline, _PLAIN_FIELDS
    if "specversion" in outline:
        data = outline.get("data")
        if not all(isinstance(outline.get(name), str) for name in _ENVELOPE_TEXTS) or not isinstance(data, dict):
            raise RejectedError("bad_field", "the CloudEvents envelope is not complete")
        if outline["specversion"] != "1.0":
            raise RejectedError("bad_field", "specversion is not 1.0")
        if "id" in data or "time" in data:
            raise RejectedError("bad_field", "data has an unknown field")
        fields = {**data, "id": outline["id"], "time": outline["time"]}
    if "credit" in fields:
        fields, known = _credit_fields(fields), known | {"credit"}
    if not known.issuperset(fields):
        raise RejectedError("bad_field", "an unknown field")
    if not all(isinstance(fields.get(name), str) for name in ("id", "account", "product", "time")):
        raise RejectedError("bad_field", "a required field is missing or not text")
    if not isinstance(fields.get("type", ""), str):
        raise RejectedError("bad_field", "type is not text")
    attributes = fields.get("attributes", {})
    if not isinstance(attributes, dict) or not all(isinstance(value, str | _Number) for value in attributes.values()):
        raise RejectedError("bad_field", "attributes is not a flat map of texts and numbers")
    return fields


def _credit_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a credit with what it has in the place of product and quantity."""
    if not is_form(fields["credit"]) or "type" not in fields or not _CREDIT_FIELDS.issuperset(fields):
        raise RejectedError("bad_field", "the credit is not complete")
    return {**fields, "product": "credit", "quantity": _Number("0")}


def _attributes(raw: dict[str, str | _Number]) -> dict[str, str]:
    if len(raw) > _ATTRIBUTES_MAX:
        raise RejectedError("bad_field", "too many attributes")
    texts = {name: value.text if isinstance(value, _Number) else value for name, value in raw.items()}
    for name, text in texts.items():
        if not 0 < len(name.encode()) <= _NAME_BYTES_MAX or len(text.encode()) > _VALUE_BYTES_MAX:
            raise RejectedError("bad_field", "an attribute's name or value is out of bounds")
    return texts


def _quantity(raw: object) -> Decimal:
    text = raw.text if isinstance(raw, _Number) else raw
    if not isinstance(text, str) or len(text) > _QUANTITY_CHARACTERS_MAX or not _QUANTITY.fullmatch(text):
        raise RejectedError("bad_field", "quantity is not a decimal number")
    quantity = Decimal(text)
    if quantity < 0 or quantity >= _QUANTITY_LIMIT or places_of(quantity) > _QUANTITY_PLACES_MAX:
        raise RejectedError("bad_field", "quantity is out of bounds")
    return quantity


def places_of(number: Decimal) -> int:
    """Return how many decimal places a finite number needs, trailing zeros not counted."""
    _, digits, exponent = number.as_tuple()
    places = -int(exponent)
    if places <= 0 or not number:
        return 0
    trailing_zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return max(places - trailing_zeros, 0)


def _time_us(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise RejectedError("bad_field", "time is not RFC 3339 with an offset")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, hours, minutes = found.groups()[6:]
    try:
        since = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH
    except ValueError as error:
        raise RejectedError("bad_field", f"time: {error}") from error
    seconds = since.days * 86_400 + since.seconds
    if sign is not None:
        if int(hours) >= 24 or int(minutes) >= 60:  # noqa: PLR2004 - time-hour and time-minute of RFC 3339
            raise RejectedError("bad_field", "time has no such offset")
        offset_seconds = int(hours) * 3_600 + int(minutes) * 60
        seconds += offset_seconds if sign == "-" else -offset_seconds
    return seconds * 1_000_000 + int((fraction or "")[:6].ljust(6, "0"))
