"""Counters in memory: what they hold goes on from batch to batch, and an event that overflows leaves no trace."""

from pathlib import Path

from rules.pricer import Pricer
from rules.running import Held, Running
from tests.rulebooks import book_of, lines_of, usage_of

TIERS = "{graduated: {per: month, tiers: [{up_to: 10, unit: 1}, {unit: %s}]}}"
TWO_GROUPS = f"""\
charges:
- group: usage
  rules: [{{id: api, price: {TIERS % '"0.5"'}}}]
- group: extra
  rules: [{{id: steep, when: {{steep: "1"}}, price: {TIERS % '"90000000000000000000000000"'}}}, {{id: flat, price: {{flat: 1}}}}]
"""  # noqa: E501


def test_counters_go_on_from_batch_to_batch(tmp_path: Path) -> None:
    """Each batch would begin in the first tier again."""
    book = book_of(tmp_path, TWO_GROUPS)
    pricer, running = Pricer(book), Running(book)
    amounts = []
    for batch in ([{"quantity": 8}, {"quantity": 1, "account": "b"}], [{"quantity": 4}], [{"quantity": 1}]):
        amounts += [line[4] for line in lines_of(book, running.settle(pricer.price(usage_of(book, batch))))]
    assert amounts == ["8", "1", "1", "1", "3", "1", "0.5", "1"]
    assert running.held(("acme", 0, 1_767_225_600)) == Held(13 * 10**12, 3, 11_500_000_000_000)


def test_an_event_that_overflows_is_rejected_whole(tmp_path: Path) -> None:
    """One group would charge an event that another one refuses, or the counters would remember it."""
    book = book_of(tmp_path, TWO_GROUPS)
    running = Running(book)
    events = [{"quantity": 4}, {"quantity": 20, "steep": "1"}, {"quantity": 4}, {"quantity": 4}]
    priced = running.settle(Pricer(book).price(usage_of(book, events)))
    assert [(reject.event, reject.reason) for reject in priced.rejects] == [(1, "overflow")]
    assert [(line[0], line[1], line[4]) for line in lines_of(book, priced)] == [
        (0, "api", "4"), (0, "flat", "1"), (2, "api", "4"), (2, "flat", "1"), (3, "api", "3"), (3, "flat", "1"),
    ]  # fmt: skip
    assert running.held(("acme", 0, 1_767_225_600)).quantity_pico == 12 * 10**12
    assert running.held(("acme", 1, 1_767_225_600)) == Held()
