"""Decoding a list is decoding each of its payloads: no neighbour changes what an event becomes."""

import json
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from billing.event import Decoder
from tests.examples import examples

NAMES = ("country", "n", "é")

_texts = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["", "e1", "acme", "x" * 64, "x" * 65, "'", '"', "\\", "\0", "\n", "é", "💣"]),
    st.sampled_from(["1", "1.5", "-1", "1,2"]),
)
_numbers = st.one_of(
    st.integers(-(10**30), 10**30),
    st.sampled_from([0, 1, 2**63 - 1, 2**63, 10**26, 1.5, 1e-12, 1e-13, 1e300]),
)
_times = st.sampled_from(
    [
        "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.123456789Z", "2026-02-29T00:00:00Z",
        "2024-02-29T23:59:59.999999Z", "1999-12-31T23:59:59Z", "2100-01-01T00:00:00+00:01", "2026-01-01t00:00:00z",
        "2026-01-01T00:00:00+23:59", "2026-01-01T00:00:60Z", "2026-01-01T24:00:00Z", "0000-01-01T00:00:00Z", "é" * 20,
    ]
)  # fmt: skip
_values = st.one_of(_texts, _numbers, st.sampled_from([None, True, [], {}]))
_fields = st.fixed_dictionaries(
    {"id": _texts, "account": _texts, "product": _texts, "time": _times},
    optional={
        "quantity": _values,
        "attributes": st.dictionaries(st.one_of(_texts, st.sampled_from(NAMES)), _values, max_size=4),
        "type": st.sampled_from(["usage", "credit", ""]),
        "unknown": _texts,
    },
)
_good = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["e1", "e2"]),
        "account": st.sampled_from(["acme", "zoe"]),
        "product": st.just("sms"),
        "time": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.25+01:00"]),
    },
    optional={
        "quantity": st.sampled_from([1, "1", 1.5, "0.000000000001", "99999999999999999999999999.5", 2**63]),
        "attributes": st.dictionaries(st.sampled_from([*NAMES, "x"]), st.one_of(st.text(max_size=3), st.integers())),
    },
)


def _encoded(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def _broken(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass").replace(b"1", b"\xff")


payloads = st.one_of(
    st.builds(_encoded, _good),
    st.builds(_encoded, _fields),
    st.builds(_broken, _fields),
    st.binary(max_size=20),
    st.sampled_from([b"null", b"[]", b"{}", b"{", b'"', b'{"specversion":"1.0"}']),
)


def _decoded(bodies: list[bytes], first: int = 0, decoder: Decoder | None = None) -> list[tuple[Any, ...]]:
    """Return what becomes of each payload, as plain values in log order."""
    offset = np.arange(first, first + len(bodies), dtype=np.int64)
    decoder = decoder or Decoder(NAMES)
    events, rejects = decoder.decode(np.zeros(len(bodies), dtype=np.int32), offset, bodies)
    scale = 10 ** (12 - events.quantity.scale)
    accepted = zip(
        events.offset.tolist(),
        events.id.to_pylist(),
        events.account.rows(),
        events.product.rows(),
        events.time_us.tolist(),
        [int(units) * scale for units in events.quantity.units.tolist()],
        *(events.attributes[name].rows() for name in NAMES),
        events.digest.tolist(),
        events.payload.tolist(),
        strict=True,
    )
    refused = [(one.offset, one.account, one.reason, one.detail, one.payload) for one in rejects]
    return sorted([*accepted, *refused], key=lambda row: row[0])


@examples(200)
@given(st.lists(payloads, max_size=8))
@example([b'{"id":"e1","account":"a","product":"p","time":"2026-01-01T00:00:00Z","quantity":"\xff"}'])
def test_a_list_decodes_to_what_its_payloads_decode_to(bodies: list[bytes]) -> None:
    """Whether an event is billed, and as what, would depend on what happens to be read beside it."""
    singles = [row for n, body in enumerate(bodies) for row in _decoded([body], n)]
    assert _decoded(bodies) == singles
    assert len(singles) == len(bodies)


@examples(100)
@given(st.lists(st.lists(payloads, max_size=4), max_size=4))
def test_what_was_decoded_before_changes_nothing(reads: list[list[bytes]]) -> None:
    """After a restart the same log would be billed differently, and repeats look like conflicts."""
    decoder = Decoder(NAMES)
    for bodies in reads:
        assert _decoded(bodies, decoder=decoder) == _decoded(bodies)


def test_almost_the_same_is_read_as_what_it_is() -> None:
    """An event would be taken for its neighbour, whose names it shares up to one byte, or beyond its own end."""
    usual = (
        b'{"id":"e1","account":"acme", "product":"sms","time":"2026-01-01T00:00:00Z","type":"usage",'
        b'"quantity":15,"attributes":{"country":"US","n":7,"x":"other","y":""}}'
    )
    shorter = usual.replace(b',"x":"other"', b"").replace(b'"account":"acme", "product":"sms"', b'"product":"sms"')
    others = [usual[:length] for length in range(len(usual))]
    others += [usual[:at] + bytes([byte]) + usual[at + 1 :] for at in range(len(usual)) for byte in b'":,}x']
    others += [usual[:at] + more + usual[at:] for at in range(len(usual)) for more in (b" ", b"\\", b',"type":"usage"')]
    bodies = [body for other in others for body in (usual, other, shorter)]
    alone = {body: _decoded([body]) for body in {*bodies}}
    assert _without_offsets(_decoded(bodies)) == [one for body in bodies for one in _without_offsets(alone[body])]


def test_names_in_the_place_of_others() -> None:
    """An event would be charged to what the last read had where it has its account."""
    decoder = Decoder(NAMES)
    for first, second in (("account", "product"), ("product", "account")):
        body = f'{{"id":"e1","{first}":"acme","{second}":"sms","time":"2026-01-01T00:00:00Z"}}'.encode()
        assert _decoded([body], decoder=decoder) == _decoded([body])


def test_an_attribute_outside_of_attributes() -> None:
    """A field that nobody knows would be passed over, since an attribute of that name is asked for."""
    usual = (
        b'{"attributes":{"i":"usage"},"id":"e1","account":"acme","product":"sms","time":"2026-01-01T00:00:00Z",'
        b'"type":"usage","quantity":1'
    )
    bodies = [usual + b"}", usual + b',"i":"usage"}']
    events, (reject,) = Decoder("abcdefghi").decode(np.zeros(2, dtype=np.int32), np.arange(2), bodies)
    assert (len(events), reject.payload) == (1, bodies[1])


def _without_offsets(decoded: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [one[1:] for one in decoded]
