"""SQL asserted as text: what exactly is sent to a shard, and that no value can break out of it."""
# ruff: noqa: E501  statements are asserted as they are sent, one a line

import re

import attrs
import numpy as np
import pyarrow as pa
import pytest

from billing.batch import Slice
from billing.cursor import Claim
from billing.dedupe import PartKey
from billing.event import Reason, Rejected
from billing.tiers import TierColumns, TierKeys, used_of
from billing.upsert import Dialect, claim_statements, counters_packet, existing_query, lines_query, packet
from rules.columns import Decimals
from tests.pipeline import DAY, HOUR, SLOT, payload

TIME_US = HOUR * 1_000_000
LITERAL = re.compile(r"x'[0-9a-f]*'|'[ !#-&(-\[\]-~\"]*'")


def statements(transaction, dialect=Dialect.MYSQL, payload_bytes_max=65_536):
    """Return the statements of a packet by name; they hold no semicolon of their own here."""
    planned = packet(transaction, dialect, payload_bytes_max)
    texts = planned.text.decode().split(";")
    assert len(texts) == len(planned.statements)
    return dict(zip(planned.statements, texts, strict=True))


def column(value):
    """Return the expression of a column in which all rows have this value."""
    return f"_binary '{value}'"


def columns(*values):
    """Return the expressions of columns of which each has one value."""
    return ",".join(map(column, values))


TWO_ROWS = "JSON_TABLE('[0,0]','$[*]' COLUMNS(n FOR ORDINALITY)) k"


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        ("9.7.4", Dialect.MYSQL),
        ("8.0.39-0ubuntu0.22.04.1", Dialect.MYSQL),
        ("8.0.mysql_aurora.3.08.0", Dialect.MYSQL),
        ("10.11.19-MariaDB-0+deb12u1", Dialect.MARIADB),
        ("5.5.5-10.6.18-MariaDB", Dialect.MARIADB),
        ("11.4.2-mariadb-ubu2404", Dialect.MARIADB),
    ],
)
def test_the_dialect_follows_the_version(version, dialect):
    """Every batch would be a syntax error, or cost a warning for each row."""
    assert Dialect.of(version) is dialect


def test_a_transaction_is_this_text(pipeline):
    """What a shard is asked to do would differ from what is written in the design."""
    batch = pipeline.slice([payload("e1", quantity="1.5", attributes={"country": "US", "to": "+1"})], 4, 3, stop=9)
    digest = int(batch.charges.digest[0])
    transaction = pipeline.fold(batch, map_version=7)
    checksum = int(transaction.balances.checksum[0])
    assert statements(transaction, Dialect.MYSQL) == {
        "begin": "BEGIN",
        "cursors": "UPDATE cursors SET next_offset=CASE `partition` WHEN 3 THEN 9 END,accepted=accepted+CASE `partition` WHEN 3 THEN 1 END"
        f",time_us_max=GREATEST(time_us_max,COALESCE(CASE `partition` WHEN 3 THEN {TIME_US} END,0))"
        ",applied_at_us=CAST(UNIX_TIMESTAMP(NOW(6))*1000000 AS UNSIGNED) WHERE log='test:log' AND `partition` IN (3)"
        " AND next_offset=CASE `partition` WHEN 3 THEN 4 END AND map_version=7 AND book_version=1",
        "guard": "SET @g=IF(ROW_COUNT()=1,1,(SELECT 1 UNION SELECT 2))",
        "records": "INSERT INTO records (slot,account,day,event,line,time_us,digest,product,rule,currency,book_version,quantity,amount,kept) SELECT "
        + columns(
            SLOT,
            "acme",
            "2026-01-01",
            "e1",
            0,
            TIME_US,
            digest,
            "sms",
            "unit",
            "USD",
            1,
            "1.5",
            "1.500000000000",
            '{"to":"+1"}',
        )
        + " FROM DUAL",
        "rollups": "INSERT INTO rollups (slot,account,rollup,bucket,dims,events,quantity,amount,checksum) SELECT * FROM (SELECT "
        + columns(SLOT, "acme")
        + ",RTRIM(SUBSTR(_binary '      hourly monthly',n*7,7)),"
        + column(HOUR)
        + ',RTRIM(SUBSTR(_binary \'           ["sms","US"][]          \',n*12,12)),'
        + f"CAST({column(1)} AS SIGNED),CAST({column('1.5')} AS DECIMAL(38,12)),"
        + f"CAST({column('1.500000000000')} AS DECIMAL(38,12)),CAST({column(checksum)} AS UNSIGNED)"
        + f" FROM {TWO_ROWS}) AS new(slot,account,rollup,bucket,dims,events,quantity,amount,checksum)"
        " ON DUPLICATE KEY UPDATE events=rollups.events+new.events,quantity=rollups.quantity+new.quantity,amount=rollups.amount+new.amount"
        ",checksum=IF(rollups.checksum>~new.checksum,rollups.checksum-~new.checksum-1,rollups.checksum+new.checksum)",
        "balances": "INSERT INTO balances (slot,account,currency,events,amount,checksum) SELECT * FROM (SELECT "
        + columns(SLOT, "acme", "USD")
        + f",CAST({column(1)} AS SIGNED),CAST({column('1.500000000000')} AS DECIMAL(38,12)),CAST({column(checksum)} AS UNSIGNED)"
        + " FROM DUAL) AS new(slot,account,currency,events,amount,checksum)"
        " ON DUPLICATE KEY UPDATE events=balances.events+new.events,amount=balances.amount+new.amount"
        ",checksum=IF(balances.checksum>~new.checksum,balances.checksum-~new.checksum-1,balances.checksum+new.checksum)",
        "commit": "COMMIT",
    }


