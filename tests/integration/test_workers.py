"""Two workers as processes between a real broker and real databases."""

from decimal import Decimal

import pytest

from generators import oracle
from generators.faults import Faults
from generators.workload import Workload
from rules import books_path
from tests.fleet import fleet_of, make_site, wait_until

EVENTS = 20_000
BOOK = books_path() / "telecom.yaml"
WORKLOAD = Workload(model="skewed", seed=11, accounts=500, faults=Faults(duplicates=0.05, malformed=0.01))


@pytest.fixture(params=["mariadb", "mysql"])
def site(request, tmp_path, server_pool, kafka_server):
    return make_site(tmp_path, kafka_server, server_pool.databases(request.param, 1) * 2, BOOK)


def test_two_workers_share_a_topic_and_bill_it_once(site):
    """Else a second worker would idle, bill again what the first has billed, or lose what it had read when stopped."""
    first, second = WORKLOAD.payloads(0, EVENTS // 2), WORKLOAD.payloads(EVENTS // 2, EVENTS)
    expected = oracle.run(first + second, BOOK)
    with fleet_of(site, "first", "second") as fleet:
        owned = [worker.partitions() for worker in fleet.workers.values()]
        site.produce([first])
        site.wait_until_applied(fleet)
        site.produce([second])
        assert fleet.stop() == {"first": 0, "second": 0}  # in the middle of the second half, or after it
        settled = [worker.said("stopped")[0]["events"] for worker in fleet.workers.values()]
    assert all(settled)
    assert sorted(partition for partitions in owned for partition in partitions) == list(range(8))

    rest = site.billing("run", "--processes", "2", "--until-end")
    assert rest.code == 0, rest
    audit = site.audit()
    assert sum(shard["events"] for shard in audit) == expected.accepted
    assert sum(shard["duplicates"] for shard in audit) == expected.duplicates
    assert sum(shard["lines"] for shard in audit) == expected.lines
    assert site.quarantined() == expected.quarantined
    assert site.amounts() == expected.balances

    before = site.balances(), site.cursors()
    again = site.billing("run", "--until-end")
    assert again.code == 0, again
    assert (site.balances(), site.cursors()) == before


BOOK_OF_TWO_PRICES = """\
book: dearer
version: {version}
currency: USD
charges:
- group: usage
  rules:
  - {{id: old, when: {{product: sms}}, until: {ends}, price: {{per_unit: "0.01"}}}}
  - {{id: new, when: {{product: sms}}, from: {begins}, price: {{per_unit: "0.02"}}}}
rollups: [{{name: monthly, every: month}}]
"""


def test_a_new_book_reaches_every_worker_before_it_counts(tmp_path, server_pool, kafka_server):
    """Part of the partitions would go on at the old price, or stand still until somebody restarts every worker."""
    book = tmp_path / "dearer.yaml"
    book.write_text(BOOK_OF_TWO_PRICES.format(version=1, ends="2027-01-01", begins="2027-01-01"))
    site = make_site(tmp_path, kafka_server, server_pool.databases("mariadb", 1) * 2, book)

    def events(prefix, month):
        event = '{{"id":"{prefix}{n}","account":"a{account}","product":"sms","time":"2026-{month}-01T00:00:00Z"}}'
        made = (event.format(prefix=prefix, n=n, account=n % 97, month=month) for n in range(2_000))
        return [text.encode() for text in made]

    with fleet_of(site, "first", "second") as fleet:
        site.produce([events("before", "01")])
        site.wait_until_applied(fleet)
        book.write_text(BOOK_OF_TWO_PRICES.format(version=2, ends="2026-07-01", begins="2026-07-01"))
        assert fleet.workers["second"].terminate() == 0
        fleet.start("second")
        fleet.wait_until_shared()
        wait_until(lambda: bool(fleet.workers["first"].said("reloaded")), "the first worker has the new book")
        site.produce([events("after", "08")])
        site.wait_until_applied(fleet)
        assert [line["book"] for line in fleet.workers["first"].said("reloaded")] == [2]
    site.audit()
    assert sum(site.amounts().values()) == 2_000 * Decimal("0.01") + 2_000 * Decimal("0.02")
    assert {row.book_version for rows in site.cursors().values() for row in rows} == {2}
