"""The report of a load of reads."""

from bench.reading.report import KindResult, ReadsResult, ReadsScenario, reads_text
from bench.report import Machine

SCENARIO = ReadsScenario(2, 1, "mariadb", 5, 20_000, 0, 1_000.0, {"balance": 200.0, "page": 2.5})
MACHINE = Machine("a CPU", 2, 24_064, "6.1", "3.11.7", ("MariaDB 10.11",))


def test_a_run_is_told_with_all_that_makes_it_comparable() -> None:
    """Figures would be read that nobody can repeat, or errors be taken for speed."""
    kinds = (
        KindResult("balance", 200.0, tuple(map(float, range(1, 101))), {}, 0.25),
        KindResult("page", 2.5, (), {"503": 4, "ConnectionError": 1}, 3.0),
    )
    assert reads_text(ReadsResult(SCENARIO, MACHINE, 28_000, 1_000.0, 950.0, kinds)).splitlines() == [
        "reads, open loop, 5 s, 2 shards, 28,000 lines recorded",
        "           offered/s  answered  p50 ms  p99 ms  max ms  errors                      load late ms",
        "  balance  200        100       50.00   99.00   100.00  none                        0.2",
        "  page     2.5        0         -       -       -       503: 4, ConnectionError: 1  3.0",
        "ingest: 1,000 events/s alone, 950 beside the reads (-5.0%), of 1,000 sent",
        "machine: a CPU, 2 cores, 23.5 GiB, Linux 6.1, Python 3.11.7, MariaDB 10.11",
        f"again: {SCENARIO.command()}",
    ]
    assert SCENARIO.command() == (
        "billing-bench reads --shards 2 --workers 1 --database mariadb --seconds 5 --events 20000 --records 0 "
        "--ingest 1000 --balance 200 --page 2.5 --seed 1"
    )
    without = reads_text(ReadsResult(SCENARIO, MACHINE, 28_000, None, None, kinds))
    assert "ingest:" not in without
