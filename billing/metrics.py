"""Metrics: what Prometheus can see of a worker."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# From a quiet shard on a local disk to the longest wait that a transaction is given.
_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0)

READ: Final = Counter("billing_records_read_total", "Records read from the log, by any reader")
PASSED: Final = Counter("billing_offsets_passed_total", "Offsets without a record, such as ends of transactions")
RECORDED: Final = Counter("billing_events_recorded_total", "Events billed, on their home shard", ["shard"])
DUPLICATES: Final = Counter("billing_events_duplicate_total", "Repeated events dropped", ["shard"])
QUARANTINED: Final = Counter("billing_events_quarantined_total", "Events put in quarantine", ["shard", "reason"])
TRANSACTIONS: Final = Counter("billing_transactions_total", "Shard transactions committed", ["shard"])
ROWS: Final = Counter("billing_rows_written_total", "Rows that commits put or added to", ["shard", "table"])
REFUSALS: Final = Counter(
    "billing_refusals_total", "Answers of a shard other than yes, by reaction", ["shard", "reaction"]
)
APPLY_SECONDS: Final = Histogram("billing_apply_seconds", "Time of one shard transaction", ["shard"], buckets=_BUCKETS)
ENGINE_SECONDS: Final = Counter("billing_engine_seconds_total", "Time spent to decode, price, route and fold")
DETACHED: Final = Gauge("billing_shard_detached", "1 while a shard does not follow the main reader", ["shard"])
SKIPPED: Final = Counter(
    "billing_offsets_skipped_total", "Offsets that the log had lost before a shard first asked for them", ["shard"]
)
PARTITIONS: Final = Gauge("billing_partitions_owned", "Partitions of the log that this worker reads")
LOG_UP: Final = Gauge("billing_log_up", "1 while the log answers where it begins and ends")

# By shard or by partition, never by both: as many series as a worker has shards and partitions, not their product.
SHARD_LAG_EVENTS: Final = Gauge(
    "billing_shard_lag_events", "Offsets that a shard has not applied, in all partitions of this worker", ["shard"]
)
SHARD_LAG_SECONDS: Final = Gauge(
    "billing_shard_lag_seconds", "How long the oldest of them has been in the log, at least", ["shard"]
)
CURSOR_AGE: Final = Gauge(
    "billing_cursor_age_seconds", "Time since a shard last said where its cursors stand", ["shard"]
)
PARTITION_LAG_EVENTS: Final = Gauge(
    "billing_partition_lag_events", "Offsets that the furthest shard behind has not applied", ["partition"]
)
PARTITION_LAG_SECONDS: Final = Gauge(
    "billing_partition_lag_seconds", "How long the oldest of them has been in the log, at least", ["partition"]
)
MARGIN_EVENTS: Final = Gauge(
    "billing_retention_margin_events", "Offsets between the log's beginning and the lowest cursor", ["partition"]
)
MARGIN_RATIO: Final = Gauge(
    "billing_retention_margin_ratio", "The same as a share of what the log keeps: at 0 events are lost", ["partition"]
)
