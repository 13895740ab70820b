"""Sums: lines with equal keys are added up exactly, in one pass over the lines for all tables.

Owns the additions and the order of what they make. Must not know what the tables are called.
"""

from typing import Final

import attrs
import numpy as np

from billing.digest import UInt64s
from billing.lines import AMOUNT, CHECKSUM, EVENTS, GROUP, LIMBS, QUANTITY, TAIL, TIME_US, Lines, limbs, whole
from billing.moment import DAY_US, HOUR_US, SECOND_US
from rules.columns import Decimals, Int64s, Units
from rules.compiled import compiled, item, put, step

HOURLY, DAILY, MONTHLY, EVER = range(4)  # how long the time is whose lines are added up
_INT64_MAX: Final = 2**63 - 1
_REMEMBERED: Final = 255  # tails, less one: most lines belong where the last one of their tail did
_LINE, _WAY, _START, _RANK, _EVENTS, _CHECKSUM, _FIRST = range(7)  # rows of what is added up; numbers last


@attrs.frozen(eq=False)
class Sums:
    """Rows that lines were added up to, in order of group, way, time and rank.

    line: int64[k], a line of each row; way: int64[k]; start: int64[k], of its hour,
    day or month in seconds since 1970-01-01 UTC; rank: int64[k]; events: int64[k]; quantity, amount: k decimals;
    checksum: uint64[k].
    """

    line: Int64s
    way: Int64s
    start: Int64s
    rank: Int64s
    events: Int64s
    quantity: Decimals
    amount: Decimals
    checksum: UInt64s

    def __len__(self) -> int:
        return len(self.line)


def added_up(lines: Lines, every: Int64s, ranks: Int64s) -> tuple[Sums, Sums]:
    """Add up lines of equal group, time and rank, in several ways at once.

    every: int64[s], how long each way's times are; ranks: int64[s, tails], what else it keeps apart. Returns the rows
    of all ways but the last, and those of the last.
    """
    quantity, amount = lines.quantity, lines.amount
    if object not in (quantity.units.dtype, amount.units.dtype):
        found = _added(lines, lines.columns[QUANTITY : AMOUNT + 1], every, ranks)
        if found is not None:
            return _sums(lines, found[0], found[0][_FIRST:]), _sums(lines, found[1], found[1][_FIRST:])
    found = _added(lines, np.concatenate([limbs(quantity.units), limbs(amount.units)]), every, ranks)
    assert found is not None, "limbs are small"
    numbers = [[whole(rows[_FIRST:][:LIMBS]), whole(rows[_FIRST:][LIMBS:])] for rows in found]
    return _sums(lines, found[0], numbers[0]), _sums(lines, found[1], numbers[1])


def _added(lines: Lines, numbers: Int64s, every: Int64s, ranks: Int64s) -> tuple[Int64s, Int64s] | None:
    """Return rows as columns of an array, or None where a sum of the numbers, int64[c, m], might not fit int64."""
    count, fields = numbers.shape[1], _FIRST + len(numbers)
    room = np.empty((fields + 1, count), dtype=np.int64)
    out = np.empty((fields, len(every) * count), dtype=np.int64)
    memory = np.full((len(every), _REMEMBERED + 1), -1, dtype=np.int64)
    rows, last_rows = _add_up(lines.columns, numbers, every, ranks, room, memory, out)
    last = (len(every) - 1) * count
    return None if rows < 0 else (out[:, :rows], out[:, last : last + last_rows])


def _sums(lines: Lines, rows: Int64s, numbers: "Int64s | list[Units]") -> Sums:
    return Sums(
        line=rows[_LINE],
        way=rows[_WAY],
        start=rows[_START],
        rank=rows[_RANK],
        events=rows[_EVENTS],
        quantity=Decimals(numbers[0], lines.quantity.scale),
        amount=Decimals(numbers[1], lines.amount.scale),
        checksum=rows[_CHECKSUM].view(np.uint64),
    )


