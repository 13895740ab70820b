"""Scenarios of the benchmark."""

from pathlib import Path

import attrs

from bench.scenario import Scenario
from generators.population import Model

SATURATED = Scenario(Model.UNIFORM, 4, 2, "mysql", 180)


def test_a_saturated_run_is_filled_for_its_whole_length():
    """Else workers would wait for events and the figure would be the generator's."""
    assert SATURATED.events_in_log == 80_000 * 180
    assert attrs.evolve(SATURATED, events=5_000).events_in_log == 5_000


def test_an_open_loop_run_has_as_many_events_as_its_rate_says():
    assert attrs.evolve(SATURATED, rate_per_second=1_500.0).events_in_log == 270_000


def test_every_worker_gets_partitions():
    """Else some workers would idle and the figure would be that of fewer."""
    assert [attrs.evolve(SATURATED, workers=workers).partitions for workers in (1, 2, 4)] == [4, 8, 16]


def test_the_command_names_what_was_chosen():
    """Else a run could not be repeated from what it printed."""
    chosen = Scenario(Model.HOT_SHARD, 2, 1, "mariadb", 60, events=70_000, seed=9)
    assert chosen.command() == (
        "billing-bench run --model hot-shard --shards 2 --workers 1 --database mariadb --seconds 60"
        " --events 70000 --seed 9"
    )


def test_the_command_names_the_book():
    """Else a run could not be repeated from what it printed."""
    assert attrs.evolve(SATURATED, book=Path("mine.yaml")).command().endswith(" --seed 1 --book mine.yaml")


def test_the_command_names_limits():
    """Else a run of small batches would be taken for one of usual ones, and could not be repeated."""
    chosen = attrs.evolve(SATURATED, limits={"batch_events_max": 500, "flush_interval_ms": 20})
    assert chosen.command().endswith(" --seed 1 --limits.batch_events_max 500 --limits.flush_interval_ms 20")


def test_recorded_events_are_named_in_place_of_a_model():
    """Else a run of a file would be taken for one of a model, and could not be repeated."""
    chosen = attrs.evolve(SATURATED, events_file=Path("old.jsonl"))
    assert chosen.command().endswith(" --seed 1 --events-file old.jsonl")
    assert (SATURATED.traffic, chosen.traffic) == ("uniform", "events of old.jsonl")