def test_mariadb_differs_in_the_upserts_only(pipeline):
    """MariaDB would refuse every batch: it knows a new row by `VALUES()` only."""
    transaction = pipeline.transaction([payload("e1"), b"bad"])
    mysql, mariadb = statements(transaction, Dialect.MYSQL), statements(transaction, Dialect.MARIADB)
    assert [name for name in mysql if mysql[name] != mariadb[name]] == ["rollups", "balances"]
    assert mariadb["balances"].startswith(
        "INSERT INTO balances (slot,account,currency,events,amount,checksum) SELECT _binary '"
    )
    assert mariadb["balances"].endswith(
        " FROM DUAL WHERE 1 ON DUPLICATE KEY UPDATE events=balances.events+VALUES(events),amount=balances.amount+VALUES(amount)"
        ",checksum=IF(balances.checksum>~VALUES(checksum),balances.checksum-~VALUES(checksum)-1,balances.checksum+VALUES(checksum))"
    )
    assert " AS new" not in mariadb["rollups"] + mariadb["balances"]
    assert "CAST(" not in mariadb["rollups"] + mariadb["balances"]


def test_statements_come_in_one_order(pipeline):
    """Two writers would lock tables in different order and end in deadlocks, or hold the hottest rows longest."""
    transaction = pipeline.transaction([payload("e1"), b"bad"])
    order = ("begin", "cursors", "guard", "records", "rollups", "balances", "quarantine", "commit")
    assert packet(transaction, Dialect.MYSQL, 65_536).statements == order
    assert packet(pipeline.transaction([], stop=3), Dialect.MYSQL, 65_536).statements == (
        "begin", "cursors", "guard", "commit",
    )  # fmt: skip
    assert packet(pipeline.transaction([b"bad"]), Dialect.MYSQL, 65_536).statements == (
        "begin", "cursors", "guard", "quarantine", "commit",
    )  # fmt: skip


