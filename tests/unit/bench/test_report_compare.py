"""What a comparison prints."""

from bench.contenders import Contender
from bench.report import Machine
from bench.report_compare import CompareResult, Comparison, ContenderResult, ModelResult, compare_text
from generators.population import Model

MACHINE = Machine("Test CPU", 2, 24 * 1024, "6.1.0", "3.11.7", ("MariaDB 10.11",))
CLASSIC = ContenderResult(
    Contender.CLASSIC, 10.0, 5_000, 5_000, 45_000, 30_000, 2, {"workers": 0.5}, ran_dry=False, differences=0
)
LIMIT = ContenderResult(
    Contender.LIMIT, 4.0, 400_000, 100, 700, 900_000, 0, {"database": 1.5}, ran_dry=True, differences=0
)
BILLING = ContenderResult(
    Contender.BILLING, 10.0, 750_000, 500, 3_500, 1_500_000, 0, {"broker": 0.1}, ran_dry=False, differences=7
)
RESULT = CompareResult(
    MACHINE,
    (ModelResult(Comparison(Model.SKEWED, 4, 2, "mariadb", 10, 1_000_000), (CLASSIC, LIMIT, BILLING)),),
    "billing-bench compare --model skewed",
)


def test_ratios_are_of_throughput_and_wrong_sums_are_shouted():
    """Else one that loses money could win."""
    lines = compare_text(RESULT).splitlines()
    assert lines[0] == "skewed, 4 shards, 2 processes, mariadb, 10 s each, the same log of 1,000,000 events"
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:]]
    assert rows[:4] == [
        ["classic", "limit", "billing"],
        ["events/s", "500", "100,000", "75,000"],
        ["times classic", "1.0", "200.0", "150.0"],
        ["of the limit", "0.5 %", "100.0 %", "75.0 %"],
    ]
    assert ["statements a transaction", "9.0", "7.0", "7.0"] in rows
    assert ["CPU, database, cores", "-", "1.50", "-"] in rows
    assert ["events, in s", "5,000, 10.0", "400,000, 4.0 (all)", "750,000, 10.0"] in rows
    assert ["aggregates", "right", "right", "7 DIFFER"] in rows
    assert RESULT.differences == 7
    assert lines[-1] == "again: billing-bench compare --model skewed"


def test_without_the_classic_pattern_there_is_no_ratio_to_it():
    """Else a comparison of two would divide by nothing."""
    alone = CompareResult(MACHINE, (ModelResult(RESULT.models[0].comparison, (BILLING,)),), "")
    assert "  times classic              -" in compare_text(alone)
