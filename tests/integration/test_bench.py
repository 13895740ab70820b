"""The benchmark on real servers, short: that it measures at all, not what."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from bench.planning.measured import read
from rules import books_path
from tests.command import ROOT, finish, stop, until
from tests.fleet import make_site
from tests.planned import capacity, measurements

RUN_SECONDS = 300  # a run that takes longer hangs


def bench(folder, *options, kind="run"):
    """Run it on servers of its own and return (text, document)."""
    figures = folder / "figures.json"
    done = finish(begun(folder, "--json", str(figures), *options, kind=kind), RUN_SECONDS)
    assert done.code == 0, done
    assert_nothing_is_left(folder)
    return done.out, json.loads(figures.read_text())


def begun(folder, *options, kind="run"):
    """Begin it on servers of its own."""
    command = [sys.executable, "-c", "from bench.cli import main; main()", kind, "--dir", str(folder / "stack")]
    return subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_nothing_is_left(folder):
    """Check that no server or worker goes on, and no gigabytes stay."""
    assert {path.suffix for path in (folder / "stack").iterdir()} == {".log"}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            assert str(folder).encode() not in path.read_bytes(), path.read_bytes()


def workers_of(folder):
    """Return the pids of the workers of a fleet."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # as above
            arguments = path.read_bytes().split(b"\0")
            if str(folder / "stack" / "billing.toml").encode() in arguments and b"--processes" not in arguments:
                found.append(int(path.parent.name))
    return found


def test_a_saturated_run_is_measured_and_audited(tmp_path):
    """Else the figures in the README could not be repeated."""
    pictures = tmp_path / "pictures"
    options = ("--shards", "2", "--workers", "2", "--seconds", "5", "--events", "30000", "--plots", str(pictures))
    text, document = bench(tmp_path, *options)
    result = document["result"]
    assert {path.name for path in pictures.iterdir()} == {"throughput.png", "heat.png", "growth.png"}
    assert sum(point["events_per_second"] for point in result["points"]) > 0
    assert {len(point["shard_events_per_second"]) for point in result["points"]} == {2}
    assert result["audit_differences"] == 0
    assert 0 < result["events"] <= 30_000
    assert result["prefill"][0] == 30_000
    assert {*result["cores_used"]} == {"workers", "database", "broker", "whole machine", "taken by the host"}
    assert all(
        result["per_second"][name] > 0 for name in ("transactions", "statements", "records", "rollups", "balances")
    )
    assert result["worker_rss_bytes_max"] > 0
    assert result["throughput"]["window_min"] <= result["throughput"]["mean"] or result["seconds"] < 10
    assert [server.split()[0] for server in result["machine"]["servers"]] == ["MariaDB", "Kafka"]
    assert document["command"] in text
    document["result"]["scenario"]["shards"] = 1  # a plan takes runs of one shard only
    document["result"]["ran_dry"] = False  # and none whose log ended, as this short one's may
    alone = tmp_path / "alone.json"
    alone.write_text(json.dumps(document))
    (model,) = read([alone]).models
    assert model.levels[0].writers == 2
    assert model.batch > 1
    assert model.bytes_per_event > 0


def test_a_run_that_is_ended_ends_its_servers_and_workers(tmp_path):
    """Whoever stops a job would find four databases and two workers that go on for ever."""
    run = begun(tmp_path, "--shards", "1", "--workers", "1", "--seconds", "60", "--events", "300000")
    until(run, said=["measuring"])
    assert stop(run).code == 130
    assert_nothing_is_left(tmp_path)


def test_a_run_whose_worker_is_killed_has_no_figures(tmp_path):
    """What it had counted is gone, and rates would be too low, or below zero."""
    run = begun(tmp_path, "--shards", "1", "--workers", "2", "--seconds", "2", "--events", "100000")
    until(run, said=["measuring"])
    while len(workers := workers_of(tmp_path)) < 2:
        time.sleep(0.05)
    os.kill(workers[0], signal.SIGKILL)
    done = finish(run, RUN_SECONDS)
    assert done.code == 1, done
    assert "billing-bench: a worker was killed by signal 9, and what it had counted is lost with it" in done.err
    assert_nothing_is_left(tmp_path)


def test_an_open_loop_run_on_servers_that_stay_measures_latency(tmp_path, kafka_server, mariadb_servers):
    """Else the freshness that is promised would be a guess."""
    site = make_site(tmp_path, kafka_server, mariadb_servers(2), books_path() / "telecom.yaml")
    figures = tmp_path / "figures.json"
    options = ("-c", str(site.config), "--workers", "1", "--seconds", "3", "--rate", "500", "--json", str(figures))
    done = finish(begun(tmp_path, *options), RUN_SECONDS)
    assert done.code == 0, done
    result = json.loads(figures.read_text())["result"]
    assert result["audit_differences"] == 0
    assert len(result["latency_ms"]) > 10
    assert min(result["latency_ms"]) > 0
    assert result["prefill"] is None
    assert sum(one["events"] for one in site.audit()) >= result["events"] > 500


def test_reads_are_measured_beside_ingest_and_before_everything_else(tmp_path):
    """Else what callers wait for would be a guess, or what the machine's other work makes of it."""
    options = ("--shards", "2", "--seconds", "3", "--events", "20000", "--ingest", "500", "--balance", "100")
    text, document = bench(tmp_path, *options, *(["--realtime"] if may_go_first() else []), kind="reads")
    result = document["result"]
    assert [(one["kind"], one["errors"]) for one in result["kinds"]] == [
        (kind, {}) for kind in ("balance", "batch", "usage", "page")
    ]
    assert all(min(one["latency_ms"]) > 0 for one in result["kinds"])
    assert result["records"] > 20_000
    assert 0 < result["ingest_beside"] < 1_000
    assert document["command"] in text


def may_go_first():
    """Tell whether this user may let processes go before others."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def test_a_plan_is_made_from_recorded_measurements(tmp_path):
    """Else the numbers of one shard would not lead to a number of shards."""
    figures, json_path, page = (tmp_path / name for name in ("capacity.json", "plan.json", "plan.html"))
    figures.write_bytes(msgspec.json.encode(measurements(capacity())))
    load = ("--per-day", "1e9", "--peak", "60000", "--headroom", "2.5", "8", "--growth", "0.4", "--accounts", "5000")
    command = [sys.executable, "-c", "from bench.cli import main; main()", "plan", str(figures), *load]
    done = subprocess.run(
        [*command, "--json", str(json_path), "--html", str(page)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(json_path.read_text())
    chosen = document["result"]["chosen"]
    assert [each["headroom"] for each in chosen] == [2.5, 8]
    assert 1 < chosen[0]["shards"]["low"] <= chosen[0]["shards"]["mid"] <= chosen[0]["shards"]["high"]
    assert f"{chosen[0]['shards']['mid']} clusters of {chosen[0]['instance']}" in page.read_text()
    assert chosen[0]["instance"] in done.stdout
    assert document["command"].startswith("billing-bench plan ")


@pytest.mark.parametrize("options", [["--workers", "0"], ["--model", "other"], ["-c", "no-such.toml"]])
def test_wrong_options_are_one_line_and_exit_code_2(options):
    """Else a person would have to read a traceback to find a typing error."""
    command = [sys.executable, "-c", "from bench.cli import main; main()", "run", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
