"""Layouts: which lines stand in which part of an event, and in what order.

Owns the order of parts and lines, and the line 0 of events that charge only others. Must not know prices.
"""

from typing import Final

import attrs
import numpy as np

from billing.charge import Bools
from billing.event import Events
from rules.columns import MISSING, Int32s, Int64s, Lines
from rules.compiled import compiled

_NOBODY: Final = np.int64(2**31)  # above the code of every account


@attrs.frozen(eq=False)
class Layout:
    """Where lines stand in parts: an event's home part first, then the others by account; groups in the book's order.

    source: int64[m], the priced line of each (-1: a line 0 without charge); event: int64[m]; part, line: as in Charges;
    rows: int64[parts], events; account: int32[parts]; home: bool[parts]; changed: whether the lines are others than the
    priced ones, in another order or number.
    """

    source: Int64s
    event: Int64s
    part: Int32s
    line: Int32s
    rows: Int64s
    account: Int32s
    home: Bools
    changed: bool


def laid_out(events: Events, lines: Lines, accepted: Bools) -> Layout:
    """Lay out the priced lines of accepted events: bool[n]."""
    charged = accepted
    if events.credits:  # nothing is charged for them
        charged = accepted.copy()
        charged[list(events.credits)] = False
    most = len(events) + len(lines)
    source, event, rows = np.empty((3, most), dtype=np.int64)
    part, line, account = np.empty((3, most), dtype=np.int32)
    home = np.empty(most, dtype=np.bool_)
    count, parts, changed = _lay_out(
        lines.event,
        lines.account.codes,
        events.account.codes,
        accepted,
        charged,
        source,
        event,
        part,
        line,
        rows,
        account,
        home,
    )
    return Layout(
        source[:count], event[:count], part[:count], line[:count], rows[:parts], account[:parts], home[:parts], changed
    )


@compiled
def _lay_out(  # noqa: C901, PLR0912 - three passes over the lines of an event
    events: Int32s,
    accounts: Int32s,
    own: Int32s,
    accepted: Bools,
    charged: Bools,
    source: Int64s,
    event: Int64s,
    part: Int32s,
    line: Int32s,
    rows: Int64s,
    account: Int32s,
    home: Bools,
) -> tuple[int, int, bool]:
    """Write the layout; returns the number of lines, the number of parts, and whether the lines have changed."""
    count, parts, stop = 0, 0, 0
    for at in range(len(own)):
        start = stop
        while stop < len(events) and events[stop] == at:
            stop += 1
        if not accepted[at]:
            continue
        end = stop if charged[at] else start
        number = 0
        for one in range(start, end):
            if accounts[one] == own[at]:
                source[count], event[count], part[count], line[count] = one, at, parts, number
                count, number = count + 1, number + 1
        foreign = number < end - start
        if not number:
            source[count], event[count], part[count], line[count] = MISSING, at, parts, 0
            count += 1
        rows[parts], account[parts], home[parts] = at, own[at], True
        parts += 1
        last = np.int64(MISSING)
        while foreign:
            following = _NOBODY
            for one in range(start, end):
                if last < accounts[one] < following and accounts[one] != own[at]:
                    following = np.int64(accounts[one])
            if following == _NOBODY:
                break
            number = 0
            for one in range(start, end):
                if accounts[one] == following:
                    source[count], event[count], part[count], line[count] = one, at, parts, number
                    count, number = count + 1, number + 1
            rows[parts], account[parts], home[parts] = at, following, False
            parts += 1
            last = following
    changed = count != len(events)
    for one in range(count):
        changed = changed or source[one] != one
    return count, parts, changed
