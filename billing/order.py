"""Orders: the places of rows by primary key, found without sorting what is in order already.

Owns the order of parts and lines, and which parts have equal keys; text compares as VARBINARY does, byte by byte.
Must not know tables.
"""

from typing import Final

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from billing.charge import Bools, Charges
from billing.eights import Bytes
from billing.moment import DAY_US
from billing.texts import Pool, pool_of
from rules.columns import Int32s, Int64s
from rules.compiled import compiled, item, put, step

_SHORT: Final = 16  # so many are sorted by insertion, which in order already they hardly need
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: neighbours fall far apart
_SLOT_BITS: Final = np.uint64(16)
_SIGN: Final = np.uint64(1 << 63)  # turned over, bytes compare as int64 as they do as uint64


@attrs.frozen(eq=False)
class Order:
    """n parts by primary key: slot, charged account, day and key, of which a void stands before its event.

    keys: of the parts; parts: int64[n], the parts in order; group: int64[n], the place of each part's slot and account
    among the g of them; firsts: int64[g], a part of each group; day: int64[n], UTC days since 1970-01-01; twins:
    bool[n], which parts have the primary key of another, voids aside, None where none has; voids: whether there
    are any.
    """

    keys: Pool
    parts: Int64s
    group: Int64s
    firsts: Int64s
    day: Int64s
    twins: Bools | None
    voids: bool


def part_order(charges: Charges, slot: NDArray[np.uint16]) -> Order:
    """Return the order of some parts; slot: uint16[n], one a part."""
    count = len(charges)
    accounts, keys = charges.account.values.derived_of_all(pool_of), Pool.of(charges.key)
    parts, group, firsts, day = np.empty((4, count), dtype=np.int64)
    twins = np.zeros(count, dtype=np.bool_)
    table = np.empty(1 << (2 * count).bit_length(), dtype=np.int32)
    room = np.empty((6, max(count, 256)), dtype=np.int64)
    groups, any_twins, any_voids = _arrange(
        charges.account.codes, slot, charges.time_us, charges.void, accounts.letters, accounts.bounds, keys.letters,
        keys.bounds, table, room, parts, group, firsts, day, twins,
    )  # fmt: skip
    return Order(keys, parts, group, firsts[:groups], day, twins if any_twins else None, any_voids)


