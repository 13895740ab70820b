"""A log that is not the one that the cursors count: workers stop, say so in one line, and write nothing wrong."""

import signal
import time
from contextlib import contextmanager

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from generators import oracle
from generators.workload import Workload
from rules import books_path
from tests.fleet import PATIENCE_SECONDS, fleet_of, make_site

BOOK = books_path() / "telecom.yaml"
PARTITIONS = 2
FIRST = Workload(model="skewed", seed=1, accounts=100).payloads(0, 1_000)
OTHERS = Workload(model="skewed", seed=2, accounts=100).payloads(0, 3_000)  # more: offsets of the first exist again
ASKED_SECONDS = 1.0  # ten times as long as a broker keeps a fetch that finds nothing


@pytest.fixture
def site(tmp_path, kafka_server, mariadb_servers):
    return make_site(tmp_path, kafka_server, mariadb_servers(1) * 2, BOOK, partitions=PARTITIONS)


def make_anew(site):
    """Delete the topic and make one of the same name, with more events than the old one had."""
    site.kafka.delete_topic(site.topic)
    site.kafka.create_topic(site.topic, PARTITIONS)
    site.produce([OTHERS])


def truncate(site):
    """Let the broker come back with less of each partition than it had."""
    site.kafka.stop()
    folders = list((site.kafka.folder / "logs").glob(f"{site.topic}-*"))
    assert len(folders) == PARTITIONS
    for folder in folders:
        for file in folder.iterdir():
            if file.suffix in {".log", ".index", ".timeindex", ".snapshot"}:
                file.unlink()
    site.kafka.start()


def overrun(site):
    """Let retention delete events that no shard has applied, nor asked for before its worker was stopped."""
    time.sleep(ASKED_SECONDS)
    site.produce([OTHERS])
    admin = AdminClient({"bootstrap.servers": site.kafka.bootstrap})
    ends = [TopicPartition(site.topic, partition, end) for partition, end in site.log_ends().items()]
    for future in admin.delete_records(ends).values():
        future.result(PATIENCE_SECONDS)


STOPS = {
    "truncated": (truncate, ("no longer has the offset", "the log was truncated")),
    "overrun": (overrun, ("no longer has the offset", "offsets are gone")),
}


@pytest.mark.parametrize("change", STOPS)
def test_a_log_that_lost_events_stops_workers(site, change):
    """Else what is gone would be left out in silence, or other events billed in its place."""
    act, words = STOPS[change]
    with fleet_of(site, "only") as fleet:
        before = bill_first(site, fleet)
        with frozen(fleet.workers["only"]):
            act(site)
        sentence = ended(fleet.workers["only"])
    assert any(word in sentence for word in words), sentence
    assert sentence.endswith("see runbook: log changed")
    for processes in ("1", "2"):
        again = site.billing("run", "--until-end", "--processes", processes)
        assert again.code == 1
        assert words[1] in again.err
    site.audit()
    assert site.amounts() == before


def test_a_topic_made_anew_stops_workers_and_is_another_log(site):
    """Else its first events would never be billed, since cursors of the old topic stand beyond them."""
    with fleet_of(site, "only") as fleet:
        bill_first(site, fleet)
        with frozen(fleet.workers["only"]):
            make_anew(site)
        assert ended(fleet.workers["only"]) == (
            f"topic {site.topic} was deleted and made anew: its offsets mean other events; see runbook: log changed"
        )
    site.audit()
    assert site.billing("run", "--until-end").code == 0
    site.audit()
    assert site.amounts() == oracle.run(FIRST + OTHERS, BOOK).balances  # what was read too early was a repeat then


def test_a_deleted_topic_stops_workers(site):
    """Else workers would wait for ever for events that nobody can send, and everybody would think all is well."""
    with fleet_of(site, "only") as fleet:
        before = bill_first(site, fleet)
        site.kafka.delete_topic(site.topic)
        assert ended(fleet.workers["only"]) == f"topic {site.topic} was deleted; see runbook: log changed"
    site.audit()
    assert site.amounts() == before


def bill_first(site, fleet):
    """Produce and bill the first events; returns the balances."""
    site.produce([FIRST])
    site.wait_until_applied(fleet)
    return site.amounts()


@contextmanager
def frozen(worker):
    """Freeze a worker, so that it finds all of a change at once."""
    worker.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.process.send_signal(signal.SIGCONT)


def ended(worker):
    """Wait until a worker has stopped by itself, and return what it said: one sentence."""
    assert worker.process.wait(PATIENCE_SECONDS) == 1
    said = [line for line in worker.log_path.read_text().splitlines() if not line.startswith("{")]
    assert len(said) == 1, said
    return said[0].removeprefix("billing: ")
