"""The kernels of the benchmark do the work that they are timed for."""

import pytest

from bench.kernels import stages
from billing.rehearsal import SHARDS, rehearse
from generators.population import Model
from tests.command import ROOT

BOOKS = ROOT / "bench" / "books"


@pytest.mark.parametrize("book", [None, BOOKS / "linear.yaml", BOOKS / "cumulative.yaml"])
@pytest.mark.parametrize("model", list(Model))
def test_the_stages_are_the_path_and_the_whole_bills_every_event(model, book):
    """Else the published speed would be that of something else than billing."""
    bodies, pricer = stages.payloads(model, 300), stages.pricer(book)
    path = stages.stages_of(bodies, pricer)
    assert [stage.name for stage in path] == ["decode", "price", "route", "fold", "settle", "render"]
    rendered = path[-1].work()
    assert len(rendered) == SHARDS
    assert rehearse(bodies, pricer) == sum(rendered)


def test_the_two_books_differ_in_their_usage_prices_only():
    """Else what counting costs would be measured on another number of lines, rollups and balances."""
    linear, counting = (stages.pricer(BOOKS / name).book for name in ("linear.yaml", "cumulative.yaml"))
    assert [rule.id for rule in linear.rules] == [rule.id for rule in counting.rules]
    assert not any(rule.per for rule in linear.rules)
    assert all((rule.per is not None) == (rule.group == "usage") for rule in counting.rules)
    assert (linear.groups, linear.rollups, linear.keep) == (counting.groups, counting.rollups, counting.keep)
