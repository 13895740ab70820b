"""Plans beside what was measured of configurations that they have not seen."""

import attrs
import msgspec
import pytest

from bench.cli import main
from bench.figures import Point
from bench.planning.holdout import held_out, holdout_text
from bench.planning.measured import MeasurementError, Run
from bench.planning.sizing import sizing
from bench.report import as_json
from bench.scenario import Scenario
from generators.population import Model
from tests.planned import capacity, measurements, prices
from tests.unit.bench.planning.test_measured import RUN

PLANNED = sizing(measurements(capacity(Model.UNIFORM, 10_000), capacity(Model.HOT_SHARD, 40_000)), prices())


def ran(model, *shards, **changes):
    """Return a run whose shards applied so much a second, twice as long as another second in which they did nothing."""
    idle = Point(1.0, 0, 0.0, (0.0,) * len(shards), {})
    busy = Point(3.0, 0, 0.0, tuple(1.5 * rate for rate in shards), {})
    scenario = attrs.evolve(RUN.scenario, model=model, shards=len(shards), **changes)
    return attrs.evolve(RUN, scenario=scenario, points=(idle, busy))


def test_the_fullest_shard_decides():
    """Else a plan would be praised for a total that no load can have, since one shard is full before. 20,000 of 2."""
    found = held_out(PLANNED, Run.of(ran(Model.UNIFORM, 9_000.0, 9_500.0)), "two")
    assert found.configuration == "uniform, 2 shards, 2 workers"
    assert found.planned.mid == pytest.approx(20_000, rel=0.01)
    assert found.measured == pytest.approx(18_000, rel=0.01)
    assert found.off == pytest.approx(-0.1, abs=0.015)


def test_a_hot_shard_needs_one_of_many():
    """Else the shards that get nothing would divide by nothing."""
    shards = [0.0, 0.0, 0.0]
    place = next(
        number
        for number in range(3)
        if _is_accepted(Run.of(ran(Model.HOT_SHARD, *shards[:number], 44_000.0, *shards[number + 1 :])))
    )
    shards[place] = 44_000.0
    found = held_out(PLANNED, Run.of(ran(Model.HOT_SHARD, *shards)), "hot")
    assert (found.planned.mid, found.measured) == (pytest.approx(40_000), pytest.approx(44_000))


def _is_accepted(run):
    try:
        held_out(PLANNED, run, "run")
    except MeasurementError:
        return False
    return True


def test_another_skew_is_planned_by_its_own_rows():
    """Else every skewed load would be planned as the one that was measured."""
    flat, steep = (
        held_out(PLANNED, Run.of(ran(Model.SKEWED, 15_000.0, exponent=exponent)), "run").planned.mid
        for exponent in (0.5, 1.5)
    )
    assert 10_000 <= flat < steep <= 40_000


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (attrs.evolve(ran(Model.UNIFORM, 1.0), points=()), "no saturated shards"),
        (ran(Model.UNIFORM, 1.0, rate_per_second=9.0), "no saturated shards"),
        (ran(Model.UNIFORM, 1.0, 0.0), "applied nothing"),
        (attrs.evolve(ran(Model.UNIFORM, 1.0), ran_dry=True), "ran dry"),
        (attrs.evolve(ran(Model.UNIFORM, 1.0), audit_differences=2), "2 differences"),
    ],
)
def test_a_run_that_says_nothing_of_capacity_is_refused(run, words):
    with pytest.raises(MeasurementError, match=words):
        held_out(PLANNED, Run.of(run), "run")


@pytest.mark.parametrize(("rate", "code"), [(9_000.0, 0), (8_000.0, 1)])
def test_a_plan_that_is_far_off_fails_the_command(tmp_path, monkeypatch, capsys, rate, code):
    """Else nobody would notice in a script."""
    (tmp_path / "one.json").write_bytes(msgspec.json.encode(measurements(capacity(Model.UNIFORM, 10_000))))
    run = ran(Model.UNIFORM, rate, database_cores=0.5)
    (tmp_path / "run.json").write_bytes(as_json("run", run.scenario.command(), run))
    monkeypatch.setattr(
        "sys.argv", ["billing-bench", "holdout", str(tmp_path / "one.json"), str(tmp_path / "run.json")]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == code
    assert "uniform, 1 shard of 0.5 cores each, 2 workers" in capsys.readouterr().out


def test_the_table_names_each_configuration():
    found = held_out(PLANNED, Run.of(ran(Model.UNIFORM, 9_000.0)), "run")
    assert holdout_text([found]).splitlines()[-1].split()[-2:] == ["9,000", "-10.0%"]


def test_a_scenario_names_its_skew_and_its_cores():
    """Else a held-out run could not be made again."""
    chosen = Scenario(Model.SKEWED, 3, 2, "mariadb", 20, exponent=0.8, database_cores=0.3)
    assert chosen.command().endswith("--seconds 20 --seed 1 --exponent 0.8 --database-cores 0.3")
    assert (chosen.workload.exponent, Scenario(Model.SKEWED, 3, 2, "mariadb", 20).workload.exponent) == (0.8, 1.1)
