"""The table of prices."""

import pytest
import yaml

from bench.planning.prices import DEFAULT_TABLE, PricesError, monthly, read

GIB = 2**30


def test_the_table_that_comes_along_has_sizes_that_double():
    """Else a slip of the keyboard in a price would recommend the wrong size."""
    table = read(DEFAULT_TABLE)
    assert table.currency == "USD"
    assert table.instance("db.r7g.4xlarge").vcpus == 16
    for small, large in zip(table.instances, table.instances[1:], strict=False):
        assert large.vcpus == 2 * small.vcpus
        assert large.memory_gib == 2 * small.memory_gib
        assert large.hourly == pytest.approx(2 * small.hourly, rel=0.01)


def test_a_month_costs_what_it_costs_by_hand():
    """Else the budget would be wrong: 6 x 0.276 x 730, 1,000 GiB x 0.10, a million times 4 KiB x 0.20."""
    table = read(DEFAULT_TABLE)
    standard, optimized = table.storages
    cost = monthly(table, table.instance("db.r7g.large"), standard, 6, 1_000 * GIB, 4_096e6)
    assert (cost.instances, cost.storage, cost.io) == pytest.approx((1_208.88, 100.0, 0.2))
    assert cost.total == pytest.approx(1_309.08)
    cost = monthly(table, table.instance("db.r7g.large"), optimized, 6, 1_000 * GIB, 4_096e6)
    assert (cost.instances, cost.storage, cost.io) == pytest.approx((1_571.544, 225.0, 0.0))


def test_an_instance_that_the_table_does_not_have_is_refused_with_those_it_has():
    """Else a plan would be made for what nobody can order."""
    with pytest.raises(PricesError, match=r"write one of db\.r7g\.large, "):
        read(DEFAULT_TABLE).instance("db.x1.huge")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"instances": []}, "length >= 1"),
        ({"hours_per_month": 0}, "> 0"),
        ({"surprise": 1}, "surprise"),
        ({"currency": None}, "currency"),
    ],
)
def test_a_bad_table_is_one_line_that_names_the_key(tmp_path, change, words):
    """Else a person would have to guess which figure is meant."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(DEFAULT_TABLE.read_text()) | change))
    with pytest.raises(PricesError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_none_is_refused(tmp_path):
    """Else the first thing a person sees would be a traceback."""
    with pytest.raises(PricesError, match="name a table of prices"):
        read(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(PricesError, match="is not YAML"):
        read(tmp_path / "bad.yaml")