def test_several_cursors_move_in_one_statement_and_are_all_guarded(pipeline):
    """A batch of two partitions would be applied when only one of the cursors matches."""
    batch = Slice.concat(
        [
            pipeline.slice([payload("a"), payload("a"), b"x"], 10, 2, stop=20),
            pipeline.slice([payload("b")], 3, 1),
            pipeline.slice([], 5, 4, stop=6),
        ]
    )
    found = statements(pipeline.fold(batch))
    assert found["guard"] == "SET @g=IF(ROW_COUNT()=3,1,(SELECT 1 UNION SELECT 2))"
    assert found["cursors"] == (
        "UPDATE cursors SET next_offset=CASE `partition` WHEN 1 THEN 4 WHEN 2 THEN 20 WHEN 4 THEN 6 END"
        ",accepted=accepted+CASE `partition` WHEN 1 THEN 1 WHEN 2 THEN 1 WHEN 4 THEN 0 END"
        ",duplicates=duplicates+CASE `partition` WHEN 1 THEN 0 WHEN 2 THEN 1 WHEN 4 THEN 0 END"
        ",quarantined=quarantined+CASE `partition` WHEN 1 THEN 0 WHEN 2 THEN 1 WHEN 4 THEN 0 END"
        f",time_us_max=GREATEST(time_us_max,COALESCE(CASE `partition` WHEN 1 THEN {TIME_US} WHEN 2 THEN {TIME_US} END,0))"
        ",applied_at_us=CAST(UNIX_TIMESTAMP(NOW(6))*1000000 AS UNSIGNED)"
        " WHERE log='test:log' AND `partition` IN (1,2,4)"
        " AND next_offset=CASE `partition` WHEN 1 THEN 3 WHEN 2 THEN 10 WHEN 4 THEN 5 END"
        " AND map_version=1 AND book_version=1"
    )


KEYS = TierKeys(
    np.array([5, 6], dtype=np.uint16), pa.array(["acme", "zoe"]), pa.array(["api", "sms"]), np.array([HOUR, -3600])
)


def test_counters_are_made_locked_and_read_in_one_packet():
    """A counter that is missing could not be locked, and two workers would both charge from nothing."""
    head = (
        "SET SESSION wait_timeout=10;BEGIN;INSERT INTO tiers (slot,account,rule,period,quantity,events,amount) VALUES "
    )
    rows = f"(5,'acme','api',{HOUR},0,0,0),(6,'zoe','sms',-3600,0,0,0)"
    rest = (
        " ON DUPLICATE KEY UPDATE events=tiers.events;WITH k(n,slot,account,rule,period) AS (VALUES "
        f"{{0}}(0,5,'acme','api',{HOUR}),{{0}}(1,6,'zoe','sms',-3600)) SELECT k.n,CAST(t.quantity AS CHAR),t.events,"
        "CAST(t.amount AS CHAR) FROM k STRAIGHT_JOIN tiers t FORCE INDEX (PRIMARY) ON t.slot=k.slot"
        " AND t.account=k.account AND t.rule=k.rule AND t.period=k.period FOR UPDATE"
    )
    for dialect, row in ((Dialect.MYSQL, "ROW"), (Dialect.MARIADB, "")):
        planned = counters_packet(KEYS, dialect)
        assert planned.text.decode() == head + rows + rest.format(row)
        assert planned.statements == ("idle briefly", "begin", "counters", "counters read")


def test_counters_are_written_as_they_stand_before_the_sums(pipeline):
    """What two workers use would be lost or added twice, or tables be locked in another order than by others."""
    written = TierColumns(KEYS, used_of([10**12, 5], [1, 2], [-(10**11), 0]))
    transaction = attrs.evolve(pipeline.transaction([payload("e1"), b"bad"]), tiers=written)
    found = statements(transaction, Dialect.MYSQL)
    tables = ["records", "tiers", "rollups", "balances", "quarantine"]
    assert list(found) == ["cursors", "guard", *tables, "commit", "idle again"]
    assert found["idle again"] == "SET SESSION wait_timeout=DEFAULT"
    head = "INSERT INTO tiers (slot,account,rule,period,quantity,events,amount) VALUES "
    rows = (
        f"(5,'acme','api',{HOUR},1.000000000000,1,-0.100000000000),"
        "(6,'zoe','sms',-3600,0.000000000005,2,0.000000000000)"
    )
    sets = "quantity={0},events={1},amount={2}"
    new = sets.format("new.quantity", "new.events", "new.amount")
    assert found["tiers"] == f"{head}{rows} AS new ON DUPLICATE KEY UPDATE {new}"
    values = sets.format("VALUES(quantity)", "VALUES(events)", "VALUES(amount)")
    assert statements(transaction, Dialect.MARIADB)["tiers"] == f"{head}{rows} ON DUPLICATE KEY UPDATE {values}"


