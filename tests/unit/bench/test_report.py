"""What the benchmark prints."""

from pathlib import Path

import attrs
import msgspec

from bench.figures import Throughput
from bench.kernels.report import kernels_text
from bench.kernels.stages import KernelTimes
from bench.report import Machine, RunResult, as_json, run_text, versus_text
from bench.scenario import Scenario
from generators.population import Model

MACHINE = Machine("Test CPU", 2, 24 * 1024, "6.1.0", "3.11.7", ("MariaDB 10.11", "Kafka 4.3.1"))
RESULT = RunResult(
    scenario=Scenario(Model.SKEWED, 4, 2, "mariadb", 180),
    machine=MACHINE,
    seconds=180.0,
    events=9_000_000,
    prefill=(14_400_000, 61.4),
    throughput=Throughput(50_000.0, 48_500.4, 51_000.0),
    cores_used={"workers": 0.5, "whole machine": 2.0},
    worker_rss_bytes_max=300 * 2**20,
    per_second={"transactions": 25.04, "statements": 175.5, "records": 70_000.0},
    deadlocks=0,
    lock_waits=3,
    latency_ms=(),
    disk_bytes_event=412.6,
    ran_dry=False,
    audit_differences=0,
)


def test_a_run_is_told_with_its_machine_and_the_command_that_repeats_it():
    """Else figures would be quoted that nobody can compare or check."""
    assert run_text(RESULT).splitlines() == [
        "skewed, 4 shards, 2 workers, saturated",
        "  events                       9,000,000 in 180.0 s",
        "  events/s                     50,000 (10-second windows: 48,500 to 51,000)",
        "  transactions/s               25.0",
        "  statements/s                 175.5",
        "  records rows/s               70,000",
        "  rollups rows/s               0",
        "  balances rows/s              0",
        "  CPU, workers                 0.50 of 2 cores (25%)",
        "  CPU, whole machine           2.00 of 2 cores (100%)",
        "  worker memory, largest       300 MiB",
        "  database files, bytes/event  413",
        "  deadlocks, lock waits        0, 3",
        "  audit                        clean",
        "the log held 14,400,000 events ahead, sent in 61 s",
        "machine: Test CPU, 2 cores, 24.0 GiB, Linux 6.1.0, Python 3.11.7, MariaDB 10.11, Kafka 4.3.1",
        "again: billing-bench run --model skewed --shards 4 --workers 2 --database mariadb --seconds 180 --seed 1",
    ]


def test_an_open_loop_run_tells_its_load_and_latency():
    """Else a latency would stand without the load at which it was measured."""
    scenario = attrs.evolve(RESULT.scenario, rate_per_second=20_000.0)
    told = run_text(attrs.evolve(RESULT, scenario=scenario, prefill=None, latency_ms=(5.0, 6.04, 60.0)))
    assert "skewed, 4 shards, 2 workers, 20,000 events/s offered" in told
    assert "append to visible            p50 6.0 ms, p99 60.0 ms, max 60.0 ms (3 probes)" in told
    assert told.endswith("--seconds 180 --rate 20000 --seed 1")


def test_two_books_are_compared_by_the_time_of_an_event():
    """Else a price model that halves the speed would be bought unseen, or one that does not be feared."""
    slower = attrs.evolve(
        RESULT,
        scenario=attrs.evolve(RESULT.scenario, book=Path("counting.yaml")),
        throughput=Throughput(40_000.0, 39_000.0, 41_000.0),
    )
    told = versus_text(RESULT, slower)
    assert told.endswith("an event by counting.yaml takes 1.25 of the time that it takes by the telecom book")
    assert told.count("audit                        clean") == 2


def test_a_bad_audit_and_an_empty_log_cannot_be_overlooked():
    """Else a run that lost money, or waited for its own generator, would pass for a result."""
    told = run_text(attrs.evolve(RESULT, audit_differences=2, ran_dry=True))
    assert "2 DIFFERENCES" in told
    assert "THE LOG RAN DRY" in told


def test_kernels_are_told_as_best_and_median():
    times = [
        KernelTimes("uniform", 1_000, {"decode": (0.001, 0.003, 0.002)}, (0.01, 0.02, 0.04), (0.001,)),
        KernelTimes("skewed", 1_000, {"decode": (0.002, 0.002, 0.002)}, (0.005, 0.005, 0.005), (0.001,)),
    ]
    assert kernels_text(times, MACHINE, "billing-bench kernels").splitlines()[:4] == [
        "the pure path, payloads to packet text, one core: best (median) of 3 repeats",
        "                    uniform           skewed",
        "  decode, ns/event  1,000 (2,000)     2,000 (2,000)",
        "  all, events/s     100,000 (50,000)  200,000 (200,000)",
    ]


def test_the_document_for_machines_holds_every_figure():
    """Else a later comparison would have only what was rounded for people."""
    document = msgspec.json.decode(as_json("run", "billing-bench run", RESULT))
    assert document["kind"] == "run"
    assert document["command"] == "billing-bench run"
    assert document["result"]["throughput"]["window_min"] == 48_500.4
    assert document["result"]["scenario"]["model"] == "skewed"
    assert document["result"]["machine"]["servers"] == ["MariaDB 10.11", "Kafka 4.3.1"]
