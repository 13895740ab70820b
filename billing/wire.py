"""The wire: the forms that one event may have as JSON, and what each of its fields may be.

Owns the bounds of an event and the words of a refusal. Must not know columns.
"""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from typing import Final, Generic, TypeVar

import attrs
import msgspec

from billing.credit import CREDIT, Credit, CreditForm, TermsError
from billing.digest import event_digest_of
from billing.moment import TIME_US_MAX, TIME_US_MIN, parse_moment
from billing.quantity import parse_quantity
from billing.repeated import may_repeat, repeated_name

EVENT_BYTES_MAX: Final = 65_536
IDENTIFIER_LENGTH_MAX: Final = 64
USAGE: Final = "usage"
VOID: Final = "void"  # of a copy of an event: it takes back what the event was charged
EVENT_TYPES: Final = frozenset({USAGE, VOID, CREDIT})
ATTRIBUTES_MAX: Final = 64
ATTRIBUTE_NAME_BYTES_MAX: Final = 64
ATTRIBUTE_VALUE_BYTES_MAX: Final = 1024
# Visible ASCII without quotes and backslash: what every log, terminal and SQL text shows unchanged.
IDENTIFIER: Final = re.compile(r"[!#-&(-\[\]-_a-~]+", re.ASCII)


class Reason(StrEnum):
    """Why an event is in quarantine and not in the records."""

    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    BAD_FIELD = "bad_field"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    UNKNOWN_TYPE = "unknown_type"
    NO_RULE = "no_rule"
    WRONG_CURRENCY = "wrong_currency"
    BAD_QUANTITY = "bad_quantity"
    BAD_ACCOUNT = "bad_account"
    BAD_PERIOD = "bad_period"
    BAD_CREDIT = "bad_credit"
    UNKNOWN_SCOPE = "unknown_scope"
    OVERFLOW = "overflow"
    CONFLICT = "conflict"
    UNCOUNTED = "uncounted"
    STORE_REJECTED = "store_rejected"


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    """The plain JSON form, attributes as literal text. Unknown fields are refused: a misspelt `quantity` is not 1."""

    id: str
    account: str
    product: str
    time: str
    quantity: msgspec.Raw = msgspec.Raw(b"1")
    attributes: dict[str, msgspec.Raw] = {}
    type: str = "usage"


class _WireCredit(msgspec.Struct, forbid_unknown_fields=True):
    """The plain JSON form of a credit, and of a void of one, which is known by its terms."""

    id: str
    account: str
    time: str
    type: str
    credit: CreditForm
    attributes: dict[str, msgspec.Raw] = {}


