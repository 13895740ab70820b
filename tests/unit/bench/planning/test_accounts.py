"""How a load divides over accounts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.planning.accounts import DistributionError, learned, rows_of_model, rows_per_event, synthetic
from generators.population import Model
from sharding.key import slot_of


def test_shares_fall_as_the_exponent_says():
    """Else a plan for a skewed load would be one for another load."""
    accounts = synthetic(1_000, 1.5)
    weights = [rank**-1.5 for rank in range(1, 1_001)]
    assert accounts.shares[:3] == pytest.approx([weight / sum(weights) for weight in weights[:3]])
    assert accounts.shares.sum() == pytest.approx(1)
    assert accounts.names[0] == "acct-000000"


def test_a_hot_account_has_its_share_and_the_rest_what_remains():
    """Else the worst account would be planned too small or the rest too large."""
    accounts = synthetic(101, 0, 0.3)
    assert accounts.shares == pytest.approx([0.3] + [0.007] * 100)


def test_slots_are_those_of_routing():
    """Else the hottest shard of the plan would not be the hottest one in truth."""
    accounts = learned({"b": 1, "a": 3})
    assert [*accounts.names] == ["a", "b"]
    assert accounts.shares == pytest.approx([0.75, 0.25])
    assert accounts.slots.tolist() == slot_of(["a", "b"]).tolist()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 5))
def test_rows_of_a_batch_are_those_of_every_batch_there_is(weights, batch):
    """Else sizes between two measured models would be wrong: the mean over all batches, one by one, is the truth."""
    shares = np.array(weights) / sum(weights)
    grids = np.meshgrid(*[range(len(weights))] * batch)
    drawn = np.stack([grid.ravel() for grid in grids])
    distinct = np.array([len(set(column)) for column in drawn.T.tolist()])
    expected = (distinct * shares[drawn].prod(axis=0)).sum() / batch
    assert rows_per_event(shares, batch) == pytest.approx(expected)


def test_models_lie_between_one_row_a_batch_and_one_an_event():
    """Else the measured models would stand at wrong places of the scale."""
    assert rows_of_model(Model.HOT_SHARD, 5_000) == 1 / 5_000
    assert rows_of_model(Model.UNIFORM, 5_000) == 1
    assert 0.1 < rows_of_model(Model.SKEWED, 5_000) < 0.5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: synthetic(0, 1), "--accounts 0 is out of bounds"),
        (lambda: synthetic(10, -1), "--exponent -1 is out of bounds"),
        (lambda: synthetic(10, 1, 1.5), "--hot-share 1.5 is not a share"),
        (lambda: learned({}), "the sample has no event that can be read"),
    ],
)
def test_what_no_load_can_be_is_refused(make, words):
    """Else a typing error would become a plan."""
    with pytest.raises(DistributionError, match=words):
        make()
