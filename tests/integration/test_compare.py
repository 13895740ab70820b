"""The comparison, and a run of recorded events, on real servers, short: that the work is done, not how fast."""

import subprocess

from bench import measure, recorded, topic
from bench.comparison.compare import compare
from bench.comparison.contenders import Contender
from bench.scenario import Scenario
from generators import oracle
from generators.population import Model
from generators.workload import Workload
from rules import books_path
from tests.command import ROOT
from tests.fleet import PATIENCE_SECONDS, make_site

EVENTS = 400
BOOK = books_path() / "telecom.yaml"
ORDER = [
    Contender.BILLING,
    Contender.CLASSIC,
    Contender.REDIS,
    Contender.LIMIT,
]  # the last one's tables stay


def test_every_contender_arrives_at_the_same_sums(tmp_path, kafka_server, mariadb_servers):
    """Else the product would be called faster than something that does less, or that is wrong.

    One packet an event is the classic pattern's units sent as the limit's are.
    """
    site = make_site(tmp_path, kafka_server, mariadb_servers(2), BOOK)
    scenario = Scenario(Model.SKEWED, 2, 1, "mariadb", 1, events=EVENTS)
    told = []
    results = compare(scenario, site.config, ORDER, lambda what, done, total: told.append((what, done, total)))
    assert [(one.contender, one.differences) for one in results] == [(contender, 0) for contender in ORDER]
    of = {one.contender: one for one in results}
    assert all(one.events > 0 for one in results)
    for whole in (Contender.REDIS, Contender.LIMIT):
        assert (of[whole].events, of[whole].ran_dry) == (EVENTS, True)
    assert of[Contender.CLASSIC].transactions >= of[Contender.CLASSIC].events
    assert of[Contender.LIMIT].transactions <= 4
    assert ("skewed, limit, checking", EVENTS, EVENTS) in told
    events = scenario.workload.payloads(0, EVENTS)
    assert site.amounts() == oracle.run(events, BOOK).balances
    assert {path.name for path in tmp_path.iterdir()}.isdisjoint({"units", "redis"})


def test_recorded_events_are_billed_as_a_models_are(tmp_path, kafka_server, mariadb_servers):
    """Else nobody could try the product with what really happened."""
    site = make_site(tmp_path, kafka_server, mariadb_servers(1), BOOK)
    events = Workload(model="skewed", seed=5).payloads(0, EVENTS)
    path = tmp_path / "recorded.jsonl"
    path.write_bytes(b"\n".join(events))
    scenario = Scenario(Model.SKEWED, 1, 1, "mariadb", 1, events_file=path)
    told = []
    result = measure.run(scenario, site.config, lambda *words: told.append(words))
    assert ("filling the log", EVENTS, EVENTS) in told
    assert (result.prefill[0], result.ran_dry, result.audit_differences) == (EVENTS, True, 0)
    assert 0 < result.events <= EVENTS  # those between two samples: the first one may already have seen some
    assert site.amounts() == oracle.run(events, BOOK).balances
    subprocess.run(recorded.sending(path, site.config, 100_000.0), cwd=ROOT, check=True, timeout=PATIENCE_SECONDS)
    assert sum(topic.ends(site.found.settings.source).values()) == 2 * EVENTS  # a load that is paced
