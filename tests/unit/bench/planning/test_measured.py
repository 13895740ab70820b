"""Measurements as files."""

from pathlib import Path

import attrs
import msgspec
import pytest

import bench
from bench.figures import Throughput
from bench.planning.law import FitError
from bench.planning.measured import Capacity, Level, MeasurementError, read
from bench.report import RunResult, as_json
from bench.scenario import Scenario
from generators.population import Model
from tests.planned import MACHINE, capacity, level, measurements

RUN = RunResult(
    scenario=Scenario(Model.SKEWED, 1, 2, "mariadb", 30),
    machine=MACHINE,
    seconds=30.0,
    events=900_000,
    prefill=(1_000_000, 10.0),
    throughput=Throughput(30_000.0, 29_000.0, 31_000.0, (29_000.0, 30_000.0, 31_000.0)),
    cores_used={"workers": 0.5, "database": 1.1},
    worker_rss_bytes_max=1,
    per_second={"transactions": 10.0},
    deadlocks=0,
    lock_waits=0,
    latency_ms=(),
    disk_bytes_event=400.0,
    ran_dry=False,
    audit_differences=0,
)


def written(folder, *runs):
    paths = [folder / f"run-{number}.json" for number in range(len(runs))]
    for path, run in zip(paths, runs, strict=True):
        path.write_bytes(as_json("run", run.scenario.command(), run))
    return paths


def with_workers(workers, **changes):
    return attrs.evolve(RUN, scenario=attrs.evolve(RUN.scenario, workers=workers), **changes)


def test_documents_of_runs_become_measurements(tmp_path):
    """Else figures that were taken before would have to be taken again."""
    short = attrs.evolve(RUN.throughput, windows=(30_000.0,))
    latency = attrs.evolve(
        RUN, scenario=attrs.evolve(RUN.scenario, rate_per_second=15_000.0), prefill=None, latency_ms=(4.0, 5.0, 30.0)
    )
    found = read(written(tmp_path, with_workers(1), RUN, with_workers(4, throughput=short), latency))
    (model,) = found.models
    assert model.model is Model.SKEWED
    assert model.levels[0] == Level(1, (29_000.0, 30_000.0, 31_000.0), 10.0, 1.1, 400.0)
    assert [each.writers for each in model.levels] == [1, 2, 4]
    assert model.levels[2].events_per_second == (30_000.0,)
    assert (model.latency.events_per_second, model.latency.p50_ms, model.latency.p99_ms) == (15_000.0, 5.0, 30.0)
    assert found.machine == MACHINE
    assert model.batch == 3_000
    assert found.command.count("billing-bench run") == 4


def test_a_file_of_measurements_reads_as_it_was_written(tmp_path):
    """Else measuring once and planning often would not work."""
    path = tmp_path / "capacity.json"
    path.write_bytes(msgspec.json.encode(measurements(capacity())))
    assert read([path]) == measurements(capacity())


def test_the_largest_bytes_an_event_are_planned():
    """Else a plan would promise too little disk: files grow in steps."""
    levels = (level(1, 100.0), level(2, 100.0, bytes_per_event=900.0))
    assert Capacity(Model.UNIFORM, levels).bytes_per_event == 900


def test_a_run_too_short_for_files_to_grow_is_a_level_but_not_alone(tmp_path):
    """Else a measurement of an hour would be lost to a file that had room left, or a plan would promise no disk."""
    shrunk = [with_workers(count, disk_bytes_event=-3.0) for count in (1, 2, 3)]
    (model,) = read(written(tmp_path, *shrunk, RUN)).models
    assert [each.bytes_per_event for each in model.levels] == [0, 0, 0, 400]
    assert model.bytes_per_event == 400
    (model,) = read(written(tmp_path, *shrunk)).models
    with pytest.raises(MeasurementError, match="no run saw the database's files grow; measure longer"):
        _ = model.bytes_per_event


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audit_differences": 2}, "its audit found 2 differences"),
        ({"ran_dry": True}, "its log ran dry"),
        ({"disk_bytes_event": None}, "CPU, disk or transactions were not seen"),
        ({"scenario": attrs.evolve(RUN.scenario, shards=4)}, "a run over 4 shards; measure one"),
        ({"scenario": attrs.evolve(RUN.scenario, rate_per_second=5.0)}, "no latency was measured"),
        ({"scenario": attrs.evolve(RUN.scenario, events_file=Path("old.jsonl"))}, "a run of recorded events"),
    ],
)
def test_a_run_that_says_nothing_of_one_shard_is_refused(tmp_path, changes, words):
    """Else a plan would rest on lost money, an empty log, or four shards counted as one."""
    paths = written(tmp_path, attrs.evolve(RUN, **changes))
    with pytest.raises(MeasurementError, match=words) as caught:
        read(paths)
    assert str(paths[0]) in str(caught.value)


def test_what_cannot_be_read_is_one_line(tmp_path):
    """Else a person would have to read a traceback to find a wrong path."""
    broken, other = tmp_path / "broken.json", tmp_path / "other.json"
    broken.write_text("{")
    other.write_text('{"kind": "kernels"}')
    (tmp_path / "half.json").write_text('{"kind": "capacity", "models": []}')
    for paths, words in (
        ([], "no measurements; name a file"),
        ([tmp_path / "none.json"], "No such file"),
        ([broken], "is not a JSON document"),
        ([other], 'name one file of kind "capacity"'),
        ([tmp_path / "half.json"], "measure again"),
    ):
        with pytest.raises(MeasurementError, match=words) as caught:
            read(paths)
        assert "\n" not in str(caught.value)


def test_two_levels_follow_no_law():
    """Else a plan would have no error bars at all."""
    with pytest.raises(FitError, match="measure 3 numbers or more"):
        Capacity(Model.UNIFORM, (level(1, 10.0), level(2, 20.0))).law()


def test_the_measurements_that_come_along_follow_a_law():
    """Else the example in the README would not run."""
    found = read([Path(bench.__file__).with_name("measurements") / "two-cores-mariadb.json"])
    assert {each.model for each in found.models} == {Model.SKEWED, Model.UNIFORM}
    assert all(each.law().capacity().low > 10_000 for each in found.models)
