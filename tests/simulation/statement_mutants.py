"""Mutants of statements: deliberate defects in what a database is told, that a test of the contract must notice.

Owns the list, and which tests are tried on each. Must not know what the tests check.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from billing.adapters import mysql, sqlite
from billing.adapters.mysql import MysqlStore
from billing.upsert import Packet
from tests.contract import test_credits as credit_tests
from tests.contract import test_store as stores
from tests.contract import test_store_on_servers as on_servers
from tests.contract import test_store_refusals as refusals
from tests.contract import test_tiers as tiers
from tests.pipeline import Pipeline
from tests.stores import TablesPlace, sqlite_place


@attrs.frozen
class Books:
    """What the contract's transactions are priced by: prices that stand alone, and prices that count."""

    linear: Pipeline
    counting: Pipeline


Test = Callable[[TablesPlace, Books], None]


@attrs.frozen
class Mutant:
    """A defect: what it puts in the place of what, and the tests to try; quick: they fail at once, without waiting."""

    owner: object
    attribute: str
    replacement: Any
    tests: tuple[Test, ...]
    quick: bool = True


def _on_linear(test: Callable[..., None], *more: Any) -> Test:
    def run(place: TablesPlace, books: Books) -> None:
        test(place, books.linear, *more)

    run.__name__ = test.__name__
    return run


def _on_counting(test: Callable[..., None]) -> Test:
    def run(place: TablesPlace, books: Books) -> None:
        test(place, books.counting)

    run.__name__ = test.__name__
    return run


def _alone(test: Callable[..., None]) -> Test:
    def run(place: TablesPlace, _: Books) -> None:
        test(place)

    run.__name__ = test.__name__
    return run


def _on_sqlite(test: Test) -> Test:
    def run(_: TablesPlace, books: Books) -> None:
        with tempfile.TemporaryDirectory() as folder:
            test(sqlite_place(Path(folder)), books)

    run.__name__ = test.__name__
    return run


def _packet(pattern: str, replacement: str, name: str = "packet") -> tuple[object, str, Any]:
    """Replace text in a packet; statements keep their names, and one that becomes empty is left out."""
    plan = getattr(mysql, name)

    def changed(*what: Any) -> Packet:
        planned = plan(*what)
        texts = [
            (statement, re.sub(pattern.encode(), replacement.encode(), text))
            for statement, text in zip(planned.statements, _statements(planned), strict=True)
        ]
        kept = [(statement, text) for statement, text in texts if text]
        return Packet(b";".join(text for _, text in kept), tuple(statement for statement, _ in kept))

    return mysql, name, changed


def _statements(planned: Packet) -> list[bytes]:
    """Cut a packet at the semicolons between its statements; those of hostile payloads are in hexadecimal."""
    return planned.text.split(b";", len(planned.statements) - 1)


def _query(pattern: str, replacement: str | Callable[[re.Match[str]], str], name: str) -> tuple[object, str, Any]:
    ask = getattr(mysql, name)

    def changed(*what: Any) -> Any:
        asked = ask(*what)
        if isinstance(asked, bytes):
            return re.sub(pattern, replacement, asked.decode()).encode()
        return [re.sub(pattern, replacement, statement) for statement in asked]

    return mysql, name, changed


def _reading(found: re.Match[str]) -> str:
    """Make cursors only where there are none, and lock none."""
    if found[1] is None:
        return ""
    return (
        f"INSERT INTO cursors {found[1]} SELECT * FROM (VALUES {found[2]}) v "
        f"WHERE NOT EXISTS (SELECT 1 FROM cursors c WHERE c.log={found[3]})"
    )


def _text(name: str, old: str, new: str) -> tuple[object, str, Any]:
    text = getattr(sqlite, name)
    assert old in text, "the mutant changes something that is there"
    return sqlite, name, text.replace(old, new)


async def _no_roll_back(_: MysqlStore) -> None:
    return


_FENCES: Final = tuple(
    _on_linear(refusals.test_a_cursor_that_does_not_match_fences_and_nothing_is_written, wrong)
    for wrong in ("behind", "ahead", "map", "book", "log", "unclaimed", "one of two")
)
_REPEAT: Final = _on_linear(refusals.test_a_repeat_is_refused_whole_then_told_and_dropped)
_SUMS: Final = _on_linear(stores.test_a_second_transaction_adds_to_the_first)
_CHECKSUMS: Final = _on_linear(stores.test_checksums_wrap_at_64_bits)
_COUNTERS: Final = _on_counting(tiers.test_a_use_is_charged_by_what_was_used_before)
_CREDIT: Final = _on_linear(credit_tests.test_a_credit_is_written_as_it_was_given)
_WRITTEN: Final = _on_linear(stores.test_a_transaction_writes_every_table_and_moves_the_cursor)
_VERSIONS: Final = _alone(stores.test_a_claim_raises_versions_and_never_lowers_them)
_OTHERS: Final = _on_linear(refusals.test_a_newer_claim_fences_workers_of_other_partitions)
_LOCKED: Final = _on_linear(on_servers.test_a_lock_that_never_comes_is_given_up_whole)

