"""What a worker answers to Prometheus and to who supervises it, over HTTP."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

import msgspec
import pytest
import yaml

from billing.adapters.monitor import serve_vitals
from billing.cli.work import run
from billing.errors import SettingsError
from billing.vitals import LIVE_SECONDS, Vitals
from ops.local.process import LOOPBACK, free_port
from tests.command import ROOT, write_book


@pytest.fixture
def monitor():
    """Serve the vitals of a worker that has just started; gives them and a function that asks."""
    vitals = Vitals(time.monotonic())
    port = free_port()
    end = serve_vitals(vitals, LOOPBACK, port)

    def ask(path):
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    yield vitals, port, ask
    end()


def test_a_worker_is_alive_before_it_is_ready(monitor):
    """A supervisor would kill workers that wait for a broker, or send a rollout on before one bills."""
    vitals, _, ask = monitor
    assert [ask(path)[0] for path in ("/healthz", "/readyz")] == [200, 503]
    assert json.loads(ask("/readyz")[1]) == {
        "ready": False, "why": "the worker is starting", "partitions": None, "shards": [],
    }  # fmt: skip
    vitals.beat(time.monotonic() - LIVE_SECONDS - 5)
    code, body = ask("/healthz")
    assert code == 503
    assert json.loads(body)["live"] is False
    assert json.loads(body)["why"].startswith("the event loop has not turned for 3")
    assert ask("/readyz")[0] == 503


def test_metrics_are_beside_it(monitor):
    """Prometheus would see nothing of the worker."""
    _, _, ask = monitor
    code, body = ask("/metrics")
    assert code == 200
    assert b"# TYPE billing_log_up gauge" in body
    assert ask("/")[0] == 404


def test_the_healthcheck_of_compose_is_what_a_worker_answers(monitor):
    """`docker compose up --wait` would wait for ever for a worker that bills, or not wait for one that does not."""
    vitals, port, _ = monitor
    worker = yaml.safe_load((ROOT / "ops/compose.yaml").read_text())["services"]["worker"]
    kind, python, *arguments = worker["healthcheck"]["test"]
    assert (kind, python) == ("CMD", "python")
    assert worker["environment"]["BILLING_METRICS_PORT"] == "9464"
    here = [argument.replace(":9464/", f":{port}/") for argument in arguments]
    assert here != arguments

    def code():
        return subprocess.run([sys.executable, *here], stderr=subprocess.DEVNULL, check=False).returncode

    assert code() == 1
    vitals.health = msgspec.structs.replace(vitals.health, beat_seconds=time.monotonic(), not_ready="")
    assert code() == 0


def test_a_port_that_is_taken_is_told_in_one_line(monitor):
    """Two workers with one settings file would end in a traceback that names no key."""
    vitals, port, _ = monitor
    with pytest.raises(SettingsError, match=rf"metrics\.port: 127\.0\.0\.1:{port} cannot be listened on \(Addr"):
        serve_vitals(vitals, LOOPBACK, port)


def test_processes_that_would_have_no_port_are_told(tmp_path):
    """The last workers of a fleet would end in a traceback, and take the others with them."""
    write_book(tmp_path, {"sms": "1"})
    config = tmp_path / "billing.toml"
    config.write_text(
        '[source]\nkind = "kafka"\nbootstrap = "127.0.0.1:1"\ntopic = "t"\ngroup = "g"\n'
        '[rules]\nbook = "book.yaml"\n[metrics]\nport = 65534\n[[shards]]\nname = "s"\nwriter = "sqlite:///s.db"\n'
    )
    with pytest.raises(SettingsError, match=r"metrics\.port: 3 processes take a port each, from this one on"):
        run(config, processes=3)
