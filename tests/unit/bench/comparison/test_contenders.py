"""What contenders send."""

from collections import Counter
from itertools import pairwise

import pytest

from bench.comparison.contenders import PIPELINE_EVENTS, TOLD, Classic, Contender, Counters, Packets, as_counters
from bench.comparison.unit import Unit
from bench.comparison.work import Pricing
from billing.limits import Limits
from billing.upsert import Dialect
from tests.unit.bench.comparison.test_work import pricing, records

__all__ = ["pricing"]


def units(renderer, *pieces):
    found, at = [], 0
    for piece in pieces:
        at += sum(span.stop - span.start for span in piece.spans.values())
        found += renderer.add(piece, at)
    return [*found, *renderer.rest()]


def test_the_classic_pattern_is_a_transaction_an_event_and_a_statement_a_row(pricing: Pricing):
    """Else the product would be compared with something that nobody does."""
    piece = pricing.slices(records(40))[0]
    found = units(Classic(pricing, Dialect.MARIADB), piece)
    assert sum(unit.events for unit in found) == piece.charges.home.sum()
    assert [unit.at for unit in found] == sorted(unit.at for unit in found)
    assert found[-1].at == 40
    for unit in found:
        verbs = [text.split(b" (")[0].split(b" SET")[0] for text in unit.texts]
        assert verbs[:2] == [b"BEGIN", b"UPDATE cursors"]
        assert verbs[-1] == b"COMMIT"
        assert {*verbs[2:-1]} == {b"INSERT INTO records", b"INSERT INTO rollups", b"INSERT INTO balances"}
        assert unit.statements == len(unit.texts) == unit.rows + 3
        assert not any(b"),(" in text.replace(b"VALUES(", b"") for text in unit.texts)
    assert any(b" AS new " in text for unit in units(Classic(pricing, Dialect.MYSQL), piece) for text in unit.texts)


def test_cursors_of_the_classic_pattern_move_from_event_to_event(pricing: Pricing):
    """Else the second event of a partition would not be written, and nobody would notice."""
    piece = pricing.slices(records(40, partitions=1))[0]
    moves = [unit.texts[1].decode() for unit in units(Classic(pricing, Dialect.MARIADB), piece)]
    assert "next_offset=0 AND" in moves[0]
    for before, after in pairwise(moves):
        reached = before.split("next_offset=")[1].split(",")[0]
        assert f"AND next_offset={reached} AND" in after


def test_packets_are_as_full_as_the_engine_makes_them(pricing: Pricing):
    """Else the limit would be one of smaller batches, and look closer than it is."""
    pieces = pricing.slices(records(3 * Limits().batch_events_max))
    found = [unit for piece in pieces for unit in units(Packets(pricing, Dialect.MARIADB), piece)]
    assert sum(unit.events for unit in found) == 3 * Limits().batch_events_max
    assert max(unit.events for unit in found) <= Limits().batch_events_max
    assert len(found) < 8
    assert all(unit.statements == 7 and len(unit.texts) == 1 for unit in found)
    assert all(len(unit.texts[0]) <= Limits().batch_bytes_max for unit in found)


def executed(found: list[Unit]):
    """Do what Redis would."""
    hashes: dict[str, Counter[str]] = {}
    for unit in found:
        words = unit.texts[0].decode().split("\r\n")
        commands = words[:-1]
        assert len(commands) == 9 * unit.statements
        for start in range(0, len(commands), 9):
            _, _, verb, _, key, _, field, _, by = commands[start : start + 9]
            assert verb == "HINCRBY"
            hashes.setdefault(key, Counter())[field] += int(by)
    return {key: dict(fields) for key, fields in hashes.items()}


def test_counters_add_up_to_the_sums_of_all_shards(pricing: Pricing):
    """Else Redis would be compared by other sums than the product keeps."""
    log = records(PIPELINE_EVENTS + 100)
    (piece,) = pricing.whole(log)
    found = units(Counters(pricing), piece)
    assert [unit.events for unit in found] == [PIPELINE_EVENTS, 100]
    expected = as_counters(pricing.expected([log], [dict.fromkeys(range(4), 10000)] * 2))
    assert executed(found) == expected
    assert found[-1].stops == {0: 275, 1: 275, 2: 275, 3: 275}


@pytest.mark.parametrize("contender", list(Contender))
def test_every_contender_is_explained(contender):
    """Else a table would name what nobody can look up."""
    assert TOLD[contender]
