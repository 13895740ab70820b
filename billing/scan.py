"""Scans: one pass over the bytes of many events, which finds their fields without making an object of anything.

Owns a reader of JSON for the usual event: the plain form, with nothing escaped and nothing wrong. It never guesses:
what it does not read is left to `billing.wire`, which knows every form and says what is wrong. Must not know rules.
Source of the grammar: RFC 8259.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from xxhash import xxh64_intdigest

from billing.digest import attribute_digest, event_digest
from billing.eights import EIGHT, HIGHS, ONES, Bytes, are_same, below, eight, eightfold, equal, first_marked
from billing.hash64 import hash64
from billing.moment import TIME_US_MAX, TIME_US_MIN, read_moment
from billing.quantity import read_plain
from billing.wire import (
    ATTRIBUTE_NAME_BYTES_MAX,
    ATTRIBUTE_VALUE_BYTES_MAX,
    ATTRIBUTES_MAX,
    EVENT_BYTES_MAX,
    IDENTIFIER_LENGTH_MAX,
    USAGE,
)
from rules.columns import PICO_PLACES, Int32s, Int64s
from rules.compiled import compiled, item, put, step

ID, ACCOUNT, PRODUCT, FIELDS = 0, 1, 2, 3  # rows of an outline; an attribute's is FIELDS and its place among the names
_TIME, _QUANTITY, _TYPE, _ATTRIBUTES, _UNKNOWN = 3, 4, 5, 6, -1
_NEEDED: Final = 0b1111  # id, account, product, time
_OUTSIDE: Final = 0x80  # bytes from here on are not ASCII
_QUOTE, _COMMA, _COLON, _OPEN, _CLOSE, _MINUS, _POINT, _ZERO, _NINE, _BLANK, _TAB, _LINE, _RETURN = map(
    ord, '",:{}-.09 \t\n\r'
)
_TEXT, _IDENTIFIER = range(2)  # kinds of text
_MEMBERS: Final = 7  # of an event, at most: each field once; behind their places are those of attributes
PLACES: Final = _MEMBERS + ATTRIBUTES_MAX
_BLANKS, _MARKS, _QUOTES, _BACKSLASHES, _APOSTROPHES, _GRAVES = map(eightfold, " !\"\\'`")
_WORDS: Final = np.array(  # by field, as `eight` reads them
    [int.from_bytes(word, "little") for word in (b"id", b"account", b"product", b"time", b"quantity", b"type")],
    dtype=np.uint64,
)
_WORD_ATTRIBUT, _WORD_ES = (np.uint64(int.from_bytes(word, "little")) for word in (b"attribut", b"es"))
_FIRST: Final = np.array([(1 << 8 * length) - 1 for length in range(EIGHT + 1)], dtype=np.uint64)  # so many bytes
_USAGE_HASH: Final = np.uint64(xxh64_intdigest(USAGE.encode()))
PADDING: Final = b"\0" * EIGHT  # behind all events: eight bytes can be read wherever one can


def outside_of(data: Bytes) -> np.uint64:
    """Return the bits that mark what may not be in a text: bytes outside ASCII, unless all of the data is UTF-8.

    A text between two quotes then is UTF-8 too, since quotes are ASCII.
    """
    if _is_ascii(data):
        return HIGHS
    try:
        data.tobytes().decode()
    except UnicodeDecodeError:
        return HIGHS
    return np.uint64(0)


@compiled
def _is_ascii(data: Bytes) -> bool:
    bits = np.uint8(0)
    for at in range(len(data)):
        bits |= data[at]
    return bool(bits < _OUTSIDE)


class Reader(NamedTuple):
    """What is read, and what helps to read it; as the compiled reader takes it.

    data: with `PADDING`; outside: as `outside_of` returns it; pool, bounds: the names asked for, one after another;
    strangers: room for the hashes of an event's other names. The rest is room for what stood at each of `PLACES` in the
    last event that had something else there, since most are alike: begin, length: the bytes from where a name may begin
    to its value; means: the field, or the position of an attribute; name_hashes: of an attribute.
    """

    data: Bytes
    outside: Any
    pool: Bytes
    bounds: Int64s
    strangers: Any
    begin: Int64s
    length: Int64s
    means: Int64s
    name_hashes: Any


class Columns(NamedTuple):
    """The columns of an outline that are being filled; attributes: uint64[n], the sum of their digests."""

    start: Int64s
    stop: Int64s
    hashes: Any
    time_us: Int64s
    units: Int64s
    places: Any
    attributes: Any


@compiled
def read_events(reader: Reader, columns: Columns, events: Int32s, digest: Any, read: Any) -> None:  # noqa: ANN401
    """Read each event, `data[events[i]:events[i + 1]]`; what is not read to its end stays unread. Fills all columns."""
    hashes = columns.hashes
    columns.start[:] = columns.stop[:] = -1
    columns.units[:] = 1
    columns.places[:] = columns.attributes[:] = 0
    reader.length[:] = 0
    for row in range(len(read)):
        if events[row + 1] - events[row] <= EVENT_BYTES_MAX:
            read[row] = _read_event(reader, columns, row, events[row], events[row + 1])
        if read[row]:
            quantity = np.uint64(columns.units[row]) * np.uint64(10 ** (PICO_PLACES - columns.places[row]))
            texts = hashes[ID, row], hashes[ACCOUNT, row], hashes[PRODUCT, row], _USAGE_HASH, columns.attributes[row]
            digest[row] = event_digest(texts, columns.time_us[row], quantity)


@step
def _read_event(  # noqa: C901 - a step for each part of the grammar
    reader: Reader, columns: Columns, row: int, at: int, end: int
) -> bool:
    """Read one event: an object with every field at most once, those that are needed, and nothing behind it."""
    data = reader.data
    seen, place = 0, 0
    at = _space(data, at, end)
    if at >= end or item(data, at) != _OPEN:
        return False
    while place < _MEMBERS:
        if _is_as_last(reader, place, at + 1, end):
            value = at + 1 + item(reader.length, place)
        else:
            name = _space(data, at + 1, end)
            name_stop = _text_end(data, reader.outside, name, end, _TEXT)
            value = _value(data, name_stop, end)
            if value < 0:
                return False
            _note(reader, place, at + 1, value, _field(data, name + 1, name_stop))
        field = item(reader.means, place)
        if field == _UNKNOWN or seen >> field & 1:
            return False
        seen |= 1 << field
        place += 1
        if field == _ATTRIBUTES:
            at = _read_attributes(reader, columns, row, value, end)
        elif field == _QUANTITY and item(data, value) != _QUOTE:
            at = _number_end(data, value, end)
            columns.units[row], columns.places[row] = read_plain(data, value, at)
        else:
            at = _text_end(data, reader.outside, value, end, _IDENTIFIER) + 1
            if at and not _read_text(columns, field, row, data, value + 1, at - 1):
                return False
        if at <= 0 or columns.places[row] < 0:
            return False
        at = _space(data, at, end)
        if at >= end or item(data, at) != _COMMA:
            break
    return bool(seen & _NEEDED == _NEEDED and _ends(data, at, end))


@step
def _ends(data: Bytes, at: int, end: int) -> bool:
    """Tell whether an object closes at `at` and only white space follows."""
    return bool(at < end and item(data, at) == _CLOSE and _space(data, at + 1, end) == end)


@step
def _read_text(columns: Columns, field: int, row: int, data: Bytes, start: int, stop: int) -> bool:
    """Take a field's text into its column; tell whether it is what the field may be."""
    if field <= PRODUCT:
        columns.start[field, row], columns.stop[field, row] = start, stop
        columns.hashes[field, row] = hash64(data, start, stop)
        return 0 < stop - start <= IDENTIFIER_LENGTH_MAX
    if field == _TIME:
        columns.time_us[row] = read_moment(data, start, stop)
        return bool(TIME_US_MIN <= columns.time_us[row] < TIME_US_MAX)
    if field == _QUANTITY:
        columns.units[row], columns.places[row] = read_plain(data, start, stop)
        return True
    return bool(hash64(data, start, stop) == _USAGE_HASH)


