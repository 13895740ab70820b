"""Units: what a contender sends at once and then waits for, as it lies ready in a file.

Must not know who sends it, nor where.
"""

import msgspec


class Unit(msgspec.Struct, array_like=True, frozen=True):
    """A transaction, or a pipeline of counters.

    at: how many events of its stream of the log are read by then; events: whose own account it charges; statements: how
    many the server executes; rows: that it writes to records, rollups and balances; texts: what is sent; stops: next
    offset by partition, for a store that keeps no cursors.
    """

    at: int
    events: int
    statements: int
    rows: int
    texts: list[bytes]
    stops: dict[int, int] = {}