class _CloudData(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    product: str
    quantity: msgspec.Raw = msgspec.Raw(b"1")
    attributes: dict[str, msgspec.Raw] = {}
    type: str = "usage"


class _CloudCreditData(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    type: str
    credit: CreditForm
    attributes: dict[str, msgspec.Raw] = {}


_Data = TypeVar("_Data", _CloudData, _CloudCreditData)


class _CloudEvent(msgspec.Struct, Generic[_Data]):
    """CloudEvents 1.0, structured mode; extension attributes are allowed by its specification and not billed."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    data: _Data


_decode_wire = msgspec.json.Decoder(_Wire).decode
_decode_cloud = msgspec.json.Decoder(_CloudEvent[_CloudData]).decode
_decode_wire_credit = msgspec.json.Decoder(_WireCredit).decode
_decode_cloud_credit = msgspec.json.Decoder(_CloudEvent[_CloudCreditData]).decode
_decode_outline = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class InvalidEventError(Exception):
    """One event that cannot be billed: a reason, a detail for a person, and its account where that can be read."""

    def __init__(self, reason: Reason, detail: str, account: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.account = account


@attrs.frozen
class PlainEvent:
    """One event that can be billed, whatever form it came in: microseconds since 1970-01-01 UTC, an exact quantity.

    credit: the terms of a credit, or of the one that a void takes back; its product is `CREDIT`, its quantity 0.
    """

    id: str
    account: str
    product: str
    time_us: int
    quantity: Decimal
    attributes: Mapping[str, str]
    type: str
    credit: Credit | None = None

    @property
    def digest(self) -> int:
        """Return the hash by which repeats and conflicts are told apart; a void's is that of its event."""
        if self.credit is not None:
            texts = self.id, self.account, self.credit.text, CREDIT
            return event_digest_of(texts, self.attributes, self.time_us, self.quantity)
        texts = self.id, self.account, self.product, USAGE if self.type == VOID else self.type
        return event_digest_of(texts, self.attributes, self.time_us, self.quantity)


def read_event(body: bytes) -> PlainEvent:
    """Read one payload in any form that is allowed. Raises InvalidEventError, which names the first thing wrong."""
    if len(body) > EVENT_BYTES_MAX:
        raise InvalidEventError(Reason.TOO_LARGE, f"{len(body)} bytes; {EVENT_BYTES_MAX} are allowed")
    try:
        outline = _decode_outline(body)
    except msgspec.ValidationError as error:
        raise InvalidEventError(Reason.UNDECODABLE, "not a JSON object") from error
    except (ValueError, RecursionError) as error:
        raise InvalidEventError(Reason.UNDECODABLE, f"not JSON: {error}") from error
    account = _readable_account(outline)
    try:
        is_credit = _has_terms(outline)
        if "specversion" not in outline:
            event = _decode_wire_credit(body) if is_credit else _decode_wire(body)
            _check_once(body, outline, event, account)
            return _plain(event.id, event.time, event, account)
        cloud = _decode_cloud_credit(body) if is_credit else _decode_cloud(body)
        _check_once(body, outline, cloud.data, account)
        if cloud.specversion != "1.0":
            raise InvalidEventError(Reason.BAD_FIELD, "specversion is not 1.0", account)
        return _plain(cloud.id, cloud.time, cloud.data, account)
    except msgspec.ValidationError as error:
        raise InvalidEventError(Reason.BAD_FIELD, str(error), account) from error
    except ValueError as error:  # bytes that are no text, inside a value
        raise InvalidEventError(Reason.UNDECODABLE, f"not JSON: {error}", account) from error


def _check_once(
    body: bytes, outline: Mapping[str, msgspec.Raw], event: _Wire | _CloudData | _WireCredit | _CloudCreditData,
    account: str | None,
) -> None:  # fmt: skip
    """Check that no field is named twice. Raises InvalidEventError, ValueError."""
    fields = _fields(outline)
    names = len(fields) + len(event.attributes) + (0 if fields is outline else len(outline))
    if isinstance(event, _WireCredit | _CloudCreditData):
        names += len(_decode_outline(fields[CREDIT]))
    if may_repeat(body, names):
        name = repeated_name(body)
        if name is not None:
            named = name if is_identifier(name) else "a field"
            raise InvalidEventError(Reason.BAD_FIELD, f"{named} is named twice", account)


def _has_terms(outline: Mapping[str, msgspec.Raw]) -> bool:
    with suppress(ValueError, RecursionError):
        return CREDIT in _fields(outline)
    return False


def _readable_account(outline: Mapping[str, msgspec.Raw]) -> str | None:
    """Return the account of an event that is otherwise wrong, if it can be read: its quarantine goes to that shard."""
    with suppress(ValueError, RecursionError):
        fields = _fields(outline)
        account = msgspec.json.decode(fields["account"], type=str) if "account" in fields else ""
        return account if is_identifier(account) else None
    return None


def _fields(outline: Mapping[str, msgspec.Raw]) -> Mapping[str, msgspec.Raw]:
    """Return the fields that both forms have, wherever they stand. Raises ValueError or RecursionError."""
    if "specversion" not in outline:
        return outline
    return _decode_outline(outline["data"]) if "data" in outline else {}


def _plain(
    event_id: str, time: str, event: _Wire | _CloudData | _WireCredit | _CloudCreditData, account: str | None
) -> PlainEvent:
    form, product, literal = None, CREDIT, b"0"
    if isinstance(event, _Wire | _CloudData):
        product, literal = event.product, bytes(event.quantity)
    else:
        form = event.credit
    attributes = {name: _attribute_text(bytes(raw), account) for name, raw in event.attributes.items()}
    _check_identifiers({"id": event_id, "account": event.account, "product": product}, account)
    if event.type not in EVENT_TYPES:
        raise InvalidEventError(Reason.UNKNOWN_TYPE, f"type is not one of {', '.join(sorted(EVENT_TYPES))}", account)
    if event.type == (USAGE if form else CREDIT):
        detail = "credit is for events of type credit, and voids" if form else "type credit needs the field credit"
        raise InvalidEventError(Reason.BAD_CREDIT, detail, account)
    time_us = parse_moment(time)
    if time_us is None:
        raise InvalidEventError(Reason.BAD_FIELD, "time is not an RFC 3339 date-time with an offset", account)
    quantity = parse_quantity(literal)
    if isinstance(quantity, str):
        raise InvalidEventError(Reason.BAD_FIELD, f"quantity {quantity}", account)
    _check_names(attributes, account)
    for name, value in attributes.items():
        if len(value.encode()) > ATTRIBUTE_VALUE_BYTES_MAX:
            detail = f"attributes.{name} is longer than {ATTRIBUTE_VALUE_BYTES_MAX} bytes"
            raise InvalidEventError(Reason.BAD_FIELD, detail, account)
    if not TIME_US_MIN <= time_us < TIME_US_MAX:
        raise InvalidEventError(Reason.TIME_OUT_OF_RANGE, "time is outside the years 2000 to 2099", account)
    credit = None if form is None else _terms(form, time_us, account)
    return PlainEvent(event_id, event.account, product, time_us, quantity, attributes, event.type, credit)


def _terms(form: CreditForm, time_us: int, account: str | None) -> Credit:
    """Read the terms of a credit. Raises InvalidEventError."""
    if not all(map(is_identifier, form.products or ())):
        raise InvalidEventError(Reason.BAD_CREDIT, "credit.products has an entry that cannot be a product", account)
    try:
        return Credit.read(form, time_us)
    except TermsError as error:
        raise InvalidEventError(Reason.BAD_CREDIT, str(error), account) from error


def _check_identifiers(values: Mapping[str, str], account: str | None) -> None:
    """Check fields that are identifiers. Raises InvalidEventError."""
    for field, value in values.items():
        if not is_identifier(value):
            detail = (
                f"{field} has {len(value)} characters; write 1 to {IDENTIFIER_LENGTH_MAX}"
                if not 0 < len(value) <= IDENTIFIER_LENGTH_MAX
                else f"{field} has a character outside visible ASCII without quotes and backslash"
            )
            raise InvalidEventError(Reason.BAD_FIELD, detail, account)


def _attribute_text(literal: bytes, account: str | None) -> str:
    """Return the text of an attribute: a string's value, a number as it is written."""
    if literal.startswith(b'"'):
        return msgspec.json.decode(literal, type=str)
    if literal[:1] in b"-0123456789":
        return literal.decode()
    raise InvalidEventError(Reason.BAD_FIELD, "attributes is not a flat map of strings and numbers", account)


def is_identifier(text: str) -> bool:
    """Tell whether text can be an id, account or product: 1 to 64 of visible ASCII without quotes and backslash."""
    return len(text) <= IDENTIFIER_LENGTH_MAX and IDENTIFIER.fullmatch(text) is not None


def _check_names(names: Collection[str], account: str | None) -> None:
    """Check number and length of attribute names. Raises InvalidEventError."""
    if len(names) > ATTRIBUTES_MAX:
        detail = f"attributes has {len(names)} entries; {ATTRIBUTES_MAX} are allowed"
        raise InvalidEventError(Reason.BAD_FIELD, detail, account)
    if not all(map(_name_is_valid, names)):
        detail = f"attributes has a name outside 1 to {ATTRIBUTE_NAME_BYTES_MAX} bytes"
        raise InvalidEventError(Reason.BAD_FIELD, detail, account)


def _name_is_valid(name: str) -> bool:
    return 0 < len(name.encode()) <= ATTRIBUTE_NAME_BYTES_MAX
