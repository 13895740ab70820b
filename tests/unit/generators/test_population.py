import numpy as np
import pytest

from generators.errors import PopulationError
from generators.population import Model, Population, account_name, model_named, zipf_shares


def draws(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / count


def test_uniform_gives_every_event_another_account():
    """Else the uniform benchmark would find rows to fold and promise more than a shard can do."""
    ordinals = np.array([0, 7, 10**12], dtype=np.int64)
    assert Population(Model.UNIFORM).accounts_of(ordinals, draws(3)).tolist() == [0, 7, 10**12]


def test_hot_shard_gives_every_event_the_same_account():
    """Else the worst case would not be measured."""
    assert Population(Model.HOT_SHARD).accounts_of(np.arange(4), draws(4)).tolist() == [0, 0, 0, 0]


def test_skewed_shares_follow_the_power_law_exactly():
    """Else a stated exponent would mean another skew than it says."""
    assert zipf_shares(3, 1.0).tolist() == pytest.approx([6 / 11, 9 / 11, 1.0])
    counts = np.bincount(Population(Model.SKEWED, accounts=3, exponent=1.0).accounts_of(np.arange(1100), draws(1100)))
    assert counts.tolist() == [600, 300, 200]


def test_exponent_zero_is_an_even_spread():
    """Else there would be no baseline to compare skews with."""
    accounts = Population(Model.SKEWED, accounts=4, exponent=0).accounts_of(np.arange(8), draws(8))
    assert accounts.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_default_skew_puts_a_seventh_of_traffic_on_the_biggest_account():
    """Else the demo's biggest account would not be big."""
    assert zipf_shares(10_000, 1.1)[0] == pytest.approx(0.15144, abs=1e-5)


def test_account_names_are_readable_and_sort_by_size():
    """Else a person could not find the biggest account."""
    assert [account_name(0), account_name(123), account_name(12_345_678)] == [
        "acct-000000",
        "acct-000123",
        "acct-12345678",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accounts": 0}, "accounts: 0 is out of bounds; write 1 to 10000000"),
        ({"accounts": 10_000_001}, "accounts: 10000001 is out of bounds; write 1 to 10000000"),
        ({"exponent": -0.1}, "exponent: -0.1 is out of bounds; write 0 to 5.0"),
        ({"exponent": float("nan")}, "exponent: nan is out of bounds; write 0 to 5.0"),
    ],
)
def test_impossible_populations_are_refused_with_the_remedy(arguments, message):
    """Else a typing error would take all memory or give a silent default."""
    with pytest.raises(PopulationError) as caught:
        Population(Model.SKEWED, **arguments)
    assert str(caught.value) == message


def test_an_unknown_model_is_refused_with_the_names_of_all():
    with pytest.raises(PopulationError) as caught:
        model_named("pareto")
    assert str(caught.value) == 'model: "pareto" is not known; write one of uniform, skewed, hot-shard'