@step
def _read_attributes(  # noqa: C901, PLR0911, PLR0912 - as many as things can be wrong
    reader: Reader, columns: Columns, row: int, at: int, end: int
) -> int:
    """Read an object of texts and numbers, each name once; returns where it ends, or -1."""
    data = reader.data
    if item(data, at) != _OPEN:
        return -1
    at += 1
    strangers, expected = 0, 0
    for place in range(_MEMBERS, PLACES):
        if _is_as_last(reader, place, at, end):
            first = at + item(reader.length, place)
        else:
            name = _space(data, at, end)
            if place == _MEMBERS and name < end and item(data, name) == _CLOSE:
                return name + 1
            name_stop = _text_end(data, reader.outside, name, end, _TEXT)
            first = _value(data, name_stop, end)
            if first < 0 or not 0 < name_stop - name - 1 <= ATTRIBUTE_NAME_BYTES_MAX:
                return -1
            _note(reader, place, at, first, _position(reader, name + 1, name_stop, expected))
            reader.name_hashes[place] = hash64(data, name + 1, name_stop)
        if item(data, first) == _QUOTE:
            last = _text_end(data, reader.outside, first, end, _TEXT)
            at, first = last + 1, first + 1
        else:
            at = last = _number_end(data, first, end)
        if last - first > ATTRIBUTE_VALUE_BYTES_MAX or last < 0:
            return -1
        name_hash, value_hash = reader.name_hashes[place], hash64(data, first, last)
        position = item(reader.means, place)
        if position < 0:
            if _contains(reader.strangers, strangers, name_hash):
                return -1
            reader.strangers[strangers] = name_hash
            strangers += 1
        elif columns.start[FIELDS + position, row] >= 0:
            return -1
        else:
            columns.start[FIELDS + position, row], columns.stop[FIELDS + position, row] = first, last
            columns.hashes[FIELDS + position, row] = value_hash
            expected = position + 1
        columns.attributes[row] += attribute_digest(name_hash, value_hash)
        at = _space(data, at, end)
        if at < end and item(data, at) == _CLOSE:
            return at + 1
        if at >= end or item(data, at) != _COMMA:
            return -1
        at += 1
    return -1