STATEMENTS: Final[dict[str, Mutant]] = {
    "no guard behind the cursor": Mutant(*_packet(r"SET @g=.*", "SET @g=1"), _FENCES),
    "the cursor moves wherever it stands": Mutant(*_packet(r" AND next_offset=CASE.* END(?= AND map)", ""), _FENCES),
    "no map version in the compare-and-swap": Mutant(*_packet(r" AND map_version=\d+", ""), _FENCES),
    "no book version in the compare-and-swap": Mutant(*_packet(r" AND book_version=\d+", ""), _FENCES),
    "the compare-and-swap is of any log": Mutant(*_packet(r"log='[^']*' AND", "true AND"), _FENCES),
    "one of several cursors is enough": Mutant(*_packet(r"ROW_COUNT\(\)=\d+", "ROW_COUNT()>0"), _FENCES),
    "a transaction without BEGIN": Mutant(*_packet(r"^BEGIN$", ""), (_REPEAT,)),
    "a transaction without COMMIT": Mutant(*_packet(r"^COMMIT$", ""), (_WRITTEN,)),
    "records that exist are passed over": Mutant(
        *_packet(r"^INSERT INTO records", "INSERT IGNORE INTO records"), (_REPEAT,)
    ),
    "records that exist are replaced": Mutant(*_packet(r"^INSERT INTO records", "REPLACE INTO records"), (_REPEAT,)),
    "sums are replaced, not added to": Mutant(*_packet(r"amount=\w+\.amount\+", "amount="), (_SUMS,)),
    "checksums do not wrap": Mutant(
        *_packet(r"checksum=IF\((\w+\.checksum)>~(VALUES\(checksum\)).*", r"checksum=\1+\2"), (_CHECKSUMS,)
    ),
    "credits are not written": Mutant(*_packet(r"^INSERT INTO credits.*", ""), (_CREDIT,)),
    "a credit costs what it is worth": Mutant(
        *_packet(r"(VALUES \(.*?,x?'USD',)([\d.]+),[\d.]+,", r"\1\2,\2,"), (_CREDIT,)
    ),
    "quarantine refuses what it has": Mutant(
        *_packet(r" ON DUPLICATE KEY UPDATE retried=.*", ""),
        (_on_linear(refusals.test_a_bad_event_read_again_is_in_quarantine_once),),
    ),
    "counters are added twice": Mutant(*_packet(r"quantity=VALUES", "quantity=tiers.quantity+VALUES"), (_COUNTERS,)),
    "nothing is rolled back after an error": Mutant(MysqlStore, "_roll_back", _no_roll_back, (_REPEAT, _LOCKED)),
    "a claim sets cursors back": Mutant(
        *_query(r"INSERT IGNORE INTO", "REPLACE INTO", "claim_statements"),
        (_alone(stores.test_a_claim_creates_cursors_once),),
    ),
    "a claim lowers versions": Mutant(
        *_query(r"GREATEST\(\w+_version,(\d+)\)| AND \(map_version<.*", r"\1", "claim_statements"), (_VERSIONS,)
    ),
    "a claim fences its own partitions only": Mutant(
        *_query(r" AND \(map_version<", " AND `partition`=0 AND (map_version<", "claim_statements"),
        (_VERSIONS, _OTHERS),
    ),
    "cursors are read again without waiting": Mutant(
        *_query(
            r" FOR UPDATE|^INSERT IGNORE INTO cursors (\(.*?\)) VALUES (\((x?'[^']*'),.*)$",
            _reading,
            "claim_statements",
        ),
        (_alone(on_servers.test_a_claim_waits_for_transactions_in_flight),),
        quick=False,
    ),
    "records are looked for without a lock": Mutant(
        *_query(r" FOR UPDATE", "", "existing_query"),
        (_on_linear(on_servers.test_existing_waits_for_a_record_in_flight),),
        quick=False,
    ),
    "counters are looked for without their index": Mutant(
        *_packet(r" FORCE INDEX \(PRIMARY\)", "", "counters_packet"),
        (_on_counting(tiers.test_workers_that_count_for_different_accounts_do_not_wait),),
    ),
    "SQLite: the cursor moves wherever it stands": Mutant(
        *_text("_MOVE", " AND next_offset = ?", " AND ? >= 0"), tuple(map(_on_sqlite, _FENCES))
    ),
    "SQLite: no versions in the compare-and-swap": Mutant(
        *_text("_MOVE", " AND map_version = ? AND book_version = ?", " AND ? + ? > 0"), tuple(map(_on_sqlite, _FENCES))
    ),
    "SQLite: records that exist are passed over": Mutant(
        *_text("_RECORD", "INSERT INTO", "INSERT OR IGNORE INTO"), (_on_sqlite(_REPEAT),)
    ),
    "SQLite: a credit has no products": Mutant(
        *_text("_CREDIT", "?, ?) ON CONFLICT", "?, substr(?, 1, 0)) ON CONFLICT"), (_on_sqlite(_CREDIT),)
    ),
    "SQLite: sums are replaced, not added to": Mutant(
        *_text("_BALANCE", "decimal_add(amount, excluded.amount)", "excluded.amount"), (_on_sqlite(_SUMS),)
    ),
}