@compiled
def _add_up(
    columns: Int64s, numbers: Int64s, every: Int64s, ranks: Int64s, room: Int64s, memory: Int64s, out: Int64s
) -> tuple[int, int]:
    """Fill columns of `out` with rows, those of the last way after the room of all others.

    room: int64[fields of a row + 1, m]; memory: int64[s, 256], -1 everywhere. Returns how many rows there are of either
    kind, (-1, -1) for too large numbers.
    """
    group = columns[GROUP]
    lines, ways = len(group), len(every)
    bound = _INT64_MAX // max(lines, 1)
    for column in range(numbers.shape[0]):
        added = numbers[column]
        for at in range(lines):
            if added[at] > bound or added[at] < -bound:
                return -1, -1
    begin, rows, last_rows = 0, 0, (ways - 1) * lines
    while begin < lines:
        stop = begin + 1
        while stop < lines and group[stop] == group[begin]:
            stop += 1
        for way in range(ways - 1):
            rows += _add_run(begin, stop, way, columns, numbers, every[way], ranks[way], room, memory[way], out, rows)
        last = ways - 1
        last_rows += _add_run(
            begin, stop, last, columns, numbers, every[last], ranks[last], room, memory[last], out, last_rows
        )
        begin = stop
    return rows, last_rows - (ways - 1) * lines


@step
def _add_run(
    begin: int,
    stop: int,
    way: int,
    columns: Int64s,
    numbers: Int64s,
    every: int,
    ranks: Int64s,
    room: Int64s,
    memory: Int64s,
    out: Int64s,
    here: int,
) -> int:
    """Add up the lines of a group in one way, into rows from `here` on; returns how many rows they are.

    memory: the row that a tail last belonged to, counted as in `out` while their order is that in which they came.
    """
    time_us, tail, events, checksum = columns[TIME_US], columns[TAIL], columns[EVENTS], columns[CHECKSUM]
    added, count = numbers.shape[0], 0
    starts, of_rank, all_events, checksums = room[_START], room[_RANK], room[_EVENTS], room[_CHECKSUM]
    order = room[_FIRST + added]  # the sums that there are, by start and rank
    hour_us, start = -1, 0  # lines of a group are often of one hour
    for at in range(begin, stop):
        if not 0 <= item(time_us, at) - hour_us < HOUR_US or hour_us < 0:
            hour_us = item(time_us, at) // HOUR_US * HOUR_US
            start = _start_of(hour_us, every)
        rank = item(ranks, item(tail, at))
        place = item(tail, at) & _REMEMBERED
        known = item(memory, place) - here
        if known < 0 or item(starts, known) != start or item(of_rank, known) != rank:
            low = _place_of(start, rank, order, count, starts, of_rank)
            known = count if low == count else item(order, low)
            if low == count or item(starts, known) != start or item(of_rank, known) != rank:
                for moved in range(count, low, -1):
                    put(order, moved, item(order, moved - 1))
                known = count
                count += 1
                put(order, low, known)
                put(starts, known, start)
                put(of_rank, known, rank)
                put(all_events, known, 0)
                put(checksums, known, 0)
                room[_LINE, known] = at
                for column in range(added):
                    room[_FIRST + column, known] = 0
            put(memory, place, here + known)
        put(all_events, known, item(all_events, known) + item(events, at))
        put(checksums, known, item(checksums, known) + item(checksum, at))
        for column in range(added):
            room[_FIRST + column, known] += numbers[column, at]
    for place in range(count):
        known, row = item(order, place), here + place
        for field in range(_FIRST + added):
            out[field, row] = room[field, known]
        out[_WAY, row] = way
    return count


@step
def _place_of(start: int, rank: int, order: Int64s, count: int, starts: Int64s, ranks: Int64s) -> int:
    """Return how many of the sums come before this start and rank."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        one = item(order, middle)
        if item(starts, one) < start or (item(starts, one) == start and item(ranks, one) < rank):
            low = middle + 1
        else:
            high = middle
    return low


@step
def _start_of(time_us: int, every: int) -> int:
    """Return the start of the UTC hour, day or month that holds a moment, in seconds since 1970-01-01.

    Source of months: Howard Hinnant, chrono-compatible low-level date algorithms, civil_from_days.
    """
    if every == HOURLY:
        return time_us // HOUR_US * (HOUR_US // SECOND_US)
    if every == EVER:
        return 0
    day = time_us // DAY_US
    if every == MONTHLY:
        shifted = day + 719_468  # days since 0000-03-01, so that leap days come last
        of_era = shifted - shifted // 146_097 * 146_097
        year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
        of_year = of_era - (365 * year + year // 4 - year // 100)
        month = (5 * of_year + 2) // 153
        day -= of_year - (153 * month + 2) // 5
    return day * (DAY_US // SECOND_US)