@compiled
def _arrange(
    code: Int32s,
    slot: NDArray[np.uint16],
    time_us: Int64s,
    void: Bools,
    account_letters: Bytes,
    account_bounds: Int32s,
    letters: Bytes,
    bounds: Int32s,
    table: Int32s,
    room: Int64s,
    parts: Int64s,
    group: Int64s,
    firsts: Int64s,
    day: Int64s,
    twins: Bools,
) -> tuple[int, bool, bool]:
    """Fill the columns of an `Order`; returns the number of groups, and whether there are twins and voids.

    table: int32, open addressing by slot and account, twice as large as there are parts; room: int64[6, n or more].
    """
    count = _number_groups(code, slot, table, firsts, group)
    _sort_groups(count, code, slot, account_letters, account_bounds, void, room, firsts, group)
    identity, spare, head, stops = room[0], room[1], room[2], room[3]
    for number in range(count):
        put(stops, number, 0)
    any_voids = False
    for part in range(len(code)):
        put(stops, group[part], item(stops, group[part]) + 1)
        put(day, part, time_us[part] // DAY_US)
        put(identity, part, part)
        any_voids |= void[part]
    stop = 0
    for number in range(count):
        stop += stops[number]
        put(stops, number, stop - stops[number])  # where each group's parts begin
    for part in range(len(code)):
        here = item(stops, group[part])
        put(stops, group[part], here + 1)  # in the end where they end
        put(parts, here, part)
    any_twins, begin = False, 0
    for number in range(count):
        stop = stops[number]
        _sort(parts, begin, stop, spare, head, day, identity, letters, bounds, void)
        any_twins |= _mark_twins(parts, begin, stop, day, letters, bounds, twins)
        begin = stop
    return count, any_twins, any_voids


@step
def _mark_twins(
    parts: Int64s, begin: int, stop: int, day: Int64s, letters: Bytes, bounds: Int32s, twins: Bools
) -> bool:
    """Mark the parts of a group, which are sorted, that have a key in common; returns whether there are any."""
    found = False
    for at in range(begin + 1, stop):
        here, before = parts[at], parts[at - 1]
        if day[here] == day[before] and _compared(letters, bounds, before, here) == 0:
            twins[here] = twins[before] = found = True
    return found


@step
def _number_groups(code: Int32s, slot: NDArray[np.uint16], table: Int32s, firsts: Int64s, group: Int64s) -> int:
    """Give the distinct slots and accounts numbers as they come; returns how many there are."""
    wrap, count = np.uint64(len(table) - 1), 0
    for place in range(len(table)):
        table[place] = -1
    for part in range(len(code)):
        owner = np.uint64(code[part]) << _SLOT_BITS | np.uint64(slot[part])
        at = owner * _MIX >> np.uint64(32) & wrap
        while True:
            known = table[at]
            if known < 0:
                table[at] = known = count
                put(firsts, count, part)
                count += 1
                break
            first = item(firsts, known)
            if item(code, first) == code[part] and item(slot, first) == slot[part]:
                break
            at = (at + np.uint64(1)) & wrap
        put(group, part, known)
    return count


@step
def _sort_groups(
    count: int,
    code: Int32s,
    slot: NDArray[np.uint16],
    letters: Bytes,
    bounds: Int32s,
    void: Bools,
    room: Int64s,
    firsts: Int64s,
    group: Int64s,
) -> None:
    """Give groups the numbers of their places by slot and account; void: of so many rows, whatever it says."""
    text, slots, place, spare, head, counter = room[0], room[1], room[2], room[3], room[4], room[5]
    for number in range(count):
        put(text, number, code[firsts[number]])
        put(slots, number, slot[firsts[number]])
    _sort_by_slot(slots, count, place, spare, counter)
    begin = 0
    while begin < count:
        stop = begin + 1
        while stop < count and slots[place[stop]] == slots[place[begin]]:
            stop += 1
        _sort(place, begin, stop, spare, head, slots, text, letters, bounds, void)
        begin = stop
    for number in range(count):
        put(spare, number, firsts[place[number]])
        put(text, place[number], number)
    for number in range(count):
        put(firsts, number, spare[number])
    for part in range(len(code)):
        put(group, part, item(text, group[part]))


@step
def _sort_by_slot(slot: Int64s, count: int, place: Int64s, spare: Int64s, counter: Int64s) -> None:
    """Put the numbers from 0 to below `count` into the order of their slots: one byte after the other, by counting."""
    for number in range(count):
        put(spare, number, number)
    for shift in (0, 8):
        for value in range(256):
            counter[value] = 0
        for number in range(count):
            value = slot[number] >> shift & 255
            counter[value] += 1
        begin = 0
        for value in range(256):
            begin += counter[value]
            counter[value] = begin - counter[value]
        for at in range(count):
            number = spare[at]
            value = item(slot, number) >> shift & 255
            put(place, item(counter, value), number)
            put(counter, value, item(counter, value) + 1)
        if shift == 0:
            for at in range(count):
                spare[at] = place[at]


@step
def _sort(
    rows: Int64s,
    begin: int,
    stop: int,
    spare: Int64s,
    head: Int64s,
    major: Int64s,
    text: Int64s,
    letters: Bytes,
    bounds: Int32s,
    void: Bools,
) -> None:
    """Sort `rows[begin:stop]` by number, then by text, voids first; equal ones stay as they stand.

    major: int64, the number of each row; text: int64, where its text is among the bounds; spare, head: room for all.
    Runs of a few rows are sorted by insertion, then merged.
    """
    at = begin + 1
    while at < stop and not _is_before(rows[at], rows[at - 1], major, text, letters, bounds, void):
        at += 1
    if at >= stop:
        return  # ids often count up, or an account has one event in a batch
    _read_heads(rows, begin, stop, head, text, letters, bounds)
    for first in range(begin, stop, _SHORT):
        for row in range(first + 1, min(first + _SHORT, stop)):
            moved, at = rows[row], row
            while at > first and _precedes(moved, item(rows, at - 1), head, major, text, letters, bounds, void):
                put(rows, at, item(rows, at - 1))
                at -= 1
            put(rows, at, moved)
    width = _SHORT
    while width < stop - begin:
        for first in range(begin, stop - width, 2 * width):
            middle, last = first + width, min(first + 2 * width, stop)
            if _precedes(rows[middle], rows[middle - 1], head, major, text, letters, bounds, void):
                _merge(rows, first, middle, last, spare, head, major, text, letters, bounds, void)
        width *= 2


@step
def _merge(
    rows: Int64s,
    first: int,
    middle: int,
    last: int,
    spare: Int64s,
    head: Int64s,
    major: Int64s,
    text: Int64s,
    letters: Bytes,
    bounds: Int32s,
    void: Bools,
) -> None:
    """Merge `rows[first:middle]` and `rows[middle:last]`, which are sorted."""
    for at in range(first, middle):
        put(spare, at - first, rows[at])
    left, right, at = 0, middle, first
    while left < middle - first:
        if right < last and _precedes(item(rows, right), item(spare, left), head, major, text, letters, bounds, void):
            put(rows, at, item(rows, right))
            right += 1
        else:
            put(rows, at, item(spare, left))
            left += 1
        at += 1


@step
def _read_heads(
    rows: Int64s, begin: int, stop: int, head: Int64s, text: Int64s, letters: Bytes, bounds: Int32s
) -> None:
    """Read of each row's text the eight bytes after what all texts begin with, as a number that compares as they do."""
    first = bounds[text[rows[begin]]]
    common = bounds[text[rows[begin]] + 1] - first
    for at in range(begin + 1, stop):
        start = item(bounds, text[rows[at]])
        common = min(common, item(bounds, text[rows[at]] + 1) - start)
        for place in range(common):
            if item(letters, start + place) != item(letters, first + place):
                common = place
                break
    for at in range(begin, stop):
        start = item(bounds, text[rows[at]]) + common
        length = item(bounds, text[rows[at]] + 1) - start
        value = np.uint64(0)
        for place in range(8):
            value <<= np.uint64(8)
            if place < length:
                value |= np.uint64(item(letters, start + place))
        put(head, rows[at], np.int64(value ^ _SIGN))


@step
def _precedes(
    one: int, other: int, head: Int64s, major: Int64s, text: Int64s, letters: Bytes, bounds: Int32s, void: Bools
) -> bool:
    """Tell whether a row belongs before another, by number and head if these differ."""
    if item(major, one) != item(major, other):
        return bool(item(major, one) < item(major, other))
    if item(head, one) != item(head, other):
        return bool(item(head, one) < item(head, other))
    return _is_before(one, other, major, text, letters, bounds, void)


@step
def _is_before(one: int, other: int, major: Int64s, text: Int64s, letters: Bytes, bounds: Int32s, void: Bools) -> bool:
    """Tell whether a row belongs before another."""
    if item(major, one) != item(major, other):
        return bool(item(major, one) < item(major, other))
    compared = _compared(letters, bounds, item(text, one), item(text, other))
    if compared != 0:
        return compared < 0
    return bool(item(void, one) and not item(void, other))


@step
def _compared(letters: Bytes, bounds: Int32s, one: int, other: int) -> int:
    """Compare two texts byte by byte: below 0 where the first comes first, 0 where they are equal."""
    first, second = item(bounds, one), item(bounds, other)
    length, other_length = item(bounds, one + 1) - first, item(bounds, other + 1) - second
    for at in range(min(length, other_length)):
        letter, other_letter = item(letters, first + at), item(letters, second + at)
        if letter != other_letter:
            return -1 if letter < other_letter else 1
    return 0 if length == other_length else -1 if length < other_length else 1


def ranked(texts: pa.StringArray) -> tuple[pa.StringArray, Int64s]:
    """Return the distinct texts in byte order, and each text's place among them."""
    known = texts.dictionary_encode()
    order = pc.array_sort_indices(known.dictionary)
    place = np.empty(len(order), dtype=np.int64)
    place[order.to_numpy()] = np.arange(len(order))
    return known.dictionary.take(order), place[known.indices.to_numpy()]
