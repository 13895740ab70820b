"""What workers say of themselves between a real broker and real databases, and of a log that is not whole."""

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from generators import oracle
from generators.workload import Workload
from rules import books_path
from tests.fleet import PATIENCE_SECONDS, fleet_of, make_site, wait_until

BOOK = books_path() / "telecom.yaml"
EVENTS = Workload(model="skewed", seed=3, accounts=100).payloads(0, 2_000)
GONE, FIRST, LATER = EVENTS[:300], EVENTS[300:1_000], EVENTS[1_000:]
QUICK = {
    "apply_timeout_ms": 2_000, "lock_wait_seconds": 1, "connect_timeout_ms": 1_000, "retry_backoff_max_ms": 500,
}  # fmt: skip


def end_of(site):
    """Return the end of the only partition."""
    (end,) = site.log_ends().values()
    return end


def test_workers_say_what_they_own_which_shard_is_away_how_late_it_is_and_what_they_never_got(
    tmp_path, kafka_server, mariadb_servers, monkeypatch
):
    """Workers that are well would be restarted, and nobody would hear of a shard before its events are deleted."""
    site = make_site(tmp_path, kafka_server, mariadb_servers(2), BOOK, partitions=1, limits=QUICK)
    site.produce([GONE])
    begin = end_of(site)
    admin = AdminClient({"bootstrap.servers": kafka_server.bootstrap})
    for future in admin.delete_records([TopicPartition(site.topic, 0, begin)]).values():
        future.result(PATIENCE_SECONDS)
    monkeypatch.setenv("BILLING_SOURCE_START", "earliest")
    with fleet_of(site) as fleet:
        workers = [fleet.start(name) for name in ("first", "second")]
        wait_until(lambda: all(worker.readiness()[0] == 200 for worker in workers), "both workers are ready")
        site.produce([FIRST])
        site.wait_until_applied(fleet)
        applied = end_of(site)
        site.servers[1].pause()
        try:
            site.produce([LATER])
            end = end_of(site)

            def is_told(worker):
                status, told = worker.readiness()
                states = {shard["name"]: shard["state"] for shard in told["shards"]}
                return (
                    (status, told["partitions"]) == (200, [0])
                    and states == {"shard-0": "following", "shard-1": "detached"}
                    and worker.figure('billing_shard_detached{shard="shard-1"}') == 1
                    and worker.figure('billing_shard_lag_events{shard="shard-1"}') == end - applied
                    and worker.figure('billing_partition_lag_events{partition="0"}') == end - applied
                    and worker.figure('billing_retention_margin_events{partition="0"}') == applied - begin
                    and worker.figure('billing_retention_margin_ratio{partition="0"}')
                    == (applied - begin) / (end - begin)
                )

            wait_until(lambda: any(map(is_told, workers)), "the owner tells which shard is away and how late it is")
            (by,) = (worker for worker in workers if not worker.readiness()[1]["partitions"])
            assert by.readiness()[0] == 200  # others have all partitions: it stands by
        finally:
            site.servers[1].resume()
        (owner,) = (worker for worker in workers if worker is not by)
        lags = [f'billing_shard_lag_{unit}{{shard="shard-1"}}' for unit in ("events", "seconds")]
        wait_until(lambda: {owner.figure(lag) for lag in lags} == {0}, "the shard has caught up, and that is told")
        told = [line for worker in workers for line in worker.said("shard begins late")]
        skipped = {worker.figure('billing_offsets_skipped_total{shard="shard-0"}') for worker in workers}
    assert {(line["shard"], line["partition"], line["from_offset"]) for line in told} == {
        ("shard-0", 0, begin), ("shard-1", 0, begin),
    }  # fmt: skip
    assert begin in skipped
    assert site.amounts() == oracle.run(FIRST + LATER, BOOK).balances