@step
def _is_as_last(reader: Reader, place: int, at: int, end: int) -> bool:
    """Tell whether a name and all up to its value, which must begin before `end`, are as in the last event there."""
    length = item(reader.length, place)
    return bool(
        length and at + length < end and are_same(reader.data, at, reader.data, item(reader.begin, place), length)
    )


@step
def _note(reader: Reader, place: int, at: int, value: int, means: int) -> None:
    put(reader.begin, place, at)
    put(reader.length, place, value - at)
    put(reader.means, place, means)


@step
def _contains(hashes: Any, count: int, wanted: Any) -> bool:  # noqa: ANN401 - uint64
    for place in range(count):  # noqa: SIM110 - compiled, which generators are not
        if hashes[place] == wanted:
            return True
    return False


@step
def _space(data: Bytes, at: int, end: int) -> int:
    """Return where the white space ends that begins at `at`, if any."""
    while (
        at < end
        and item(data, at) <= _BLANK
        and (  # the first comparison is all that most bytes need
            item(data, at) == _BLANK or item(data, at) == _LINE or item(data, at) == _RETURN or item(data, at) == _TAB
        )
    ):
        at += 1
    return at


@compiled
def _text_end(data: Bytes, outside: Any, quote: int, end: int, kind: int) -> int:  # noqa: ANN401 - uint64
    """Return where the quote stands that ends the text which a quote begins, or -1.

    Nothing is escaped in it, and an identifier is as `wire.IDENTIFIER` says.
    """
    if item(data, quote) != _QUOTE:
        return -1
    at = quote + 1
    while at < end:
        letters = eight(data, at)
        marks = below(letters, _BLANKS) | equal(letters, _QUOTES) | equal(letters, _BACKSLASHES) | letters & outside
        if kind == _IDENTIFIER:
            others = below(letters, _MARKS) | equal(letters, _APOSTROPHES) | equal(letters, _GRAVES)
            marks |= others | letters | (letters + ONES)
        if marks & HIGHS:
            at += first_marked(marks & HIGHS)
            break
        at += EIGHT
    return at if at < end and item(data, at) == _QUOTE else -1


@step
def _value(data: Bytes, name_stop: int, end: int) -> int:
    """Return where the value begins of the name that ends at `name_stop` (or nowhere: -1), or -1."""
    if name_stop < 0:
        return -1
    at = _space(data, name_stop + 1, end)
    if at >= end or item(data, at) != _COLON:
        return -1
    at = _space(data, at + 1, end)
    return at if at < end else -1


@step
def _number_end(data: Bytes, at: int, end: int) -> int:
    """Return where a number of JSON without an exponent ends, or -1."""
    if at < end and item(data, at) == _MINUS:
        at += 1
    first = at
    at = _digits_end(data, at, end)
    if at == first or (item(data, first) == _ZERO and at - first > 1):
        return -1
    if at < end and item(data, at) == _POINT:
        first = at + 1
        at = _digits_end(data, first, end)
        if at == first:
            return -1
    return at


@step
def _digits_end(data: Bytes, at: int, end: int) -> int:
    while at < end and _ZERO <= item(data, at) <= _NINE:
        at += 1
    return at


@step
def _field(data: Bytes, start: int, stop: int) -> int:
    """Return which field of an event a name stands for, or _UNKNOWN."""
    word = eight(data, start)
    if stop - start > EIGHT:
        ending = eight(data, start + EIGHT) & item(_FIRST, 2)
        return _ATTRIBUTES if stop - start == EIGHT + 2 and word == _WORD_ATTRIBUT and ending == _WORD_ES else _UNKNOWN
    word &= item(_FIRST, stop - start)
    for field in range(len(_WORDS)):
        if word == _WORDS[field]:
            return field
    return _UNKNOWN


@step
def _position(reader: Reader, start: int, stop: int, expected: int) -> int:
    """Return the place of a name among those asked for, or -1; the search begins where the next one mostly is."""
    bounds, count = reader.bounds, len(reader.bounds) - 1
    for turn in range(count):
        position = expected + turn
        if position >= count:
            position -= count
        at, length = bounds[position], bounds[position + 1] - bounds[position]
        if length == stop - start and are_same(reader.data, start, reader.pool, at, length):
            return position
    return -1