def test_an_account_in_a_counter_cannot_leave_its_literal():
    """A rule or an account would be run as SQL."""
    keys = attrs.evolve(KEYS, account=pa.array(["a'; DROP TABLE tiers; -- ", "\\"]))
    sent = counters_packet(keys, Dialect.MYSQL).text.decode()
    assert "DROP" not in sent
    assert LITERAL.sub("?", sent).count(";") == 3


HOSTILE = [
    "'",
    "''",
    "\\",
    "\\'",
    "a'; DROP TABLE balances; -- ",
    "\0",
    "a\nb",
    "\x1a",
    "é",
    "💣",
    "%s",
    "/* */",
    "--",
    "`",
    '"',
    ";",
    "\x7f",
    "\u2028",
    "x'41'",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_text_cannot_leave_its_literal(pipeline, text):
    """An attribute of an event would be run as SQL, or change what is stored."""
    transaction = pipeline.transaction([payload("e1", attributes={"to": text, "country": text}), payload("e2")])
    records = attrs.evolve(transaction.records, kept=pa.array([text, text]).dictionary_encode())
    rollups = attrs.evolve(transaction.rollups, dims=pa.array([text] * len(transaction.rollups)))
    bad = [Rejected(0, 9, "acme", Reason.BAD_FIELD, text, text.encode())]
    hostile = attrs.evolve(transaction, log=text, records=records, rollups=rollups, quarantine=bad)
    sent = packet(hostile, Dialect.MYSQL, 65_536).text.decode()
    expected = f"'{text}'" if text.isascii() and text.isprintable() and not set(text) & set("'\\") else None
    expected = expected or f"x'{text.encode().hex()}'"
    assert f"{expected} FROM JSON_TABLE" in sent
    assert f"WHERE log={expected} AND" in sent
    outside = LITERAL.sub("?", sent)
    assert "'" not in outside
    assert "\\" not in outside
    assert outside.isascii()
    assert outside.isprintable()
    assert outside.count(";") == 7
    assert "DROP" not in outside
    keys = [PartKey(1, text, DAY, text), PartKey(1, "a", DAY, "b")]
    assert existing_query(keys, Dialect.MARIADB).decode().count(f",{expected}") >= 2
    assert LITERAL.sub("?", claim_statements(Claim(text, {0: 0}, 1, 1))[0]).endswith("VALUES (?,0,0,1,1)")


def test_payloads_are_always_hex_and_cut(pipeline):
    """The bytes of a bad event would be run as SQL, or a huge one never fit a packet."""
    sent = statements(pipeline.transaction([b"'; DROP TABLE x --"]), payload_bytes_max=4)["quarantine"]
    assert sent == (
        "INSERT INTO quarantine (log,`partition`,`offset`,account,reason,detail,payload_bytes,payload) VALUES "
        "('test:log',0,0,'','undecodable','not JSON: JSON is malformed: invalid character (byte 0)',18,x'273b2044')"
        " ON DUPLICATE KEY UPDATE retried=quarantine.retried"
    )


def test_a_detail_is_cut_by_bytes_and_between_characters(pipeline):
    """The database would refuse the row for ever, and its shard stand still."""
    transaction = attrs.evolve(
        pipeline.transaction([]), quarantine=[Rejected(0, 0, None, Reason.BAD_FIELD, "a" + "é" * 300, b"")]
    )
    assert f",x'{('a' + 'é' * 255).encode().hex()}',0,x'')" in statements(transaction)["quarantine"]


@pytest.mark.parametrize(
    ("units", "text"),
    [
        ([0], "0.000000000000"),
        ([1], "0.000000000001"),
        ([-1], "-0.000000000001"),
        ([10**12], "1.000000000000"),
        ([2**63 - 1], "9223372.036854775807"),
        ([-(2**63)], "-9223372.036854775808"),
        ([10**38 - 1], "99999999999999999999999999.999999999999"),
        ([-(10**39)], "-1000000000000000000000000000.000000000000"),
    ],
)
def test_amounts_are_plain_decimals(pipeline, units, text):
    """SQL reads 1E+3 as a float: money would be rounded on its way into the database."""
    transaction = pipeline.transaction([payload()])
    balances = attrs.evolve(transaction.balances, amount=Decimals.of_integers(units, 12))
    sent = statements(attrs.evolve(transaction, balances=balances))["balances"]
    assert f",CAST({column(text)} AS DECIMAL(38,12))," in sent


def test_unsigned_64_bits_are_digits(pipeline):
    """Half of all checksums would be sent as negative numbers, and refused."""
    transaction = pipeline.transaction([payload()])
    top = np.array([2**64 - 1], dtype=np.uint64)
    changed = attrs.evolve(
        transaction,
        records=attrs.evolve(transaction.records, digest=top),
        balances=attrs.evolve(transaction.balances, checksum=top),
    )
    sent = statements(changed)
    assert f",{columns(TIME_US, 18446744073709551615, 'sms')}," in sent["records"]
    assert f",CAST({column('18446744073709551615')} AS UNSIGNED) FROM" in sent["balances"]


def test_parts_are_looked_up_by_primary_key(pipeline):
    """A look for repeats would read a whole table, or lock what it does not concern."""
    del pipeline
    keys = [PartKey(5, "acme", DAY, "e1"), PartKey(6, "zoe", DAY, "acme e1")]
    rows = "(5,'acme','2026-01-01','e1'),{}(6,'zoe','2026-01-01','acme e1')"
    tail = (
        ") SELECT r.slot,r.account,CAST(r.day AS CHAR),r.event,r.digest FROM k STRAIGHT_JOIN records r"
        " FORCE INDEX (PRIMARY) ON r.slot=k.slot AND r.account=k.account AND r.day=k.day AND r.event=k.event AND r.line=0 FOR UPDATE"
    )
    head = "WITH k(slot,account,day,event) AS (VALUES "
    assert existing_query(keys, Dialect.MYSQL).decode() == head + "ROW" + rows.format("ROW") + tail
    assert existing_query(keys, Dialect.MARIADB).decode() == head + rows.format("") + tail
    columns = (
        "r.line,r.digest,r.product,r.rule,r.currency,r.book_version,CAST(r.quantity AS CHAR),CAST(r.amount AS CHAR)"
    )
    whole = tail.replace("r.digest", columns).replace(" AND r.line=0", "")
    assert lines_query(keys, Dialect.MYSQL).decode() == head + "ROW" + rows.format("ROW") + whole
    assert lines_query(keys, Dialect.MARIADB).decode() == head + rows.format("") + whole


def test_a_claim_is_these_statements():
    """Cursors would be reset, or read without waiting for who is writing them."""
    assert claim_statements(Claim("log", {4: 40, 2: 0}, 3, 9)) == [
        "INSERT IGNORE INTO cursors (log,`partition`,next_offset,map_version,book_version) VALUES ('log',2,0,3,9),('log',4,40,3,9)",
        "SELECT MAX(map_version),MAX(book_version) FROM cursors WHERE log='log'",
        "UPDATE cursors SET map_version=GREATEST(map_version,3),book_version=GREATEST(book_version,9) WHERE log='log' AND (map_version<3 OR book_version<9)",
        "SELECT `partition`,next_offset FROM cursors WHERE log='log' AND `partition` IN (2,4) FOR UPDATE",
    ]
