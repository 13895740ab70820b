"""The comparison on real servers, short: that everybody does the same work, not how fast."""

from bench.compare import compare
from bench.contenders import Contender
from bench.scenario import Scenario
from generators import oracle
from generators.population import Model
from rules import books_path
from tests.fleet import make_site

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
