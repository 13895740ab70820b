"""Balances of accounts that are on several shards."""

from decimal import Decimal

from billing.cursor import CursorRow
from billing.reads.balance import Balance, as_of, gather


def test_pieces_add_up_exactly():
    """A big account on several shards would lose its last places."""
    pieces = [
        Balance("a", "USD", Decimal("99999999999999999999999998.999999999999"), 3, 2**64 - 1),
        Balance("a", "EUR", Decimal(1), 1, 5),
        Balance("a", "USD", Decimal("0.000000000001"), 4, 2),
    ]
    assert gather(pieces) == {
        ("a", "USD"): Balance("a", "USD", Decimal("99999999999999999999999999.000000000000"), 7, 1),
        ("a", "EUR"): pieces[1],
    }


def test_as_of_is_the_slowest_shard():
    """A balance would claim to include events that one of its shards has not seen."""

    def cursor(log, partition, offset):
        return CursorRow(log, partition, offset, 1, 1, 0, 0, 0, offset, offset)

    found = as_of({"s1": [cursor("l", 0, 5), cursor("l", 1, 9)], "s2": [cursor("l", 0, 7), cursor("l", 1, 2)]})
    assert [(one["log"], one["partition"], one["position"]) for one in found] == [("l", 0, 5), ("l", 1, 2)]


def test_as_of_says_nothing_where_a_shard_has_not_begun():
    """A reader would be told of a position that his second shard has not reached, and later of an earlier one."""
    begun, both = CursorRow("l", 0, 5, 1, 1, 0, 0, 0, 5, 5), CursorRow("l", 1, 9, 1, 1, 0, 0, 0, 9, 9)
    assert [one["partition"] for one in as_of({"s1": [begun, both], "s2": [both]})] == [1]
    assert as_of({"s1": [begun], "s2": []}) == []
