"""The two books whose speeds are compared charge the same events, one with many more rules."""

from pathlib import Path

from bench.kernels import scale, stages, timing
from bench.kernels.report import scale_text
from bench.report import Machine
from generators.population import Model
from rules.load import load

MACHINE = Machine("Test CPU", 2, 24 * 1024, "6.1.0", "3.11.7")


def _books(folder: Path) -> tuple[Path, Path]:
    (folder / "small").mkdir()
    small = scale.write_book(folder / "small", scale.RULES_MIN, scale.PREFIXES_MIN)
    return small, scale.write_book(folder, 600, 5_000)


def test_the_books_have_the_size_that_was_asked_for(tmp_path):
    """Else the published ratio would be that of other books."""
    small, big = _books(tmp_path)
    assert [len(load(path).rules) for path in (small, big)] == [10, 600]
    assert [len((path.parent / "deck.csv").read_text().splitlines()) for path in (small, big)] == [28, 5_001]


def test_both_books_charge_the_same_events_in_the_same_groups(tmp_path):
    """Else the ratio would be that of more lines and not of more rules."""
    bodies = stages.payloads(Model.SKEWED, 2_000)
    small, big = (stages.pricer(path) for path in _books(tmp_path))
    found = []
    for pricer in (small, big):
        by_name = {stage.name: stage for stage in stages.stages_of(bodies, pricer)}
        ((charges, rejects),) = by_name["price"].work()
        groups = {rule.id: rule.group for rule in pricer.book.rules}
        rules = [charges.tails[tail].rule for tail in charges.tail.tolist()]
        names = set(rules)
        found.append((len(rejects), charges.offset[charges.part].tolist(), [groups[rule] for rule in rules]))
    assert found[0] == found[1]
    # The many rules are not only there: routes, numbers and accounts have won, and the small book's rules for the rest.
    assert len(names) > 60
    assert {"voice-outbound", "share"} <= names


def test_the_times_are_of_both_books_and_the_report_gives_their_ratio():
    """Else a slow book would look fast."""
    times = timing.scale_times(Model.HOT_SHARD, 1_000, 2, 50, 100)
    assert (times.model, times.events, times.rules, times.prefixes, len(times.pairs)) == (
        "hot-shard",
        1_000,
        50,
        100,
        2,
    )
    assert times.load_seconds > 0
    assert all(small > 0 and big > 0 for small, big in times.pairs)
    shown = stages.ScaleTimes("uniform", 1_000, 10_000, 100_000, 0.9, ((0.010, 0.011), (0.020, 0.021), (0.010, 0.013)))
    assert scale_text([shown], MACHINE, "billing-bench kernels --rules 10000").splitlines() == [
        "the pure path by a small and a big book in turn, one core: best, median ratio, of 3",
        "                                            uniform",
        "  10 rules, events/s                        100,000",
        "  10,000 rules, 100,000 prefixes, events/s  90,909",
        "  time, big by small                        1.10",
        "  read the big book, s                      0.90",
        "machine: Test CPU, 2 cores, 24.0 GiB, Linux 6.1.0, Python 3.11.7",
        "again: billing-bench kernels --rules 10000",
    ]
