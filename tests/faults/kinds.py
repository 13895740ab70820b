"""The kinds of faults that a campaign injects on real servers; each says in its function what it does."""

import random
from collections.abc import Callable, Mapping
from typing import Final

from tests.faults import on_databases, on_log, on_network, on_workers
from tests.faults.scene import Scene

Inject = Callable[[Scene, random.Random], None]  # returns when the fault is over

DISK_FULL: Final = "disk-full"  # needs a volume of its own

KINDS: Final[Mapping[str, Inject]] = {
    "worker-kill": on_workers.kill,
    "worker-freeze": on_workers.freeze,
    "worker-crowd": on_workers.crowd,
    "rebalance": on_workers.rebalance,
    "database-kill": on_databases.kill,
    "database-restart": on_databases.restart,
    "database-freeze": on_databases.freeze,
    "failover": on_databases.fail_over,
    "shard-dead": on_databases.leave,
    "read-only": on_databases.refuse_writes,
    DISK_FULL: on_databases.fill_disk,
    "packet-shrunk": on_databases.shrink_packets,
    "lock-wait": on_databases.hold_rows,
    "session-kill": on_databases.kill_sessions,
    "commit-cut": on_network.cut_commits,
    "connection-cut": on_network.cut,
    "connection-slow": on_network.slow,
    "connection-stall": on_network.stall,
    "broker-kill": on_log.kill_broker,
    "aborted-transactions": on_log.abort_transactions,
    "duplicate-storm": on_log.repeat_events,
}
